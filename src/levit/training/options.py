"""Everything that a training run can be told: one documented field each, checked (standard library only)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from difflib import get_close_matches
from math import isfinite
from os import PathLike, fspath
from pathlib import Path
from typing import Any

from levit.errors import ConfigError

CHOICES = {
    "distillation": ("hard", "soft"),
    "optimizer": ("adamw", "muon"),
    "class_weights": ("none", "balanced"),
    "crop": ("resized", "padded"),
    "freeze": ("nothing", "stem", "backbone"),
    "metric": ("top1", "top5", "f1", "loss", "map"),
    "precision": ("auto", "fp32", "bf16", "fp16"),
    "on_bad_image": ("skip", "fail"),
    "report_to": ("none", "tensorboard", "wandb"),
}

# What may be another on another machine without changing what is computed; of the images there is a digest.
_CIRCUMSTANCES = ("data", "val", "workers", "save_minutes", "report_to", "resume", "out")


def _option(default: Any, text: str, *, low: float | None = None, high: float | None = None) -> Any:
    return field(default=default, metadata={"help": text, "low": low, "high": high})


@dataclass(frozen=True, kw_only=True)
class TrainingOptions:
    """A training run; every field is an option of `levit train` and a line of its YAML file.

    The defaults fine-tune a published network on a few thousand photos.

    Raises:
        ConfigError: a value is none of its option's; the message names the flag.

    Examples:
        >>> TrainingOptions(data="photos", out="run", epochs=5).batch_size
        64
    """

    data: str = _option("", "Labeled images to learn from: what `levit data` reads.")
    out: str = _option("", "The folder of the run.")
    val: str | None = _option(None, "Images to choose by; default: the validation part of DATA, or a share of it.")
    val_share: float = _option(0.1, "That share, of every class.", low=0, high=0.9)

    model: str = _option("levit-128s", "What learns: a size, a path, an id on the hub, or timm/NAME.")
    from_scratch: bool = _option(False, "Start with random weights.")
    image_size: int | None = _option(None, "Height and width in pixels; default: the model's own.", low=1)
    patch_size: int | None = _option(None, "Pixels along a side of a token: 4, 8 or 16; only from scratch.", low=1)
    drop_path: float | None = _option(None, "Rate at which residual branches are left out.", low=0, high=0.99)
    freeze: str = _option("nothing", "What does not learn: nothing, stem or backbone (all but the heads).")
    freeze_batch_norm: bool = _option(False, "Batch norms keep the statistics they have.")
    sync_bn: bool = _option(False, "On several GPUs, batch norms share their statistics.")

    teacher: str | None = _option(
        None, "A path or run, an id on the hub, or timm/NAME; or several, as A,B; none is the default."
    )
    distillation: str = _option("hard", "The second head learns the teacher's decision (hard) or scores (soft).")
    alpha: float = _option(0.5, "The teacher's share of the loss.", low=0, high=1)
    tau: float = _option(1.0, "Temperature of soft distillation.", low=1e-3)

    epochs: int = _option(30, "How often all images are gone through, cool-down left out.", low=1)
    batch_size: int = _option(64, "Images in a step, over all processes.", low=2)
    accumulate: int = _option(1, "Parts in which a process computes its share of a step.", low=1)
    optimizer: str = _option("adamw", "adamw; or muon, whose steps take longer: for large batches.")
    lr: float = _option(5e-4, "The highest learning rate.", low=0)
    min_lr: float = _option(1e-5, "The lowest, at the end of the cosine.", low=0)
    warmup_epochs: float = _option(1.0, "Epochs in which the learning rate rises.", low=0)
    warmup_lr: float = _option(1e-6, "What it rises from.", low=0)
    cooldown_epochs: int = _option(0, "Epochs more at the lowest.", low=0)
    weight_decay: float = _option(0.025, "How much weights shrink; biases, norms and attention biases do not.", low=0)
    layer_decay: float = _option(
        1.0, "Factor of the learning rate from each block to the one before.", low=0.01, high=1
    )
    clip: float = _option(0.0, "Adaptive gradient clipping, heads left out; 0 is none.", low=0)
    label_smoothing: float = _option(0.1, "Of the labels.", low=0, high=0.99)
    ema: float = _option(0.0, "Decay of the moving average of the weights; 0 is none.", low=0, high=0.999999)
    class_weights: str = _option("none", "balanced: a rare class, or label, counts as much as a frequent one.")

    crop: str = _option("resized", "resized: a random part; padded: the whole, shifted by an eighth at most.")
    min_crop: float = _option(0.08, "The smallest share of an image that a resized crop shows.", low=0.001, high=1)
    flip: float = _option(0.5, "How often an image is mirrored.", low=0, high=1)
    color_jitter: float = _option(0.4, "Of brightness, contrast and saturation; without auto_augment only.", low=0)
    auto_augment: str = _option("none", "timm's policy, as rand-m9-mstd0.5-inc1 (RandAugment), or none.")
    erase: float = _option(0.0, "How often a rectangle is erased.", low=0, high=1)
    mixup: float = _option(0.0, "alpha of mixup; 0 is none.", low=0)
    cutmix: float = _option(0.0, "alpha of CutMix; 0 is none.", low=0)
    mix_share: float = _option(1.0, "The share of steps that are mixed at all.", low=0, high=1)
    repeats: int = _option(1, "How often an image stands in a row, each time augmented anew.", low=1)

    metric: str = _option("top1", "What the best epoch is best by: top1, top5, f1, loss, or map for several labels.")
    patience: int = _option(
        0, "Stop after so many epochs without a better one (of equals, one of less loss is better); 0 is never.", low=0
    )
    seed: int = _option(0, "Of everything that is random.", low=0)
    precision: str = _option("auto", "auto, fp32, bf16 or fp16; auto is bf16 where the hardware has it.")
    compile: bool = _option(False, "Use torch.compile.")
    workers: int | None = _option(None, "Processes that prepare images; default: by the number of cores.", low=0)
    on_bad_image: str = _option("skip", "skip: the next image stands in, and its name is told; or fail.")
    save_minutes: float = _option(10.0, "How often, besides every epoch, all that is needed to go on is saved.", low=0)
    report_to: str = _option("tensorboard", "Who else is told of every epoch: none, tensorboard or wandb.")
    resume: bool = _option(False, "Go on with the run that is in OUT, if there is one.")

    def __post_init__(self) -> None:
        for one in fields(self):
            if isinstance(value := getattr(self, one.name), PathLike):
                object.__setattr__(self, one.name, fspath(value))
            _check(one.name, getattr(self, one.name), str(one.type), one.metadata)
        if self.val == "":
            raise ConfigError("--val is empty: name images, or leave it out")
        if self.warmup_epochs >= self.epochs and self.warmup_epochs > 1:
            raise ConfigError(f"--warmup-epochs is {self.warmup_epochs}: it must be less than --epochs {self.epochs}")
        if self.min_lr > self.lr:
            raise ConfigError(f"--min-lr {self.min_lr} is more than --lr {self.lr}")
        if self.patch_size is not None and not self.from_scratch:
            raise ConfigError("--patch-size: trained weights have theirs: add --from-scratch")
        if self.freeze != "nothing" and self.from_scratch:
            raise ConfigError(f"--freeze {self.freeze}: random weights would stay random: leave out --from-scratch")

    @property
    def is_taught(self) -> bool:
        """Whether there is a teacher."""
        return self.teacher is not None and self.teacher.strip(", ") not in ("", "none")

    def to_dict(self) -> dict[str, Any]:
        """All fields as plain values, for a YAML file."""
        return asdict(self)

    def differences(self, other: TrainingOptions) -> list[str]:
        """The flags of what would be computed otherwise.

        Examples:
            >>> TrainingOptions(lr=1e-3, workers=1).differences(TrainingOptions(lr=2e-3, workers=2))
            ['--lr']
        """
        mine, theirs = self.to_dict(), other.to_dict()
        return [flag(name) for name in mine if name not in _CIRCUMSTANCES and mine[name] != theirs[name]]


def options_from(values: Mapping[str, Any], where: str) -> TrainingOptions:
    """Options from plain values, as YAML gives them.

    A number may be a text there, as `5e-4` is, and a name may be spelled as on the command line, `batch-size`.

    Args:
        values: by name of the field.
        where: they come from, for errors.

    Raises:
        ConfigError: there is no such option, or it has no such value.

    Examples:
        >>> options_from({"lr": "5e-4"}, "recipe.yaml").lr
        0.0005
    """
    kinds = {one.name: str(one.type) for one in fields(TrainingOptions)}
    values = {str(name).replace("-", "_"): value for name, value in values.items()}
    for name in values:
        if name not in kinds:
            close = get_close_matches(name, kinds, 1)
            advice = f"is {close[0]!r} meant?" if close else "`levit train --help` lists them"
            raise ConfigError(f"{where}: there is no option {name!r}: {advice}")
    return TrainingOptions(**{name: _read(value, kinds[name]) for name, value in values.items()})


def read_options(file: str | Path) -> dict[str, Any]:
    """The values that a YAML file gives.

    Raises:
        ConfigError: it cannot be read, or is not a list of names and values.
    """
    import yaml

    try:
        values = yaml.safe_load(Path(file).read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{file}: cannot be read ({error.strerror})") from error
    except (UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f"{file}: not a YAML file ({' '.join(str(error).split())})") from error
    if not isinstance(values, dict):
        raise ConfigError(f"{file}: give one option on each line, as `epochs: 30`")
    return values


def flag(name: str) -> str:
    """What an option is called on the command line."""
    return "--" + name.replace("_", "-")


def _read(value: Any, kind: str) -> Any:
    if isinstance(value, str) and kind.split(" ")[0] in ("float", "int"):
        try:
            return float(value) if kind.startswith("float") else int(value)
        except ValueError:
            return value  # the check says what is wrong with it
    return float(value) if kind.startswith("float") and type(value) is int else value


def _check(name: str, value: Any, kind: str, metadata: Mapping[str, Any]) -> None:
    if value is None and kind.endswith("None"):
        return
    kinds: dict[str, type] = {"str": str, "int": int, "float": float, "bool": bool}
    wanted = kinds[kind.split(" ")[0]]
    if wanted is float and type(value) is int:
        value = float(value)
    if type(value) is not wanted or (isinstance(value, float) and not isfinite(value)):
        kind_name = {str: "a text", bool: "true or false", int: "a whole number", float: "a number"}[wanted]
        raise ConfigError(f"{flag(name)} is {value!r}: give {kind_name}")
    low, high = metadata["low"], metadata["high"]
    if (low is not None and value < low) or (high is not None and value > high):
        bounds = f"at least {low}" if high is None else f"from {low} to {high}"
        raise ConfigError(f"{flag(name)} is {value!r}: it must be {bounds}")
    if name in CHOICES and value not in CHOICES[name]:
        raise ConfigError(f"{flag(name)} is {value!r}: use {' or '.join(CHOICES[name])}")
