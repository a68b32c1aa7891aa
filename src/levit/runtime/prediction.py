"""Predictions of a classifier: logits, scores and labels of one image."""

from __future__ import annotations

from array import array
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from PIL.Image import Image

from levit.errors import ConfigError, ImageError, printable
from levit.runtime.scores import best_scores, compute_scores, to_float32

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from levit.runtime.engine import Row

UNKNOWN = "unknown"
"""Name of the label of a rejected image."""

_REPR_LABELS = 3
_MADE_ARRAYS = (array, Image)


@dataclass(frozen=True, slots=True)
class Label:
    """Class with its score.

    Attributes:
        name: name of the class.
        index: index of the class in the logits, from 0 to the number of classes - 1; -1 for the label "unknown".
        score: probability of the class, in [0, 1]; for "unknown", that of the most probable class, which is below the
            threshold.
    """

    name: str
    index: int
    score: float


# Arrays cannot be compared to one bool, so predictions are compared by identity.
@dataclass(frozen=True, eq=False, repr=False)
class Prediction:
    """Prediction for one image, or the error of an image that cannot be classified.

    Notebooks show it as a thumbnail with the scores of the top labels.

    Attributes:
        source: path of the image, or a description of an image in memory.
        logits: float32 [classes]; empty after an error.
        labels: names of the classes.
        error: error of an image that cannot be classified, otherwise None.
        temperature: number above 0 by which the logits are divided before they become scores; 1 in a model that is not
            calibrated.
        threshold: score in [0, 1] of the top label below which the prediction is unknown; 0 in a model that is not
            calibrated.
        is_multi_label: True for a model with any number of labels per image, whose scores are independent.
        pixels: network input of the image, uint8 [height, width, 3], where a single image was classified; otherwise
            None, because a list of predictions would keep all images in memory.

    Examples:
        >>> import numpy as np
        >>> Prediction("photo.jpg", np.float32([0, 2, 1]), ("cat", "dog", "fox"))
        Prediction('photo.jpg': dog 66.5 %, fox 24.5 %, cat 9.0 %)
    """

    source: str
    logits: NDArray[np.float32]
    labels: tuple[str, ...]
    error: ImageError | None = None
    temperature: float = 1.0
    threshold: float = 0.0
    is_multi_label: bool = False
    pixels: NDArray[np.uint8] | None = None

    @property
    def is_unknown(self) -> bool:
        """True for a rejected image: the score of the top label is below the threshold."""
        return self.error is None and self.threshold > 0 and self._is_below_threshold(self.top(1)[0])

    @property
    def scores(self) -> NDArray[np.float32]:
        """Probability of each class, float32 [classes] in [0, 1]; empty after an error.

        They are the softmax of the logits and sum to 1, or in a multi-label model their sigmoid.
        """
        if self.error is not None:
            return self.logits
        return compute_scores(self.logits, temperature=self.temperature, is_multi_label=self.is_multi_label)

    def top(self, k: int = 5) -> list[Label]:
        """The `k` most probable classes, highest score first; all if there are fewer, none after an error.

        Raises:
            ConfigError: `k` is less than 1.
        """
        if k < 1:
            raise ConfigError(f"is {k}", source="k", hint="give at least 1")
        if self.error is not None:
            return []
        row: Row = vars(self)["logits"]  # as it was given
        best = best_scores(row, k, temperature=self.temperature, is_multi_label=self.is_multi_label)
        return [Label(self.labels[index], index, score) for index, score in best]

    def top_or_unknown(self, k: int = 5) -> list[Label]:
        """The top `k` labels; of a rejected image "unknown", with the score of the top label, is the first of them.

        Raises:
            ConfigError: `k` is less than 1.
        """
        best = self.top(k)
        is_unknown = bool(best) and self._is_below_threshold(best[0])
        return [Label(UNKNOWN, -1, best[0].score), *best][:k] if is_unknown else best

    def _is_below_threshold(self, label: Label) -> bool:
        return label.score < to_float32(self.threshold)  # as scores are rounded

    def to_dict(self, k: int = 5) -> dict[str, Any]:
        """The prediction as values that JSON can store; the same that `levit predict --json` prints.

        Args:
            k: number of labels, at least 1.

        Returns:
            `{"file": …, "labels": [{"name": …, "index": …, "score": …}], "error": None or a string}`.

        Raises:
            ConfigError: `k` is less than 1.

        Examples:
            >>> import numpy as np
            >>> Prediction("photo.jpg", np.float32([0, 2]), ("cat", "dog")).to_dict(1)["labels"][0]["name"]
            'dog'
        """
        labels = [{"name": label.name, "index": label.index, "score": label.score} for label in self.top_or_unknown(k)]
        return {"file": self.source, "labels": labels, "error": None if self.error is None else str(self.error)}

    def __getstate__(self) -> dict[str, Any]:
        """The attributes, for `pickle`, with arrays in place of images, which may contain metadata of the photo."""
        return vars(self) | {"logits": self.logits, "pixels": self.pixels}

    def __repr__(self) -> str:
        """The source with the top labels and their scores, on one line."""
        if self.error is not None:
            return f"Prediction({self.source!r}: {printable(self.error.reason)})"
        best = ", ".join(f"{printable(label.name)} {100 * label.score:.1f} %" for label in self.top(_REPR_LABELS))
        return f"Prediction({self.source!r}: {f'{UNKNOWN}, perhaps ' if self.is_unknown else ''}{best})"

    def _repr_html_(self) -> str:
        """The thumbnail with bars of the best scores, for notebooks."""
        from levit.runtime.prediction_html import prediction_html

        return prediction_html(self)


class _LazyArray:
    """Attribute that is assigned an array, a row without numpy or an image, and read as an array.

    So a process that only prints the top labels does not import numpy.

    Args:
        name: name of the attribute.
    """

    def __init__(self, name: str) -> None:
        self._name = name

    def __get__(self, instance: object | None, owner: type) -> Any:
        if instance is None:
            return self
        values = vars(instance)
        if self._name not in values:
            raise AttributeError(self._name)
        if isinstance(values[self._name], _MADE_ARRAYS):
            import numpy as np

            values[self._name] = np.asarray(values[self._name])
        return values[self._name]

    def __set__(self, instance: object, value: Row | Image | NDArray[np.uint8] | None) -> None:
        vars(instance)[self._name] = value


for _name in ("logits", "pixels"):
    setattr(Prediction, _name, _LazyArray(_name))


@dataclass(frozen=True, eq=False)
class Embedding:
    """Pooled features of one image, or the error of an image that cannot be computed.

    Attributes:
        source: path of the image, or a description of an image in memory.
        features: float32 [C]; empty after an error.
        error: error of an image that cannot be computed, otherwise None.
    """

    source: str
    features: NDArray[np.float32] = field(repr=False)
    error: ImageError | None = None
