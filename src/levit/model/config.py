"""Configuration class of the networks."""

from __future__ import annotations

from typing import Any, ClassVar

from transformers import PreTrainedConfig
from transformers.backbone_utils import BackboneConfigMixin

from levit.checkpoints.training_fields import training_fields
from levit.checkpoints.transformers_configuration import (
    EXTENDED_FIELDS,
    FIELD_ALIASES,
    MODEL_TYPES,
    SCALAR_FIELDS,
    architecture_from_config,
    config_from_architecture,
    is_supported_by_transformers,
    labels_from_config,
)
from levit.errors import ConfigError
from levit.spec.architecture import Architecture
from levit.spec.architecture_fields import STAGE_FIELDS
from levit.spec.distillation import DISTILLATION_DEFAULTS, check_distillation
from levit.spec.variants import find_variant


class LevitConfig(BackboneConfigMixin, PreTrainedConfig):
    """Configuration of a LeViT network, compatible with transformers' `LevitConfig`.

    The defaults are the documented ones of transformers, which describe LeViT-128. (transformers' documentation calls
    them 128S, which has other numbers of heads and blocks: use `from_variant`.) Saved files can be read by stock
    transformers; see `to_dict`. `from_variant` returns the configuration of a published network such as
    [facebook/levit-128S](https://huggingface.co/facebook/levit-128S).

    Args:
        image_size: (height, width) of the input in pixels, or one number for both.
        num_channels: number of input channels.
        kernel_size, stride, padding: of each convolution of the stem, in pixels of its input; two numbers as padding
            are those before and after the rows and columns.
        patch_size: ratio of the image size to the number of rows and columns of the first stage's tokens; a power of
            `stride`. 16 results in four convolutions.
        hidden_sizes: channels per token in each stage; its length is the number of stages.
        num_attention_heads: number of attention heads in each stage.
        depths: number of pairs of attention block and MLP block in each stage.
        key_dim: query and key channels per attention head in each stage.
        drop_path_rate: probability of dropping a residual branch in training mode (stochastic depth), in [0, 1).
        mlp_ratio, mlp_ratios: ratio of the hidden width of the MLPs to the width of the stage, per stage; 0 omits the
            MLPs. Two names of one parameter.
        attention_ratio, attention_ratios: ratio of the value channels to the key channels of a head, per stage. Two
            names of one parameter.
        initializer_range: standard deviation of the initial weights of the classification heads.
        down_ops: subsampling attention between the stages, one
            `["Subsample", key_dim, num_heads, attention_ratio, mlp_ratio, stride]` per pair of stages; default:
            `hidden_sizes[i] // key_dim[0]` heads, attention ratio 4, MLP ratio 2, stride 2.
        activation: "hardswish", or "silu" as in some networks of timm; "gelu", "gelu_tanh" or "none".
        stem_activation, attention_activation: activations of the stem and of the attention blocks, if they are others.
        stem_channels: output channels of each convolution of the stem; default: doubling up to the first hidden size.
        stem_batch_norm, mlp_batch_norm, head_batch_norm: whether these parts have batch norms; without, the layers of
            the stem and of the MLPs have biases, as in vit-pytorch.
        has_attention_masks: whether each attention has a mask among its weights (sparse attention).
        distillation_type: loss of the second head of `LevitForImageClassificationWithTeacher`: "hard" trains on the
            teacher's predicted classes, "soft" on its distribution (see
            `levit.model.distillation.distillation_loss`).
        distillation_alpha: weight of the second head's loss, in [0, 1].
        distillation_tau: temperature of the soft loss, above 0.
        out_features, out_indices: feature maps that `LevitBackbone` returns, as names ("stem", "stage1", …) or indices
            (0 is the stem), in order; default: the last stage.
        **kwargs: further fields of `PreTrainedConfig` (`id2label`, `num_labels`, `return_dict`, …).

    Raises:
        ConfigError: a value is invalid, or the values do not describe a network; the message names the field.

    Examples:
        >>> from levit import LevitConfig
        >>> LevitConfig().hidden_sizes, LevitConfig.from_variant("levit-128s").depths
        ([128, 256, 384], [2, 3, 4])
    """

    model_type = MODEL_TYPES[0]
    attribute_map = FIELD_ALIASES  # transformers' mechanism for second names of fields
    # Outputs that Trainer omits from its predictions: with two heads these are then the mean logits alone.
    keys_to_ignore_at_inference: ClassVar[list[str]] = [
        "cls_logits",
        "distillation_logits",
        "hidden_states",
        "attentions",
    ]

    image_size: Any = 224
    num_channels: int = 3
    kernel_size: int = 3
    stride: int = 2
    padding: Any = 1
    patch_size: Any = 16
    hidden_sizes: Any = (128, 256, 384)
    num_attention_heads: Any = (4, 8, 12)
    depths: Any = (4, 4, 4)
    key_dim: Any = (16, 16, 16)
    drop_path_rate: float = 0
    mlp_ratio: Any = (2, 2, 2)
    attention_ratio: Any = (2, 2, 2)
    initializer_range: float = 0.02
    down_ops: Any = None
    activation: str = "hardswish"
    stem_activation: str | None = None
    attention_activation: str | None = None
    stem_channels: Any = None
    stem_batch_norm: bool = True
    mlp_batch_norm: bool = True
    head_batch_norm: bool = True
    has_attention_masks: bool = False
    distillation_type: str = DISTILLATION_DEFAULTS["distillation_type"]
    distillation_alpha: float = DISTILLATION_DEFAULTS["distillation_alpha"]
    distillation_tau: float = DISTILLATION_DEFAULTS["distillation_tau"]

    def __post_init__(self, **kwargs: Any) -> None:
        for plural, singular in FIELD_ALIASES.items():
            if plural in kwargs:
                setattr(self, singular, kwargs.pop(plural))
        self.drop_path_rate = kwargs.pop("levit_drop_path_rate", self.drop_path_rate)
        self.check_training_fields()
        if isinstance(kwargs.get("architecture"), str):
            raise ConfigError(
                f"timm's configuration of {kwargs['architecture']}",
                hint="open it with levit.load_checkpoint, or convert it with `levit convert`",
            )
        kwargs.pop("stage_names", None)  # computed from the depths
        features, indices = kwargs.pop("out_features", None), kwargs.pop("out_indices", None)
        if self.id2label is not None:
            labels_from_config({"id2label": self.id2label})  # checks it; transformers accepts any numbers
        super().__post_init__(**kwargs)
        # Validated here, so that the error is raised where the configuration is created. The stored values are
        # normalized: lists, 2 instead of 2.0, one patch size, and none of the [""] entries that transformers saves.
        values = config_from_architecture(self.architecture())
        for name in (*STAGE_FIELDS, "image_size", "patch_size", "down_ops", "padding", "stem_channels"):
            setattr(self, name, values[name])
        self.set_output_features_output_indices(features, indices)
        self.architectures: list[str] = self.architectures or []  # AutoModel iterates over it and fails on None

    def check_training_fields(self) -> None:
        """Check the fields that concern training only; `architecture` checks the others.

        Raises:
            ConfigError: a value is invalid; the message names the field.
        """
        training_fields({"drop_path_rate": self.drop_path_rate, "initializer_range": self.initializer_range})
        if self.drop_path_rate >= 1:
            raise ConfigError(
                f"{self.drop_path_rate!r} is invalid", source="drop_path_rate", hint="use a number from 0 to below 1"
            )
        check_distillation(self.distillation_type, self.distillation_alpha, self.distillation_tau)

    @property
    def stage_names(self) -> list[str]:
        """Names that `out_features` may contain: "stem", "stage1", …."""
        return ["stem", *(f"stage{number}" for number in range(1, len(self.depths) + 1))]

    def architecture(self, *, num_classifiers: int = 1) -> Architecture:
        """Return the architecture that this configuration describes.

        Args:
            num_classifiers: number of classification heads: 0, 1 or 2.

        Raises:
            ConfigError: a value is invalid; the message names the field.
        """
        fields = {name: getattr(self, name) for name in ("image_size", "down_ops", *SCALAR_FIELDS, *STAGE_FIELDS)}
        return architecture_from_config(fields | {"id2label": self.id2label}, num_classifiers=num_classifiers)

    @classmethod
    def from_variant(cls, name: str, **kwargs: Any) -> LevitConfig:
        """Return the configuration of a published network.

        Args:
            name: levit-128s, levit-128, levit-192, levit-256, levit-384, or a variant of timm such as levit-384_s8;
                case-insensitive.
            **kwargs: values that differ from the published ones, such as `num_labels=10`. The default of `num_labels`
                is 1000 here.

        Raises:
            ConfigError: no variant has that name, or a value is invalid.
        """
        variant = find_variant(name)
        values = config_from_architecture(variant.architecture())
        del values["num_labels"], values["down_ops"]
        labels = {} if "id2label" in kwargs else {"num_labels": 1000}
        return cls(**{**values, "drop_path_rate": variant.drop_path_rate, **labels, **kwargs})

    @classmethod
    def get_config_dict(cls, *args: Any, **kwargs: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        """Read a config.json, and accept both model types of levit as the type of this class."""
        values, unused = super().get_config_dict(*args, **kwargs)
        if values.get("model_type") in MODEL_TYPES:
            values["model_type"] = cls.model_type
        return values, unused

    def to_dict(self) -> dict[str, Any]:
        """Return the content of config.json.

        Stock transformers accepts only integers as `drop_path_rate`: the file contains 0 and the actual value under
        `levit_drop_path_rate`. A network that stock transformers would compute incorrectly gets a `model_type` that
        it does not know, and a fractional `drop_path_rate`, which its `LevitConfig` refuses if it is used directly.
        """
        values: dict[str, Any] = super().to_dict()
        if self.is_stock():
            values |= {"levit_drop_path_rate": self.drop_path_rate} if self.drop_path_rate else {}
            values["drop_path_rate"] = 0
        else:
            values |= {"model_type": MODEL_TYPES[1], "drop_path_rate": float(self.drop_path_rate)}
        # Fields that stock transformers does not know are omitted if they have their default values.
        defaults = DISTILLATION_DEFAULTS | {
            **EXTENDED_FIELDS,
            "out_features": self.stage_names[-1:],
            "out_indices": [len(self.depths)],
        }
        return {name: value for name, value in values.items() if name not in defaults or value != defaults[name]}

    def is_stock(self) -> bool:
        """Return whether stock transformers computes this network correctly."""
        return is_supported_by_transformers(self.architecture())
