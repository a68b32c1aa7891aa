"""Training options: groups of fields with flat names (standard library only)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import Field, asdict, dataclass, field, fields
from difflib import get_close_matches
from typing import Any

from levit.errors import ConfigError
from levit.training.option_aliases import ALIASES
from levit.training.option_groups import (
    AugmentationOptions,
    DataOptions,
    ModelOptions,
    OptimizerOptions,
    RunOptions,
    ScheduleOptions,
    TeacherOptions,
)
from levit.training.unused_options import check_no_unused_options


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
