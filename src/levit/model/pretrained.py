"""Base class of the networks: loading, saving and weight initialization."""

from __future__ import annotations

import json
import math
from functools import partial
from os import PathLike
from pathlib import Path
from typing import Any

from torch import nn
from torch.utils.checkpoint import checkpoint
from transformers import PreTrainedConfig, PreTrainedModel
from transformers import initialization as init
from transformers.modeling_layers import GradientCheckpointingLayer

from levit.checkpoints.dialects import OFFSETS
from levit.checkpoints.transformers_configuration import MODEL_TYPES, PREPROCESSOR_FILE, preprocessor_config
from levit.errors import ConfigError
from levit.files import write_text
from levit.model.attention import BiasedAttention, SubsamplingAttention
from levit.model.attention_functions import ATTENTION_FUNCTIONS
from levit.model.config import LevitConfig
from levit.model.gradient_checkpointing import CheckpointFunction, checkpoint_block
from levit.model.layers import BiasedLinear, ImageBatchNorm, Residual, TokenBatchNorm
from levit.spec.preprocessing import Preprocessing

# Older releases of transformers stored the offset tables, which follow from the grid.
IGNORED_KEYS = {rf"\.{OFFSETS}$"}


class LevitPreTrainedModel(PreTrainedModel):
    """Base class of the networks, with `from_pretrained`, `save_pretrained` and weight initialization.

    | weights | initialization |
    | --- | --- |
    | convolutions and linear layers | Kaiming uniform with a = √5 (torch's default) |
    | batch norms | weight 1, bias 0; weight 0 in the last batch norm of each residual branch |
    | biases, and the last layer of a residual branch without batch norm | 0 |
    | attention biases | 0 |
    | linear layers of the heads | weight: truncated normal, standard deviation `initializer_range`; bias 0 |

    This is the initialization of the paper's code. transformers initializes all weights from a normal distribution
    and no residual branch with 0.

    Attributes:
        preprocessing: preprocessing of the checkpoint that `levit.load_checkpoint` has read, which `save_pretrained`
            writes and `levit.export` uses; None for other networks.
    """

    config_class = LevitConfig
    config: LevitConfig
    base_model_prefix = "levit"
    main_input_name = "pixel_values"
    input_modalities = ("image",)
    supports_gradient_checkpointing = True
    _supports_sdpa = True
    accepts_loss_kwargs = False  # Trainer then divides the loss by the number of accumulated batches
    _keys_to_ignore_on_load_unexpected = IGNORED_KEYS
    preprocessing: Preprocessing | None = None
    _no_split_modules = [Residual.__name__, SubsamplingAttention.__name__]  # noqa: RUF012  # transformers expects a list

    def __init__(self, config: LevitConfig, *args: Any, **kwargs: Any) -> None:
        if isinstance(config, PreTrainedConfig):  # transformers refuses others
            config = _own_config(config)
            config.check_training_fields()  # `from_pretrained` changes fields after the configuration was created
        super().__init__(config, *args, **kwargs)

    def post_init(self) -> None:
        """Initialize the weights, and ignore only those unexpected keys that this class names, not those of its parts.

        `LevitModel` ignores heads, which must not hide the second head of a file from a class with one.
        """
        super().post_init()
        self._keys_to_ignore_on_load_unexpected = set(type(self)._keys_to_ignore_on_load_unexpected or ())

    def save_pretrained(self, save_directory: str | PathLike[str], *args: Any, **kwargs: Any) -> None:
        """Write the network to a folder, as transformers does, with its `preprocessing` if it has one.

        Args:
            save_directory: folder to write.
            *args: further arguments of transformers.
            **kwargs: the same, by name.
        """
        super().save_pretrained(save_directory, *args, **kwargs)
        is_main_process = args[0] if args else kwargs.get("is_main_process", True)
        if self.preprocessing is not None and is_main_process and Path(save_directory).is_dir():
            content = json.dumps(preprocessor_config(self.preprocessing), indent=2)
            write_text(Path(save_directory) / PREPROCESSOR_FILE, f"{content}\n")

    def get_correct_attn_implementation(self, requested_attention: str | None, is_init_check: bool = False) -> str:
        """Resolve `attn_implementation`; the default is "eager".

        Only "eager" is bit-identical to the reference implementations; it is faster in batches, and "sdpa" for single
        images (`benchmarks/attention.py`).

        Raises:
            ConfigError: the network has no such implementation, although transformers knows its name.
            ValueError: transformers does not know the name.
        """
        implementation: str = super().get_correct_attn_implementation(requested_attention or "eager", is_init_check)
        if implementation not in ATTENTION_FUNCTIONS:
            names = " or ".join(map(repr, ATTENTION_FUNCTIONS))
            raise ConfigError(f"{implementation!r} is not supported", source="attn_implementation", hint=f"use {names}")
        return implementation

    def _set_gradient_checkpointing(
        self, enable: bool = True, gradient_checkpointing_func: CheckpointFunction = checkpoint, **kwargs: Any
    ) -> None:
        super()._set_gradient_checkpointing(enable, gradient_checkpointing_func, **kwargs)
        for module in self.modules():
            if isinstance(module, GradientCheckpointingLayer):  # a partial is copied and pickled with its module
                module._gradient_checkpointing_func = partial(checkpoint_block, module, gradient_checkpointing_func)

    def _init_weights(self, module: nn.Module) -> None:
        # transformers calls this for every module with weights; the functions of `init` skip weights that were loaded.
        if isinstance(module, BiasedLinear):
            init.zeros_(module.bias)
            init.zeros_(module.weight) if module.zero_init else init.kaiming_uniform_(module.weight, a=math.sqrt(5))
        elif isinstance(module, nn.Linear) and module.bias is not None:  # of a head
            std = self.config.initializer_range
            init.trunc_normal_(module.weight, std=std) if std else init.zeros_(module.weight)
            init.zeros_(module.bias)
        elif isinstance(module, nn.Conv2d | nn.Linear):
            init.kaiming_uniform_(module.weight, a=math.sqrt(5))
            if module.bias is not None:
                init.zeros_(module.bias)
        elif isinstance(module, TokenBatchNorm | ImageBatchNorm):
            super()._init_weights(module)
            if isinstance(module, TokenBatchNorm) and module.zero_init:
                init.zeros_(module.weight)
        elif isinstance(module, BiasedAttention):
            init.zeros_(module.attention_biases)
            if module.has_mask:
                init.ones_(module.attention_mask)


def _own_config(config: PreTrainedConfig) -> LevitConfig:
    """Configuration of this package for one of transformers, which its Auto classes return without registration.

    Raises:
        ConfigError: the configuration is that of another network.
    """
    if isinstance(config, LevitConfig):
        return config
    if config.model_type not in MODEL_TYPES:
        raise ConfigError(f"{type(config).__name__} is not that of a LeViT", source="config", hint="use LevitConfig")
    converted = LevitConfig.from_dict(config.to_dict())
    for name in ("_attn_implementation", "_commit_hash", "name_or_path"):  # not among the values of `to_dict`
        if (value := getattr(config, name, None)) is not None:
            setattr(converted, name, value)
    return converted
