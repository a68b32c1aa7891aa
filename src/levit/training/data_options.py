"""Options of training and validation images (standard library only)."""

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
