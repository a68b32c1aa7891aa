"""Report of a run on its validation images: their list, and an evaluation by the runtime that predicts."""

from __future__ import annotations

import csv
import hashlib
import io
import warnings
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import cast

import numpy as np
from numpy.typing import NDArray

import levit
from levit.data.labeled_images import LabeledImage
from levit.errors import LevitError, LevitWarning
from levit.evaluation.training_images import (
    TRAINING_IMAGES_FILE,
    count_training_images,
    hash_contents,
    write_training_images,
)
from levit.files import write_bytes
from levit.images.sources import StoredImage
from levit.reporting.output_folder import METRICS_FILE
from levit.runtime.classifier import Classifier
from levit.training.callbacks import Callback
from levit.training.indexed_images import IndexedImages
from levit.training.options import TrainingOptions
from levit.training.progress import Progress
from levit.training.progress_display import print_line
from levit.training.run_data import RunData
from levit.training.run_state import checkpoint_errors

EVALUATION_FOLDER = "evaluation"
VALIDATION_FILE = "val_files.csv"


class RunReporter(Callback):
    """Writes `val_files.csv` when a run starts, and `evaluation/` when it is complete; for the first process.

    Args:
        options: options of the run.
        images: training and validation images.
        name: name of the data in the report.
        is_levit: whether the network is a LeViT, which is evaluated at the end unless the options say otherwise.
    """

    def __init__(self, options: TrainingOptions, images: RunData, name: str, *, is_levit: bool) -> None:
        self._options, self._images, self._name = options, images, name
        self._run, self._evaluates = Path(options.run.out), options.run.evaluation and is_levit

    def on_train_start(self, progress: Progress) -> None:
        """Write the names of the validation images, and the record of the training images.

        Warnings count the validation images that are copies of training images, or that the initial weights or the
        teachers were trained on.
        """
        is_resumed = progress.epoch or progress.step  # with the same images
        if is_resumed and (self._run / TRAINING_IMAGES_FILE).exists():
            return
        train, validation = self._images.train, self._images.validation
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(["file", "label"])
        for index in range(len(validation)):
            writer.writerow([validation.name(index), _label_text(validation, index)])
        hashes, hashes_of_validation = (hash_contents(map(each.view, range(len(each)))) for each in (train, validation))
        with checkpoint_errors(self._run):
            write_bytes(self._run / VALIDATION_FILE, text.getvalue().encode(errors="surrogateescape"))
            write_training_images(self._run, hashes, _initial_weights(self._options))
        self._warn_of_copies(hashes, hashes_of_validation)
        self._warn_of_trained_images(hashes_of_validation)

    def on_train_end(self, progress: Progress) -> None:
        """Evaluate the saved model of a complete run."""
        is_complete = progress.is_complete(self._options.schedule.total_epochs)
        if self._evaluates and is_complete and not _is_current(self._run):
            try:
                evaluate_run(self._run, self._images.validation, self._name)
            except (LevitError, ImportError, OSError) as error:  # the run itself is complete
                print_line(f"{self._run / EVALUATION_FOLDER} was not written: {error}")

    def _warn_of_copies(self, hashes: NDArray[np.uint64], hashes_of_validation: NDArray[np.uint64]) -> None:
        """Warn of validation images with the content of training images."""
        copies = np.flatnonzero(np.isin(hashes_of_validation, hashes[hashes > 0]))
        if len(copies):
            original = int(np.flatnonzero(hashes == hashes_of_validation[copies[0]])[0])
            train, validation = self._images.train, self._images.validation
            text = (
                f"validation images that are copies of training images: {len(copies):,} of {len(validation):,} "
                f"({validation.name(int(copies[0]))} of {train.name(original)}): the accuracy on them says little "
                "about others; `levit data` lists copies, and `levit split` keeps them together"
            )
            warnings.warn(text, LevitWarning, stacklevel=2)

    def _warn_of_trained_images(self, hashes_of_validation: NDArray[np.uint64]) -> None:
        """Warn of validation images that the initial weights or the teachers were trained on."""
        teachers = [path for name in self._options.teacher.names if (path := Path(name)).exists()]
        for model in filter(None, [_initial_weights(self._options), *teachers]):
            count = count_training_images(model, hashes_of_validation)
            if count:
                text = (
                    f"{model} was trained on {count:,} of the {len(hashes_of_validation):,} validation images: the "
                    "accuracy on them says little about others; give other images as `val`"
                )
                warnings.warn(text, LevitWarning, stacklevel=2)


def evaluate_run(run: Path, images: IndexedImages, name: str) -> None:
    """Evaluate the model of a run on its validation images, and write the files of `levit evaluate --out`.

    Args:
        run: the run directory, which contains a LeViT.
        images: the validation images.
        name: name of the data in the report.

    Raises:
        LevitError: the model cannot be opened, no image can be read, or the files cannot be written.
        ImportError: pyarrow is not installed.
    """
    evaluate = levit.evaluate_multi_label if images.is_multi_label else levit.evaluate
    with Classifier(levit.read_checkpoint(run)) as classifier:
        evaluate(classifier, _ValidationSet(images, name), out=run / EVALUATION_FOLDER)


class _ValidationSet:
    """Validation images of a run as a data set."""

    def __init__(self, images: IndexedImages, name: str) -> None:
        self.name, self.classes, self.is_multi_label = name, images.classes, images.is_multi_label
        self.is_any_label_correct = False
        self._images = images

    def __len__(self) -> int:
        return len(self._images)

    def __iter__(self) -> Iterator[LabeledImage]:
        for index in range(len(self._images)):
            image = cast(StoredImage, self._images.image(index))  # the path or the bytes of a file
            yield LabeledImage(image, self._images.labels(index), self._images.name(index))

    def sha256(self) -> str:
        """Hash of the images with their names and labels; of one that cannot be read, without its content."""
        digest = hashlib.sha256()
        for item in self:
            content = item.image if isinstance(item.image, bytes) else b""
            if not isinstance(item.image, bytes):
                with suppress(OSError):  # it is one of the evaluation's unreadable images
                    content = Path(str(item.image)).read_bytes()
            digest.update(f"{item.name}\0{item.labels}\0{len(content)}\n".encode(errors="surrogateescape") + content)
        return digest.hexdigest()


def _initial_weights(options: TrainingOptions) -> Path | None:
    """Path of the initial weights; None for random weights, and for a name."""
    path = Path(options.model.model)
    return path if path.exists() and not options.model.from_scratch else None


def _label_text(images: IndexedImages, index: int) -> str:
    return "|".join(images.classes[label] for label in images.labels(index))


def _is_current(run: Path) -> bool:
    """Return whether the evaluation is one of the weights in the run directory: it was written later."""
    metrics, weights = run / EVALUATION_FOLDER / METRICS_FILE, run / "model.safetensors"
    return metrics.exists() and weights.exists() and metrics.stat().st_mtime >= weights.stat().st_mtime
