"""Gallery of predictions: one self-contained page with every image, filtered by label and sorted by score."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from html import escape
from pathlib import Path
from tempfile import TemporaryFile
from threading import Lock
from types import TracebackType
from typing import NamedTuple
from urllib.parse import quote

from levit.data.imagenet_names import distinct_names
from levit.errors import DataError, ImageError, printable
from levit.files import is_same_file, replacing
from levit.images.decoding import MAX_PIXELS
from levit.images.thumbnails import thumbnail_url
from levit.reporting.html_page import NO_PICTURE, html_text, page
from levit.runtime.cpu_count import usable_cores
from levit.runtime.prediction import UNKNOWN, Label, Prediction

_SIDE = 320  # pixels of a thumbnail: twice its size on the page, for screens of high density
_OTHERS = 2  # labels after the top label
_UNKNOWN_GROUP, _UNREADABLE_GROUP = -2, -1  # the groups of the classes are their indices
_SUFFIXES = (".html", ".htm")
_GRID = '<div class="grid">'

_STYLE = """
body { max-width: 90rem; }
.bar { position: sticky; top: 0; z-index: 1; background: var(--paper); padding: .75rem 0; margin-bottom: 1rem;
  border-bottom: 1px solid var(--line); display: flex; flex-wrap: wrap; gap: .6rem 1rem; align-items: center; }
select, button { font: inherit; font-size: .9rem; color: inherit; background: var(--paper);
  border: 1px solid var(--line); border-radius: .5rem; padding: .35rem .7rem; max-width: 100%; }
.chips { display: flex; flex-wrap: wrap; gap: .4rem; max-height: 6.5rem; overflow: auto; flex: 1 1 20rem;
  min-width: 0; }
.chips.more { mask-image: linear-gradient(#000 65%, transparent); padding-bottom: 1rem; }
@media (max-width: 40rem) {
  .chips { flex-wrap: nowrap; flex: 1 0 100%; scrollbar-width: none; } .chips button { flex: none; }
  .chips.more { mask-image: linear-gradient(to right, #000 85%, transparent); padding: 0 3rem 0 0; }
}
.chips button { cursor: pointer; border-radius: 1rem; } .chips small { color: var(--dim); margin-left: .3rem; }
.chips button[aria-pressed=true] { background: var(--own); border-color: var(--own); color: var(--on-own); }
.chips button[aria-pressed=true] small { color: inherit; }
.grid { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(11rem, 44vw), 1fr)); gap: 1.2rem .9rem; }
.grid figure[hidden] { display: none; }
.grid a { display: block; color: inherit; text-decoration: none; }
.grid img { display: block; width: 100%; aspect-ratio: 1; object-fit: cover; border-radius: .5rem;
  background: var(--line); }
.best { display: flex; justify-content: space-between; gap: .5rem; align-items: baseline; margin-top: .45rem; }
.best > div { min-width: 0; overflow-wrap: anywhere; line-height: 1.25; } .best b { color: inherit; }
.best > span, .other span { font-variant-numeric: tabular-nums; white-space: nowrap; flex: none; }
.track { height: .3rem; border-radius: .15rem; background: var(--line); margin: .3rem 0; overflow: hidden; }
.track i { display: block; height: 100%; background: var(--own); border-radius: .15rem; }
.unknown .track i { background: var(--dim); }
.other, .file { color: var(--dim); font-size: .8rem; line-height: 1.4; }
.other { display: flex; justify-content: space-between; gap: .5rem; }
.other div, .file { white-space: nowrap; overflow: hidden; text-overflow: ellipsis; }
.file { margin-top: .2rem; }
.error { color: var(--wrong); font-size: .85rem; }
"""

_SCRIPT = """
const grid = document.querySelector(".grid"), figures = [...grid.children];
const chips = [...document.querySelectorAll(".chips button")], order = document.querySelector("select");
const shown = document.querySelector("#shown");
function filter(label) {
  for (const chip of chips) chip.setAttribute("aria-pressed", chip.value === label);
  let count = 0;
  for (const figure of figures) count += !(figure.hidden = label !== "" && figure.dataset.label !== label);
  shown.textContent = count.toLocaleString("en");
}
function sort() {
  const [key, sign] = { high: ["score", -1], low: ["score", 1], file: ["index", 1] }[order.value];
  grid.append(...figures.sort((a, b) => sign * (a.dataset[key] - b.dataset[key])));
}
for (const chip of chips) chip.addEventListener("click", () => filter(chip.value));
order.addEventListener("change", sort);
const box = document.querySelector(".chips");
const mark = () => box.classList.toggle("more", box.scrollHeight > box.clientHeight + box.scrollTop + 8 ||
  box.scrollWidth > box.clientWidth + box.scrollLeft + 8);
box.addEventListener("scroll", mark);
addEventListener("resize", mark);
mark();
"""


_Position = tuple[int, int]  # start and number of bytes in a file


class _Entry(NamedTuple):
    """Image of the gallery: its name, top labels or error, and where the data URL of its thumbnail is."""

    name: str
    labels: list[Label]
    is_unknown: bool
    error: str | None
    thumbnail: Future[_Position | None] | None

    @property
    def score(self) -> float:
        """Score of the top label; -1 after an error."""
        return self.labels[0].score if self.labels else -1.0

    @property
    def group(self) -> int:
        """Number by which the image is filtered, an index of the names of `_group_names`."""
        if self.error is not None:
            return _UNREADABLE_GROUP
        return _UNKNOWN_GROUP if self.is_unknown else self.labels[0].index


class Gallery:
    """Writer of the gallery; its thumbnails are made while the images are classified.

    The page needs no other file and no network. It has a button for each label with its number of images, and shows
    those with the highest scores first; a click on an image opens its file. It takes about 12 kB per image; until it is
    written, the thumbnails are in a temporary file in its folder.

    Args:
        file: the page to create or replace when `finish` is called.
        title: title of the page.
        model: name of the model.
        max_pixels: largest accepted product of width and height of an image, as for the classifier.

    Raises:
        DataError: `file` cannot be a page; see `check_page`.
        OSError: the file system refuses.

    Examples:
        >>> import levit, tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     with Gallery(Path(folder, "gallery.html"), "Photos", "LeViT-128S") as gallery:
        ...         for prediction in levit.Classifier().stream(["examples/cat.jpg", "examples/rocket.jpg"]):
        ...             gallery.write(prediction)
        ...         gallery.finish()
        ...     Path(folder, "gallery.html").read_text().count("<figure")
        2
    """

    def __init__(self, file: Path, title: str, model: str, *, max_pixels: int = MAX_PIXELS) -> None:
        check_page(file)
        self._file, self._title, self._model, self._max_pixels = file, title, model, max_pixels
        self._pool = ThreadPoolExecutor(max(1, usable_cores() // 2), thread_name_prefix="levit-thumbnail")
        # Data URLs of the thumbnails, which would take gigabytes of memory.
        self._urls = TemporaryFile(dir=file.parent)  # noqa: SIM115 (closed in __exit__)
        self._lock = Lock()
        self._entries: list[_Entry] = []
        self._labels: tuple[str, ...] = ()

    def write(self, prediction: Prediction) -> None:
        """Add the image of a prediction, or its error."""
        self._labels = prediction.labels
        labels = prediction.top(1 + _OTHERS)
        thumbnail = None if prediction.error is not None else self._pool.submit(self._thumbnail, prediction.source)
        error = None if prediction.error is None else prediction.error.reason
        self._entries.append(_Entry(prediction.source, labels, prediction.is_unknown, error, thumbnail))

    def finish(self) -> None:
        """Write the page, image by image.

        Raises:
            OSError: the file system refuses.
        """
        counts = Counter(entry.group for entry in self._entries)
        names = _group_names(self._labels)
        sections = [self._heading(), _bar(counts, names), f"{_GRID}</div>", f"<script>{_SCRIPT}</script>"]
        head, grid, tail = page(self._title, sections, style=_STYLE).partition(_GRID)
        folder = self._file.absolute().parent
        indices = sorted(range(len(self._entries)), key=lambda index: -self._entries[index].score)
        with (
            replacing(self._file) as partial,
            partial.open("w", encoding="utf-8", errors="replace", newline="") as stream,
        ):
            stream.write(head + grid)
            for index in indices:
                entry = self._entries[index]
                stream.write(_figure(entry, index, self._url(entry), folder, names[_UNKNOWN_GROUP]))
            stream.write(tail)

    def describe(self) -> str:
        """The file with its number of images, on one line."""
        return f"{self._file}: {len(self._entries):,} {'image' if len(self._entries) == 1 else 'images'}"

    def __enter__(self) -> Gallery:
        """Return the gallery."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Stop making thumbnails, and delete those that were made."""
        self._pool.shutdown(wait=True, cancel_futures=True)
        self._urls.close()

    def _thumbnail(self, source: str) -> _Position | None:
        try:
            url = thumbnail_url(source, _SIDE, max_pixels=self._max_pixels)
        except (ImageError, OSError):  # the file was deleted meanwhile
            return None
        with self._lock:
            return self._urls.seek(0, os.SEEK_END), self._urls.write(url.encode())

    def _url(self, entry: _Entry) -> str | None:
        position = None if entry.thumbnail is None else entry.thumbnail.result()
        if position is None:
            return None
        with self._lock:
            self._urls.seek(position[0])
            return self._urls.read(position[1]).decode()

    def _heading(self) -> str:
        total = len(self._entries)
        number = f'<span id="shown">{total:,}</span> of {total:,} {"image" if total == 1 else "images"}'
        model = f"classified by {html_text(self._model)}"
        return f'<h1>{html_text(self._title)}</h1><p class="dim">{number}, {model}</p>'


def check_page(file: Path, inputs: Iterable[str] = ()) -> None:
    """Refuse a path that is not the name of a page, as a photo, which the page would replace.

    Args:
        file: path of the page.
        inputs: paths of images, none of which may be the page.

    Raises:
        DataError: the name does not end in .html or .htm, the folder does not exist, or the file is one of the images.
    """
    if file.suffix.lower() not in _SUFFIXES or file.is_dir():
        hint = "give a name that ends in .html, such as gallery.html"
        raise DataError("cannot be written as a page", source=file, hint=hint)
    if not file.parent.is_dir():
        raise DataError("its folder does not exist", source=file, hint="create the folder")
    if any(is_same_file(file, name) for name in inputs):
        raise DataError("is one of the images", source=file, hint="give another name to the page")


def _group_names(labels: Sequence[str]) -> list[str]:
    """Different names of the groups: the classes, the images that are unknown, and those that are not readable."""
    names = [printable(name) for name in distinct_names(labels)]
    return [*names, *(f"{name} (no class)" if name in names else name for name in (UNKNOWN, "not readable"))]


def _bar(counts: Counter[int], names: Sequence[str]) -> str:
    """Buttons that filter by label, the most frequent first, and the choice of the order."""
    chips = [("", "all", counts.total())]
    chips += [(str(group), names[group], count) for group, count in counts.most_common()]
    buttons = "".join(
        f'<button value="{value}" aria-pressed="{str(not value).lower()}">{escape(name)}'
        f"<small>{count:,}</small></button>"
        for value, name, count in chips
    )
    options = (("high", "highest score first"), ("low", "lowest score first"), ("file", "in the given order"))
    order = "".join(f'<option value="{value}">{text}</option>' for value, text in options)
    return f'<div class="bar"><div class="chips">{buttons}</div><select aria-label="order">{order}</select></div>'


def _figure(entry: _Entry, index: int, url: str | None, folder: Path, unknown: str) -> str:
    name = html_text(entry.name)
    image = f'<img loading="lazy" alt="{name}" src="{url}">' if url else NO_PICTURE
    data = f'data-label="{entry.group}" data-score="{entry.score:.6f}" data-index="{index}"'
    kind = ' class="unknown"' if entry.is_unknown else ""
    file = f'<div class="file" title="{name}">{html_text(os.path.basename(entry.name))}</div>'  # noqa: PTH119
    return (
        f'<figure {data}{kind}><a href="{escape(_link(entry.name, folder))}" target="_blank">{image}</a>'
        f"<figcaption>{_caption(entry, unknown)}{file}</figcaption></figure>"
    )


def _caption(entry: _Entry, unknown: str) -> str:
    if entry.error is not None:
        return f'<div class="error">{html_text(entry.error)}</div>'
    best, *others = entry.labels
    best_name = html_text(best.name)
    label = f'<b>{unknown}</b> <span class="dim">{best_name}?</span>' if entry.is_unknown else f"<b>{best_name}</b>"
    names = [f"<div>{html_text(other.name)}</div>" for other in others]
    scores = [f"<span>{100 * other.score:.1f}&nbsp;%</span>" for other in others]
    rest = "".join(f'<div class="other">{name}{score}</div>' for name, score in zip(names, scores, strict=True))
    return (
        f'<div class="best"><div>{label}</div><span>{100 * best.score:.1f}&nbsp;%</span></div>'
        f'<div class="track"><i style="width:{100 * best.score:.1f}%"></i></div>{rest}'
    )


def _link(name: str, folder: Path) -> str:
    """Address of a file, relative to the folder of the page, so that both can be moved together."""
    try:
        return quote(os.path.relpath(name, folder).replace(os.sep, "/"), errors="surrogateescape")
    except ValueError:  # another drive of Windows
        return Path(name).absolute().as_uri()
