"""What all networks of this package share: loading and saving by transformers, and how weights start."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

from torch import nn
from torch.utils.checkpoint import checkpoint
from transformers import PreTrainedModel
from transformers import initialization as init
from transformers.modeling_layers import GradientCheckpointingLayer

from levit.model.attention import Attention, ShrinkingAttention
from levit.model.config import LevitConfig
from levit.model.gradient_checkpointing import Checkpoint, checkpoint_once
from levit.model.layers import ImageBatchNorm, Residual, TokenBatchNorm
from levit.model.position_bias import offset_table


class LevitPreTrainedModel(PreTrainedModel):
    """Base of the networks: `from_pretrained`, `save_pretrained` and initialization.

    | weights | start as |
    | --- | --- |
    | convolutions and linear layers | uniform, Kaiming with a = √5 (torch's default) |
    | batch norms | weight 1, bias 0; the last of each residual branch weight 0 |
    | attention biases | 0 |
    | heads | truncated normal with `initializer_range`, bias 0 |

    This is the initialization of the paper's code; transformers draws every weight from a normal distribution and
    starts no branch at zero.
    """

    config_class = LevitConfig
    config: LevitConfig
    base_model_prefix = "levit"
    main_input_name = "pixel_values"
    input_modalities = ("image",)
    supports_gradient_checkpointing = True
    _supports_sdpa = True
    accepts_loss_kwargs = False  # so that Trainer divides the loss by the number of accumulated batches
    _no_split_modules = [Residual.__name__]  # noqa: RUF012  # transformers compares it as a list

    def get_correct_attn_implementation(self, requested_attention: str | None, is_init_check: bool = False) -> str:
        """What `attn_implementation` means here: "eager" unless "sdpa" is asked for.

        Both are equally fast at these sizes, and only the first equals the references to the last bit.
        """
        implementation: str = super().get_correct_attn_implementation(requested_attention or "eager", is_init_check)
        return implementation

    def _set_gradient_checkpointing(
        self, enable: bool = True, gradient_checkpointing_func: Checkpoint = checkpoint, **kwargs: Any
    ) -> None:
        super()._set_gradient_checkpointing(enable, gradient_checkpointing_func, **kwargs)
        for module in self.modules():
            if isinstance(module, GradientCheckpointingLayer):  # a partial, which copies and pickles with its block
                module._gradient_checkpointing_func = partial(checkpoint_once, module, gradient_checkpointing_func)

    def _init_weights(self, module: nn.Module) -> None:
        # transformers calls this for modules that have weights of their own, and the functions of `init` leave alone
        # what was loaded from a file.
        if isinstance(module, nn.Linear) and module.bias is not None:  # only the heads have a bias
            init.trunc_normal_(module.weight, std=self.config.initializer_range)
            init.zeros_(module.bias)
        elif isinstance(module, nn.Conv2d | nn.Linear):
            init.kaiming_uniform_(module.weight, a=math.sqrt(5))
        elif isinstance(module, TokenBatchNorm | ImageBatchNorm):
            super()._init_weights(module)
            if isinstance(module, TokenBatchNorm) and module.starts_at_zero:
                init.zeros_(module.weight)
        elif isinstance(module, Attention | ShrinkingAttention):
            init.zeros_(module.attention_biases)
            # Not in the file, and from_pretrained builds networks without memory: fill it again.
            init.copy_(module.attention_bias_idxs, offset_table(module.grid, module.stride))
