"""An evaluation as one page that stands alone: for a screen, a phone and paper."""

from __future__ import annotations

from html import escape

import numpy as np

from levit.evaluation.comparison import Comparison
from levit.evaluation.drawing import draw_confusion, draw_reliability, draw_thumbnail
from levit.evaluation.evaluate import Evaluation
from levit.evaluation.metrics import Share
from levit.evaluation.tally import Mistake

_SHOWN_CLASSES = 12  # of the hardest and of the confusions
_SHOWN_BAD = 50

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
th:first-child, td:first-child, td.text, th.text { text-align: left; white-space: normal; overflow-wrap: anywhere; }
th { color: var(--dim); font-weight: 500; }
.plot { width: 100%; max-width: 26rem; } .plot text { font-size: 11px; fill: var(--dim); }
.plot rect { fill: var(--own); } .plot .grid { stroke: var(--line); }
.plot .diagonal { stroke: var(--ink); stroke-dasharray: 5 4; }
.matrix { width: 100%; max-width: 40rem; border: 1px solid var(--line); image-rendering: pixelated; }
.photos { display: grid; grid-template-columns: repeat(auto-fill, minmax(8.5rem, 1fr)); gap: .9rem; }
figure { margin: 0; break-inside: avoid; font-size: .85rem; } figure img { width: 100%; aspect-ratio: 1;
  object-fit: cover; border-radius: .4rem; } figcaption b { color: #c2403a; }
details { margin: .5rem 0; } summary { cursor: pointer; }
@media print { body { max-width: none; font-size: 11px; } details > * { display: block; } }
"""


def write_report(evaluation: Evaluation, comparison: Comparison | None = None) -> str:
    """The page as HTML: figures, the hardest classes, confusions, calibration, mistakes, bad images, every class.

    Args:
        evaluation: of the model that the page is about.
        comparison: of this model with another one.
    """
    sections = [
        _head(evaluation),
        _cards(evaluation),
        _comparison(comparison) if comparison is not None else "",
        _mistakes(evaluation),
        _confusions(evaluation),
        _calibration(evaluation),
        _bad(evaluation),
        _classes(evaluation),
    ]
    title = f"{escape(evaluation.model)} on {escape(evaluation.data)}"
    return (
        f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n<title>{title}</title>\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<style>{_STYLE}</style>\n</head>\n<body>\n" + "\n".join(filter(None, sections)) + "\n</body>\n</html>\n"
    )


def _head(one: Evaluation) -> str:
    matched = ", ".join(f"{count} by {way}" for way, count in one.matched.items())
    return (
        f"<h1>{escape(one.model)}</h1>\n<p>judged on {one.judged:,} images of <b>{escape(one.data)}</b> in "
        f'{escape(one.engine)}, {escape(one.precision)}</p>\n<p class="dim">Of {one.found:,} images {one.judged:,} '
        f"were judged, {one.unlabelled:,} have no label, {len(one.bad):,} could not be used. Classes matched: "
        f"{escape(matched)}. Data sha256 {one.sha256[:16]}….</p>"
    )


def _cards(one: Evaluation) -> str:
    present = list(one.classes)
    recall, f1 = one.per_class.recall[present], one.per_class.f1[present]
    cards = [
        (f"{one.top1.percent:.2f} %", f"top-1 accuracy, {_interval(one.top1)}"),
        (f"{one.top5.percent:.2f} %", f"top-5 accuracy, {_interval(one.top5)}"),
        (f"{100 * np.nanmean(recall):.2f} %", "mean recall of the classes"),
        (f"{100 * np.nanmean(np.nan_to_num(f1)):.2f} %", "mean F1 of the classes"),
        (f"{100 * one.calibration.error:.1f} %", "calibration error of the scores"),
        (f"{one.images_per_second:,.0f}", "images a second, from file to label"),
    ]
    return '<div class="cards">' + "".join(_card(value, text) for value, text in cards) + "</div>"


def _card(value: str, text: str) -> str:
    return f'<div class="card"><b>{escape(value)}</b><span>{escape(text)}</span></div>'


def _interval(one: Share) -> str:
    return f"95 % interval {one.low:.1f} to {one.high:.1f}"


def _comparison(both: Comparison) -> str:
    one, other, gain = both.first, both.second, both.gain
    rows = [
        ["both right", f"{both.both_right:,}"],
        [f"only {one.model}", f"{both.only_first:,}"],
        [f"only {other.model}", f"{both.only_second:,}"],
        ["neither", f"{both.neither:,}"],
    ]
    photos = "".join(
        f'<figure><img loading="lazy" alt="{escape(one.truth)}" src="{draw_thumbnail(one.image)}"><figcaption>'
        f"{escape(one.truth)}: {escape(one.first)}, the other: {escape(one.second)}</figcaption></figure>"
        for one in both.differences
    )
    return (
        f"<h2>Against {escape(other.model)}</h2><p>{escape(other.model)} ({escape(other.engine)}, "
        f"{escape(other.precision)}) has {other.top1.percent:.2f} % top-1: {gain.percent:+.2f} points, 95 % interval "
        f"{gain.low:+.2f} to {gain.high:+.2f}. Both give the same answer for {both.agreement.percent:.1f} % of the "
        f"images.</p>{_table(['right', 'images'], rows)}"
        "<p>Images that one of them alone has right, first those where the other model is surest of its answer:</p>"
        f'<div class="photos">{photos}</div>'
    )


def _mistakes(one: Evaluation) -> str:
    if not one.mistakes:
        return "<h2>Mistakes</h2><p>There are none.</p>"
    photos = "".join(_photo(one, mistake) for mistake in one.mistakes)
    return f'<h2>Mistakes it was surest of</h2><div class="photos">{photos}</div>'


def _photo(one: Evaluation, mistake: Mistake) -> str:
    truth, answer = (escape(one.labels[index]) for index in (mistake.truth, mistake.answer))
    return (
        f'<figure><img loading="lazy" alt="{truth}" src="{draw_thumbnail(mistake.image)}"><figcaption>{truth}, taken '
        f"for <b>{answer}</b> ({100 * mistake.score:.0f} %)</figcaption></figure>"
    )


def _confusions(one: Evaluation) -> str:
    present = list(one.classes)
    matrix = one.tally.confusion
    wrong = matrix.copy()
    np.fill_diagonal(wrong, 0)
    order = np.argsort(-wrong, axis=None, kind="stable")[:_SHOWN_CLASSES]
    pairs = [divmod(int(place), len(matrix)) for place in order]
    rows = [
        [one.labels[truth], one.labels[answer], f"{matrix[truth, answer]:,}", _percent(matrix[truth, answer] / support)]
        for truth, answer in pairs
        if (support := matrix[truth].sum()) and matrix[truth, answer]
    ]
    picture = draw_confusion(matrix[np.ix_(present, present)])
    return (
        "<h2>What it mixes up</h2>"
        + _table(["class", "taken for", "images", "of the class"], rows, text=2)
        + f'<p class="dim">Each row is a true class, each column an answer, in the order of the labels; the diagonal '
        f'is right. The numbers are in confusion.csv.</p><img class="matrix" alt="confusion matrix" src="{picture}">'
    )


def _calibration(one: Evaluation) -> str:
    return (
        "<h2>Can its scores be trusted?</h2><p>Where the bars stay below the line, it is surer than it should be. The "
        f"mean distance is {100 * one.calibration.error:.1f} points.</p>{draw_reliability(one.calibration)}"
    )


def _bad(one: Evaluation) -> str:
    if not one.bad:
        return ""
    rows = [[bad.name, bad.reason] for bad in one.bad[:_SHOWN_BAD]]
    more = f"<p>… and {len(one.bad) - _SHOWN_BAD:,} more, in metrics.json</p>" if len(one.bad) > _SHOWN_BAD else ""
    return f"<h2>{len(one.bad):,} images that could not be used</h2>" + _table(["image", "why"], rows, text=2) + more


def _classes(one: Evaluation) -> str:
    scores = one.per_class
    order = sorted(one.classes, key=lambda index: (np.nan_to_num(scores.f1[index]), one.labels[index]))
    rows = [
        [one.labels[index], f"{scores.support[index]:,}", *(_percent(values[index]) for values in
         (scores.precision, scores.recall, scores.f1))]
        for index in order
    ]  # fmt: skip
    header = ["class", "images", "precision", "recall", "F1"]
    hardest = "<h2>Hardest classes</h2>" + _table(header, rows[:_SHOWN_CLASSES])
    if len(rows) <= _SHOWN_CLASSES:
        return hardest
    return hardest + f"<details><summary>All {len(rows):,} classes</summary>{_table(header, rows)}</details>"


def _percent(value: float) -> str:
    return "" if np.isnan(value) else f"{100 * value:.1f} %"


def _table(header: list[str], rows: list[list[str]], text: int = 1) -> str:
    """A table whose first columns are text."""
    heads = "".join(f'<th class="text">{name}</th>' if place < text else f"<th>{name}</th>"
                    for place, name in enumerate(header))  # fmt: skip
    body = "".join(
        "<tr>" + "".join(f'<td class="text">{escape(cell)}</td>' if place < text else f"<td>{escape(cell)}</td>"
                         for place, cell in enumerate(row)) + "</tr>"
        for row in rows
    )  # fmt: skip
    return f'<div class="table"><table><tr>{heads}</tr>{body}</table></div>'
