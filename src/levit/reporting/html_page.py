"""Building blocks of HTML reports: one self-contained page for screens, phones and paper."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from html import escape

import numpy as np

from levit.data.duplicates import Duplicates
from levit.errors import ImageError, printable
from levit.evaluation.labeled_predictions import BadImage
from levit.images.decoding import ImageSource
from levit.images.thumbnails import thumbnail_url

MAX_ROWS = 12
"""Maximum number of rows of a table of the worst results."""

NO_PICTURE = '<div class="none">no picture</div>'
"""In place of a thumbnail of an image that cannot be read any more."""

_MAX_NAMES = 50

_STYLE = """
:root { color-scheme: light dark; --ink: #1b1f24; --dim: #667; --paper: #fff; --line: #d8dce2; --own: #0b6e4f;
  --on-own: #fff; --wrong: #b8362f; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6e8eb; --dim: #9aa; --paper: #15181c; --line: #333a42; --own: #3fb98f; --on-own: #10251d;
    --wrong: #f0857d; }
}
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1.5rem 1rem 4rem; max-width: 60rem; color: var(--ink); background: var(--paper);
  font: 16px/1.5 system-ui, sans-serif; }
h1, h2, p, summary { overflow-wrap: anywhere; } h1 { font-size: 1.5rem; margin: 0; }
h2 { font-size: 1.15rem; margin: 2.5rem 0 .5rem; }
p { margin: .4rem 0; } .dim { color: var(--dim); }
.cards { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(45%, 17rem), 1fr)); gap: .75rem;
  margin: 1.5rem 0; }
.card { border: 1px solid var(--line); border-radius: .5rem; padding: .75rem 1rem; }
.card b { display: block; font-size: 1.6rem; line-height: 1.2; } .card span { color: var(--dim); font-size: .85rem; }
.table { overflow-x: auto; } table { border-collapse: collapse; width: 100%; font-size: .9rem; }
th, td { text-align: right; padding: .25rem .6rem; border-bottom: 1px solid var(--line); white-space: nowrap; }
th:first-child, td:first-child, td.text, th.text { text-align: left; white-space: normal; overflow-wrap: anywhere;
  min-width: 6rem; }
th { color: var(--dim); font-weight: 500; white-space: normal; vertical-align: bottom; }
@media (max-width: 30rem) { table { font-size: .8rem; } th, td { padding: .25rem .25rem; } }
.plot { width: 100%; max-width: 26rem; } .plot text { font-size: 11px; fill: var(--dim); }
.plot rect { fill: var(--own); } .plot .grid { stroke: var(--line); }
.plot .diagonal { stroke: var(--ink); stroke-dasharray: 5 4; }
.matrix { width: 100%; max-width: 40rem; border: 1px solid var(--line); image-rendering: pixelated; }
@media (prefers-color-scheme: dark) { .matrix { filter: invert(1) hue-rotate(180deg); border-color: #ccc5bd; } }
.photos { display: grid; grid-template-columns: repeat(auto-fill, minmax(8.5rem, 1fr)); gap: .9rem; }
figure { margin: 0; min-width: 0; break-inside: avoid; font-size: .85rem; } figure img { width: 100%; aspect-ratio: 1;
  object-fit: cover; border-radius: .4rem; }
.none { display: grid; place-items: center; width: 100%; aspect-ratio: 1; border-radius: .4rem; padding: 1rem;
  background: var(--line); color: var(--dim); text-align: center; }
figcaption { overflow-wrap: anywhere; } figcaption b { color: var(--wrong); }
figcaption code { display: block; color: var(--dim); font-size: .7rem; user-select: all; }
details { margin: .5rem 0; } summary { cursor: pointer; }
@media print { body { max-width: none; font-size: 11px; } details > * { display: block; }
  details::details-content { content-visibility: visible; display: block; } tr { break-inside: avoid; } }
"""


def html_text(text: str) -> str:
    """Text for a page, without characters that HTML, a terminal or the direction of text interpret."""
    return escape(printable(text))


def page(title: str, sections: Iterable[str], style: str = "") -> str:
    """Complete page, without the empty sections; `style` is added to the style sheet of all pages."""
    return (
        f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n<title>{html_text(title)}</title>\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<style>{_STYLE}{style}</style>\n</head>\n<body>\n<main>\n"
        + "\n".join(filter(None, sections))
        + "\n</main>\n</body>\n</html>\n"
    )


def cards(figures: Iterable[tuple[str, str]]) -> str:
    """Cards of the main metrics: value and description."""
    shown = (
        f'<div class="card"><b>{html_text(value)}</b><span>{html_text(text)}</span></div>' for value, text in figures
    )
    return f'<div class="cards">{"".join(shown)}</div>'


def photos(figures: Iterable[tuple[ImageSource, str, str]]) -> str:
    """Grid of thumbnails of images that a model has classified: image, alternative text, and caption as HTML."""
    shown = (
        f"<figure>{_thumbnail(image, alternative)}<figcaption>{caption}</figcaption></figure>"
        for image, alternative, caption in figures
    )
    return f'<div class="photos">{"".join(shown)}</div>'


def _thumbnail(image: ImageSource, alternative: str) -> str:
    try:
        url = thumbnail_url(image, max_pixels=sys.maxsize)  # the limit of the model allowed it
    except (ImageError, OSError):  # the file was deleted meanwhile
        return NO_PICTURE
    return f'<img loading="lazy" alt="{html_text(alternative)}" src="{url}">'


def file_name(name: str) -> str:
    """Name of a file below a caption, which is selected as a whole, and broken into lines after slashes first."""
    return f"<code>{html_text(name).replace('/', '/<wbr>')}</code>"


def percent(fraction: float) -> str:
    """A fraction in [0, 1] in percent; an empty string if it is not finite."""
    return f"{100 * fraction:.1f} %" if np.isfinite(fraction) else ""


def table(header: Sequence[str], rows: Iterable[Sequence[str]], text: int = 1) -> str:
    """Table with `text` left-aligned columns, followed by right-aligned numbers."""
    heads = "".join(
        f'<th class="text">{name}</th>' if index < text else f"<th>{name}</th>" for index, name in enumerate(header)
    )
    body = "".join(
        "<tr>" + "".join(f'<td class="text">{html_text(cell)}</td>' if index < text else f"<td>{html_text(cell)}</td>"
                         for index, cell in enumerate(row)) + "</tr>"
        for row in rows
    )  # fmt: skip
    return f'<div class="table"><table><tr>{heads}</tr>{body}</table></div>'


def hardest_and_all(plural: str, header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Section with a table of the first rows, and a collapsed table of all rows if there are more."""
    if len(rows) <= MAX_ROWS:
        return f"<h2>{plural.capitalize()}</h2>{table(header, rows)}"
    hardest = f"<h2>Hardest {plural}</h2>{table(header, rows[:MAX_ROWS])}"
    return f"{hardest}<details><summary>All {len(rows):,} {plural}</summary>{table(header, rows)}</details>"


def bad_images(bad: Sequence[BadImage]) -> str:
    """Section of the images that could not be evaluated, with reasons; empty if there are none."""
    if not bad:
        return ""
    rows = [[image.name, image.reason] for image in bad[:_MAX_NAMES]]
    title = f"<h2>{_count(bad, 'image', 'images')} that could not be used</h2>"
    return title + table(["image", "reason"], rows, text=2) + _more(bad)


def empty_classes(empty: Sequence[str]) -> str:
    """Section of the classes without an image; empty if there are none."""
    if not empty:
        return ""
    names = " · ".join(html_text(name) for name in empty[:_MAX_NAMES])
    return f"<h2>{_count(empty, 'class', 'classes')} without an image</h2><p>{names}</p>{_more(empty)}"


def excluded(count: int) -> str:
    """A sentence on the images that were left out; empty if there are none."""
    return f" {count:,} other images were left out, because they set the int8 ranges of the model." if count else ""


def duplicates(result: Duplicates | None) -> str:
    """Section of duplicate images; empty if there are none."""
    if result is None or not (result.num_within or result.num_across):
        return ""
    text = f"{result.num_within:,} are copies of other evaluated images."
    if result.compared_splits:
        text += f" {result.num_across:,} are also in {html_text(' or '.join(result.compared_splits))}"
        text += ": accuracy on training images does not predict accuracy on new images." if result.num_across else "."
    rows = [[name, original] for name, original in result.examples[:_MAX_NAMES]]
    names = table(["image", "duplicate of"], rows, text=2)
    num_named = len(result.examples)  # at most 100 of each kind
    more = f"<p>… and more: metrics.json names {num_named:,} of them</p>" if num_named > _MAX_NAMES else ""
    return f"<h2>Duplicate images</h2><p>{text}</p>{names}{more}"


def _count(items: Sequence[object], singular: str, plural: str) -> str:
    return f"{len(items):,} {singular if len(items) == 1 else plural}"


def _more(items: Sequence[object]) -> str:
    return f"<p>… and {len(items) - _MAX_NAMES:,} more, in metrics.json</p>" if len(items) > _MAX_NAMES else ""
