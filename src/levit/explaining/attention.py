"""Maps from the attention of the network in torch: gradient x attention, and rollout.

Relevance flows from the last tokens to the first ones (Chefer et al., 2021): within a stage, attention has a residual
connection, `R <- R + A R`; between two stages it has none, `R <- A R`, and fewer tokens remain. LeViT has no class
token: the head reads the mean of the last tokens, so the relevance of each first token is the mean over the last ones.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from levit.checkpoints.checkpoint import Checkpoint
from levit.images.transform import normalize
from levit.model.loading import load_checkpoint
from levit.spec.architecture import Architecture
from levit.spec.network import attention_blocks


class AttentionNetwork:
    """Network in torch that gives the attention of every block.

    Args:
        checkpoint: checkpoint with a head.

    Attributes:
        artifact: description of the model.

    Raises:
        ConfigError: the checkpoint has no head.
    """

    def __init__(self, checkpoint: Checkpoint) -> None:
        self.artifact = checkpoint.as_artifact("fp32")
        with torch.inference_mode(False):  # its weights are part of graphs
            self._network = load_checkpoint(checkpoint).requires_grad_(False)
        self._preprocessing = checkpoint.preprocessing
        self._architecture = checkpoint.architecture

    def run(self, pixels: NDArray[np.uint8]) -> Attention:
        """Attention of one image, from a single forward pass.

        Args:
            pixels: network input, uint8 [height, width, 3].
        """
        with torch.inference_mode(False), torch.enable_grad():  # whatever the caller has chosen
            # The input requires a gradient, so that all attention probabilities are part of the graph.
            values = torch.from_numpy(normalize(pixels[None], self._preprocessing)).requires_grad_()
            output = self._network(values, output_attentions=True)
            return Attention(output.logits[0], output.attentions, self._architecture)


class Attention:
    """Attention of every block for one image.

    Args:
        logits: [classes], with their graph.
        attentions: attention probabilities of each block, [1, heads, queries, keys], of the same graph.
        architecture: of the network.

    Attributes:
        logits: float32 [classes].
    """

    def __init__(self, logits: Tensor, attentions: Sequence[Tensor], architecture: Architecture) -> None:
        self.logits: NDArray[np.float32] = logits.detach().numpy()
        self._logits, self._attentions, self._architecture = logits, attentions, architecture

    def times_gradient(self, index: int) -> NDArray[np.float32]:
        """Relevance of the first tokens for a class, from attention times its gradient, positive values only.

        A second call raises an error of torch, because the first one frees the graph.

        Args:
            index: index of the class.

        Returns:
            float32 [rows, columns] of the tokens after the stem, at least 0.
        """
        with torch.inference_mode(False), torch.enable_grad():
            gradients = torch.autograd.grad(self._logits[index], self._attentions)
        products = [
            (gradient * attention).clamp(min=0) for gradient, attention in zip(gradients, self._attentions, strict=True)
        ]
        return self._relevance([product[0].mean(0) for product in products])

    def rollout(self) -> NDArray[np.float32]:
        """Share of the first tokens in the attention of the last ones, the same for every class.

        Within a stage, attention and residual connection have equal weights, so that each step keeps the sum 1.

        Returns:
            float32 [rows, columns] of the tokens after the stem; at least 0, with the sum 1.
        """
        relevance = self._relevance([attention[0].mean(0) for attention in self._attentions])
        return np.asarray(relevance / relevance.sum(), np.float32)

    def _relevance(self, attentions: Sequence[Tensor]) -> NDArray[np.float32]:
        relevance = propagate([attention.detach() for attention in attentions], self._architecture).mean(0)
        return relevance.numpy().astype(np.float32).reshape(self._architecture.stage_grids[0])


def propagate(attentions: Sequence[Tensor], architecture: Architecture) -> Tensor:
    """Relevance of every first token for every last one.

    Args:
        attentions: one matrix [queries, keys] for each attention block, in order.
        architecture: of the network.

    Returns:
        [last tokens, first tokens].
    """
    blocks = attention_blocks(architecture)
    relevance = torch.eye(attentions[0].shape[1], dtype=attentions[0].dtype)
    for block, attention in zip(blocks, attentions, strict=True):
        passed = attention @ relevance
        relevance = relevance + passed if block.is_residual else passed
    return relevance
