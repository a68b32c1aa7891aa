"""int8 quantization of an fp32 artifact within an allowed loss of accuracy."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import onnx

from levit.data.labeled_images import LabeledDataset
from levit.data.subsets import split_quantization_images
from levit.errors import DataError, ExportError
from levit.evaluation.prepared_images import Logits, PreparedImages, agreement, prepare_images
from levit.exporting.artifact_files import artifact_of
from levit.exporting.quantization import quantizable_layers, quantize, restore
from levit.images.transform import normalize
from levit.runtime.engine import open_engine
from levit.runtime.int8_arithmetic import exact_int8_engine
from levit.spec.artifact import Accuracy, Artifact, Quantization
from levit.spec.choices import Precision

QUANTIZATION_IMAGES = 1000
"""Default of `quantization_images`."""

MIN_AGREEMENT = 0.7
"""Minimum fraction of predictions that equal those in fp32; below it, quantization failed even if accuracy is kept."""

_RANKING_IMAGES = 256
_ROUNDING = 1e-9  # percentage points by which the float difference of two accuracies may exceed the exact one


@dataclass(frozen=True)
class Candidate:
    """A model with its logits on the evaluation images.

    Attributes:
        model: the ONNX model.
        logits: float32 [images, classes].
        accuracy: accuracy on the evaluation images; None where they have no labels.
    """

    model: onnx.ModelProto
    logits: Logits
    accuracy: Accuracy | None

    def drop_to(self, other: Candidate) -> float:
        """Percentage points of top-1 accuracy by which `other` is worse; 0 where accuracy is not measured."""
        return 100 * self.accuracy.top1 - 100 * other.accuracy.top1 if self.accuracy and other.accuracy else 0.0

    def allows(self, other: Candidate, max_drop: float) -> bool:
        """Return whether `other` is worse by at most `max_drop` percentage points."""
        return self.drop_to(other) <= max_drop + _ROUNDING


def make_int8(
    original: onnx.ModelProto,
    *,
    quantization_data: LabeledDataset,
    quantization_images: int = QUANTIZATION_IMAGES,
    evaluation: LabeledDataset | None = None,
    max_drop: float | None = None,
    class_map: Mapping[str, str] | None = None,
) -> tuple[onnx.ModelProto, Artifact]:
    """Quantize an artifact, and return layers to floating point until the accuracy is within the allowed loss.

    Every image is decoded once, and every data set hashed once, for all candidates.

    Args:
        original: model with fp32 weights, as `levit.deployment.build.build_artifact` returns it.
        quantization_data: images like those of the later use; labels are not needed.
        quantization_images: maximum number of them that are used.
        evaluation: labeled images to measure accuracy on; where they are the same data as `quantization_data`, without
            the images that are used. None compares predictions on the images that are used.
        max_drop: allowed loss of top-1 accuracy in percentage points; None for any loss.
        class_map: label of the model for classes of `evaluation` whose names differ from it.

    Returns:
        The quantized model, and the contents of its metadata.

    Raises:
        DataError: there are no images, none remain for the evaluation, or their classes are not labels of the model.
        ImageError: no image can be read.
        ExportError: fewer than 70 % of the predictions equal those in fp32, or the loss is above `max_drop` with every
            layer in floating point.
    """
    artifact = artifact_of(original)
    quantization_set, remaining = split_quantization_images(quantization_data, quantization_images)
    sha256 = quantization_data.sha256()
    evaluation, own_sha256 = _evaluation_images(evaluation, remaining, sha256, len(quantization_set))
    prepare = partial(prepare_images, preprocessing=artifact.preprocessing)
    with ExitStack() as stack:
        evaluated = opened = stack.enter_context(prepare(quantization_set, sha256=sha256))
        if evaluation is not None:
            images = prepare(evaluation, sha256=own_sha256, labels=artifact.labels, class_map=class_map)
            evaluated = stack.enter_context(images)
        before = evaluate_candidate(original, evaluated, "fp32")
        quantized = quantize(original, list(opened.pixels))
        after, float_layers = evaluate_candidate(quantized, evaluated), list[str]()
        if max_drop is not None and not before.allows(after, max_drop):
            after, float_layers = restore_float_layers(quantized, before, evaluated, max_drop)
    record = Quantization(
        data=quantization_data.name,
        sha256=sha256,
        images=len(quantization_set),
        float_layers=tuple(float_layers),
        agreement=agreement(before.logits, after.logits, is_multi_label=artifact.is_multi_label),
        max_logit_difference=float(np.abs(before.logits - after.logits).max()),
        is_in_sample=evaluation is None or bool(float_layers),
        fp32=before.accuracy,
    )
    check_agreement(record.agreement, record.max_logit_difference, artifact.source.name)
    artifact = replace(artifact, precision="int8", quantization=record, accuracy=after.accuracy)
    onnx.helper.set_model_props(after.model, artifact.to_metadata())
    return after.model, artifact


def _evaluation_images(
    evaluation: LabeledDataset | None, remaining: LabeledDataset, sha256: str, num_chosen: int
) -> tuple[LabeledDataset | None, str]:
    """The images to evaluate on, those that remain where they are also the quantization data, and their hash."""
    if evaluation is None:
        return None, sha256
    if (own_sha256 := evaluation.sha256()) != sha256:
        return evaluation, own_sha256
    if not len(remaining):
        raise DataError(
            f"has no images for `evaluation` but the {num_chosen:,} quantization images",
            source=remaining.name,
            hint="lower `quantization_images`, or give other images as `evaluation`",
        )
    return remaining, own_sha256


def evaluate_candidate(model: onnx.ModelProto, images: PreparedImages, precision: Precision = "auto") -> Candidate:
    """Run a model on all images, with sums of int8 that do not depend on this processor.

    Args:
        model: the ONNX model.
        images: the evaluation images.
        precision: precision of the arithmetic, as in `levit.runtime.engine.open_engine`.
    """
    engine = open_engine(model.SerializeToString(), engine=exact_int8_engine(), precision=precision)
    logits = images.compute_logits(engine)
    return Candidate(model, logits, images.accuracy(engine, logits))


def check_agreement(agreement: float, max_logit_difference: float, name: str) -> None:
    """Raise an `ExportError` if too few predictions equal those in fp32, or a logit is not finite.

    Args:
        agreement: fraction of equal predictions, in [0, 1].
        max_logit_difference: largest absolute difference of a logit to fp32.
        name: name of the model, for the error.
    """
    if not np.isfinite(max_logit_difference):
        raise ExportError("the logits in int8 contain inf or NaN, so nothing was written", source=name)
    if not agreement >= MIN_AGREEMENT:
        raise ExportError(
            f"only {100 * agreement:.1f} % of the predictions in int8 equal those in fp32 (at least "
            f"{100 * MIN_AGREEMENT:.0f} % must), so nothing was written",
            source=name,
            hint="give `quantization_data` like the images that it was trained on",
        )


def restore_float_layers(
    quantized: onnx.ModelProto, before: Candidate, images: PreparedImages, max_drop: float
) -> tuple[Candidate, list[str]]:
    """Restore 1, 2, 4, … layers to floating point until the loss of accuracy is at most `max_drop`.

    The layers whose restoration reduces the error of the logits most are restored first.

    Args:
        quantized: the model with all layers in int8.
        before: the model in fp32.
        images: the evaluation images.
        max_drop: allowed loss of top-1 accuracy in percentage points.

    Returns:
        The first candidate within `max_drop`, and its layers in floating point, in the order of the network.

    Raises:
        ExportError: the loss is larger with every layer in floating point.
    """
    ranked = _rank_layers(quantized, before, images)
    powers = (2**power for power in range(len(ranked).bit_length()))
    for count in [*(power for power in powers if power < len(ranked)), len(ranked)]:
        after = evaluate_candidate(restore(quantized, before.model, ranked[:count]), images)
        if before.allows(after, max_drop):
            return after, [layer for layer in quantizable_layers(before.model) if layer in ranked[:count]]
    raise ExportError(
        f"loses {before.drop_to(after):.2f} points of top-1 on {images.data} even with every layer in floating point "
        f"(allowed: {max_drop:g}), so nothing was written",
        source=artifact_of(before.model).source.name,
        hint="raise `max_drop`, or use `weights` fp16",
    )


def _rank_layers(quantized: onnx.ModelProto, before: Candidate, images: PreparedImages) -> list[str]:
    """Order the layers, first the one whose restoration to floating point reduces the error of the logits most."""
    pixel_values = normalize(images.pixels[:_RANKING_IMAGES], artifact_of(before.model).preprocessing)
    expected = before.logits[: len(pixel_values)]

    def remaining_error(layer: str) -> float:
        model = restore(quantized, before.model, [layer]).SerializeToString()
        engine = open_engine(model, engine=exact_int8_engine())
        return float(np.square(engine.run(pixel_values) - expected).mean())

    return sorted(quantizable_layers(before.model), key=remaining_error)
