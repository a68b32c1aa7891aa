"""Base class of the networks: loading, saving and weight initialization."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

from torch import nn
from torch.utils.checkpoint import checkpoint
from transformers import PreTrainedModel
from transformers import initialization as init
from transformers.modeling_layers import GradientCheckpointingLayer

from levit.model.attention import BiasedAttention, SubsamplingAttention
from levit.model.config import LevitConfig
from levit.model.gradient_checkpointing import CheckpointFunction, checkpoint_block
from levit.model.layers import BiasedLinear, ImageBatchNorm, Residual, TokenBatchNorm


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
    """

    config_class = LevitConfig
    config: LevitConfig
    base_model_prefix = "levit"
    main_input_name = "pixel_values"
    input_modalities = ("image",)
    supports_gradient_checkpointing = True
    _supports_sdpa = True
    accepts_loss_kwargs = False  # Trainer then divides the loss by the number of accumulated batches
    _no_split_modules = [Residual.__name__, SubsamplingAttention.__name__]  # noqa: RUF012  # transformers expects a list

    def __init__(self, config: LevitConfig, *args: Any, **kwargs: Any) -> None:
        if isinstance(config, LevitConfig):
            config.check_training_fields()  # `from_pretrained` changes fields after the configuration was created
        super().__init__(config, *args, **kwargs)

    def get_correct_attn_implementation(self, requested_attention: str | None, is_init_check: bool = False) -> str:
        """Resolve `attn_implementation`; the default is "eager".

        Only "eager" is bit-identical to the reference implementations; it is faster in batches, and "sdpa" for single
        images (`benchmarks/attention.py`).
        """
        implementation: str = super().get_correct_attn_implementation(requested_attention or "eager", is_init_check)
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
            init.trunc_normal_(module.weight, std=self.config.initializer_range)
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
