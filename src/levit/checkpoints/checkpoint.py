"""Canonical weights with their architecture, labels and preprocessing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from levit.errors import CheckpointError, first_few
from levit.spec.architecture import Architecture
from levit.spec.artifact import Artifact, Source
from levit.spec.blocks import MASK
from levit.spec.distillation import DISTILLATION_DEFAULTS
from levit.spec.network import is_statistic, weight_shapes
from levit.spec.preprocessing import Preprocessing

Weights = dict[str, NDArray[Any]]


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """Weights under canonical names, with everything that is needed to use them.

    Attributes:
        weights: canonical name -> array, float32 or float64; `num_batches_tracked` is int64, an attention mask is bool.
            The names and shapes are those of `levit.spec.network.weight_shapes`.
        architecture: hyperparameters of the network.
        labels: class names, in the order of the logits; see `levit.spec.labels.default_labels` for files without names.
        preprocessing: preprocessing of images.
        source: origin of the weights.
        stored_precision: narrowest floating-point type in the file: "fp32", "fp16", "bf16" or "fp64".
        drop_path_rate: probability in [0, 1) of skipping a residual branch in training.
        initializer_range: standard deviation of newly initialized heads, at least 0.
        is_multi_label: whether an image may have several labels; then scores are sigmoids instead of a softmax.
        problem_type: "regression" or "single_label_classification", if a configuration of transformers has it.
        distillation_type: loss of the second head, "hard" or "soft"; see `levit.LevitConfig`.
        distillation_alpha: weight of that loss, in [0, 1].
        distillation_tau: temperature of the soft loss, above 0.

    Raises:
        CheckpointError: weights are missing, unexpected, not finite or of the wrong shape, or the number of labels is
            not that of the architecture.

    Examples:
        >>> import levit
        >>> checkpoint = levit.read_checkpoint("tests/golden/tiny/transformers")
        >>> checkpoint.weights["classifier.linear.weight"].shape, checkpoint.labels[0], checkpoint.source.dialect
        ((10, 64), 'LABEL_0', 'transformers')
    """

    weights: Weights
    architecture: Architecture
    labels: tuple[str, ...]
    preprocessing: Preprocessing
    source: Source
    stored_precision: str = "fp32"
    drop_path_rate: float = 0.0
    initializer_range: float = 0.02
    is_multi_label: bool = False
    problem_type: str | None = None
    distillation_type: str = DISTILLATION_DEFAULTS["distillation_type"]
    distillation_alpha: float = DISTILLATION_DEFAULTS["distillation_alpha"]
    distillation_tau: float = DISTILLATION_DEFAULTS["distillation_tau"]

    def __post_init__(self) -> None:
        check_weights(self.weights, self.architecture, self.source.name)
        if len(self.labels) != self.architecture.num_labels:
            raise CheckpointError(
                f"{len(self.labels)} label names for {self.architecture.num_labels} classes",
                source=self.source.name,
                hint="make id2label in config.json as long as the classifier",
            )

    @property
    def num_parameters(self) -> int:
        """Number of trainable parameters."""
        return sum(array.size for name, array in self.weights.items() if not is_statistic(name))

    def as_artifact(self, precision: str, *, producer: str = "") -> Artifact:
        """Metadata of an exported model of this checkpoint.

        Args:
            precision: precision of the weights in the exported file, as in `levit.spec.artifact.Artifact`.
            producer: name and version of the program that exports it.
        """
        return Artifact(
            architecture=self.architecture,
            preprocessing=self.preprocessing,
            labels=self.labels,
            precision=precision,
            source=self.source,
            is_multi_label=self.is_multi_label,
            producer=producer,
        )


def check_weights(weights: Weights, architecture: Architecture, name: str) -> None:
    """Check that weights are exactly those of an architecture, and finite.

    Values are read only if names and shapes are right, because an array that does not fit may be of any size.

    Args:
        weights: canonical name -> array.
        architecture: hyperparameters of the network.
        name: source of the error.

    Raises:
        CheckpointError: the reason counts the weights of each kind of problem and names the first ones.
    """
    shapes = weight_shapes(architecture)
    _check_none({
        "missing": [key for key in shapes if key not in weights],
        "unexpected": [key for key in weights if key not in shapes],
        "mis-shaped": [
            f"{key} is {list(weights[key].shape)}, not {list(shape)}"
            for key, shape in shapes.items()
            if key in weights and weights[key].shape != shape
        ],
    }, name)  # fmt: skip
    _check_none({
        "not finite": [key for key, array in weights.items() if not np.isfinite(array).all()],
        "without a key for some query": [
            key for key, array in weights.items() if key.endswith(f".{MASK}") and not array.any(axis=-1).all()
        ],
        "negative": [key for key, array in weights.items() if key.endswith("running_var") and (array < 0).any()],
    }, name)  # fmt: skip


def _check_none(problems: Mapping[str, list[str]], name: str) -> None:
    """Check that no weight has one of the problems."""
    summary = "; ".join(f"{len(keys)} {problem} ({first_few(keys)})" for problem, keys in problems.items() if keys)
    if summary:
        raise CheckpointError(f"the weights do not fit the configuration: {summary}", source=name)
