"""Confusion matrix of a few classes as an HTML table with names and numbers."""

from __future__ import annotations

from collections.abc import Sequence

from levit.evaluation.metrics import Counts
from levit.reporting.html_page import html_text

MAX_CLASSES = 30
"""Largest number of classes for which the table is readable; more are drawn as a picture."""

STYLE = """
.confusion { overflow-x: auto; margin: .75rem 0; } .confusion table { width: auto; font-size: .8rem; }
.confusion th, .confusion td { border: 1px solid var(--line); padding: .15rem .1rem; min-width: 1.4rem;
  text-align: center; white-space: nowrap; }
.confusion .few td { min-width: 2.1rem; padding: .4rem .1rem; font-size: .9rem; }
.confusion thead th { vertical-align: bottom; } .confusion thead span { writing-mode: vertical-rl;
  transform: rotate(180deg); max-height: 9rem; overflow: hidden; text-overflow: ellipsis; }
.confusion tbody th { vertical-align: middle; }
.confusion tbody th, .confusion thead th:first-child { position: sticky; left: 0; background: var(--paper);
  text-align: right; min-width: 0; max-width: 8rem; overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }
.confusion td.sum, .confusion th.sum { color: var(--dim); border-left-width: 3px; }
@media (max-width: 30rem) { .confusion tbody th, .confusion thead th:first-child { max-width: 6.5rem; } }
"""
"""Style of the table, for the style sheet of the page."""

_FEW = 8  # classes for which a phone has room for larger numbers
_RIGHT, _WRONG = (11, 110, 79), (194, 64, 58)
_DARK = 0.55  # strength from which on white numbers are readable


def confusion_table(confusion: Counts, names: Sequence[str], num_others: Sequence[int]) -> str:
    """Table with a row for each true class and a column for each predicted class, colored by fractions of the row.

    Args:
        confusion: number of images by true and predicted class: int64 [classes, classes].
        names: names of the classes.
        num_others: for each true class, number of images that were predicted as a class that is not in the table.
    """
    has_others = any(num_others)
    heads = "".join(f"<th><span>{html_text(name)}</span></th>" for name in names)
    heads += "<th><span>other classes</span></th>" if has_others else ""
    rows = []
    for index, name in enumerate(names):
        counts, others = confusion[index].tolist(), num_others[index]
        total = sum(counts) + others
        cells = "".join(
            _cell(count, total, f"{name} predicted as {names[column]}", is_right=column == index)
            for column, count in enumerate(counts)
        )
        cells += _cell(others, total, f"{name} predicted as another class", is_right=False) if has_others else ""
        rows.append(
            f'<tr><th title="{html_text(name)}">{html_text(name)}</th>{cells}<td class="sum">{total:,}</td></tr>'
        )
    kind = ' class="few"' if len(names) <= _FEW else ""
    return (
        f'<div class="confusion"><table{kind}><thead><tr><th>true class</th>{heads}<th class="sum">'
        f"<span>images</span></th></tr></thead><tbody>{''.join(rows)}</tbody></table></div>"
    )


def _cell(count: int, total: int, text: str, *, is_right: bool) -> str:
    if not count:
        return "<td></td>"
    strength = (count / total) ** 0.5  # the root shows rare mistakes
    red, green, blue = _RIGHT if is_right else _WRONG
    color = "; color: #fff" if strength > _DARK else ""
    return (
        f'<td style="background: rgb({red} {green} {blue} / {strength:.2f}){color}" '
        f'title="{html_text(text)}: {count:,} of {total:,}">{count:,}</td>'
    )
