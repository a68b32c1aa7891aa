"""`levit evaluate`: how good is a model on labelled images?"""

from __future__ import annotations

import json
from enum import StrEnum
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from levit.data.duplicates import Duplicates
    from levit.data.labelled import LabelledImages
    from levit.evaluation.comparison import Comparison
    from levit.evaluation.evaluate import Evaluation, OnPrediction
    from levit.evaluation.metrics import Share
    from levit.evaluation.multi_label import MultiLabelEvaluation
    from levit.evaluation.tally import BadImage
    from levit.runtime.classifier import Classifier


_SHOWN = 5


class OnBadImage(StrEnum):
    """What happens to an image that cannot be used."""

    SKIP = "skip"
    FAIL = "fail"


def evaluate(
    model: Annotated[str, typer.Argument(help="An exported file, a checkpoint or a name; - is the model inside.")],
    data: Annotated[str, typer.Argument(help="A folder, a parquet file, or a list of files.")],
    split: Annotated[
        str | None, typer.Option(help="Which part: validation, test or train; default: the first that is there.")
    ] = None,
    out: Annotated[
        str | None, typer.Option(metavar="DIR", help="Also write report.html, metrics.json, tables and predictions.")
    ] = None,
    class_map: Annotated[
        str | None, typer.Option(metavar="FILE.json", help="For classes of other names: the label that is meant.")
    ] = None,
    on_bad_image: Annotated[
        OnBadImage, typer.Option(help="Count and name what cannot be used, or fail.")
    ] = OnBadImage.SKIP,
    skip: Annotated[int, typer.Option(min=0, help="Leave out as many images at the beginning.")] = 0,
    engine: Annotated[str, typer.Option(help="auto, openvino, onnxruntime or, for checkpoints, torch.")] = "auto",
    precision: Annotated[str, typer.Option(help="auto, fp32, bf16 or int8.")] = "auto",
    preprocessing: Annotated[str, typer.Option(help="fast, or exact: bit for bit as Pillow.")] = "fast",
    batch_size: Annotated[int, typer.Option(min=1, help="How many images to compute at once.")] = 16,
    compare: Annotated[
        str | None, typer.Option(metavar="MODEL", help="Also judge another model, and say where they differ.")
    ] = None,
    save_accuracy: Annotated[
        bool, typer.Option("--save-accuracy", help="Write the accuracy into the exported file.")
    ] = False,
    revision: Annotated[str | None, typer.Option(help="Branch, tag or commit, for a name on the hub.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="The figures as one JSON object.")] = False,
) -> None:
    """Judge a model on labelled images, by the same runtime that predicts.

    The exit code is 1 when some images could not be used; the others are judged all the same.
    """
    if save_accuracy and not (Path(model).suffix == ".onnx" and Path(model).exists()):
        raise typer.BadParameter(f"--save-accuracy: {model} is no exported file: export the checkpoint first")
    from levit.cli.progress import track
    from levit.data.opening import open_with_others
    from levit.evaluation.evaluate import evaluate as run
    from levit.evaluation.folder import judge_and_write, metrics
    from levit.runtime.classifier import Classifier

    images, others = open_with_others(data, split=split)
    mapping = _read_map(class_map)

    def open_model(name: str) -> Classifier:
        return Classifier(
            None if name == "-" else name,
            engine=engine,
            precision=precision,  # type: ignore[arg-type]
            preprocessing=preprocessing,  # type: ignore[arg-type]
            revision=revision if name == model else None,
        )

    if images.is_multi_label:
        if compare is not None or save_accuracy or skip:
            raise typer.BadParameter(f"{data}: --compare, --save-accuracy and --skip need images with one label each")
        _several(open_model(model), images, others, mapping, on_bad_image is OnBadImage.FAIL, batch_size, out, as_json)
        return
    duplicates = cache(partial(_find_duplicates, images, others, skip))

    def judge(name: str, told: OnPrediction) -> Evaluation:
        return run(
            open_model(name),
            images,
            class_map=mapping,
            on_bad_image=on_bad_image.value,
            batch_size=batch_size,
            skip=skip,
            duplicates=duplicates,
            watch=lambda predictions: track(predictions, f"judging {images.name}"),
            on_prediction=told,
        )

    evaluation, comparison = judge_and_write(judge, model, compare, Path(out) if out is not None else None)
    if save_accuracy:
        from levit.exporting.export import record_accuracy

        record_accuracy(model, evaluation.accuracy)
    if as_json:
        typer.echo(json.dumps(metrics(evaluation, comparison), ensure_ascii=False))
    else:
        _print(evaluation, comparison, out)
    if evaluation.bad:
        raise typer.Exit(1)


def _find_duplicates(images: LabelledImages, others: dict[str, LabelledImages], skip: int = 0) -> Duplicates:
    from levit.cli.progress import track
    from levit.data.duplicates import find_duplicates
    from levit.runtime.cores import usable_cores

    return find_duplicates(
        images, others, skip=skip, threads=usable_cores(), watch=lambda hashed: track(hashed, "looking for duplicates")
    )


def _several(
    classifier: Classifier,
    images: LabelledImages,
    others: dict[str, LabelledImages],
    mapping: dict[str, str] | None,
    fails: bool,
    batch_size: int,
    out: str | None,
    as_json: bool,
) -> None:
    """Judge a model on images with any number of labels."""
    from contextlib import nullcontext

    from levit.cli.progress import track
    from levit.evaluation.folder import replaced_folder
    from levit.evaluation.multi_label import evaluate_multi_label
    from levit.evaluation.multi_label_folder import multi_label_metrics, write_multi_label

    with replaced_folder(Path(out)) if out is not None else nullcontext() as folder:
        one = evaluate_multi_label(
            classifier,
            images,
            class_map=mapping,
            fails=fails,
            batch_size=batch_size,
            duplicates=lambda: _find_duplicates(images, others),
            watch=lambda items: track(items, f"judging {images.name}"),
        )
        if folder is not None:
            write_multi_label(one, folder)
    if as_json:
        typer.echo(json.dumps(multi_label_metrics(one), ensure_ascii=False))
    else:
        _print_several(one, out)
    if one.bad:
        raise typer.Exit(1)


def _print_several(one: MultiLabelEvaluation, out: str | None) -> None:
    from levit.cli.output import print_fields

    fields = {
        "model": f"{one.model} ({one.engine}, {one.precision})",
        "data": f"{one.data}: {one.found:,} images, {one.judged:,} judged, {len(one.bad):,} could not be used",
        "labels": f"{sum(count > 0 for count in one.support):,} of {len(one.labels):,} occur",
        "mean average precision": f"{100 * one.mean_average_precision:.2f} %",
        "speed": f"{one.images_per_second:,.0f} images a second, from file to label",
    }
    fields |= _what_is_wrong(one.bad, one.empty_classes, one.duplicates, out)
    if out is not None:
        fields["written"] = str(Path(out) / "report.html")
    print_fields(fields)


def _read_map(file: str | None) -> dict[str, str] | None:
    if file is None:
        return None
    from levit.errors import DataError

    try:
        mapping = json.loads(Path(file).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"{file}: cannot be read ({error})") from error
    if not isinstance(mapping, dict) or not all(isinstance(label, str) for label in mapping.values()):
        raise DataError(f'{file}: give one object of class names and labels, as {{"moggy": "tabby, tabby cat"}}')
    return mapping


def _print(one: Evaluation, comparison: Comparison | None, out: str | None) -> None:
    from levit.cli.output import print_fields

    fields = {
        "model": f"{one.model} ({one.engine}, {one.precision})",
        "data": f"{one.data}: {one.found:,} images, {one.judged:,} judged, {one.unlabelled:,} without a label, "
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
    if out is not None:
        fields["written"] = str(Path(out) / "report.html")
    print_fields(fields)


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
    if duplicates is None:
        return fields
    if duplicates.within or duplicates.elsewhere:
        name, other = duplicates.named[0]
        elsewhere = (
            f"{duplicates.elsewhere:,} also in {' or '.join(duplicates.compared)}, " if duplicates.compared else ""
        )
        fields["duplicates"] = f"{elsewhere}{duplicates.within:,} twice in the data; {name} is {other}{more}"
    if duplicates.left_out:
        parts = ", ".join(f"{name} with {count:,} images" for name, count in duplicates.left_out.items())
        fields["not compared"] = f"{parts}: levit data looks for duplicates there too"
    return fields


def _percent(one: Share) -> str:
    return f"{one.percent:.2f} % (95 % interval {one.low:.2f} to {one.high:.2f})"
