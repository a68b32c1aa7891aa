"""How good a model is on labeled images: one pass through the runtime that predicts."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from levit.data.class_matching import ClassMatch, match_classes
from levit.data.duplicates import Duplicates
from levit.data.labeled_images import LabeledDataset, LabeledImage
from levit.data.open_data import open_data
from levit.data.subsets import exclude_calibration
from levit.errors import ConfigError, DataError
from levit.evaluation.accumulator import BadImage, Mistake, Tally
from levit.evaluation.metrics import Calibration, PerClass, Share, calibration, per_class, share
from levit.images.decoding import ImageSource
from levit.runtime.classifier import DEFAULT_BATCH_SIZE, Classifier
from levit.runtime.engine import Engine
from levit.runtime.prediction import Prediction
from levit.spec.artifact import Accuracy

OnBadImage = Literal["skip", "fail"]
OnPrediction = Callable[[LabeledImage, Prediction, int], None]


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """What was measured. `found` = `judged` + `unlabeled` + the number of `bad`.

    Attributes:
        model: its name.
        engine, precision: what computed it, and in what.
        data: name of the images, and `sha256` their hash.
        labels: of the model.
        matched: how the classes of the data were found among them.
        found: images in the data.
        judged: those that were classified and compared.
        unlabeled: those without a label.
        bad: those that could not be used, and why.
        empty_classes: names of the data's classes that no image has.
        duplicates: images that are there twice; None where nobody looked for them.
        top1, top5: shares of right answers, with intervals.
        classes: indices of the labels that the data has.
        per_class: precision, recall and F1 of every label.
        calibration: how far scores are probabilities.
        tally: the counts behind all this; `tally.confusion` is true class, answer -> images, int64 [labels, labels].
        mistakes: the wrong answers that the model was surest of.
        images_per_second: from the files to the labels.
    """

    model: str
    engine: str
    precision: str
    data: str
    sha256: str
    labels: tuple[str, ...] = field(repr=False)
    matched: Mapping[str, int]
    found: int
    judged: int
    unlabeled: int
    bad: tuple[BadImage, ...]
    empty_classes: tuple[str, ...]
    duplicates: Duplicates | None = field(repr=False)
    top1: Share
    top5: Share
    classes: tuple[int, ...] = field(repr=False)
    per_class: PerClass = field(repr=False)
    calibration: Calibration = field(repr=False)
    tally: Tally = field(repr=False)
    mistakes: tuple[Mistake, ...] = field(repr=False)
    images_per_second: float

    @property
    def accuracy(self) -> Accuracy:
        """What an artifact carries of it."""
        return Accuracy(
            top1=self.top1.percent, top5=self.top5.percent, images=self.judged, data=self.data, sha256=self.sha256,
            engine=self.engine, precision=self.precision,
        )  # fmt: skip


def evaluate(
    model: str | Path | Classifier | Engine | None,
    data: str | Path | LabeledDataset,
    *,
    split: str | None = None,
    class_map: Mapping[str, str] | None = None,
    on_bad_image: OnBadImage = "skip",
    batch_size: int = DEFAULT_BATCH_SIZE,
    skip: int = 0,
    duplicates: Callable[[], Duplicates] | None = None,
    on_prediction: OnPrediction | None = None,
    watch: Callable[[Iterator[Prediction]], Iterator[Prediction]] = lambda predictions: predictions,
) -> Evaluation:
    """Judge a model on labeled images.

    Args:
        model: what `levit.Classifier` takes, or a classifier.
        data: what `levit.data.open_data.open_data` takes, or labeled images.
        split: which part, where the data has several.
        class_map: for some classes of the data, the label of the model that is meant.
        on_bad_image: what happens to an image that cannot be read or whose label is out of range: it is counted and
            named, or the evaluation fails.
        batch_size: how many images to compute at once.
        skip: number of images to leave out because they calibrated the model; see `levit.data.subsets`.
        duplicates: looks for images that are there twice, once all are judged; see `find_duplicates`.
        on_prediction: told of every judged image, with the index of its class.
        watch: what the predictions pass through, to show progress.

    Raises:
        ConfigError: on_bad_image is unknown.
        DataError: the data cannot be read, has no labels, or classes that the model does not know.
        ImageError: with on_bad_image="fail", an image cannot be read.

    Examples:
        >>> from levit.data.labeled_images import LabeledImage
        >>> class Cups:
        ...     name, classes, is_multi_label, is_any_label_correct = "cups", ("espresso",), False, False
        ...     def __len__(self): return 1
        ...     def __iter__(self): return iter([LabeledImage("examples/espresso.jpg", (0,), "espresso.jpg")])
        ...     def sha256(self): return "0" * 64
        >>> evaluate(None, Cups()).top1.percent
        100.0
    """
    if on_bad_image not in ("skip", "fail"):
        raise ConfigError(f"on_bad_image is {on_bad_image!r}: use skip or fail")
    classifier = model if isinstance(model, Classifier) else Classifier(model)
    images = open_data(data, split=split) if isinstance(data, str | Path) else data
    if images.is_multi_label:
        raise DataError(f"{images.name}: its images have several labels each: use evaluate_multi_label")
    if not images.classes:
        raise DataError(f"{images.name}: no labels: put the images into one folder for each class")
    match = match_classes(images.classes, classifier.labels, images.name, class_map)
    run = _Run(exclude_calibration(images, skip), match, fails=on_bad_image == "fail")
    tally = Tally(len(classifier.labels))
    start = time.perf_counter()
    for prediction in watch(classifier.stream(run.sources(), batch_size=batch_size)):
        item, truths = run.given.popleft()
        if prediction.error is not None:
            run.refuse(item.name, str(prediction.error).removeprefix(f"{prediction.source}: "), prediction.error)
            continue
        truth = tally.add(prediction, truths, name=item.name, image=item.image)
        if on_prediction is not None:
            on_prediction(item, prediction, truth)
    if tally.images == 0:
        raise DataError(f"{images.name}: none of its {run.found} images could be judged")
    rate = tally.images / (time.perf_counter() - start)
    return _report(classifier, images, match, run, tally, duplicates() if duplicates else None, rate)


class _Run:
    """Goes through the data once: what is classified, what it should be, and what cannot be used."""

    def __init__(self, data: LabeledDataset, match: ClassMatch, *, fails: bool) -> None:
        self._data, self._places, self._fails = data, match.class_indices, fails
        self.given: deque[tuple[LabeledImage, list[int]]] = deque()  # to the classifier, and not yet answered
        self.found, self.unlabeled = 0, 0
        self.bad: list[BadImage] = []
        self._seen = bytearray(len(data.classes))  # of each class, whether an image has it

    def sources(self) -> Iterator[ImageSource]:
        """The images that have a label."""
        for item in self._data:
            self.found += 1
            for label in item.labels:
                if 0 <= label < len(self._seen):
                    self._seen[label] = True
            if not item.labels:
                self.unlabeled += 1
            elif len(item.labels) > 1 and not self._data.is_any_label_correct:
                self.refuse(item.name, "more than one label")
            elif strange := [label for label in item.labels if not 0 <= label < len(self._places)]:
                self.refuse(item.name, f"label {strange[0]} is none of {len(self._places)} classes")
            else:
                self.given.append((item, [self._places[label] for label in item.labels]))
                yield item.image

    @property
    def empty_classes(self) -> tuple[str, ...]:
        """The classes that no image has, once all were seen."""
        return tuple(name for name, seen in zip(self._data.classes, self._seen, strict=True) if not seen)

    def refuse(self, name: str, reason: str, error: Exception | None = None) -> None:
        """Count a bad image, or stop at it."""
        if self._fails:
            raise error or DataError(f"{self._data.name}: {name}: {reason}")
        self.bad.append(BadImage(name, reason))


def _report(
    classifier: Classifier,
    data: LabeledDataset,
    match: ClassMatch,
    run: _Run,
    tally: Tally,
    duplicates: Duplicates | None,
    rate: float,
) -> Evaluation:
    return Evaluation(
        model=classifier.artifact.source.name,
        engine=classifier.engine.name,
        precision=classifier.engine.precision,
        data=data.name,
        sha256=data.sha256(),
        labels=classifier.labels,
        matched=match.rule_counts,
        found=run.found,
        judged=tally.images,
        unlabeled=run.unlabeled,
        bad=tuple(run.bad),
        empty_classes=run.empty_classes,
        duplicates=duplicates,
        top1=share(tally.right, tally.images),
        top5=share(tally.top5, tally.images),
        classes=tuple(sorted(match.class_indices)),
        per_class=per_class(tally.confusion),
        calibration=calibration(tally.images_in_bins, tally.scores_in_bins, tally.right_in_bins),
        tally=tally,
        mistakes=tuple(tally.mistakes()),
        images_per_second=rate,
    )
