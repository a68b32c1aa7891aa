"""Builders of predictions."""

import numpy as np

from levit.errors import ImageError
from levit.runtime.prediction import Prediction

MISSING = ImageError("no such file", source="b.jpg", hint="check the path")
CONTROLS = "cat\x1b[2J\r\n\x9b1A\u202egod"  # a name of control characters


def predicted(source: str, *, threshold: float = 0.0, **scores: float) -> Prediction:
    """Prediction with these scores, which must sum to 1, by label."""
    return Prediction(source, np.log(np.float32([*scores.values()])), tuple(scores), threshold=threshold)


def failed(error: ImageError) -> Prediction:
    """Prediction of an image with an error."""
    return Prediction(str(error.source), np.empty(0, np.float32), ("cat",), error=error)
