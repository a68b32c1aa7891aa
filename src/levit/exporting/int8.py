"""An fp32 artifact -> one in int8 that keeps its accuracy, or an error."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import islice

import numpy as np
import onnx

from levit.data.labeled_images import LabeledDataset
from levit.data.subsets import split_calibration
from levit.errors import ExportError
from levit.evaluation.accuracy import Logits, Targets, agreement, compute_logits, judge, read_targets
from levit.exporting.quantization import quantizable_layers, quantize, restore
from levit.images.transform import normalize, read_and_preprocess
from levit.runtime.engine import Precision, open_engine
from levit.spec.artifact import Accuracy, Artifact, Quantization

CALIBRATION_IMAGES = 1000
MIN_AGREEMENT = 70.0  # per cent: below it something is broken, whether or not anyone measures the accuracy
_RANKING_IMAGES = 256


@dataclass(frozen=True)
class _Judged:
    """A network with what it answers on the images that it is judged by."""

    model: onnx.ModelProto
    logits: Logits
    accuracy: Accuracy | None

    def drop(self, after: _Judged) -> float:
        """How many points of top-1 another network loses."""
        return self.accuracy.top1 - after.accuracy.top1 if self.accuracy and after.accuracy else 0.0


@dataclass(frozen=True)
class _Judge:
    """The images that networks are judged by, with labels or without."""

    data: LabeledDataset
    targets: Targets | None = None

    def __call__(self, model: onnx.ModelProto, precision: Precision = "auto") -> _Judged:
        engine = open_engine(model.SerializeToString(), precision=precision)
        logits = compute_logits(engine, self.data)
        accuracy = judge(engine, logits, self.targets, self.data) if self.targets is not None else None
        return _Judged(model, logits, accuracy)


def make_int8(
    original: onnx.ModelProto,
    *,
    calibration: LabeledDataset,
    calibration_images: int = CALIBRATION_IMAGES,
    evaluation: LabeledDataset | None = None,
    max_drop: float | None = None,
) -> tuple[onnx.ModelProto, Artifact]:
    """Quantize an artifact, judge it, and return layers to floating point until it is good enough.

    Args:
        original: what `levit.deployment.build.build_artifact` wrote with weights in fp32.
        calibration: images like those that the network will see; labels are not needed.
        calibration_images: how many of them to use at most, from the first on.
        evaluation: labeled images; where they are those of `calibration`, without those that calibrated.
        max_drop: how many points of top-1 may be lost.

    Returns:
        The model, and what it carries.

    Raises:
        DataError: there are no images, or their classes are not the model's.
        ExportError: it is broken, or loses more than `max_drop` with every layer in floating point.
    """
    card = artifact_of(original)
    calibrating, others = split_calibration(calibration, calibration_images)
    images = [read_and_preprocess(item.image, card.preprocessing) for item in calibrating]
    sha256 = calibration.sha256()
    if evaluation is None:
        judged_by = _Judge(calibrating)
    else:
        judging = others if evaluation.sha256() == sha256 else evaluation
        judged_by = _Judge(judging, read_targets(judging, card.labels))
    before = judged_by(original, "fp32")
    quantized = quantize(original, images)
    after = judged_by(quantized)
    float_layers: list[str] = []
    if max_drop is not None and before.drop(after) > max_drop:
        after, float_layers = _return_layers(quantized, before, judged_by, max_drop)
    record = Quantization(
        data=calibration.name,
        sha256=sha256,
        images=len(images),
        float_layers=tuple(float_layers),
        agreement=agreement(before.logits, after.logits),
        max_logit_difference=float(np.abs(before.logits - after.logits).max()),
        fp32=before.accuracy,
    )
    if not record.agreement >= MIN_AGREEMENT or not np.isfinite(record.max_logit_difference):
        raise ExportError(
            f"{card.source.name}: in int8 only {record.agreement:.1f} % of the answers stay the same (at least "
            f"{MIN_AGREEMENT:.0f} % must), so nothing was written: calibrate on images like those it was trained on"
        )
    artifact = replace(card, precision="int8", quantization=record, accuracy=after.accuracy)
    onnx.helper.set_model_props(after.model, artifact.to_metadata())
    return after.model, artifact


def artifact_of(model: onnx.ModelProto) -> Artifact:
    """What a model in memory carries."""
    return Artifact.from_metadata({pair.key: pair.value for pair in model.metadata_props})


def _return_layers(
    quantized: onnx.ModelProto, before: _Judged, judged_by: _Judge, max_drop: float
) -> tuple[_Judged, list[str]]:
    """Return the layers that distort the answers most, twice as many in each step, until the accuracy holds."""
    ranked = _rank(quantized, before, judged_by)
    for count in [*(2**power for power in range(len(ranked).bit_length())), len(ranked)]:
        after = judged_by(restore(quantized, before.model, ranked[:count]))
        if before.drop(after) <= max_drop:
            return after, [layer for layer in quantizable_layers(before.model) if layer in ranked[:count]]
    raise ExportError(
        f"{artifact_of(before.model).source.name}: loses {before.drop(after):.2f} points of top-1 on "
        f"{judged_by.data.name} even with every layer in floating point (allowed: {max_drop:g}), so nothing was "
        "written: allow a larger drop, or use precision fp16"
    )


def _rank(quantized: onnx.ModelProto, before: _Judged, judged_by: _Judge) -> list[str]:
    """The quantized layers, first the one whose return to floating point brings the logits closest to those of fp32."""
    preprocessing = artifact_of(before.model).preprocessing
    items = islice(judged_by.data, _RANKING_IMAGES)
    pixel_values = normalize(
        np.stack([read_and_preprocess(item.image, preprocessing) for item in items]), preprocessing
    )
    expected = before.logits[: len(pixel_values)]

    def error(layer: str) -> float:
        engine = open_engine(restore(quantized, before.model, [layer]).SerializeToString())
        return float(np.square(engine.run(pixel_values) - expected).mean())

    return sorted(quantizable_layers(before.model), key=error)
