"""LeViT in JAX: the network as modules of flax nnx, its losses, and its checkpoints.

Requires the extra `jax`. Weights have their canonical names and shapes here, too, so that every checkpoint that
`levit.read_checkpoint` reads can be trained in JAX, and the result can be evaluated, exported and converted like any
other.

    >>> import levit.jax
    >>> model = levit.jax.load("tests/golden/tiny/facebook.pth")
    >>> model.config.depths, len(model.labels)
    ((1, 2, 1), 10)
"""

from __future__ import annotations

try:
    from levit.jax.checkpoints import from_checkpoint, load, save, to_checkpoint
    from levit.jax.losses import distillation_loss
    from levit.jax.network import LeViT, LevitOutput
    from levit.jax.orbax_checkpoints import load_orbax, save_orbax
except ModuleNotFoundError as error:
    package = (error.name or "").partition(".")[0]
    if package not in ("jax", "jaxlib", "flax", "orbax"):
        raise
    raise ImportError(f'levit.jax needs {package}: pip install "levit[jax]"') from error

__all__ = [
    "LeViT",
    "LevitOutput",
    "distillation_loss",
    "from_checkpoint",
    "load",
    "load_orbax",
    "save",
    "save_orbax",
    "to_checkpoint",
]
