"""Verification of an artifact against the float64 reference of its checkpoint."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from levit.checkpoints.checkpoint import Checkpoint
from levit.deployment.graph import WeightPrecision
from levit.deployment.reference import run_reference
from levit.errors import ExportError
from levit.images.decoding import read_image
from levit.images.transform import normalize, preprocess
from levit.runtime.engine import open_engine
from levit.spec.architecture import Architecture

# Maximum absolute difference of a logit relative to the largest absolute logit, by the precision of the weights.
TOLERANCE = {"fp32": 1e-4, "fp16": 1e-2}


def verify(artifact: Path | bytes, checkpoint: Checkpoint, *, weight_precision: WeightPrecision) -> float:
    """Compare the logits of an artifact in fp32 arithmetic with those of the float64 reference.

    The inputs are the packaged photos and random noise with a fixed seed, in batches of 1 and of 3.

    Args:
        artifact: ONNX file, or its content.
        checkpoint: checkpoint from which the artifact was built.
        weight_precision: precision of the stored weights, which determines the tolerance.

    Returns:
        Maximum absolute difference of a logit relative to the largest absolute logit.

    Raises:
        ExportError: the difference is above the tolerance (1e-4 for fp32, 1e-2 for fp16), or a logit is not finite.
    """
    engine, name = open_engine(artifact, precision="fp32"), checkpoint.source.name
    worst = 0.0
    for pixel_values in (_photos(checkpoint), noise(checkpoint.architecture)):
        with np.errstate(over="ignore", invalid="ignore"):  # such logits are refused
            expected = run_reference(checkpoint.weights, checkpoint.architecture, pixel_values)["logits"]
        _check_finite(expected, "the network", name)
        largest = np.abs(expected).max() or 1.0
        for batch in (pixel_values[:1], pixel_values):
            logits = engine.run(batch)
            _check_finite(logits, "the exported network", name)
            worst = max(worst, float(np.abs(logits - expected[: len(batch)]).max() / largest))
    tolerance = TOLERANCE[weight_precision]
    if worst > tolerance:
        raise ExportError(
            f"the exported network differs from the checkpoint by {worst:.1e} of the largest logit (allowed: "
            f"{tolerance:.0e}), so nothing was written",
            source=name,
            hint="the network amplifies rounding errors, or levit has a bug to report",
        )
    return worst


def _check_finite(logits: NDArray[Any], network: str, name: str) -> None:
    if not np.isfinite(logits).all():
        raise ExportError(
            f"{network} gives a logit that is not finite, so nothing was written",
            source=name,
            hint="the weights are damaged, or too large for their type",
        )


def _photos(checkpoint: Checkpoint) -> NDArray[np.float32]:
    folder = files("levit.exporting") / "photos"
    photos = sorted(Path(str(folder)).glob("*.jpg"))
    images = np.stack([preprocess(read_image(photo), checkpoint.preprocessing) for photo in photos])
    normalized = normalize(images, checkpoint.preprocessing)
    # A network with another number of channels receives the three channels of the photo repeatedly.
    channels = np.arange(checkpoint.architecture.num_channels) % 3
    return np.ascontiguousarray(normalized[:, channels])


def noise(architecture: Architecture) -> NDArray[np.float32]:
    """Random input of a network, with a fixed seed: float32 [3, channels, height, width]."""
    shape = (3, architecture.num_channels, *architecture.image_height_width)
    return np.random.default_rng(0).standard_normal(shape, np.float32)
