"""Options of timm's and DeiT's training scripts, and the options of this package with the same meaning.

They are accepted by `levit train` and in recipes. An option whose name is the same there and here is not listed, such
as `batch_size` and `lr`, which have another meaning there (see "Options accepted from timm and DeiT" in
`docs/how-to/training.md`). An option of another name whose meaning differs is not accepted. Standard library only.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from levit.errors import ConfigError


class Alias(NamedTuple):
    """An option of timm or DeiT.

    Attributes:
        option: the option of this package that has its meaning; None where this package does nothing else anyway.
        kind: type of its value on the command line.
        only: the one value that is accepted, with a description for errors; None for any value.
    """

    option: str | None
    kind: type
    only: tuple[Any, str] | None = None


# timm's train.py, and main.py of DeiT and LeViT.
ALIASES: dict[str, Alias] = {
    "img_size": Alias("image_size", int),
    "input_size": Alias("image_size", int),
    "opt": Alias("optimizer", str),
    "clip_grad": Alias("clip", float),
    "clip_mode": Alias("clip", str, ("agc", "agc, the only clipping here; without it leave out `clip_grad`, too")),
    "smoothing": Alias("label_smoothing", float),
    "model_ema": Alias("ema", bool),
    "model_ema_decay": Alias("ema", float),
    "model_ema_warmup": Alias("ema_warmup", bool),
    "sched": Alias(None, str, ("cosine", "cosine, the only schedule here")),
    "hflip": Alias("flip", float),
    "aa": Alias("auto_augment", str),
    "aug_repeats": Alias("repeats", int),
    "repeated_aug": Alias("repeats", bool),
    "reprob": Alias("erase", float),
    "remode": Alias(None, str, ("pixel", "pixel, the only kind of random erasing here")),
    "recount": Alias(None, int, (1, "1, because one rectangle is erased here")),
    "mixup_prob": Alias("mix_share", float),
    "mixup_mode": Alias(None, str, ("batch", "batch, because a step is mixed as a whole here")),
    "mixup_switch_prob": Alias(None, float, (0.5, "0.5, because mixup and CutMix are equally frequent here")),
    "distillation_type": Alias("distillation", str),
    "distillation_alpha": Alias("alpha", float),
    "distillation_tau": Alias("tau", float),
    "eval_metric": Alias("metric", str),
}

# Options of timm and DeiT that take the value of an option of this package, by its name.
SYNONYMS: dict[str, list[str]] = {}
for _name, _alias in ALIASES.items():
    if _alias.option is not None and _alias.only is None and _alias.kind is not bool:
        SYNONYMS.setdefault(_alias.option, []).append(_name)

_REPEATED_AUG = 3  # copies of an image in DeiT's sampler


def resolve_aliases(values: Mapping[str, Any]) -> dict[str, Any]:
    """Replace options of timm and DeiT by those of this package.

    Args:
        values: options by name, of one source: of the command line, or of a recipe. An option of timm whose value is
            None is not set.

    Returns:
        The other options as they are, and those that the aliases mean.

    Raises:
        ConfigError: a value has no equal here, an alias has no effect alone, or two options mean the same.

    Examples:
        >>> resolve_aliases({"lr": 1e-3, "clip_mode": "agc", "clip_grad": 0.01, "aug_repeats": 3})
        {'lr': 0.001, 'clip': 0.01, 'repeats': 3}
    """
    given = {name: value for name, value in values.items() if name in ALIASES and value is not None}
    result = {name: value for name, value in values.items() if name not in ALIASES}
    _check_pairs(given)
    for name, value in given.items():
        for option, meant in _translate(name, value, given).items():
            if option in result:
                raise ConfigError(f"is the same as `{option}`, which is given, too", source=name, hint="give one")
            result[option] = meant
    return result


def _translate(name: str, value: Any, given: Mapping[str, Any]) -> dict[str, Any]:
    """The options that one alias means, by name; `given` contains all aliases that are given."""
    option, _, only = ALIASES[name]
    if only is not None and value != only[0]:
        raise ConfigError(f"is {value!r}", source=name, hint=f"must be {only[1]}")
    if option is None or name == "clip_mode":
        return {}
    if name == "model_ema":
        return {} if value else {option: 0.0}
    if name == "model_ema_decay" and given.get("model_ema") is False:
        return {}
    if name == "repeated_aug":
        return {option: _REPEATED_AUG if value else 1}
    if name == "aug_repeats":  # a float in timm, 0 without repeats
        return {option: max(1, int(value)) if isinstance(value, int | float) and int(value) == value else value}
    if name == "distillation_type" and value == "none":
        return {"teacher": "none"}
    return {option: value}


def _check_pairs(given: Mapping[str, Any]) -> None:
    """Require both options where one has no meaning alone, or a default that differs between timm, DeiT and LeViT."""
    if "clip_grad" in given and "clip_mode" not in given:
        hint = "add `clip_mode=agc` for adaptive clipping, or use `clip`"
        raise ConfigError("limits the norm of all gradients in timm", source="clip_grad", hint=hint)
    if given.get("clip_mode") == "agc" and "clip_grad" not in given:
        raise ConfigError("has no effect without a limit", source="clip_mode", hint="add `clip_grad`")
    if given.get("model_ema") is True and "model_ema_decay" not in given:
        raise ConfigError("has no decay by default", source="model_ema", hint="add `model_ema_decay`, or use `ema`")
