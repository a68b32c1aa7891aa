"""Scores of logits: their softmax, or in a multi-label model their sigmoid; of arrays, and without numpy.

A process that classifies one photo need not import numpy. Both ways compute in float64 and round to float32, so that
their scores are equal but for the last digit.
"""

from __future__ import annotations

from array import array
from heapq import nlargest
from math import exp, tanh
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from levit.runtime.engine import Row


def compute_scores(
    logits: NDArray[np.float32], *, temperature: float = 1.0, is_multi_label: bool = False
) -> NDArray[np.float32]:
    """Probability of each class.

    Args:
        logits: float32 [classes], or [images, classes].
        temperature: number above 0 by which the logits are divided.
        is_multi_label: whether the scores are sigmoids instead of a softmax.

    Returns:
        float32 of the same shape, in [0, 1].

    Examples:
        >>> import numpy as np
        >>> compute_scores(np.zeros(4, np.float32)).tolist()
        [0.25, 0.25, 0.25, 0.25]
    """
    import numpy as np

    scaled = logits.astype(np.float64) / temperature
    if is_multi_label:
        return sigmoid(scaled)
    exponentials = np.exp(scaled - scaled.max(axis=-1, keepdims=True))
    return np.asarray(exponentials / exponentials.sum(axis=-1, keepdims=True), np.float32)


def sigmoid(logits: NDArray[np.floating]) -> NDArray[np.float32]:
    """Logistic sigmoid, without overflow: the scores of a multi-label model.

    Args:
        logits: floating-point numbers of any shape.

    Returns:
        float32 of the same shape, in [0, 1].

    Examples:
        >>> import numpy as np
        >>> sigmoid(np.float32([-1000, 0, 1000])).tolist()
        [0.0, 0.5, 1.0]
    """
    import numpy as np

    return np.asarray(0.5 * (1 + np.tanh(0.5 * logits.astype(np.float64))), np.float32)


def best_scores(row: Row, count: int, *, temperature: float, is_multi_label: bool) -> list[tuple[int, float]]:
    """Indices and scores of the most probable classes, the best first.

    Args:
        row: float32 [classes].
        count: number of classes, or fewer if the row is shorter.
        temperature: number above 0 by which the logits are divided.
        is_multi_label: whether the scores are sigmoids instead of a softmax.

    Examples:
        >>> best_scores(array("f", [0, 0, 80]), 1, temperature=1, is_multi_label=False)
        [(2, 1.0)]
    """
    # Logits are compared, because different logits may have equal scores.
    if not isinstance(row, array):
        import numpy as np

        scores = compute_scores(row, temperature=temperature, is_multi_label=is_multi_label)
        return [(int(index), float(scores[index])) for index in np.argsort(-row, kind="stable")[:count]]
    best = nlargest(count, range(len(row)), key=row.__getitem__)
    if is_multi_label:
        values = [0.5 * (1 + tanh(0.5 * (row[index] / temperature))) for index in best]
    else:
        scaled = [value / temperature for value in row]
        largest = max(scaled)
        total = sum(exp(value - largest) for value in scaled)
        values = [exp(scaled[index] - largest) / total for index in best]
    return list(zip(best, array("f", values), strict=True))


def to_float32(value: float) -> float:
    """The nearest number that float32 can store."""
    return array("f", [value])[0]
