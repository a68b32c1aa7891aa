"""Metadata of an exported model: labels, preprocessing, source and measured accuracy."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from levit.errors import CheckpointError, first_line
from levit.spec.architecture import Architecture
from levit.spec.preprocessing import Preprocessing

FORMAT_VERSION = 1
PREFIX = "levit."


@dataclass(frozen=True, kw_only=True)
class Source:
    """Origin of the weights.

    Attributes:
        name: name for people: a name on the hub, or the name of the folder or file that was read.
        dialect: library whose key names the file has, such as "transformers" or "timm-conv".
        sha256: hash of the file in hexadecimal, or None for a network in memory.
    """

    name: str
    dialect: str
    sha256: str | None = None


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


@dataclass(frozen=True, kw_only=True)
class Quantization:
    """Quantization to int8, and its effect on the predictions.

    Attributes:
        data: name of the data set on which the ranges of the activations were determined.
        sha256: hash of this data set in hexadecimal.
        images: number of calibration images.
        float_layers: names of the layers that were returned to floating point to keep the accuracy.
        agreement: fraction of the images with the same prediction as in fp32, in [0, 1]; of the evaluation images
            where accuracy was measured, otherwise of the calibration images.
        max_logit_difference: largest absolute difference of a logit to fp32 on these images.
        fp32: accuracy before quantization on the same images as the accuracy of the artifact; None if not measured.
    """

    data: str
    sha256: str
    images: int
    float_layers: tuple[str, ...]
    agreement: float
    max_logit_difference: float
    fp32: Accuracy | None = None


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
    """

    temperature: float
    threshold: float
    coverage: float
    precision: float
    data: str
    sha256: str
    images: int


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

    def to_metadata(self) -> dict[str, str]:
        """Key-value pairs for the metadata of an ONNX file; the values are JSON.

        Accuracy, agreement, coverage and precision, which are fractions here, are stored in per cent.
        """
        values: dict[str, Any] = {
            "format_version": FORMAT_VERSION,
            "architecture": self.architecture.to_dict(),
            "preprocessing": self.preprocessing.to_dict(),
            "labels": self.labels,
            "precision": self.precision,
            "source": asdict(self.source),
            "accuracy": _accuracy_in_percent(self.accuracy),
            "quantization": _quantization_in_percent(self.quantization),
            "rejection": _rejection_in_percent(self.rejection),
            "is_multi_label": self.is_multi_label,
            "producer": self.producer,
        }
        texts = {PREFIX + name: json.dumps(value, ensure_ascii=False) for name, value in values.items()}
        # A file name that is not valid UTF-8 must not make the metadata invalid.
        return {name: text.encode(errors="replace").decode() for name, text in texts.items()}

    @classmethod
    def from_metadata(cls, metadata: Mapping[str, str]) -> Artifact:
        """Inverse of `to_metadata`, except that fractions may differ in the last bit; other keys are ignored.

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
            if not isinstance(labels, list) or not all(isinstance(label, str) for label in labels):
                raise TypeError("labels is not a list of names")
            if values["format_version"] > FORMAT_VERSION:
                raise CheckpointError(
                    f"artifact format {values['format_version']} is newer than this levit reads ({FORMAT_VERSION})",
                    hint="pip install --upgrade levit",
                )
            return cls(
                architecture=Architecture.from_dict(values["architecture"]),
                preprocessing=Preprocessing.from_dict(values["preprocessing"]),
                labels=tuple(labels),
                precision=values["precision"],
                source=Source(**values["source"]),
                accuracy=_accuracy(values["accuracy"]),
                quantization=_quantization(values.get("quantization")),  # files of levit 0.1 have none
                rejection=_rejection(values.get("rejection")),
                is_multi_label=values.get("is_multi_label", False),
                producer=values["producer"],
            )
        except (AttributeError, KeyError, RecursionError, TypeError, ValueError) as error:
            reason = f"damaged levit.* metadata ({first_line(error)})"
            raise CheckpointError(reason, hint="export the checkpoint again") from error


def _accuracy_in_percent(accuracy: Accuracy | None) -> dict[str, Any] | None:
    if accuracy is None:
        return None
    return asdict(accuracy) | {"top1": 100 * accuracy.top1, "top5": 100 * accuracy.top5}


def _quantization_in_percent(quantization: Quantization | None) -> dict[str, Any] | None:
    if quantization is None:
        return None
    fp32 = _accuracy_in_percent(quantization.fp32)
    return asdict(quantization) | {"agreement": 100 * quantization.agreement, "fp32": fp32}


def _rejection_in_percent(rejection: Rejection | None) -> dict[str, Any] | None:
    if rejection is None:
        return None
    return asdict(rejection) | {"coverage": 100 * rejection.coverage, "precision": 100 * rejection.precision}


def _accuracy(values: Mapping[str, Any] | None) -> Accuracy | None:
    return Accuracy(**{**values, "top1": values["top1"] / 100, "top5": values["top5"] / 100}) if values else None


def _quantization(values: Mapping[str, Any] | None) -> Quantization | None:
    if not values:
        return None
    fields = {"float_layers": tuple(values["float_layers"]), "agreement": values["agreement"] / 100}
    return Quantization(**{**values, **fields, "fp32": _accuracy(values["fp32"])})


def _rejection(values: Mapping[str, Any] | None) -> Rejection | None:
    if not values:
        return None
    return Rejection(**{**values, "coverage": values["coverage"] / 100, "precision": values["precision"] / 100})
