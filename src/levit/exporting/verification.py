"""Does an artifact compute what its checkpoint computes?"""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from levit.checkpoints.checkpoint import Checkpoint
from levit.deployment.reference import run_reference
from levit.errors import ExportError
from levit.images.decoding import read_image
from levit.images.transform import normalize, preprocess
from levit.runtime.engine import open_engine

# Largest difference of a logit, as a share of the largest logit, for each way of keeping the weights.
TOLERANCE = {"fp32": 1e-4, "fp16": 1e-2}


def verify(artifact: Path | bytes, checkpoint: Checkpoint, *, storage: str) -> float:
    """Run an artifact in forced fp32 against the float64 reference.

    On the packaged photos and on seeded noise, in batches of 1 and of 3.

    Returns:
        The largest difference of a logit as a share of the largest logit.

    Raises:
        ExportError: it is above the tolerance, or not a number.
    """
    engine = open_engine(artifact, precision="fp32")
    worst = 0.0
    for pixel_values in (_photos(checkpoint), _noise(checkpoint)):
        expected = run_reference(checkpoint.weights, checkpoint.architecture, pixel_values)["logits"]
        largest = np.abs(expected).max() or 1.0
        for batch in (pixel_values[:1], pixel_values):
            difference = np.abs(engine.run(batch) - expected[: len(batch)]).max() / largest
            worst = max(worst, float(difference)) if np.isfinite(difference) else float("nan")
    if not worst <= TOLERANCE[storage]:  # also where it is not a number
        raise ExportError(
            f"{checkpoint.source.name}: the exported network differs from the checkpoint by {worst:.1e} of the largest "
            f"logit (allowed: {TOLERANCE[storage]:.0e}), so nothing was written: "
            "it amplifies rounding, or levit has a bug to report"
        )
    return worst


def _photos(checkpoint: Checkpoint) -> NDArray[np.float32]:
    folder = files("levit.exporting") / "photos"
    photos = sorted(Path(str(folder)).glob("*.jpg"))
    images = np.stack([preprocess(read_image(photo), checkpoint.preprocessing) for photo in photos])
    normalized = normalize(images, checkpoint.preprocessing)
    # A network for other than three channels sees the photo's channels in turn.
    channels = np.arange(checkpoint.architecture.num_channels) % 3
    return np.ascontiguousarray(normalized[:, channels])


def _noise(checkpoint: Checkpoint) -> NDArray[np.float32]:
    architecture = checkpoint.architecture
    shape = (3, architecture.num_channels, *architecture.image_height_width)
    return np.random.default_rng(0).standard_normal(shape, np.float32)
