"""Opening of the network in torch for the methods that need its attention; torch is imported on use."""

from __future__ import annotations

from typing import TYPE_CHECKING

from levit.checkpoints.checkpoint import Checkpoint
from levit.checkpoints.reading import read_checkpoint
from levit.checkpoints.weight_lookup import EMBEDDED_WEIGHTS
from levit.deployment.bias_interpolation import resize_checkpoint
from levit.errors import EngineError
from levit.runtime.engine import Engine
from levit.runtime.model_resolution import is_artifact
from levit.runtime.opened_model import ModelOptions
from levit.spec.architecture import Grid

if TYPE_CHECKING:
    from levit.explaining.attention import AttentionNetwork


def open_attention_network(options: ModelOptions, image_size: Grid | None = None) -> AttentionNetwork:
    """Open a checkpoint in torch.

    Args:
        options: the model, of which None is the embedded model's training weights, and its revision.
        image_size: height and width of the network's input in pixels; None for those of the checkpoint.

    Raises:
        EngineError: torch is not installed, or the model is an exported file or an opened engine.
        CheckpointError: the checkpoint cannot be read.
    """
    checkpoint = _read(options)
    try:
        from levit.explaining.attention import AttentionNetwork
    except ModuleNotFoundError as error:
        raise EngineError(f"the method needs {error.name}", hint='pip install "levit[torch]"') from error
    return AttentionNetwork(checkpoint if image_size is None else resize_checkpoint(checkpoint, image_size))


def _read(options: ModelOptions) -> Checkpoint:
    model = options.model
    if isinstance(model, Checkpoint):
        return model
    if model is None:
        return read_checkpoint(EMBEDDED_WEIGHTS)
    if isinstance(model, Engine) or is_artifact(model):
        reason = "the method needs a checkpoint, because a file for inference has no attention to differentiate"
        raise EngineError(reason, source=options.source, hint="give the checkpoint, or use `method` occlusion")
    return read_checkpoint(model, revision=options.revision)
