"""Settings that follow from the number of training images, where the user does not give them.

| training images | steps | batch | average over |
| --- | --- | --- | --- |
| fewer than 75 | 60 | 16 | 20 steps |
| fewer than 200 | 120 | 16 | 20 steps |
| fewer than 5,000 | 300 | 32 | 33 steps |
| more | the defaults of `levit.TrainingOptions` | | |

The number of epochs is the smallest that has these steps, and at least 10. With fewer than 5,000 images the warm-up
is a tenth of the run, a random crop keeps at least 35 % of an image, and the statistics of batch norms are frozen,
because those of small batches change the features. A LeViT has a learning rate of 1e-3 with a layer decay of 0.75, and
its heads for new classes start as a linear probe. Networks of timm keep the learning rate of the defaults, without
layer decay: some have so many layers that the first ones would be frozen in effect. Random weights, which need longer
training, keep all defaults. A state is saved every 20 steps or more, because saving takes longer than a step.

With fewer than 100 validation images one of them is more than a percent of the accuracy, so that the best of many
epochs is mostly luck: the last epoch is kept instead, whose learning rate is near zero. `benchmarks/small_data.py`
compares the settings with the defaults.

Training images are all those that are trained on: also those without labels, with a teacher, and
out-of-distribution images.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from math import ceil
from typing import Any, NamedTuple

from levit.training.options import TrainingOptions, option_defaults

AUTOMATIC_SETTINGS = frozenset(
    {
        "batch_size", "ema", "ema_warmup", "epochs", "freeze_batch_norm", "layer_decay", "lr", "min_crop", "new_heads",
        "save_epochs", "select", "warmup_epochs",
    }
)  # fmt: skip
"""Names of the options that are chosen."""

FEW_VALIDATION_IMAGES = 100

MANY_IMAGES = 5000
"""Training images from which on the settings do not depend on their number."""

_SAVE_STEPS = 20


class _Schedule(NamedTuple):
    batch_size: int
    steps: int
    ema: float


_SCHEDULES = {75: _Schedule(16, 60, 0.95), 200: _Schedule(16, 120, 0.95), MANY_IMAGES: _Schedule(32, 300, 0.97)}
"""Schedules for fewer training images than the key."""


def automatic_settings(
    options: TrainingOptions,
    given: Collection[str],
    *,
    num_images: int,
    num_validation_images: int,
    is_levit: bool = True,
    is_multi_label: bool = False,
) -> dict[str, Any]:
    """Choose the settings of a run that fine-tunes trained weights.

    Args:
        options: options of the run.
        given: names of the options whose values the user gives, which are not chosen.
        num_images: number of training images.
        num_validation_images: number of validation images.
        is_levit: whether the network is a LeViT, not one of timm.
        is_multi_label: whether an image may have any number of labels; new heads then do not start as a linear probe.

    Returns:
        Values of those of `AUTOMATIC_SETTINGS` that are not given and differ from the defaults.

    Examples:
        >>> options = TrainingOptions.from_flat(data="photos", epochs=20)
        >>> settings = automatic_settings(options, {"data", "epochs"}, num_images=54, num_validation_images=6)
        >>> settings["select"], settings["batch_size"], "epochs" in settings
        ('last', 16, False)
        >>> automatic_settings(options, {"data"}, num_images=50000, num_validation_images=5000)
        {}
    """
    settings: dict[str, Any] = {}
    if num_validation_images < FEW_VALIDATION_IMAGES and not {"metric", "patience", "best_window"} & set(given):
        settings["select"] = "last"
    if num_images < MANY_IMAGES and not options.model.from_scratch:
        if is_levit:
            settings |= {"lr": 1e-3, "layer_decay": 0.75}
        settings |= _fine_tuning(options, given, num_images)
        settings["freeze_batch_norm"] = not options.model.sync_bn
        if is_levit and not is_multi_label:
            settings["new_heads"] = "linear-probe"
    defaults = option_defaults()
    return {name: value for name, value in settings.items() if name not in given and value != defaults[name]}


def describe_settings(settings: Mapping[str, Any]) -> str:
    """Describe settings on one line.

    Examples:
        >>> describe_settings({"batch_size": 16, "lr": 0.005})
        'batch_size 16, lr 0.005'
    """
    texts = {name: f"{value:g}" if isinstance(value, float) else str(value) for name, value in settings.items()}
    return ", ".join(f"{name} {text}" for name, text in texts.items())


def _fine_tuning(options: TrainingOptions, given: Collection[str], num_images: int) -> dict[str, Any]:
    """Settings for fewer than `MANY_IMAGES` images, consistent with the given ones."""
    schedule = next(schedule for limit, schedule in _SCHEDULES.items() if num_images < limit)
    batch_size, epochs = options.optimizer.batch_size, options.schedule.epochs
    if "batch_size" not in given:
        batch_size = max(2, min(schedule.batch_size, num_images // 2 * 2))
    steps_per_epoch = ceil(num_images / batch_size)
    if "epochs" not in given:
        epochs = max(10, ceil(schedule.steps / steps_per_epoch))
    return {
        "batch_size": batch_size, "epochs": epochs, "warmup_epochs": round(epochs / 10, 1),
        "ema": schedule.ema, "ema_warmup": True, "min_crop": 0.35,
        "save_epochs": min(epochs, ceil(_SAVE_STEPS / steps_per_epoch)),
    }  # fmt: skip
