"""Maps of one model by every method, of networks with shuffled weights, and maps that know nothing of the model."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

import levit
from levit.checkpoints.checkpoint import Checkpoint
from levit.deployment.bias_interpolation import resize_checkpoint
from levit.explaining.class_activation import open_token_network, token_logits
from levit.explaining.masks import CELLS, occlusion_masks, random_masks
from levit.explaining.perturbation import BATCH_SIZE, log_odds, masked_logits, occlusion_map, rise_map
from levit.runtime.opened_model import ModelOptions

if TYPE_CHECKING:
    from levit.explaining.attention import AttentionNetwork

Array = NDArray[np.float32]
Pixels = NDArray[np.uint8]

RISE_MASKS = 400

# Parts of the network from the last to the first, with the prefixes of their weights.
PARTS = {
    "head": ("classifier",),
    "stage 3": ("levit.encoder.stages.2",),
    "stage 2": ("levit.encoder.stages.1",),
    "stage 1": ("levit.encoder.stages.0",),
    "stem": ("levit.patch_embeddings",),
}


class Maps:
    """Maps of one model.

    Args:
        checkpoint: the model; None for the embedded one.
        is_float: whether the embedded model is that of its training weights, instead of the exported one in int8.
    """

    methods = ("occlusion", "cam", "gradient-attention", "rollout")

    def __init__(self, checkpoint: Checkpoint | None = None, *, is_float: bool = False) -> None:
        embedded = levit.Classifier().artifact
        size = embedded.architecture.image_height_width
        self._checkpoint = checkpoint or resize_checkpoint(levit.read_checkpoint("embedded"), size)
        self._options = ModelOptions(self._checkpoint if is_float or checkpoint else None, threads=1)
        opened = self._options.open()
        self.artifact, self._engine = opened.artifact, opened.image_engine
        self._tokens = open_token_network(self._options, self.artifact)
        self._torch: AttentionNetwork | None = None

    @classmethod
    def at_twice_the_size(cls) -> Maps:
        """Maps of the embedded model's training weights for images of twice the height and width."""
        height, width = levit.Classifier().artifact.architecture.image_height_width
        return cls(resize_checkpoint(levit.read_checkpoint("embedded"), (2 * height, 2 * width)))

    def scores(self, batch: Pixels) -> Array:
        """Scores of images: uint8 [N, height, width, 3] -> float32 [N, classes]."""
        parts = range(0, len(batch), BATCH_SIZE)
        futures = [self._engine.submit(batch[start : start + BATCH_SIZE], BATCH_SIZE) for start in parts]
        logits = np.concatenate([future.result() for future in futures])
        exponentials = np.exp(logits - logits.max(1, keepdims=True))
        return np.asarray(exponentials / exponentials.sum(1, keepdims=True), np.float32)

    def best_class(self, pixels: Pixels) -> int:
        """Index of the class with the largest score."""
        return int(self._engine.run_images(pixels[None])[0].argmax())

    def compute(self, method: str, pixels: Pixels, index: int) -> Array:
        """Map of a class by a method, in its own resolution: float32 [rows, columns]."""
        if method in ("occlusion", "rise", "cam"):
            return self.compute_classes(method, pixels, [index])[0]
        if self._torch is None:
            from levit.explaining.attention import AttentionNetwork  # imports torch

            self._torch = AttentionNetwork(self._checkpoint)
        is_gradient = method == "gradient-attention"
        attention = self._torch.run(pixels)
        return attention.times_gradient(index) if is_gradient else attention.rollout()

    def compute_classes(self, method: str, pixels: Pixels, indices: Sequence[int]) -> list[Array]:
        """Maps of several classes by one of the methods without torch, from the same passes of the network."""
        if method == "cam":
            tokens = token_logits(self._tokens, pixels, self.artifact.architecture)
            return [tokens[..., index] for index in indices]
        masks = occlusion_masks() if method == "occlusion" else random_masks(RISE_MASKS, 0)
        logits = masked_logits(self._engine, pixels, masks)
        combine = occlusion_map if method == "occlusion" else rise_map
        return [combine(log_odds(logits, index), masks) for index in indices]

    def shuffled_networks(self, seed: int) -> Iterator[tuple[str, Maps]]:
        """Networks whose weights are shuffled within each tensor: first the head, then one more part at a time."""
        random = np.random.default_rng(seed)
        weights = dict(self._checkpoint.weights)
        for part, prefixes in PARTS.items():
            for name, array in weights.items():
                if name.startswith(prefixes) and array.ndim:
                    weights[name] = random.permutation(array.ravel()).reshape(array.shape)
            yield part, Maps(replace(self._checkpoint, weights=weights))


def grid_of(values: Array) -> Array:
    """A map on the grid of cells, interpolated linearly: float32 [CELLS, CELLS]."""
    from levit.explaining.view import View

    return View(0, 0, CELLS, CELLS).to_image(values, (CELLS, CELLS))


def reference_maps(pixels: Pixels, seed: int) -> dict[str, Array]:
    """Maps that know nothing of the model: random values, a Gaussian in the center, and the strength of edges."""
    rows, columns = (np.mgrid[0:CELLS, 0:CELLS] + 0.5) / CELLS - 0.5
    gray = pixels.astype(np.float32).mean(2)
    vertical, horizontal = np.gradient(gray)
    strength = np.hypot(vertical, horizontal)
    height, width = (side // CELLS for side in strength.shape)
    edges = strength[: CELLS * height, : CELLS * width].reshape(CELLS, height, CELLS, width).mean((1, 3))
    return {
        "random": np.random.default_rng(seed).random((CELLS, CELLS), np.float32),
        "Gaussian": np.asarray(np.exp(-(rows**2 + columns**2) / (2 * 0.25**2)), np.float32),
        "edges": edges,
    }
