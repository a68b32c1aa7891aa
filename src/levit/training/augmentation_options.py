"""Options of the augmentation of training images (standard library only)."""

from __future__ import annotations

from dataclasses import dataclass

from levit.training.option_fields import option, validate_options


@dataclass(frozen=True, kw_only=True)
class AugmentationOptions:
    """Augmentation of training images, and mixing of batches."""

    crop: str = option(
        "resized", "Random crop: resized (RandomResizedCrop) or padded (whole image, shifted by up to 1/8).",
        choices=("resized", "padded"),
    )  # fmt: skip
    min_crop: float = option(0.08, "Smallest area of a resized crop, as a fraction of the image.", low=0.001, high=1)
    flip: float = option(0.5, "Probability of a horizontal flip.", low=0, high=1)
    color_jitter: float = option(
        0.4, "Jitter of brightness, contrast and saturation; with a policy of auto_augment only beside 3a.", low=0
    )
    auto_augment: str = option("none", "timm's policy, such as rand-m9-mstd0.5-inc1 (RandAugment), or none.")
    sharpen: float = option(
        0.0, "Probability of unsharp masking: small images that are enlarged become as sharp as photos.", low=0, high=1
    )
    erase: float = option(0.0, "Probability of random erasing.", low=0, high=1)
    mixup: float = option(0.0, "Mixup alpha; 0 disables it.", low=0)
    cutmix: float = option(0.0, "CutMix alpha; 0 disables it.", low=0)
    mix_share: float = option(1.0, "Probability that a step uses mixup or CutMix.", low=0, high=1)
    repeats: int = option(1, "Repeated augmentation: copies of an image in a row, each augmented.", low=1)

    def __post_init__(self) -> None:
        validate_options(self)
