"""Training options: groups of validated fields with flat names (standard library only)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import Field, asdict, dataclass, field, fields
from difflib import get_close_matches
from typing import Any

from levit.errors import ConfigError
from levit.training.augmentation_options import AugmentationOptions
from levit.training.data_options import DataOptions
from levit.training.option_aliases import ALIASES
from levit.training.option_fields import option, validate_options
from levit.training.teacher_options import TeacherOptions
from levit.training.unused_options import check_no_unused_options


@dataclass(frozen=True, kw_only=True)
class ModelOptions:
    """Network, its initial weights, and its frozen parts."""

    model: str = option(
        "levit-128s", "Network: a published size, a path, a model ID on the Hugging Face Hub, or timm/NAME."
    )
    from_scratch: bool = option(False, "Start from random weights.")
    image_size: int | None = option(None, "Height and width of the input in pixels; default: that of the model.", low=1)
    patch_size: int | None = option(None, "Patch size in pixels (4, 8 or 16); only with `from_scratch`.", low=1)
    drop_path: float | None = option(
        None, "Drop path (stochastic depth) rate; default: that of the model.", low=0, high=0.99
    )
    attention_mask: str | None = option(
        None, "Sparse attention: masks of levit sparsify (masks.safetensors), or a folder of ViTCoD's mask_*.npy."
    )
    head_autoencoders: bool = option(
        False, "ViTCoD's auto-encoders over the heads of queries and keys, folded into the saved weights."
    )
    new_heads: str = option(
        "random", "Initialization of heads for new classes: random, or linear-probe (logistic regression).",
        choices=("random", "linear-probe"),
    )  # fmt: skip
    freeze: str = option(
        "nothing", "Frozen weights: nothing, stem or backbone (all but the heads).",
        choices=("nothing", "stem", "backbone"),
    )  # fmt: skip
    freeze_batch_norm: bool = option(False, "Keep the running statistics of batch norms.")
    sync_bn: bool = option(False, "Synchronize batch norm statistics over several GPUs.")

    def __post_init__(self) -> None:
        validate_options(self)
        if self.patch_size is not None and not self.from_scratch:
            raise ConfigError("is fixed in trained weights", source="patch_size", hint="add `from_scratch`")
        if self.attention_mask is not None and self.from_scratch:
            reason = "is chosen by the attention of trained weights"
            raise ConfigError(reason, source="attention_mask", hint="leave out `from_scratch`")
        if self.freeze != "nothing" and self.from_scratch:
            reason = f"is {self.freeze!r}, and random weights would stay random"
            raise ConfigError(reason, source="freeze", hint="leave out `from_scratch`")


@dataclass(frozen=True, kw_only=True)
class OptimizerOptions:
    """Batch, loss, optimizer and weight average."""

    batch_size: int = option(64, "Images in a step, over all processes.", low=2)
    accumulate: int = option(1, "Gradient accumulation: microbatches of a process in a step.", low=1)
    optimizer: str = option(
        "adamw", "Optimizer: adamw, or muon, whose steps take longer: for large batches.", choices=("adamw", "muon")
    )
    weight_decay: float = option(0.025, "Weight decay; not applied to biases, norms and attention biases.", low=0)
    layer_decay: float = option(
        1.0, "Layer-wise learning rate decay: factor per block toward the input.", low=0.01, high=1
    )
    clip: float = option(
        0.0, "Adaptive gradient clipping (AGC) factor; not applied to the heads; 0 disables it.", low=0
    )
    label_smoothing: float = option(0.1, "Label smoothing.", low=0, high=0.99)
    class_weights: str = option(
        "none", "Class weights: none or balanced (every class, or label, weighs the same).",
        choices=("none", "balanced"),
    )  # fmt: skip
    ema: float = option(
        0.0, "Decay of the moving average of the weights, per step; 0 disables it.", low=0, high=0.999999
    )
    ema_warmup: bool = option(
        False, "Start the moving average with a small decay, which grows to `ema` (timm's warm-up)."
    )

    def __post_init__(self) -> None:
        validate_options(self)


@dataclass(frozen=True, kw_only=True)
class ScheduleOptions:
    """Number of epochs and learning rate schedule: linear warm-up, cosine, cool-down."""

    epochs: int = option(30, "Number of epochs, cool-down excluded.", low=1)
    lr: float = option(5e-4, "Peak learning rate.", low=0)
    min_lr: float = option(1e-5, "Final learning rate of the cosine schedule.", low=0)
    warmup_epochs: float = option(1.0, "Epochs of linear warm-up.", low=0)
    warmup_lr: float = option(1e-6, "Initial learning rate of the warm-up.", low=0)
    cooldown_epochs: int = option(0, "Additional epochs at the final learning rate.", low=0)

    def __post_init__(self) -> None:
        validate_options(self)
        if self.warmup_epochs >= self.epochs and self.warmup_epochs > 1:
            hint = f"must be less than `epochs`, {self.epochs}"
            raise ConfigError(f"is {self.warmup_epochs}", source="warmup_epochs", hint=hint)
        if self.min_lr > self.lr:
            raise ConfigError(f"is {self.min_lr}", source="min_lr", hint=f"must be at most `lr`, {self.lr}")

    @property
    def total_epochs(self) -> int:
        """Number of epochs, cool-down included."""
        return self.epochs + self.cooldown_epochs


@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """Run directory, model selection, reproducibility and reporting."""

    out: str = option("", "Run directory.", changes_result=False)
    resume: bool = option(False, "Resume the run in the run directory, if there is one.", changes_result=False)
    metric: str = option(
        "top1", "Metric that selects the best epoch; map is for several labels.",
        choices=("top1", "top5", "f1", "loss", "map"),
    )  # fmt: skip
    select: str = option(
        "best", "Weights in the run directory: of the best epoch, or of the last (the average, if there is one).",
        choices=("best", "last"),
    )  # fmt: skip
    best_window: int | None = option(
        None, "Epochs to average the metric over when choosing the best one; default: 3 with `ema`, otherwise 1.", low=1
    )
    patience: int = option(0, "Early stopping: epochs without improvement (ties: lower loss); 0 disables it.", low=0)
    seed: int = option(0, "Random seed.", low=0)
    precision: str = option(
        "auto", "Precision; auto: bf16 where the hardware supports it.", choices=("auto", "fp32", "bf16", "fp16")
    )
    compile: bool = option(False, "Use torch.compile.")
    save_minutes: float = option(
        10.0, "Minutes between checkpoints within an epoch; 0 disables them.", low=0, changes_result=False
    )
    save_epochs: int = option(
        1, "Save a checkpoint every N epochs and after the last one.", low=1, changes_result=False
    )
    keep_state: bool = option(
        False, "Keep the optimizer state and moving average after the run completes.", changes_result=False
    )
    evaluation: bool = option(
        True, "Evaluate the saved model on the validation images at the end, with a report.", changes_result=False
    )
    report_to: str = option(
        "tensorboard", "Experiment tracker.", choices=("none", "tensorboard", "wandb"), changes_result=False
    )

    def __post_init__(self) -> None:
        validate_options(self)


@dataclass(frozen=True, kw_only=True)
class TrainingOptions:
    """Options of a training run, in groups.

    Every field of a group is an option of `levit train`, a line of its YAML file and a keyword of `levit.train`, under
    the same name. The defaults fine-tune a published network on a few thousand photos.

    Attributes:
        data: training and validation images.
        model: network, its initial weights, and its frozen parts.
        teacher: distillation teachers and loss.
        optimizer: batch, loss, optimizer and weight average.
        schedule: number of epochs and learning rate schedule.
        augmentation: augmentation of training images, and mixing of batches.
        run: run directory, model selection, reproducibility and reporting.

    Raises:
        ConfigError: a value is invalid, or has no effect beside other options and is not the default; `source` is the
            name of the option.

    Examples:
        >>> options = TrainingOptions(schedule=ScheduleOptions(epochs=5))
        >>> options == TrainingOptions.from_flat(epochs=5)
        True
    """

    data: DataOptions = field(default_factory=DataOptions)
    model: ModelOptions = field(default_factory=ModelOptions)
    teacher: TeacherOptions = field(default_factory=TeacherOptions)
    optimizer: OptimizerOptions = field(default_factory=OptimizerOptions)
    schedule: ScheduleOptions = field(default_factory=ScheduleOptions)
    augmentation: AugmentationOptions = field(default_factory=AugmentationOptions)
    run: RunOptions = field(default_factory=RunOptions)

    def __post_init__(self) -> None:
        check_no_unused_options(self.to_flat(), option_defaults())

    @classmethod
    def from_flat(cls, **values: Any) -> TrainingOptions:
        """Sort values into their groups.

        Raises:
            ConfigError: an option does not exist, or its value is invalid.

        Examples:
            >>> TrainingOptions.from_flat(data="photos", out="run", lr=1e-3).schedule.lr
            0.001
        """
        check_option_names(values)
        return cls(
            **{
                group: kind(**{item.name: values[item.name] for item in fields(kind) if item.name in values})
                for group, kind in GROUPS.items()
            }
        )

    def to_flat(self) -> dict[str, Any]:
        """All options by name, as plain values."""
        return {name: value for group in asdict(self).values() for name, value in group.items()}

    def with_values(self, **values: Any) -> TrainingOptions:
        """A copy with other values of some options.

        Examples:
            >>> TrainingOptions().with_values(epochs=5).schedule.epochs
            5
        """
        return TrainingOptions.from_flat(**self.to_flat() | values)

    def differences(self, other: TrainingOptions) -> list[str]:
        """Names of the options that differ and change what is computed.

        Paths of images are not among them, because a run compares the names and labels of the images.

        Examples:
            >>> options = TrainingOptions.from_flat(lr=1e-3, workers=1)
            >>> options.differences(TrainingOptions.from_flat(lr=2e-3, workers=2))
            ['lr']
        """
        mine, theirs = self.to_flat(), other.to_flat()
        names = [name for name, item in option_fields().items() if item.metadata["changes_result"]]
        return [name for name in names if mine[name] != theirs[name]]


GROUPS: dict[str, type[Any]] = {
    "data": DataOptions,
    "model": ModelOptions,
    "teacher": TeacherOptions,
    "optimizer": OptimizerOptions,
    "schedule": ScheduleOptions,
    "augmentation": AugmentationOptions,
    "run": RunOptions,
}


def option_fields() -> dict[str, Field[Any]]:
    """The fields of all groups, by the name of the option."""
    return {option_field.name: option_field for kind in GROUPS.values() for option_field in fields(kind)}


def option_defaults() -> dict[str, Any]:
    """The defaults of all options, by name."""
    return {name: option_field.default for name, option_field in option_fields().items()}


def check_option_names(names: Iterable[str], source: str | None = None) -> None:
    """Raise `ConfigError` for a name that is not an option; `source` is the file that contains it."""
    known = option_fields()
    for name in names:
        if name not in known:
            alias = ALIASES[name].option if name in ALIASES else None
            close = get_close_matches(name, known, 1) if alias is None else [alias]
            hint = f"did you mean {close[0]!r}?" if close else "see levit.TrainingOptions for all options"
            raise ConfigError(f"unknown option {name!r}", source=source, hint=hint)
