"""Metadata of an exported model: labels, preprocessing, source and measured accuracy."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import Any, TypeVar

from levit.errors import CheckpointError, ConfigError, first_line
from levit.spec.architecture import Architecture
from levit.spec.field_values import (
    check_flag,
    check_fraction,
    check_integer,
    check_not_negative,
    check_positive,
    check_text,
    shown,
)
from levit.spec.preprocessing import Preprocessing

FORMAT_VERSION = 2
PREFIX = "levit."
STORED_PRECISIONS = ("fp32", "fp16", "bf16", "fp64", "int8")

# Checks of the fields that describe the images of a measurement.
_DATA: dict[str, Callable[[str, object], object]] = {
    "data": check_text,
    "sha256": check_text,
    "images": partial(check_integer, minimum=0),
}


def _check(record: object, name: str | None, /, **checks: Callable[[str, object], object]) -> None:
    """Check fields of a record, each by its function."""
    for attribute, check in checks.items():
        check(f"{name}.{attribute}" if name else attribute, getattr(record, attribute))


@dataclass(frozen=True, kw_only=True)
class Source:
    """Origin of the weights.

    Attributes:
        name: name for people: a model ID on the hub, or the name of the folder or file that was read.
        dialect: library whose key names the file has, such as "transformers" or "timm-conv".
        sha256: hash of the file in hexadecimal, or None for a network in memory.
    """

    name: str
    dialect: str
    sha256: str | None = None

    def __post_init__(self) -> None:
        _check(self, "source", name=check_text, dialect=check_text)
        if self.sha256 is not None:
            check_text("source.sha256", self.sha256)


@dataclass(frozen=True, kw_only=True)
class Accuracy:
    """Accuracy of a model, measured on labeled images.

    Attributes:
        top1: fraction of the images whose most probable class is correct, in [0, 1].
        top5: fraction with the correct class among the five most probable, in [0, 1].
        images: number of images.
        data: name of the data set.
        sha256: hash of the data set in hexadecimal.
        engine: name of the engine that computed the logits, such as "openvino".
        precision: precision of its arithmetic, such as "bf16".
    """

    top1: float
    top5: float
    images: int
    data: str
    sha256: str
    engine: str
    precision: str

    def __post_init__(self) -> None:
        _check(self, "accuracy", top1=check_fraction, top5=check_fraction, **_DATA, engine=check_text)
        check_text("accuracy.precision", self.precision)


@dataclass(frozen=True, kw_only=True)
class Quantization:
    """Quantization to int8, and its effect on the predictions.

    Attributes:
        data: name of the data set on which the ranges of the activations were determined.
        sha256: hash of this data set in hexadecimal.
        images: number of quantization images.
        float_layers: names of the layers that were returned to floating point to keep the accuracy.
        agreement: fraction of the images with the same prediction as in fp32, in [0, 1]; of the evaluation images
            where accuracy was measured, otherwise of the quantization images. With several labels per image, F1 score
            of the predicted labels.
        max_logit_difference: largest absolute difference of a logit to fp32 on these images.
        is_in_sample: whether the images of agreement, difference and accuracy also determined the ranges or chose
            `float_layers`, so that these figures are optimistic.
        fp32: accuracy before quantization on the same images as the accuracy of the artifact; None if not measured.
    """

    data: str
    sha256: str
    images: int
    float_layers: tuple[str, ...]
    agreement: float
    max_logit_difference: float
    is_in_sample: bool
    fp32: Accuracy | None = None

    def __post_init__(self) -> None:
        _check(self, "quantization", **_DATA, agreement=check_fraction, max_logit_difference=check_not_negative)
        check_flag("quantization.is_in_sample", self.is_in_sample)
        for name in self.float_layers:
            check_text("quantization.float_layers", name)


@dataclass(frozen=True, kw_only=True)
class Rejection:
    """Calibration of the scores, and the threshold below which the prediction is "unknown".

    Attributes:
        temperature: divisor of the logits before the softmax, above 0.
        threshold: score of the most probable class, in [0, 1], below which the prediction is "unknown".
        coverage: fraction of the images whose score reaches the threshold, in [0, 1].
        precision: fraction of their predictions that are correct, in [0, 1].
        data: name of the data set.
        sha256: hash of the data set in hexadecimal.
        images: number of images.
        is_in_sample: whether coverage and precision were measured with the temperature and threshold of the same
            images, so that they are optimistic.
    """

    temperature: float
    threshold: float
    coverage: float
    precision: float
    data: str
    sha256: str
    images: int
    is_in_sample: bool

    def __post_init__(self) -> None:
        fractions = dict.fromkeys(("threshold", "coverage", "precision"), check_fraction)
        _check(self, "rejection", temperature=check_positive, **fractions, **_DATA, is_in_sample=check_flag)


@dataclass(frozen=True, kw_only=True)
class TrainingImages:
    """Training images of a model by hashes of their content, so that an evaluation on them can be recognized.

    Attributes:
        hashes: uint64 numbers in base64 (little-endian), ascending; see `levit.evaluation.training_images`.
        fraction: fraction of the training images that they are, in [0, 1].
    """

    hashes: str = field(repr=False)
    fraction: float

    def __post_init__(self) -> None:
        _check(self, "training_images", hashes=check_text, fraction=check_fraction)


@dataclass(frozen=True, kw_only=True)
class Artifact:
    """Description of an exported model, stored in the metadata of its ONNX file.

    Attributes:
        architecture: hyperparameters of the network.
        preprocessing: preprocessing of its images.
        labels: class names, in the order of the logits.
        precision: precision of the stored weights: "fp32", "fp16" or "int8".
        source: origin of the weights.
        accuracy: measured accuracy, or None if none was measured.
        quantization: quantization to int8, or None for a model that is not quantized.
        rejection: calibration of the scores and the threshold of rejection, or None without calibration.
        is_multi_label: whether an image may have several labels; then scores are sigmoids instead of a softmax.
        producer: name and version of the program that exported the model.
        training_images: some of the images that it was trained on, or None without a record of them.

    Examples:
        >>> artifact = Artifact(
        ...     architecture=Architecture(num_labels=2, num_classifiers=1),
        ...     preprocessing=Preprocessing.for_image_size((224, 224)),
        ...     labels=("cat", "dog"),
        ...     precision="fp32",
        ...     source=Source(name="pets", dialect="transformers"),
        ... )
        >>> Artifact.from_metadata(artifact.to_metadata()) == artifact
        True
    """

    architecture: Architecture
    preprocessing: Preprocessing
    labels: tuple[str, ...]
    precision: str
    source: Source
    accuracy: Accuracy | None = None
    quantization: Quantization | None = None
    rejection: Rejection | None = None
    is_multi_label: bool = False
    producer: str = ""
    training_images: TrainingImages | None = None

    def __post_init__(self) -> None:
        _check(self, None, precision=check_text, is_multi_label=check_flag, producer=check_text)
        if self.precision not in STORED_PRECISIONS:
            raise ConfigError(
                f"unknown value {shown(self.precision)}", source="precision", hint=f"use {', '.join(STORED_PRECISIONS)}"
            )
        for label in self.labels:
            check_text("labels", label)
        if len(self.labels) != self.architecture.num_labels:
            raise ConfigError(f"{len(self.labels)} names for {self.architecture.num_labels} classes", source="labels")

    def to_metadata(self) -> dict[str, str]:
        """Key-value pairs for the metadata of an ONNX file; the values are JSON."""
        values: dict[str, Any] = {
            "format_version": FORMAT_VERSION,
            "architecture": self.architecture.to_dict(),
            "preprocessing": self.preprocessing.to_dict(),
            "labels": self.labels,
            "precision": self.precision,
            "source": asdict(self.source),
            "accuracy": asdict(self.accuracy) if self.accuracy else None,
            "quantization": asdict(self.quantization) if self.quantization else None,
            "rejection": asdict(self.rejection) if self.rejection else None,
            "is_multi_label": self.is_multi_label,
            "producer": self.producer,
        }
        if self.training_images is not None:
            values["training_images"] = asdict(self.training_images)
        texts = {PREFIX + name: json.dumps(value, ensure_ascii=False) for name, value in values.items()}
        # A file name that is not valid UTF-8 must not make the metadata invalid.
        return {name: text.encode(errors="replace").decode() for name, text in texts.items()}

    @classmethod
    def from_metadata(cls, metadata: Mapping[str, str]) -> Artifact:
        """Inverse of `to_metadata`; other keys are ignored.

        Raises:
            CheckpointError: the metadata are not those of levit, of a newer format, or damaged; `source` is None.
        """
        if PREFIX + "format_version" not in metadata:
            raise CheckpointError(
                "not exported by levit (no levit.* metadata)", hint="export the checkpoint with `levit export`"
            )
        try:
            values = {
                name.removeprefix(PREFIX): json.loads(value)
                for name, value in metadata.items()
                if name.startswith(PREFIX)
            }
            labels = values["labels"]
            if not isinstance(labels, list):
                raise TypeError("labels is not a list of names")
            version = check_integer("format_version", values["format_version"], minimum=FORMAT_VERSION)
            if version > FORMAT_VERSION:
                reason = f"artifact format {version} is newer than this levit reads ({FORMAT_VERSION})"
                raise CheckpointError(reason, hint="pip install --upgrade levit")
            artifact = cls(
                architecture=Architecture.from_dict(values["architecture"]),
                preprocessing=Preprocessing.from_dict(values["preprocessing"]),
                labels=tuple(labels),
                precision=values["precision"],
                source=Source(**values["source"]),
                accuracy=_read(Accuracy, values["accuracy"]),
                quantization=_quantization(values["quantization"]),
                rejection=_read(Rejection, values["rejection"]),
                is_multi_label=values["is_multi_label"],
                producer=values["producer"],
                training_images=_read(TrainingImages, values.get("training_images")),
            )
            artifact.preprocessing.check_fits(artifact.architecture.image_height_width)
            return artifact
        except (AttributeError, KeyError, OverflowError, RecursionError, TypeError, ValueError) as error:
            reason = f"damaged levit.* metadata ({first_line(error)})"
            raise CheckpointError(reason, hint="export the checkpoint again") from error


_Record = TypeVar("_Record", Accuracy, Rejection, TrainingImages)


def _read(record: type[_Record], values: Mapping[str, Any] | None) -> _Record | None:
    return None if values is None else record(**values)


def _quantization(values: Mapping[str, Any] | None) -> Quantization | None:
    if values is None:
        return None
    fields = {"float_layers": tuple(values["float_layers"]), "fp32": _read(Accuracy, values["fp32"])}
    return Quantization(**({**values} | fields))
