"""Small networks for the tests of `levit.model`."""

from __future__ import annotations

import torch

import levit


def small_config(**values) -> levit.LevitConfig:
    """Configuration of three stages for 64x64 pixels: grids of 4x4, 2x2 and 1x1 tokens."""
    return levit.LevitConfig(
        **{"image_size": 64, "hidden_sizes": [16, 24, 32], "key_dim": [4] * 3, "depths": [1] * 3, **values}
    )


def smallest_config(**values) -> levit.LevitConfig:
    """Configuration of two stages for 64x64 pixels, with every kind of block, for tests that wait for a compiler."""
    per_stage = {"hidden_sizes": [16, 24], "key_dim": [4] * 2, "depths": [1] * 2, "num_attention_heads": [2] * 2}
    ratios = {"mlp_ratio": [2] * 2, "attention_ratio": [2] * 2}
    return levit.LevitConfig(**{"image_size": 64, **per_stage, **ratios, **values})


def randomized(model: torch.nn.Module, *, noise: float = 0.2) -> torch.nn.Module:
    """Add noise to all weights, because residual branches and biases are initialized to 0; set evaluation mode."""
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            size = 1.0 if "attention_biases" in name else noise
            parameter.add_(torch.randn_like(parameter) * size)
        for name, buffer in model.named_buffers():
            if name.endswith("running_var"):
                buffer.add_(torch.rand_like(buffer))
    return model.eval()
