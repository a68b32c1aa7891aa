"""Charts as text inside an HTML page, so that the page needs no other file and no network."""

from __future__ import annotations

import numpy as np
from PIL import Image

from levit.evaluation.metrics import Calibration, Counts
from levit.images.thumbnails import data_url

_SIDE = 300  # width and height of the plots in SVG units
_MIN_MATRIX_PIXELS = 800  # side of the confusion matrix, large enough that a browser does not blur it
_COLOR = np.array([11, 110, 79], np.float64)


def draw_reliability(calibration: Calibration) -> str:
    """Reliability diagram as SVG: accuracy over score; bars on the diagonal are calibrated scores."""
    bins = len(calibration.num_images)
    width = _SIDE / bins
    parts = [f'<svg class="plot" viewBox="-40 -10 {_SIDE + 55} {_SIDE + 50}" role="img" aria-label="reliability">']
    for tick in (0, 0.25, 0.5, 0.75, 1):
        at = tick * _SIDE
        parts.append(f'<line x1="0" x2="{_SIDE}" y1="{_SIDE - at}" y2="{_SIDE - at}" class="grid"/>')
        parts.append(f'<text x="-6" y="{_SIDE - at + 4}" text-anchor="end">{100 * tick:.0f}</text>')
        parts.append(f'<text x="{at}" y="{_SIDE + 16}" text-anchor="middle">{100 * tick:.0f}</text>')
    for index, (num_images, accuracy) in enumerate(
        zip(calibration.num_images.tolist(), calibration.accuracy.tolist(), strict=True)
    ):
        if num_images:
            height = accuracy * _SIDE
            parts.append(
                f'<rect x="{index * width + 1:.1f}" y="{_SIDE - height:.1f}" width="{width - 2:.1f}" '
                f'height="{height:.1f}"><title>{num_images} images, {100 * accuracy:.1f} % correct</title></rect>'
            )
    parts.append(f'<line x1="0" y1="{_SIDE}" x2="{_SIDE}" y2="0" class="diagonal"/>')
    parts.append(f'<text x="{_SIDE / 2}" y="{_SIDE + 34}" text-anchor="middle">score of the prediction, %</text>')
    parts.append(
        f'<text transform="translate(-30 {_SIDE / 2}) rotate(-90)" text-anchor="middle">accuracy, %</text></svg>'
    )
    return "".join(parts)


def draw_histogram(counts: Counts, x_label: str, y_label: str) -> str:
    """Histogram of percentages as SVG.

    Args:
        counts: number of items in each of equal bins from 0 to 100: int64 [bins].
        x_label: text below the axis.
        y_label: text next to the axis.
    """
    width, highest = _SIDE / len(counts), max(1, int(counts.max()))
    parts = [f'<svg class="plot" viewBox="-40 -20 {_SIDE + 55} {_SIDE + 60}" role="img" aria-label="{x_label}">']
    parts.append(f'<line x1="0" x2="{_SIDE}" y1="{_SIDE}" y2="{_SIDE}" class="grid"/>')
    for index, count in enumerate(counts.tolist()):
        height, left = count / highest * _SIDE, index * width
        parts.append(f'<text x="{left}" y="{_SIDE + 16}" text-anchor="middle">{100 * index // len(counts)}</text>')
        if count:
            parts.append(
                f'<rect x="{left + 1:.1f}" y="{_SIDE - height:.1f}" width="{width - 2:.1f}" height="{height:.1f}"/>'
                f'<text x="{left + width / 2:.1f}" y="{_SIDE - height - 4:.1f}" text-anchor="middle">{count:,}</text>'
            )
    parts.append(f'<text x="{_SIDE}" y="{_SIDE + 16}" text-anchor="middle">100</text>')
    parts.append(f'<text x="{_SIDE / 2}" y="{_SIDE + 34}" text-anchor="middle">{x_label}</text>')
    parts.append(
        f'<text transform="translate(-12 {_SIDE / 2}) rotate(-90)" text-anchor="middle">{y_label}</text></svg>'
    )
    return "".join(parts)


def draw_confusion_matrix(confusion: Counts) -> str:
    """Confusion matrix as the data URL of a PNG: a row for each true class, a column for each predicted class.

    Darkness is the square root of the fraction of the row: fractions show rare classes, the root shows mistakes.

    Args:
        confusion: number of images by true and predicted class: int64 [classes, classes].
    """
    rows = confusion.sum(axis=1, keepdims=True)
    strength = np.sqrt(confusion / np.maximum(rows, 1))[:, :, None]
    pixels = np.rint(255 * (1 - strength) + _COLOR * strength).astype(np.uint8)
    zoom = max(1, -(-_MIN_MATRIX_PIXELS // len(confusion)))
    image = Image.fromarray(pixels.repeat(zoom, axis=0).repeat(zoom, axis=1))
    return data_url(image.quantize(64), "PNG")
