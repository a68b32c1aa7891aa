"""Summary of an evaluation on the terminal."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from levit.cli.error_message import IMAGE_FLAGS, render_flags
from levit.cli.output import print_fields
from levit.data.split_names import canonical_split
from levit.spec.labels import has_top5

if TYPE_CHECKING:
    from levit.data.duplicates import Duplicates
    from levit.evaluation.comparison import Comparison
    from levit.evaluation.labeled_predictions import BadImage
    from levit.evaluation.metrics import Estimate
    from levit.evaluation.multi_label import MultiLabelEvaluation
    from levit.evaluation.single_label_pass import Evaluation


_MAX_NAMES = 5


def print_evaluation(evaluation: Evaluation, out: Path | None) -> None:
    """Print an evaluation with one label per image; `out` is the output folder."""
    fields = {
        "model": f"{evaluation.model} ({evaluation.engine}, {evaluation.precision})",
        "data": f"{_data(evaluation)}: {evaluation.num_images:,} images, {evaluation.num_evaluated:,} evaluated, "
        f"{evaluation.num_unlabeled:,} without a label, {len(evaluation.bad_images):,} could not be used",
        "classes": ", ".join(f"{count} matched by {rule}" for rule, count in evaluation.matched.items()),
        **_restriction(evaluation),
        "top-1": _percent(evaluation.top1),
        **({"top-5": _percent(evaluation.top5)} if has_top5(evaluation.candidates) else {}),
        "calibration": f"scores differ from the accuracy by {100 * evaluation.calibration.error:.1f} points on average",
    }
    if evaluation.images_per_second is not None:
        fields["speed"] = f"{evaluation.images_per_second:,.0f} images per second, from file to label"
    fields |= _excluded(evaluation.num_excluded)
    fields |= _data_problems(evaluation.bad_images, evaluation.empty_classes, evaluation.duplicates, out)
    if evaluation.comparison is not None:
        fields |= _comparison(evaluation.comparison)
    _print(fields, out)


def print_multi_label_evaluation(evaluation: MultiLabelEvaluation, out: Path | None) -> None:
    """Print an evaluation with any number of labels per image; `out` is the output folder."""
    fields = {
        "model": f"{evaluation.model} ({evaluation.engine}, {evaluation.precision})",
        "data": f"{_data(evaluation)}: {evaluation.num_images:,} images, {evaluation.num_evaluated:,} evaluated, "
        f"{len(evaluation.bad_images):,} could not be used",
        "labels": f"{sum(count > 0 for count in evaluation.support):,} of {len(evaluation.labels):,} occur",
        "mean average precision": f"{100 * evaluation.mean_average_precision:.2f} %",
        "speed": f"{evaluation.images_per_second:,.0f} images per second, from file to label",
    }
    fields |= _excluded(evaluation.num_excluded)
    fields |= _data_problems(evaluation.bad_images, evaluation.empty_classes, evaluation.duplicates, out)
    _print(fields, out)


def _data(evaluation: Evaluation | MultiLabelEvaluation) -> str:
    """Name of the data, with that of its split where the name does not end with it."""
    name, split = evaluation.data, evaluation.split
    last_word = name.rpartition(" ")[2]
    is_named = split is None or (canonical_split(last_word) or last_word) == split
    return name if is_named else f"{name}, {split} split"


def _restriction(evaluation: Evaluation) -> dict[str, str]:
    if not evaluation.data_classes_only:
        return {}
    count, total = len(evaluation.candidates), len(evaluation.labels)
    return {"choice": f"among the {count:,} classes of the data only, of the {total:,} classes of the model"}


def _excluded(count: int) -> dict[str, str]:
    return {"left out": f"{count:,} images, which set the int8 ranges of the model"} if count else {}


def _print(fields: dict[str, str], out: Path | None) -> None:
    print_fields(fields | ({"written": str(out / "report.html")} if out is not None else {}))


def _comparison(comparison: Comparison) -> dict[str, str]:
    second, gain, (first_name, second_name) = comparison.second, comparison.gain, comparison.names
    return {
        "compared": f"{second_name} ({second.engine}, {second.precision}): {_percent(second.top1)}, "
        f"{100 * gain.value:+.2f} points (95 % interval {100 * gain.low:+.2f} to {100 * gain.high:+.2f})",
        "agreement": f"{100 * comparison.agreement.value:.2f} % the same prediction; both correct "
        f"{comparison.num_both_correct:,}, only {first_name} {comparison.num_only_first:,}, only {second_name} "
        f"{comparison.num_only_second:,}, neither {comparison.num_neither:,}",
    }


def _data_problems(
    bad: tuple[BadImage, ...], empty: tuple[str, ...], duplicates: Duplicates | None, out: Path | None
) -> dict[str, str]:
    """Problems of the data that limit the meaning of the metrics; empty if there are none."""
    hint = "" if out else ": --out DIR names them"
    fields = {
        f"bad image {number}": f"{image.name}: {render_flags(image.reason, IMAGE_FLAGS)}"
        for number, image in enumerate(bad[:_MAX_NAMES], 1)
    }
    if len(bad) > _MAX_NAMES:
        fields["bad images"] = f"… and {len(bad) - _MAX_NAMES:,} more{hint}"
    if empty:
        more = f"; and {len(empty) - _MAX_NAMES:,} more{hint}" if len(empty) > _MAX_NAMES else ""
        fields["empty classes"] = f"{len(empty):,}: {'; '.join(empty[:_MAX_NAMES])}{more}"
    if duplicates is not None:
        fields |= _duplicates(duplicates, hint)
    return fields


def _duplicates(duplicates: Duplicates, hint: str) -> dict[str, str]:
    fields, splits = {}, " or ".join(duplicates.compared_splits)
    if duplicates.num_within or duplicates.num_across:
        name, original = duplicates.examples[0]
        across = f"{duplicates.num_across:,} also in {splits}, " if splits else ""
        example = f"{name} is a copy of {original}"
        fields["duplicates"] = f"{across}{duplicates.num_within:,} twice in the data; {example}{hint}"
    if duplicates.skipped_splits:
        skipped = ", ".join(f"{name} with {count:,} images" for name, count in duplicates.skipped_splits.items())
        fields["not compared"] = f"{skipped}: too large, or damaged: levit data reads these splits too"
    return fields


def _percent(estimate: Estimate) -> str:
    return f"{100 * estimate.value:.2f} % (95 % interval {100 * estimate.low:.2f} to {100 * estimate.high:.2f})"
