"""LevitConfig: the documented configuration of transformers, with every documented parameter."""

from __future__ import annotations

from typing import Any, ClassVar

from transformers import PreTrainedConfig
from transformers.backbone_utils import BackboneConfigMixin

from levit.checkpoints.transformers_configuration import (
    MODEL_TYPES,
    PER_STAGE,
    SPELLINGS,
    architecture_from_config,
    config_from_architecture,
    is_stock,
    training_fields,
)
from levit.errors import ConfigError
from levit.model.distillation import DISTILLATION_DEFAULTS, check_distillation
from levit.spec.architecture import Architecture
from levit.spec.variants import find_variant


class LevitConfig(BackboneConfigMixin, PreTrainedConfig):
    """The configuration of a LeViT.

    The documented defaults are those of LeViT-128 (the documentation of transformers calls them 128S, which has
    other heads and depths: use `from_variant`). What is saved is what stock transformers reads; see `to_dict`. The
    published configurations can be had by name, as that of
    [facebook/levit-128S](https://huggingface.co/facebook/levit-128S).

    Args:
        image_size: height and width of the input in pixels, or one number for both.
        num_channels: of the input.
        kernel_size, stride, padding: of each convolution of the stem.
        patch_size: by how much the stem shrinks the image, a power of `stride`: 16 is four convolutions.
        hidden_sizes: width of each stage. Their number is the number of stages.
        num_attention_heads: in each stage.
        depths: pairs of attention and MLP in each stage.
        key_dim: query and key channels of a head in each stage.
        drop_path_rate: probability of leaving out a residual branch in training, 0 to 1 (exclusive).
        mlp_ratio, mlp_ratios: hidden width of the MLPs by the stage's width; 0 leaves them out. Two spellings of one
            parameter.
        attention_ratio, attention_ratios: value channels of a head by its key channels. Two spellings.
        initializer_range: standard deviation of freshly initialized heads.
        down_ops: what leads from each stage to the next, one
            `["Subsample", key_dim, num_heads, attention_ratio, mlp_ratio, stride]` each; by default
            `hidden_sizes[i] // key_dim[0]` heads, attention ratio 4, MLP ratio 2, stride 2.
        activation: "hardswish", or "silu" as in some of timm's networks.
        distillation_type: what the second head of …WithTeacher learns from a teacher: "hard", its decisions, or
            "soft", its distribution (see `levit.model.distillation.distillation_loss`).
        distillation_alpha: share of the teacher in the loss, 0 to 1.
        distillation_tau: temperature of the soft loss, above 0.
        out_features, out_indices: what `LevitBackbone` returns: names ("stem", "stage1", …) or numbers (0 is the
            stem), in order; default the last stage.
        **kwargs: everything else that a `PreTrainedConfig` takes (`id2label`, `num_labels`, `return_dict`, …).

    Raises:
        ConfigError: the values describe no network; the message names the field.

    Examples:
        >>> from levit import LevitConfig
        >>> LevitConfig().hidden_sizes, LevitConfig.from_variant("levit-128s").depths
        ([128, 256, 384], [2, 3, 4])
    """

    model_type = MODEL_TYPES[0]
    attribute_map = SPELLINGS  # transformers' own way of giving a field a second name
    # What Trainer is to leave out of the predictions, so that those of two heads are their mean.
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
    padding: int = 1
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
    distillation_type: str = DISTILLATION_DEFAULTS["distillation_type"]
    distillation_alpha: float = DISTILLATION_DEFAULTS["distillation_alpha"]
    distillation_tau: float = DISTILLATION_DEFAULTS["distillation_tau"]

    def __post_init__(self, **kwargs: Any) -> None:
        for plural, singular in SPELLINGS.items():
            if plural in kwargs:
                setattr(self, singular, kwargs.pop(plural))
        self.drop_path_rate = kwargs.pop("levit_drop_path_rate", self.drop_path_rate)
        training_fields({"drop_path_rate": self.drop_path_rate, "initializer_range": self.initializer_range})
        if self.drop_path_rate >= 1:
            raise ConfigError(f"drop_path_rate is {self.drop_path_rate!r}: it must be at least 0 and below 1")
        check_distillation(self.distillation_type, self.distillation_alpha, self.distillation_tau)
        if isinstance(kwargs.get("architecture"), str):
            raise ConfigError(
                f"this is timm's configuration of {kwargs['architecture']}: open it with levit.load_checkpoint, or "
                "rewrite it with `levit convert … --to transformers`"
            )
        kwargs.pop("stage_names", None)  # follow from the depths
        features, indices = kwargs.pop("out_features", None), kwargs.pop("out_indices", None)
        super().__post_init__(**kwargs)
        # Checked here, so that a mistake is named where it was made. What is kept is plain: lists, 2 for 2.0, one
        # patch size, and none of the [""] entries that transformers saves.
        values = config_from_architecture(self.architecture())
        for name in (*PER_STAGE, "image_size", "patch_size", "down_ops"):
            setattr(self, name, values[name])
        self.set_output_features_output_indices(features, indices)
        self.architectures: list[str] = self.architectures or []  # over which AutoModel… loops without looking

    @property
    def stage_names(self) -> list[str]:
        """What `out_features` may name: "stem", "stage1", …."""
        return ["stem", *(f"stage{number}" for number in range(1, len(self.depths) + 1))]

    def architecture(self, *, num_classifiers: int = 1) -> Architecture:
        """What this configuration describes, for a network with that many heads.

        Raises:
            ConfigError: it describes no network; the message names the field.
        """
        fields = {name: getattr(self, name) for name in self._ARCHITECTURE_FIELDS}
        return architecture_from_config(fields | {"id2label": self.id2label}, num_classifiers=num_classifiers)

    @classmethod
    def from_variant(cls, name: str, **kwargs: Any) -> LevitConfig:
        """The configuration of a published size (levit-128s, levit-128, levit-192, levit-256, levit-384), or of timm.

        Args:
            name: of the size; upper and lower case are the same.
            **kwargs: what is to differ from it, `num_labels=10` for instance. 1000 labels is the default here.

        Raises:
            ConfigError: no size has that name.
        """
        variant = find_variant(name)
        values = config_from_architecture(variant.architecture())
        del values["num_labels"], values["down_ops"]
        labels = {} if "id2label" in kwargs else {"num_labels": 1000}
        return cls(**{**values, "drop_path_rate": variant.drop_path_rate, **labels, **kwargs})

    @classmethod
    def get_config_dict(cls, *args: Any, **kwargs: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        """The content of a config.json, in which both of levit's model types mean this class."""
        values, rest = super().get_config_dict(*args, **kwargs)
        if values.get("model_type") in MODEL_TYPES:
            values["model_type"] = cls.model_type
        return values, rest

    def to_dict(self) -> dict[str, Any]:
        """What is written to config.json.

        Stock transformers takes only whole numbers for `drop_path_rate`, so there the file says 0 and keeps the real
        value under `levit_drop_path_rate`. A network that stock would compute wrongly gets a `model_type` that stock
        does not know, and a fractional `drop_path_rate`, at which its `LevitConfig` stops where it is used directly.
        """
        values: dict[str, Any] = super().to_dict()
        if self.is_stock():
            values |= {"levit_drop_path_rate": self.drop_path_rate} if self.drop_path_rate else {}
            values["drop_path_rate"] = 0
        else:
            values |= {"model_type": MODEL_TYPES[1], "drop_path_rate": float(self.drop_path_rate)}
        # What stock does not know is left out where it says nothing.
        defaults = DISTILLATION_DEFAULTS | {
            "out_features": self.stage_names[-1:],
            "out_indices": [len(self.depths)],
        }
        return {name: value for name, value in values.items() if name not in defaults or value != defaults[name]}

    def is_stock(self) -> bool:
        """Whether stock transformers computes this network as it is."""
        return is_stock(self.architecture())

    _ARCHITECTURE_FIELDS = (
        "image_size",
        "num_channels",
        "kernel_size",
        "stride",
        "padding",
        "patch_size",
        "hidden_sizes",
        "num_attention_heads",
        "depths",
        "key_dim",
        "mlp_ratio",
        "attention_ratio",
        "down_ops",
        "activation",
    )
