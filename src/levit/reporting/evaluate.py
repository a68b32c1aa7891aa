"""`levit.evaluate`, `levit.evaluate_multi_label`: evaluation of a model, with the files of `levit evaluate --out`."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import nullcontext
from os import PathLike
from pathlib import Path

from levit.checkpoints.checkpoint import Checkpoint
from levit.data.labeled_images import LabeledDataset
from levit.evaluation import evaluator, multi_label
from levit.evaluation.evaluation_set import HashProgress, open_evaluation_set, without_hash_progress
from levit.evaluation.labeled_predictions import Progress, without_progress
from levit.evaluation.multi_label import MultiLabelEvaluation
from levit.evaluation.single_label_pass import Evaluation, OnPrediction, call_all
from levit.reporting.evaluation_output import evaluation_folder, write_evaluation, write_multi_label_evaluation
from levit.reporting.output_folder import output_folder
from levit.runtime.classifier import DEFAULT_BATCH_SIZE, Classifier
from levit.runtime.engine import Engine
from levit.spec.choices import OnBadImage


def evaluate(
    model: str | PathLike[str] | Checkpoint | Classifier | Engine | None,
    data: str | PathLike[str] | LabeledDataset,
    *,
    out: str | PathLike[str] | None = None,
    compare: str | PathLike[str] | Checkpoint | Classifier | Engine | None = None,
    split: str | None = None,
    allow_outside: bool = False,
    class_map: Mapping[str, str] | None = None,
    data_classes_only: bool = False,
    on_bad_image: OnBadImage = "skip",
    batch_size: int = DEFAULT_BATCH_SIZE,
    find_duplicates: bool = True,
    duplicates_progress: HashProgress = without_hash_progress,
    on_prediction: OnPrediction | None = None,
    progress: Progress = without_progress,
) -> Evaluation:
    """Evaluate a model on labeled images, and write a report.

    Each file of a folder or of a table is read once, for its prediction and for the hash of the data; with a model in
    int8 twice, because images that determined its ranges are excluded.

    Args:
        model: a model as for `levit.Classifier`, or a classifier.
        data: a path or name as for `levit.open_data`, or a data set.
        out: folder for `report.html`, `metrics.json`, tables and predictions: a new one, or that of an earlier
            evaluation; None to write nothing.
        compare: second model, which is evaluated on the same images: `comparison` of the result has its evaluation, the
            difference in accuracy and the images where they differ. None for none; `levit.Classifier()` for the
            embedded model.
        split: name of the split ("validation", "test" or "train"), where the data has several.
        allow_outside: whether a table of images may name files outside its folder.
        class_map: label of the model for classes of the data set whose names differ from it.
        data_classes_only: whether the model chooses among the classes of the data set only, as for a part of ImageNet's
            classes; otherwise among all of its labels.
        on_bad_image: count images that cannot be read or have invalid labels ("skip"), or raise an error ("fail").
        batch_size: number of images that are computed at once.
        find_duplicates: whether duplicate images are counted, also those in the other splits of the data, whose files
            are read for it; only of data that is given by its path.
        duplicates_progress: wraps the iterator over the images of each split that are compared.
        on_prediction: callback for each evaluated image with the prediction of `model`.
        progress: wraps the iterator over all predictions of `model`, for example in a progress bar.

    Raises:
        ConfigError: `on_bad_image` is unknown.
        DataError: the data cannot be read, has no labels, or has classes without a matching label of the model; or the
            folder has other contents.
        ImageError: with `on_bad_image="fail"`, an image cannot be read.
        ImportError: pyarrow is not installed, which `out` needs.

    Examples:
        >>> from levit.data.labeled_images import LabeledImage
        >>> class Cups:
        ...     name, classes = "cups", ("espresso",)
        ...     is_multi_label = is_any_label_correct = False
        ...     def __len__(self): return 1
        ...     def __iter__(self): return iter([LabeledImage("examples/espresso.jpg", (0,), "espresso.jpg")])
        ...     def sha256(self): return "0" * 64
        >>> import levit
        >>> levit.evaluate(None, Cups()).top1.value
        1.0
        >>> levit.evaluate(None, Cups(), compare="embedded").comparison.agreement.value
        1.0
    """
    images = _open_data(data, split, allow_outside=allow_outside)
    classifier, other = _open_model(model), None if compare is None else _open_model(compare)
    with nullcontext((None, None)) if out is None else evaluation_folder(Path(out)) as (folder, add_row):
        evaluation = evaluator.evaluate(
            classifier, images, compare=other, class_map=class_map, data_classes_only=data_classes_only,
            on_bad_image=on_bad_image, batch_size=batch_size, find_duplicates=find_duplicates,
            duplicates_progress=duplicates_progress, on_prediction=call_all(add_row, on_prediction), progress=progress,
        )  # fmt: skip
        if folder is not None:
            write_evaluation(evaluation, folder)
    return evaluation


def evaluate_multi_label(
    model: str | PathLike[str] | Checkpoint | Classifier | Engine | None,
    data: str | PathLike[str] | LabeledDataset,
    *,
    out: str | PathLike[str] | None = None,
    split: str | None = None,
    allow_outside: bool = False,
    class_map: Mapping[str, str] | None = None,
    on_bad_image: OnBadImage = "skip",
    batch_size: int = DEFAULT_BATCH_SIZE,
    find_duplicates: bool = True,
    duplicates_progress: HashProgress = without_hash_progress,
    progress: Progress = without_progress,
) -> MultiLabelEvaluation:
    """Evaluate a model that predicts each label independently, with the sigmoid of its logit as the score.

    All scores are kept in memory: four bytes for each image and label.

    Args:
        model: a model as for `levit.Classifier`, or a classifier.
        data: a path or name as for `levit.open_data`, or a data set; its images have any number of labels.
        out: folder for `report.html`, `metrics.json` and `per_label.csv`: a new one, or that of an earlier evaluation;
            None to write nothing.
        split: name of the split ("validation", "test" or "train"), where the data has several.
        allow_outside: whether a table of images may name files outside its folder.
        class_map: label of the model for classes of the data set whose names differ from it.
        on_bad_image: count images that cannot be read or have invalid labels ("skip"), or raise an error ("fail").
        batch_size: number of images that are computed at once.
        find_duplicates: as for `levit.evaluate`.
        duplicates_progress: as for `levit.evaluate`.
        progress: wraps the iterator over all predictions, for example in a progress bar.

    Raises:
        ConfigError: `on_bad_image` is unknown.
        DataError: no image could be evaluated, or a class has no matching label of the model; or the folder has other
            contents.
        ImageError: with `on_bad_image="fail"`, an image cannot be read.
    """
    images, classifier = _open_data(data, split, allow_outside=allow_outside), _open_model(model)
    with nullcontext() if out is None else output_folder(Path(out)) as folder:
        evaluation = multi_label.evaluate_multi_label(
            classifier, images, class_map=class_map, on_bad_image=on_bad_image, batch_size=batch_size,
            find_duplicates=find_duplicates, duplicates_progress=duplicates_progress, progress=progress,
        )  # fmt: skip
        if folder is not None:
            write_multi_label_evaluation(evaluation, folder)
    return evaluation


def _open_model(model: str | PathLike[str] | Checkpoint | Classifier | Engine | None) -> Classifier:
    return model if isinstance(model, Classifier) else Classifier(model)


def _open_data(data: str | PathLike[str] | LabeledDataset, split: str | None, *, allow_outside: bool) -> LabeledDataset:
    if not isinstance(data, str | PathLike):
        return data
    return open_evaluation_set(data, split=split, allow_outside=allow_outside)
