"""Canonical weights and what came with them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from levit.errors import CheckpointError
from levit.spec.architecture import Architecture
from levit.spec.artifact import Artifact, Source
from levit.spec.blocks import is_statistic, weight_shapes
from levit.spec.preprocessing import Preprocessing

Weights = dict[str, NDArray[Any]]

_NAMED_IN_ERRORS = 3  # keys named of each kind; the count tells the rest


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """Weights under canonical names, with their configuration.

    Attributes:
        weights: canonical name -> array; float32 (float64 stays), `num_batches_tracked` int64.
        architecture: what the network is.
        labels: one name per class; see `levit.spec.labels.default_labels` for files that have none.
        preprocessing: what an image goes through before the network.
        source: where the weights were read.
        stored_as: precision of the matrices in the file: fp32, fp16, bf16 or fp64.
        drop_path_rate: probability of leaving out a residual branch in training.
        initializer_range: standard deviation of freshly initialized heads.
        is_multi_label: whether each label is decided by itself: then scores are sigmoids.

    Raises:
        CheckpointError: weights are missing, unexpected or of another shape than the architecture says.
    """

    weights: Weights
    architecture: Architecture
    labels: tuple[str, ...]
    preprocessing: Preprocessing
    source: Source
    stored_as: str = "fp32"
    drop_path_rate: float = 0.0
    initializer_range: float = 0.02
    is_multi_label: bool = False

    def __post_init__(self) -> None:
        check_weights(self.weights, self.architecture, self.source.name)
        if len(self.labels) != self.architecture.num_labels:
            raise CheckpointError(
                f"{self.source.name}: {len(self.labels)} label names for {self.architecture.num_labels} classes: "
                "make id2label in config.json as long as the classifier"
            )

    @property
    def num_parameters(self) -> int:
        """The number of trainable parameters."""
        return sum(array.size for name, array in self.weights.items() if not is_statistic(name))

    def as_artifact(self, precision: str, *, producer: str = "") -> Artifact:
        """What an exported model of this checkpoint carries.

        Args:
            precision: of the weights in the exported file, as in `levit.spec.artifact.Artifact`.
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
    """Raise unless the weights are exactly those of the architecture, and finite.

    Raises:
        CheckpointError: the message counts the misfits and names the first few.
    """
    shapes = weight_shapes(architecture)
    misfits = {
        "missing": [key for key in shapes if key not in weights],
        "unexpected": [key for key in weights if key not in shapes],
        "mis-shaped": [
            f"{key} is {list(weights[key].shape)}, not {list(shape)}"
            for key, shape in shapes.items()
            if key in weights and weights[key].shape != shape
        ],
        "not finite": [key for key, array in weights.items() if not np.isfinite(array).all()],
        "negative": [key for key, array in weights.items() if key.endswith("running_var") and (array < 0).any()],
    }
    found = "; ".join(
        f"{len(keys)} {kind} ({', '.join(keys[:_NAMED_IN_ERRORS])}{', …' if len(keys) > _NAMED_IN_ERRORS else ''})"
        for kind, keys in misfits.items()
        if keys
    )
    if found:
        raise CheckpointError(f"{name}: the weights do not fit the configuration: {found}")
