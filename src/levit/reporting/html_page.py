"""What every report is made of: one page that stands alone, for a screen, a phone and paper."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

import numpy as np

from levit.data.duplicates import Duplicates
from levit.evaluation.accumulator import BadImage
from levit.images.decoding import ImageSource
from levit.reporting.svg_charts import draw_thumbnail

SHOWN = 12  # rows of a table that says what is worst
_SHOWN_NAMES = 50

_STYLE = """
:root { color-scheme: light dark; --ink: #1b1f24; --dim: #667; --paper: #fff; --line: #d8dce2; --own: #0b6e4f; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6e8eb; --dim: #9aa; --paper: #15181c; --line: #333a42; --own: #3fb98f; }
}
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1.5rem 1rem 4rem; max-width: 60rem; color: var(--ink); background: var(--paper);
  font: 16px/1.5 system-ui, sans-serif; }
h1 { font-size: 1.5rem; margin: 0; } h2 { font-size: 1.15rem; margin: 2.5rem 0 .5rem; }
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
.photos { display: grid; grid-template-columns: repeat(auto-fill, minmax(8.5rem, 1fr)); gap: .9rem; }
figure { margin: 0; break-inside: avoid; font-size: .85rem; } figure img { width: 100%; aspect-ratio: 1;
  object-fit: cover; border-radius: .4rem; } figcaption b { color: #c2403a; }
details { margin: .5rem 0; } summary { cursor: pointer; }
@media print { body { max-width: none; font-size: 11px; } details > * { display: block; }
  details::details-content { content-visibility: visible; display: block; } tr { break-inside: avoid; } }
"""


def write_page(title: str, sections: Iterable[str]) -> str:
    """The page as HTML; sections that are empty are left out."""
    return (
        f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n<title>{escape(title)}</title>\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<style>{_STYLE}</style>\n</head>\n<body>\n" + "\n".join(filter(None, sections)) + "\n</body>\n</html>\n"
    )


def cards(figures: Iterable[tuple[str, str]]) -> str:
    """The figures that count, each with what it is."""
    shown = (f'<div class="card"><b>{escape(value)}</b><span>{escape(text)}</span></div>' for value, text in figures)
    return f'<div class="cards">{"".join(shown)}</div>'


def photos(figures: Iterable[tuple[ImageSource, str, str]]) -> str:
    """Images beside each other, each with what it shows, as text, and what to say of it, as HTML."""
    shown = (
        f'<figure><img loading="lazy" alt="{escape(alternative)}" src="{draw_thumbnail(image)}">'
        f"<figcaption>{caption}</figcaption></figure>"
        for image, alternative, caption in figures
    )
    return f'<div class="photos">{"".join(shown)}</div>'


def percent(value: float) -> str:
    """A share; nothing where it is not defined."""
    return f"{100 * value:.1f} %" if np.isfinite(value) else ""


def table(header: Sequence[str], rows: Iterable[Sequence[str]], text: int = 1) -> str:
    """A table whose first columns are text."""
    heads = "".join(f'<th class="text">{name}</th>' if place < text else f"<th>{name}</th>"
                    for place, name in enumerate(header))  # fmt: skip
    body = "".join(
        "<tr>" + "".join(f'<td class="text">{escape(cell)}</td>' if place < text else f"<td>{escape(cell)}</td>"
                         for place, cell in enumerate(row)) + "</tr>"
        for row in rows
    )  # fmt: skip
    return f'<div class="table"><table><tr>{heads}</tr>{body}</table></div>'


def worst_and_all(title: str, what: str, header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table of the first rows, and one of all that opens where there are more."""
    worst = f"<h2>{escape(title)}</h2>{table(header, rows[:SHOWN])}"
    if len(rows) <= SHOWN:
        return worst
    return f"{worst}<details><summary>All {len(rows):,} {what}</summary>{table(header, rows)}</details>"


def bad_images(bad: Sequence[BadImage]) -> str:
    """The images that could not be used, and why."""
    if not bad:
        return ""
    rows = [[one.name, one.reason] for one in bad[:_SHOWN_NAMES]]
    return (
        f"<h2>{_count(bad, 'image', 'images')} that could not be used</h2>"
        + table(["image", "why"], rows, text=2)
        + _more(bad)
    )


def empty_classes(empty: Sequence[str]) -> str:
    """The classes that no image has."""
    if not empty:
        return ""
    names = " · ".join(escape(name) for name in empty[:_SHOWN_NAMES])
    return f"<h2>{_count(empty, 'class', 'classes')} without an image</h2><p>{names}</p>{_more(empty)}"


def duplicates(found: Duplicates | None) -> str:
    """The images that are there twice."""
    if found is None or not (found.num_within or found.num_across):
        return ""
    text = f"{found.num_within:,} are copies of others that were judged too."
    if found.compared_splits:
        text += f" {found.num_across:,} are also in {escape(' or '.join(found.compared_splits))}"
        text += ": what was learned there says nothing here." if found.num_across else "."
    rows = [[name, other] for name, other in found.examples[:_SHOWN_NAMES]]
    return f"<h2>Images that are there twice</h2><p>{text}</p>" + table(["image", "is also"], rows, text=2) + _more(
        found.examples
    )  # fmt: skip


def _count(of: Sequence[object], one: str, several: str) -> str:
    return f"{len(of):,} {one if len(of) == 1 else several}"


def _more(of: Sequence[object]) -> str:
    return f"<p>… and {len(of) - _SHOWN_NAMES:,} more, in metrics.json</p>" if len(of) > _SHOWN_NAMES else ""
