"""Pixel values that an image processor returns."""

from __future__ import annotations

from typing import Any

import numpy as np


def values(cls: type, images: Any, **options: Any) -> np.ndarray:
    """Pixel values of images, float32 [B, channels, height, width], from a processor class and its options."""
    return cls(**options)(images, return_tensors="np")["pixel_values"]
