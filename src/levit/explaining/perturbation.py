"""Maps from perturbed copies of an image: how the score of a class changes when parts of the image are replaced."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future

import numpy as np
from numpy.typing import NDArray

from levit.explaining.masks import apply_masks, blur
from levit.runtime.engine import ImageEngine

BATCH_SIZE = 16

ODDS_TEMPERATURE = 2.0
"""Temperature of the log-odds of maps, at which they localize best (docs/results.md)."""

Check = Callable[[], None]


def nothing_to_check() -> None:
    """Default of the function that is called between batches."""


def masked_logits(
    engine: ImageEngine,
    pixels: NDArray[np.uint8],
    masks: NDArray[np.float32],
    check: Check = nothing_to_check,
    *,
    max_batches: int | None = None,
) -> NDArray[np.float32]:
    """Logits of an image, and of copies of it that are blurred where a mask is 1.

    Args:
        engine: the network.
        pixels: its input, uint8 [height, width, 3].
        masks: float32 [N, CELLS, CELLS] in [0, 1].
        check: called before each batch; an exception that it raises ends the computation.
        max_batches: largest number of batches that are computed at once; None for as many as the engine takes.

    Returns:
        float32 [1 + N, classes]; the first row is of the image itself.

    Raises:
        EngineError: the engine failed or is closed.
    """
    computing: list[Future[NDArray[np.float32]]] = []
    for number, batch in enumerate(_batches(pixels, masks)):
        check()
        if max_batches is not None and number >= max_batches:
            computing[number - max_batches].result()
        computing.append(engine.submit(batch, BATCH_SIZE))  # blocks while all threads of the engine are busy
    return np.concatenate([future.result() for future in computing])


def _batches(pixels: NDArray[np.uint8], masks: NDArray[np.float32]) -> Iterator[NDArray[np.uint8]]:
    fill = blur(pixels)
    all_masks = np.concatenate([np.zeros((1, *masks.shape[1:]), np.float32), masks])  # the image itself is first
    for start in range(0, len(all_masks), BATCH_SIZE):
        yield apply_masks(pixels, fill, all_masks[start : start + BATCH_SIZE])


def log_odds(
    logits: NDArray[np.float32], index: int, *, temperature: float = ODDS_TEMPERATURE, is_multi_label: bool = False
) -> NDArray[np.float32]:
    """Logarithm of the odds of a class, which unlike its score does not saturate near 0 and 1.

    Args:
        logits: float32 [N, classes].
        index: index of the class.
        temperature: number above 0 by which the logits of the other classes are divided before their exponentials are
            summed, and by which the logarithm of the sum is multiplied. At 1 these are the log-odds of the softmax; the
            higher it is, the more of the other classes count, and not only the most similar ones.
        is_multi_label: True where the classes do not exclude each other; their logits are their log-odds.

    Returns:
        float32 [N].

    Examples:
        >>> log_odds(np.float32([[2, 1]]), 0).round(4).tolist()
        [1.0]
    """
    if is_multi_label or logits.shape[1] == 1:
        return logits[:, index]
    others = np.delete(logits, index, axis=1) / np.float32(temperature)
    largest = others.max(1, keepdims=True)
    total = largest[:, 0] + np.log(np.exp(others - largest).sum(1))
    return np.asarray(logits[:, index] - np.float32(temperature) * total, np.float32)


def occlusion_map(scores: NDArray[np.float32], masks: NDArray[np.float32]) -> NDArray[np.float32]:
    """Mean decrease of a score over the masks that cover a cell (Zeiler and Fergus, 2014).

    Args:
        scores: float32 [1 + N]; the first is that of the image itself.
        masks: float32 [N, rows, columns], 1 where the image was replaced.

    Returns:
        float32 [rows, columns]; negative where the score rises without the cell.
    """
    return _mean_over_masks(scores[0] - scores[1:], masks)


def rise_map(scores: NDArray[np.float32], masks: NDArray[np.float32]) -> NDArray[np.float32]:
    """Mean score over the random masks that keep a cell, minus the mean over all masks (Petsiuk et al., 2018).

    Args:
        scores: float32 [1 + N]; the first, of the image itself, is not used.
        masks: float32 [N, rows, columns] in [0, 1]; 1 where the image was replaced.

    Returns:
        float32 [rows, columns]; negative where the score is lower with the cell than without it.
    """
    return _mean_over_masks(scores[1:] - scores[1:].mean(), 1 - masks)


def _mean_over_masks(values: NDArray[np.float32], weights: NDArray[np.float32]) -> NDArray[np.float32]:
    """Mean of one value per mask in each cell, weighted by the masks."""
    totals = np.maximum(weights.sum(0), np.finfo(np.float32).tiny)
    return np.asarray(np.tensordot(values, weights, 1) / totals, np.float32)
