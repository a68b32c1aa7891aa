"""Options of distillation: teachers and loss (standard library only)."""

from __future__ import annotations

from dataclasses import dataclass

from levit.training.option_fields import option, validate_options


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
