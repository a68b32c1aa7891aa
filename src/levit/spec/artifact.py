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
    """One measurement of an artifact: top-1 and top-5 in per cent on `images` labeled images.

    `data` is the name and `sha256` the hash of the file with the images; `engine` and `precision` are those that
    the measurement ran with.
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
    """How a network was brought to int8, and what that cost.

    Attributes:
        data: name of the images that it was calibrated on.
        sha256: their hash.
        images: how many of them were used.
        float_layers: layers that were returned to floating point, because the accuracy asked for it.
        agreement: how often the answer is that of the same network in fp32, in per cent of the images of `accuracy`,
            or of the calibration images where no accuracy was measured.
        max_logit_difference: the largest difference of a logit to fp32 on them.
        fp32: the accuracy before, on the same images as the artifact's own.
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
    """When the answer is "unknown", and what that costs on images that the model knows.

    Attributes:
        temperature: what logits are divided by before they become scores.
        threshold: the score of the best label below which the answer is "unknown".
        coverage: how many of the images are answered, in per cent.
        precision: how many of those answers are right, in per cent.
        data: name of the images.
        sha256: their hash.
        images: how many there were.
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
        quantization: how the model was quantized to int8, or None if it was not.
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
        texts = {PREFIX + name: json.dumps(value, ensure_ascii=False) for name, value in values.items()}
        # A file name that is not valid UTF-8 must not make the metadata invalid.
        return {name: text.encode(errors="replace").decode() for name, text in texts.items()}

    @classmethod
    def from_metadata(cls, metadata: Mapping[str, str]) -> Artifact:
        """Inverse of `to_metadata`; keys of other programs are ignored.

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
                rejection=Rejection(**found) if (found := values.get("rejection")) else None,
                is_multi_label=values.get("is_multi_label", False),
                producer=values["producer"],
            )
        except (AttributeError, KeyError, RecursionError, TypeError, ValueError) as error:
            reason = f"damaged levit.* metadata ({first_line(error)})"
            raise CheckpointError(reason, hint="export the checkpoint again") from error


def _accuracy(values: Mapping[str, Any] | None) -> Accuracy | None:
    return Accuracy(**values) if values else None


def _quantization(values: Mapping[str, Any] | None) -> Quantization | None:
    if not values:
        return None
    fields = {**values, "float_layers": tuple(values["float_layers"]), "fp32": _accuracy(values["fp32"])}
    return Quantization(**fields)
