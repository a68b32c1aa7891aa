"""A prediction as HTML for notebooks: thumbnail, top labels, bars of their scores."""

from __future__ import annotations

import os
from contextlib import suppress
from html import escape

import numpy as np
from PIL import Image

from levit.errors import ImageError, printable
from levit.images.thumbnails import thumbnail_url
from levit.runtime.prediction import UNKNOWN, Label, Prediction

_LABELS = 5
_SIDE = 160  # pixels

# Colors are those of the notebook, which may be dark; the page has no style sheet of its own.
_TEXT = "font:14px/1.4 system-ui,sans-serif;"
_GRID = "display:grid;grid-template-columns:minmax(4rem,max-content) minmax(3rem,12rem) max-content;"
_TRACK = "height:.6rem;border-radius:.3rem;background:rgba(128,128,128,.2);overflow:hidden;"
_BAR = "height:100%;border-radius:.3rem;background:#1f9d72;"
_IMAGE = "max-width:160px;max-height:160px;border-radius:.5rem;flex:none;"


def prediction_html(prediction: Prediction) -> str:
    """A prediction as an HTML element without scripts, for `Prediction._repr_html_`.

    The thumbnail is that of the file where `source` is one, or else that of the pixels that the prediction keeps.

    Examples:
        >>> html = prediction_html(Prediction("photo.jpg", np.float32([0, 2]), ("cat", "dog & co")))
        >>> "dog &amp; co" in html, "88.1&nbsp;%" in html
        (True, True)
    """
    name = f'<div style="opacity:.65;overflow-wrap:anywhere">{escape(printable(prediction.source))}</div>'
    if prediction.error is not None:
        content = f'<div style="color:#c2403a">{escape(printable(prediction.error.reason))}</div>'
    else:
        content = _scores(prediction)
    return (
        f'<div style="{_TEXT}display:flex;flex-wrap:wrap;gap:1rem;align-items:center;margin:.5rem 0">'
        f'{_thumbnail(prediction)}<div style="min-width:0">{name}{content}</div></div>'
    )


def _thumbnail(prediction: Prediction) -> str:
    url = None
    with suppress(ImageError, OSError, ValueError):
        if os.path.isfile(prediction.source):  # noqa: PTH113 (the name may be any text)
            url = thumbnail_url(prediction.source, _SIDE)
    if url is None and prediction.pixels is not None:
        height, width = prediction.pixels.shape[:2]
        factor = max(1, _SIDE // max(height, width))
        enlarged = Image.fromarray(prediction.pixels).resize(
            (factor * width, factor * height), Image.Resampling.BICUBIC
        )
        url = thumbnail_url(enlarged, _SIDE)
    return "" if url is None else f'<img alt="" src="{url}" style="{_IMAGE}">'


def _scores(prediction: Prediction) -> str:
    best = prediction.top(_LABELS)
    rows = "".join(_row(label, is_best=rank == 0 and not prediction.is_unknown) for rank, label in enumerate(best))
    unknown = ""
    if prediction.is_unknown:
        threshold = f"no score reaches {100 * prediction.threshold:.1f}&nbsp;%"
        unknown = f'<div><b>{UNKNOWN}</b> <span style="opacity:.65">({threshold})</span></div>'
    return f'{unknown}<div style="{_GRID}gap:.15rem .75rem;align-items:center;margin-top:.25rem">{rows}</div>'


def _row(label: Label, *, is_best: bool) -> str:
    weight = "font-weight:600" if is_best else ""
    width = f"width:{100 * float(np.clip(label.score, 0, 1)):.1f}%"
    return (
        f'<div style="{weight};overflow-wrap:anywhere">{escape(printable(label.name))}</div>'
        f'<div style="{_TRACK}"><div style="{_BAR}{width}"></div></div>'
        f'<div style="{weight};text-align:right;font-variant-numeric:tabular-nums">{100 * label.score:.1f}&nbsp;%</div>'
    )
