"""Network without a head: `LevitModel` for features, `LevitBackbone` for feature maps.

Shapes: B images, N tokens, C channels, H heads.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor
from transformers.backbone_utils import BackboneMixin
from transformers.modeling_outputs import BackboneOutput, BaseModelOutputWithPooling

from levit.model.attention_functions import ATTENTION_FUNCTIONS, RecordingAttention
from levit.model.config import LevitConfig
from levit.model.encoder import Encoder, PatchEmbeddings, StageOutput, build_stem
from levit.model.pretrained import IGNORED_KEYS, LevitPreTrainedModel

# Features are usually computed with the weights of a classifier, whose heads are then not reported as unexpected.
_IGNORED_KEYS = IGNORED_KEYS | {r"^classifier(_distill)?\.(batch_norm|linear)\."}


class LevitModel(LevitPreTrainedModel):
    """LeViT without a classification head, for feature extraction.

    Images may have any size: for another size than `config.image_size` the attention biases are interpolated (see
    `levit.model.attention_bias.resize_attention_biases`); for the trained size they are used unchanged.

    Args:
        config: configuration of the network.

    Examples:
        >>> import torch
        >>> from levit import LevitConfig, LevitModel
        >>> model = LevitModel(LevitConfig.from_variant("levit-128s")).eval()
        >>> model(torch.zeros(1, 3, 224, 224)).last_hidden_state.shape
        torch.Size([1, 16, 384])
        >>> model(torch.zeros(1, 3, 256, 192)).last_hidden_state.shape
        torch.Size([1, 12, 384])
    """

    _keys_to_ignore_on_load_unexpected = _IGNORED_KEYS

    def __init__(self, config: LevitConfig) -> None:
        super().__init__(config)
        config = self.config  # the configuration of transformers, converted
        architecture = config.architecture()
        self.patch_embeddings = build_stem(architecture)
        self.encoder = Encoder(architecture, drop_path_rate=config.drop_path_rate)
        self.post_init()

    def get_input_embeddings(self) -> PatchEmbeddings:
        """Return the stem, whose outputs peft makes require gradients under gradient checkpointing."""
        return self.patch_embeddings

    def forward(
        self,
        pixel_values: Tensor | None = None,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = None,
        output_attentions: bool | None = None,
        **kwargs: Any,
    ) -> tuple[Any, ...] | BaseModelOutputWithPooling:
        """Compute the features of a batch of images.

        Args:
            pixel_values: [B, channels, height, width], floating point, normalized.
            output_hidden_states: return the tokens after the stem and after each stage (and its subsampling), too;
                default `config.output_hidden_states`.
            return_dict: False returns a tuple; default `config.return_dict`.
            output_attentions: return the attention probabilities of every attention block, too; default
                `config.output_attentions`. They are computed by the eager implementation even if
                `attn_implementation` is "sdpa".
            **kwargs: ignored; transformers' pipelines and Trainer pass further arguments.

        Returns:
            `last_hidden_state` [B, N, C] and `pooler_output` [B, C] (the mean of the tokens), of the dtype of
            pixel_values; if requested, `hidden_states`, a tuple of [B, N, C], and `attentions`, a tuple of
            [B, H, queries, keys] with rows that sum to 1.

        Raises:
            ConfigError: pixel_values is missing, not floating point, or has another number of axes or channels.
        """
        outputs, attentions = encode(self, pixel_values, output_attentions)
        tokens = [output.tokens for output in outputs]  # [B, N, C]
        output = BaseModelOutputWithPooling(
            last_hidden_state=tokens[-1],
            pooler_output=tokens[-1].mean(dim=1),
            hidden_states=tuple(tokens) if override(self.config.output_hidden_states, output_hidden_states) else None,
            attentions=attentions,
        )
        return output if override(self.config.return_dict, return_dict) else output.to_tuple()


class LevitBackbone(BackboneMixin, LevitPreTrainedModel):
    """LeViT as a backbone of detectors and segmenters: feature maps of selected stages.

    The feature maps equal those of timm (`features_only=True`) and mmpretrain: the tokens of a stage before the
    subsampling attention that leads to the next stage. As in all backbones of transformers, index 0 is the stem and
    index i is stage i, so `out_indices=(0, 1, 2)` of timm and mmpretrain are (1, 2, 3) here.

    Args:
        config: configuration of the network. `out_features` ("stem", "stage1", …) or `out_indices` select the feature
            maps; default: the last stage.

    Examples:
        >>> import torch
        >>> from levit import LevitBackbone, LevitConfig
        >>> backbone = LevitBackbone(LevitConfig.from_variant("levit-128s", out_indices=[1, 2, 3])).eval()
        >>> [tuple(map.shape) for map in backbone(torch.zeros(1, 3, 224, 224)).feature_maps]
        [(1, 128, 14, 14), (1, 256, 7, 7), (1, 384, 4, 4)]
        >>> backbone.channels
        [128, 256, 384]
    """

    _keys_to_ignore_on_load_unexpected = _IGNORED_KEYS

    def __init__(self, config: LevitConfig) -> None:
        super().__init__(config)
        config = self.config  # the configuration of transformers, converted
        architecture = config.architecture()
        self.num_features = [config.hidden_sizes[0], *config.hidden_sizes]
        self.patch_embeddings = build_stem(architecture)
        self.encoder = Encoder(architecture, drop_path_rate=config.drop_path_rate)
        self.post_init()

    def get_input_embeddings(self) -> PatchEmbeddings:
        """Return the stem, whose outputs peft makes require gradients under gradient checkpointing."""
        return self.patch_embeddings

    def forward(
        self,
        pixel_values: Tensor | None = None,
        output_hidden_states: bool | None = None,
        output_attentions: bool | None = None,
        return_dict: bool | None = None,
        **kwargs: Any,
    ) -> tuple[Any, ...] | BackboneOutput:
        """Compute the feature maps of a batch of images of any size.

        Args:
            pixel_values: [B, channels, height, width], floating point, normalized.
            output_hidden_states: return the feature maps of the stem and of all stages, too; default
                `config.output_hidden_states`.
            output_attentions: return the attention probabilities of every attention block, too; default
                `config.output_attentions`.
            return_dict: False returns a tuple; default `config.return_dict`.
            **kwargs: ignored.

        Returns:
            `feature_maps`, a tuple of [B, C, rows, columns] in the order of the stages; if requested,
            `hidden_states`, a tuple of [B, C, rows, columns], and `attentions`, a tuple of [B, H, queries, keys].

        Raises:
            ConfigError: pixel_values is missing, not floating point, or has another number of axes or channels.
        """
        outputs, attentions = encode(self, pixel_values, output_attentions)
        maps = [output.features.permute(0, 3, 1, 2) for output in outputs]  # [B, C, rows, columns]
        output = BackboneOutput(
            feature_maps=tuple(
                map_ for name, map_ in zip(self.stage_names, maps, strict=True) if name in self.out_features
            ),
            hidden_states=tuple(maps) if override(self.config.output_hidden_states, output_hidden_states) else None,
            attentions=attentions,
        )
        return output if override(self.config.return_dict, return_dict) else output.to_tuple()


def encode(
    model: LevitModel | LevitBackbone, pixel_values: Tensor | None, output_attentions: bool | None
) -> tuple[list[StageOutput], tuple[Tensor, ...] | None]:
    """Run the stem and all stages.

    Args:
        model: network with `patch_embeddings` and `encoder`.
        pixel_values: [B, channels, height, width], floating point, normalized.
        output_attentions: return attention probabilities; None for `config.output_attentions`.

    Returns:
        The outputs of the stem and of each stage, and the attention probabilities [B, H, queries, keys] of each
        attention block, or None.
    """
    recorder = RecordingAttention() if override(model.config.output_attentions, output_attentions) else None
    attention_function = recorder or ATTENTION_FUNCTIONS[model.config._attn_implementation or "eager"]
    outputs = model.encoder(model.patch_embeddings(pixel_values), attention_function)
    return outputs, tuple(recorder.probabilities) if recorder else None


def override(configured: bool | None, argument: bool | None) -> bool:
    """Return the argument of a call, or the value of the configuration if the argument is None."""
    return bool(configured if argument is None else argument)
