"""The pictures of a report, as text that stands in the page: no file beside it, no request."""

from __future__ import annotations

import base64
import io

import numpy as np
from PIL import Image

from levit.evaluation.metrics import Calibration, Counts
from levit.images.decoding import ImageSource, read_image

_SIDE = 300  # of the reliability plot, in its own units
_MATRIX_PIXELS = 800  # of the confusion matrix at least, so that a browser does not blur it
_INK = np.array([11, 110, 79], np.float64)


def draw_reliability(calibration: Calibration) -> str:
    """Accuracy over score as SVG: bars on the diagonal are scores that can be taken as probabilities."""
    bins = len(calibration.images)
    width = _SIDE / bins
    parts = [f'<svg class="plot" viewBox="-40 -10 {_SIDE + 55} {_SIDE + 50}" role="img" aria-label="reliability">']
    for tick in (0, 0.25, 0.5, 0.75, 1):
        at = tick * _SIDE
        parts.append(f'<line x1="0" x2="{_SIDE}" y1="{_SIDE - at}" y2="{_SIDE - at}" class="grid"/>')
        parts.append(f'<text x="-6" y="{_SIDE - at + 4}" text-anchor="end">{100 * tick:.0f}</text>')
        parts.append(f'<text x="{at}" y="{_SIDE + 16}" text-anchor="middle">{100 * tick:.0f}</text>')
    for place, (images, accuracy) in enumerate(zip(calibration.images, calibration.accuracy, strict=True)):
        if images:
            height = float(accuracy) * _SIDE
            parts.append(
                f'<rect x="{place * width + 1:.1f}" y="{_SIDE - height:.1f}" width="{width - 2:.1f}" '
                f'height="{height:.1f}"><title>{images} images, {100 * float(accuracy):.1f} % right</title></rect>'
            )
    parts.append(f'<line x1="0" y1="{_SIDE}" x2="{_SIDE}" y2="0" class="diagonal"/>')
    parts.append(f'<text x="{_SIDE / 2}" y="{_SIDE + 34}" text-anchor="middle">score of the answer, %</text>')
    parts.append(f'<text transform="translate(-30 {_SIDE / 2}) rotate(-90)" text-anchor="middle">right, %</text></svg>')
    return "".join(parts)


def draw_histogram(counts: Counts, what: str, of_what: str) -> str:
    """How many there are in each of some bins from 0 to 100, as SVG.

    Args:
        counts: int64 [bins].
        what: below the axis.
        of_what: what is counted.
    """
    width, highest = _SIDE / len(counts), max(1, int(counts.max()))
    parts = [f'<svg class="plot" viewBox="-40 -20 {_SIDE + 55} {_SIDE + 60}" role="img" aria-label="{what}">']
    parts.append(f'<line x1="0" x2="{_SIDE}" y1="{_SIDE}" y2="{_SIDE}" class="grid"/>')
    for place, count in enumerate(counts.tolist()):
        height, left = count / highest * _SIDE, place * width
        parts.append(f'<text x="{left}" y="{_SIDE + 16}" text-anchor="middle">{100 * place // len(counts)}</text>')
        if count:
            parts.append(
                f'<rect x="{left + 1:.1f}" y="{_SIDE - height:.1f}" width="{width - 2:.1f}" height="{height:.1f}"/>'
                f'<text x="{left + width / 2:.1f}" y="{_SIDE - height - 4:.1f}" text-anchor="middle">{count:,}</text>'
            )
    parts.append(f'<text x="{_SIDE}" y="{_SIDE + 16}" text-anchor="middle">100</text>')
    parts.append(f'<text x="{_SIDE / 2}" y="{_SIDE + 34}" text-anchor="middle">{what}</text>')
    parts.append(
        f'<text transform="translate(-12 {_SIDE / 2}) rotate(-90)" text-anchor="middle">{of_what}</text></svg>'
    )
    return "".join(parts)


def draw_confusion(confusion: Counts) -> str:
    """The confusion matrix as the address of a PNG: a row for each true class, dark where there are many answers.

    Shares of the row, so that rare classes are seen; the square root of them, so that mistakes are.
    """
    rows = confusion.sum(axis=1, keepdims=True)
    strength = np.sqrt(confusion / np.maximum(rows, 1))[:, :, None]
    pixels = np.rint(255 * (1 - strength) + _INK * strength).astype(np.uint8)
    zoom = max(1, -(-_MATRIX_PIXELS // len(confusion)))
    picture = Image.fromarray(pixels.repeat(zoom, axis=0).repeat(zoom, axis=1))
    return _address(picture.quantize(64), "PNG")


def draw_thumbnail(image: ImageSource, side: int = 160) -> str:
    """An image, made small, as the address of a JPEG."""
    picture = read_image(image)
    if max(picture.size) > side:
        picture.thumbnail((side, side))
    return _address(picture, "JPEG")


def _address(picture: Image.Image, kind: str) -> str:
    stream = io.BytesIO()
    picture.save(stream, kind, optimize=True)
    return f"data:image/{kind.lower()};base64,{base64.b64encode(stream.getvalue()).decode('ascii')}"
