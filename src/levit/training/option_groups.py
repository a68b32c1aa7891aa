"""Groups of training options: validated fields (standard library only)."""

from __future__ import annotations

from dataclasses import dataclass

from levit.errors import ConfigError
from levit.training.option_fields import option, validate_options


@dataclass(frozen=True, kw_only=True)
class DataOptions:
    """Training and validation images."""

    data: str = option("", "Training set: labeled images that `levit data` reads.", changes_result=False)
    val: str | None = option(
        None, "Validation set; default: the validation split of the data, or a share of it.", changes_result=False
    )
    val_share: float = option(
        0.1, "Fraction of every class for validation, where the data has no validation split.", low=0, high=0.9
    )
    unlabeled: str | None = option(
        None, "Further images without labels, for training with a teacher.", changes_result=False
    )
    outliers: str | None = option(
        None, "Out-of-distribution images: the scores of all classes are trained to be equal.", changes_result=False
    )
    allow_outside: bool = option(
        False, "Read images outside the folder of the data, where a table names them.", changes_result=False
    )
    workers: int | None = option(
        None, "Number of processes that load images; default: by the number of cores.", low=0, changes_result=False
    )
    on_bad_image: str = option(
        "skip", "Unreadable image: skip (the next one replaces it, a line reports it) or fail.",
        choices=("skip", "fail"),
    )  # fmt: skip

    def __post_init__(self) -> None:
        validate_options(self)
        for name in ("val", "unlabeled", "outliers"):
            if getattr(self, name) == "":
                raise ConfigError("is empty", source=name, hint="give images, or leave it out")


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
class TeacherOptions:
    """Distillation teachers and loss."""

    teacher: str | None = option(
        None, "Distillation teacher: a path (ONNX, too), a Hugging Face model ID or timm/NAME; several as A,B."
    )
    teacher_size: int | None = option(
        None, "Height and width of the teacher's input in pixels; default: its own.", low=1
    )
    teacher_engine: str = option(
        "auto", "What computes the teacher: torch, openvino (a process on the CPU), or auto: openvino on CPUs.",
        choices=("auto", "torch", "openvino"),
    )  # fmt: skip
    teacher_classes: str = option(
        "data", "Classes to predict: those of the data, or all of the teacher's.", choices=("data", "all")
    )
    teacher_views: int = option(
        0, "Fixed augmentations per image, with cached teacher logits; 0: new augmentations every epoch.", low=0
    )
    distillation: str = option(
        "hard", "Target of the distillation head: the teacher's class (hard) or scores (soft).",
        choices=("hard", "soft"),
    )  # fmt: skip
    alpha: float = option(0.5, "Weight of the distillation loss.", low=0, high=1)
    tau: float = option(1.0, "Temperature of soft distillation.", low=1e-3)

    def __post_init__(self) -> None:
        validate_options(self)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the teachers; empty without distillation (`teacher` is None, "none" or empty)."""
        names = tuple(name.strip() for name in (self.teacher or "").split(",") if name.strip())
        return () if names == ("none",) else names

    @property
    def has_teacher(self) -> bool:
        """Whether the network is trained with distillation."""
        return bool(self.names)

    @property
    def uses_unlabeled(self) -> bool:
        """Whether images without a label are trained on: they have no other loss than that of a teacher."""
        return self.has_teacher and self.alpha > 0


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
    warmup_epochs: float = option(1.0, "Epochs of linear warm-up; in a run that is not longer, half of it.", low=0)
    warmup_lr: float = option(1e-6, "Initial learning rate of the warm-up.", low=0)
    cooldown_epochs: int = option(0, "Additional epochs at the final learning rate.", low=0)

    def __post_init__(self) -> None:
        validate_options(self)
        if self.min_lr > self.lr:
            raise ConfigError(f"is {self.min_lr}", source="min_lr", hint=f"must be at most `lr`, {self.lr}")

    @property
    def total_epochs(self) -> int:
        """Number of epochs, cool-down included."""
        return self.epochs + self.cooldown_epochs


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
    downscale: float = option(
        0.0, "Probability of reducing a crop to 30 to 70 % of the input size, with aliasing or without.", low=0, high=1
    )
    blur: float = option(0.0, "Probability of Gaussian blur of a crop, at most at the input size.", low=0, high=1)
    jpeg: float = option(0.0, "Probability of JPEG compression of a crop, at most at the input size.", low=0, high=1)
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
