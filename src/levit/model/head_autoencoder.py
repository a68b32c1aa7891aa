"""Auto-encoder over the heads of queries or keys, which reduces what an accelerator moves (ViTCoD, arXiv 2210.09573).

Shapes: B images, N tokens, H heads, K query and key channels per head.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


def encoded_heads(num_heads: int) -> int:
    """Number of heads that ViTCoD encodes a number of heads as: half of them, rounded up, and 4 of 6.

    Examples:
        >>> [encoded_heads(count) for count in (1, 3, 4, 5, 6, 8)]
        [1, 2, 2, 3, 4, 4]
    """
    return 4 if num_heads == 6 else (num_heads + 1) // 2


class HeadAutoencoder(nn.Module):
    """Linear maps from all heads to fewer heads and back, the same for each token and channel.

    Args:
        num_heads: number of heads H.

    Attributes:
        reconstruction_loss: distance of the output from the input, the Euclidean norm of the difference over all
            images, tokens and channels, after a call in training mode; None before.

    Examples:
        >>> HeadAutoencoder(6)(torch.zeros(2, 16, 6, 8)).shape
        torch.Size([2, 16, 6, 8])
    """

    def __init__(self, num_heads: int) -> None:
        super().__init__()
        self.encoder = nn.Linear(num_heads, encoded_heads(num_heads))
        self.decoder = nn.Linear(encoded_heads(num_heads), num_heads)
        self.reconstruction_loss: Tensor | None = None

    def forward(self, x: Tensor) -> Tensor:
        """Encode and decode queries or keys: [B, N, H, K] -> [B, N, H, K]."""
        restored = self.decoder(self.encoder(x.transpose(2, 3))).transpose(2, 3)
        if self.training:
            self.reconstruction_loss = torch.linalg.vector_norm(restored.float() - x.float())
        return restored

    @torch.no_grad()
    def initialize(self, heads: Tensor) -> None:
        """Start with the maps that keep most of given values: their principal directions, without biases.

        Args:
            heads: [H, values], floating point, such as the weights that compute the queries of each head.
        """
        directions = torch.linalg.svd(heads, full_matrices=False).U[:, : self.encoder.out_features]
        missing = self.encoder.out_features - directions.shape[1]  # fewer values than heads
        directions = nn.functional.pad(directions, (0, missing))
        self.encoder.weight.copy_(directions.T)
        self.decoder.weight.copy_(directions)
        nn.init.zeros_(self.encoder.bias)
        nn.init.zeros_(self.decoder.bias)
