"""What `levit evaluate` says on a terminal."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from levit.cli.output import print_fields

if TYPE_CHECKING:
    from levit.data.duplicates import Duplicates
    from levit.evaluation.accumulator import BadImage
    from levit.evaluation.comparison import Comparison
    from levit.evaluation.evaluator import Evaluation
    from levit.evaluation.metrics import Share
    from levit.evaluation.multi_label import MultiLabelEvaluation


_SHOWN = 5


def print_evaluation(one: Evaluation, comparison: Comparison | None, out: str | None) -> None:
    """Judged by one label each; `out` is the folder that was written."""
    fields = {
        "model": f"{one.model} ({one.engine}, {one.precision})",
        "data": f"{one.data}: {one.found:,} images, {one.judged:,} judged, {one.unlabeled:,} without a label, "
        f"{len(one.bad):,} could not be used",
        "classes": ", ".join(f"{count} matched by {way}" for way, count in one.matched.items()),
        "top-1": _percent(one.top1),
        "top-5": _percent(one.top5),
        "calibration": f"scores are {100 * one.calibration.error:.1f} points away from the accuracy, in the mean",
        "speed": f"{one.images_per_second:,.0f} images a second, from file to label",
    }
    fields |= _what_is_wrong(one.bad, one.empty_classes, one.duplicates, out)
    if comparison is not None:
        other, gain = comparison.second, comparison.gain
        fields["compared"] = (
            f"{other.model} ({other.engine}, {other.precision}): {_percent(other.top1)}, {gain.percent:+.2f} points "
            f"(95 % interval {gain.low:+.2f} to {gain.high:+.2f})"
        )
        fields["agreement"] = (
            f"{comparison.agreement.percent:.2f} % the same answer; both right {comparison.both_right:,}, "
            f"only the first {comparison.only_first:,}, only the second {comparison.only_second:,}, "
            f"neither {comparison.neither:,}"
        )
    _print(fields, out)


def print_multi_label(one: MultiLabelEvaluation, out: str | None) -> None:
    """Judged by any number of labels each."""
    fields = {
        "model": f"{one.model} ({one.engine}, {one.precision})",
        "data": f"{one.data}: {one.found:,} images, {one.judged:,} judged, {len(one.bad):,} could not be used",
        "labels": f"{sum(count > 0 for count in one.support):,} of {len(one.labels):,} occur",
        "mean average precision": f"{100 * one.mean_average_precision:.2f} %",
        "speed": f"{one.images_per_second:,.0f} images a second, from file to label",
    }
    fields |= _what_is_wrong(one.bad, one.empty_classes, one.duplicates, out)
    _print(fields, out)


def _print(fields: dict[str, str], out: str | None) -> None:
    print_fields(fields | ({"written": str(Path(out) / "report.html")} if out is not None else {}))


def _what_is_wrong(
    bad: tuple[BadImage, ...], empty: tuple[str, ...], duplicates: Duplicates | None, out: str | None
) -> dict[str, str]:
    """What a reader should know of the data before believing the figures; nothing where there is nothing."""
    more = "" if out else ": --out DIR names them"
    fields = {f"bad image {number}": f"{one.name}: {one.reason}" for number, one in enumerate(bad[:_SHOWN], start=1)}
    if len(bad) > _SHOWN:
        fields["bad images"] = f"… and {len(bad) - _SHOWN:,} more{more}"
    if empty:
        rest = f"; and {len(empty) - _SHOWN:,} more{more}" if len(empty) > _SHOWN else ""
        fields["empty classes"] = f"{len(empty):,}: {'; '.join(empty[:_SHOWN])}{rest}"
    if duplicates is not None:
        fields |= _duplicates(duplicates, more)
    return fields


def _duplicates(duplicates: Duplicates, more: str) -> dict[str, str]:
    fields = {}
    if duplicates.num_within or duplicates.num_across:
        name, other = duplicates.examples[0]
        elsewhere = (
            f"{duplicates.num_across:,} also in {' or '.join(duplicates.compared_splits)}, "
            if duplicates.compared_splits
            else ""
        )
        fields["duplicates"] = f"{elsewhere}{duplicates.num_within:,} twice in the data; {name} is {other}{more}"
    if duplicates.skipped_splits:
        parts = ", ".join(f"{name} with {count:,} images" for name, count in duplicates.skipped_splits.items())
        fields["not compared"] = f"{parts}: levit data looks for duplicates there too"
    return fields


def _percent(one: Share) -> str:
    return f"{one.percent:.2f} % (95 % interval {one.low:.2f} to {one.high:.2f})"
