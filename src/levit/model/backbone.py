"""The network without a head: LevitModel for features, LevitBackbone for feature maps.

Shapes: B images, N tokens, C channels.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor
from transformers.backbone_utils import BackboneMixin
from transformers.modeling_outputs import BackboneOutput, BaseModelOutputWithPooling

from levit.model.attention_functions import ATTEND, AttendAndRecord
from levit.model.config import LevitConfig
from levit.model.encoder import Encoder, PatchEmbeddings, StageOutput, build_stem
from levit.model.pretrained import LevitPreTrainedModel

# Files of whole classifiers are what features are usually taken from, so their heads are no surprise.
HEADS_PATTERN = [r"^classifier"]


class LevitModel(LevitPreTrainedModel):
    """The network without a head.

    Images need not have the size that the network was built for: the attention bias is interpolated (see
    `levit.model.position_bias.resize_position_bias`), and for the trained size it is what it is.

    Args:
        config: what to build.

    Examples:
        >>> import torch
        >>> from levit import LevitConfig, LevitModel
        >>> model = LevitModel(LevitConfig.from_variant("levit-128s")).eval()
        >>> model(torch.zeros(1, 3, 224, 224)).last_hidden_state.shape
        torch.Size([1, 16, 384])
        >>> model(torch.zeros(1, 3, 256, 192)).last_hidden_state.shape
        torch.Size([1, 12, 384])
    """

    _keys_to_ignore_on_load_unexpected = HEADS_PATTERN

    def __init__(self, config: LevitConfig) -> None:
        super().__init__(config)
        architecture = config.architecture()
        self.patch_embeddings = build_stem(architecture)
        self.encoder = Encoder(architecture, drop_path_rate=config.drop_path_rate)
        self.post_init()

    def get_input_embeddings(self) -> PatchEmbeddings:
        """The stem, which peft makes require gradients under gradient checkpointing."""
        return self.patch_embeddings

    def forward(
        self,
        pixel_values: Tensor | None = None,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = None,
        output_attentions: bool | None = None,
        **kwargs: Any,
    ) -> tuple[Any, ...] | BaseModelOutputWithPooling:
        """Features of a batch of images.

        Args:
            pixel_values: [B, channels, height, width], normalized.
            output_hidden_states: also return the stem's tokens and those after each stage (and its shrinking).
            return_dict: False for a plain tuple; default `config.return_dict`.
            output_attentions: also return the attention probabilities of every block, computed step by step also where
                `attn_implementation` is "sdpa".
            **kwargs: passed over, for transformers' pipelines and Trainer.

        Returns:
            `last_hidden_state` [B, N, C], `pooler_output` [B, C] (the mean of the tokens), and, where asked for,
            `hidden_states`, a tuple of [B, N, C], and `attentions`, a tuple of [B, heads, queries, keys].

        Raises:
            ConfigError: pixel_values is missing, or has another number of axes or channels.
        """
        states, attentions = encode(self, pixel_values, output_attentions)
        tokens = [state.tokens for state in states]  # [B, N, C]
        output = BaseModelOutputWithPooling(
            last_hidden_state=tokens[-1],
            pooler_output=tokens[-1].mean(dim=1),
            hidden_states=tuple(tokens) if wanted(self.config.output_hidden_states, output_hidden_states) else None,
            attentions=attentions,
        )
        return output if wanted(self.config.return_dict, return_dict) else output.to_tuple()


class LevitBackbone(BackboneMixin, LevitPreTrainedModel):
    """The network as a backbone of detectors and segmenters: feature maps of the stages that `config` names.

    The maps are those of timm (`features_only=True`) and mmpretrain: a stage's last tokens before the shrinking that
    leads to the next stage. As in all backbones of transformers, index 0 is the stem and index i stage i, so timm's
    and mmpretrain's `out_indices=(0, 1, 2)` are (1, 2, 3) here.

    Args:
        config: what to build; `out_features` ("stem", "stage1", …) or `out_indices` say what to return, by default the
            last stage.

    Examples:
        >>> import torch
        >>> from levit import LevitBackbone, LevitConfig
        >>> backbone = LevitBackbone(LevitConfig.from_variant("levit-128s", out_indices=[1, 2, 3])).eval()
        >>> [tuple(map.shape) for map in backbone(torch.zeros(1, 3, 224, 224)).feature_maps]
        [(1, 128, 14, 14), (1, 256, 7, 7), (1, 384, 4, 4)]
        >>> backbone.channels
        [128, 256, 384]
    """

    _keys_to_ignore_on_load_unexpected = HEADS_PATTERN

    def __init__(self, config: LevitConfig) -> None:
        super().__init__(config)
        architecture = config.architecture()
        self.num_features = [config.hidden_sizes[0], *config.hidden_sizes]
        self.patch_embeddings = build_stem(architecture)
        self.encoder = Encoder(architecture, drop_path_rate=config.drop_path_rate)
        self.post_init()

    def get_input_embeddings(self) -> PatchEmbeddings:
        """The stem, which peft makes require gradients under gradient checkpointing."""
        return self.patch_embeddings

    def forward(
        self,
        pixel_values: Tensor | None = None,
        output_hidden_states: bool | None = None,
        output_attentions: bool | None = None,
        return_dict: bool | None = None,
        **kwargs: Any,
    ) -> tuple[Any, ...] | BackboneOutput:
        """Feature maps of a batch of images, of any size.

        Args:
            pixel_values: [B, channels, height, width], normalized.
            output_hidden_states: also return the feature maps of the stem and of all stages.
            output_attentions: also return the attention probabilities of every block.
            return_dict: False for a plain tuple; default `config.return_dict`.
            **kwargs: passed over.

        Returns:
            `feature_maps`, a tuple of [B, C, rows, columns], and, where asked for, `hidden_states`, likewise, and
            `attentions`, a tuple of [B, heads, queries, keys].

        Raises:
            ConfigError: pixel_values is missing, or has another number of axes or channels.
        """
        states, attentions = encode(self, pixel_values, output_attentions)
        maps = [state.features.permute(0, 3, 1, 2) for state in states]  # [B, C, rows, columns]
        output = BackboneOutput(
            feature_maps=tuple(
                map_ for name, map_ in zip(self.stage_names, maps, strict=True) if name in self.out_features
            ),
            hidden_states=tuple(maps) if wanted(self.config.output_hidden_states, output_hidden_states) else None,
            attentions=attentions,
        )
        return output if wanted(self.config.return_dict, return_dict) else output.to_tuple()


def encode(
    model: LevitModel | LevitBackbone, pixel_values: Tensor | None, output_attentions: bool | None
) -> tuple[list[StageOutput], tuple[Tensor, ...] | None]:
    """Run stem and stages: what each of them computes, and the attention probabilities where they are wanted."""
    recorder = AttendAndRecord() if wanted(model.config.output_attentions, output_attentions) else None
    attend = recorder or ATTEND[model.config._attn_implementation or "eager"]
    states = model.encoder(model.patch_embeddings(pixel_values), attend)
    return states, tuple(recorder.probabilities) if recorder else None


def wanted(configured: bool | None, asked: bool | None) -> bool:
    """Whether a call wants something: what it asks for, or else what the configuration says."""
    return bool(configured if asked is None else asked)
