"""Published model sizes."""

from __future__ import annotations

from dataclasses import dataclass

from levit.errors import ConfigError
from levit.spec.architecture import Architecture


@dataclass(frozen=True)
class Variant:
    """Published model size.

    Attributes:
        name: name in lower case, such as `levit-128s`.
        hidden_sizes, num_attention_heads, depths, activation, patch_size: as in `Architecture`.
        key_dim: channels of a query and of a key in each head, the same in all stages.
        drop_path_rate: probability in [0, 1) of skipping a residual branch in training.
        published_top1: top-1 accuracy on the validation set of ImageNet, a fraction in [0, 1], that the authors state
            for their released weights, which were trained by distillation (facebookresearch/LeViT, README); None if no
            weights were released.
    """

    name: str
    hidden_sizes: tuple[int, ...]
    num_attention_heads: tuple[int, ...]
    depths: tuple[int, ...]
    key_dim: int
    drop_path_rate: float = 0.0
    published_top1: float | None = None
    activation: str = "hardswish"
    patch_size: int = 16

    def architecture(self, *, num_labels: int = 1000, num_classifiers: int = 2, image_size: int = 224) -> Architecture:
        """Architecture of this size.

        Args:
            num_labels: number of classes.
            num_classifiers: number of heads, 0 to 2.
            image_size: height and width of the input in pixels.
        """
        return Architecture(
            image_size=image_size,
            patch_size=self.patch_size,
            activation=self.activation,
            hidden_sizes=self.hidden_sizes,
            num_attention_heads=self.num_attention_heads,
            depths=self.depths,
            key_dim=(self.key_dim,) * len(self.depths),
            num_labels=num_labels,
            num_classifiers=num_classifiers,  # type: ignore[arg-type]  # checked by Architecture
        )


VARIANTS = {
    variant.name: variant
    for variant in (
        Variant("levit-128s", (128, 256, 384), (4, 6, 8), (2, 3, 4), 16, 0.0, 0.766),
        Variant("levit-128", (128, 256, 384), (4, 8, 12), (4, 4, 4), 16, 0.0, 0.786),
        Variant("levit-192", (192, 288, 384), (3, 5, 6), (4, 4, 4), 32, 0.0, 0.8),
        Variant("levit-256", (256, 384, 512), (4, 6, 8), (4, 4, 4), 32, 0.0, 0.816),
        Variant("levit-384", (384, 512, 768), (6, 9, 12), (4, 4, 4), 32, 0.1, 0.826),
    )
}

# Sizes that timm adds; no weights were published for them.
TIMM_VARIANTS = {
    variant.name: variant
    for variant in (
        Variant("levit-256d", (256, 384, 512), (4, 6, 8), (4, 8, 6), 32, activation="silu"),
        Variant("levit-512", (512, 768, 1024), (8, 12, 16), (4, 4, 4), 64, activation="silu"),
        Variant("levit-512d", (512, 640, 768), (8, 10, 12), (4, 8, 6), 64, activation="silu"),
        Variant("levit-384-s8", (384, 512, 768), (6, 9, 12), (4, 4, 4), 32, activation="silu", patch_size=8),
        Variant("levit-512-s8", (512, 640, 896), (8, 10, 14), (4, 4, 4), 64, activation="silu", patch_size=8),
    )
}

ALL_VARIANTS = VARIANTS | TIMM_VARIANTS


def find_variant(name: str) -> Variant:
    """Find a variant by name, ignoring case and treating `_` as `-`.

    Raises:
        ConfigError: there is no such variant; the hint lists them.

    Examples:
        >>> find_variant("LeViT-128S").depths
        (2, 3, 4)
    """
    variant = ALL_VARIANTS.get(name.lower().replace("_", "-"))
    if variant is None:
        raise ConfigError("unknown variant", source=name, hint=f"use one of {', '.join(ALL_VARIANTS)}")
    return variant
