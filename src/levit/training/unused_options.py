"""Options that have no effect beside other options, such as a temperature without a teacher (standard library only)."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any, NamedTuple

from levit.errors import ConfigError
from levit.training.option_groups import TeacherOptions

Values = Mapping[str, Any]
"""All options of a run, by name."""


class Rule(NamedTuple):
    """Options that have no effect under a condition.

    Attributes:
        options: their names.
        decided_by: names of the options that the condition depends on.
        applies: whether the condition is true.
        condition: the condition in words, after "has no effect".
        hint: what gives them an effect, as an instruction.
        same_as_default: another value that has the effect of the default under the condition, if any.
    """

    options: tuple[str, ...]
    decided_by: tuple[str, ...]
    applies: Callable[[Values], bool]
    condition: str
    hint: str
    same_as_default: Any = None


def _has_no_teacher(values: Values) -> bool:
    return not TeacherOptions(teacher=values["teacher"]).has_teacher


RULES: tuple[Rule, ...] = (
    Rule(
        (
            "unlabeled", "teacher_size", "teacher_engine", "teacher_classes", "teacher_views", "distillation", "alpha",
            "tau",
        ),
        ("teacher",), _has_no_teacher, "without a teacher", "give `teacher`",
    ),
    Rule(
        ("unlabeled", "teacher_size", "teacher_engine", "distillation", "tau", "teacher_views"), ("teacher", "alpha"),
        lambda values: values["alpha"] == 0 and not _has_no_teacher(values),
        "where the loss of the teacher has no weight", "use an `alpha` above 0",
    ),
    Rule(
        ("tau",), ("distillation",), lambda values: values["distillation"] == "hard",
        "on hard distillation", "use `distillation=soft`",
    ),
    Rule(
        ("label_smoothing",), ("teacher", "alpha"),
        lambda values: values["alpha"] == 1 and not _has_no_teacher(values),
        "where the loss of the labels has no weight", "use an `alpha` below 1",
    ),
    Rule(
        ("class_weights",), ("teacher", "alpha", "distillation"),  # hard distillation weights the teacher's classes
        lambda values: values["alpha"] == 1 and values["distillation"] == "soft" and not _has_no_teacher(values),
        "where only the teacher's scores are trained on", "use an `alpha` below 1",
    ),
    Rule(
        ("ema_warmup",), ("ema",), lambda values: not values["ema"], "without a moving average", "give `ema`",
    ),
    Rule(
        ("mix_share",), ("mixup", "cutmix"), lambda values: not values["mixup"] and not values["cutmix"],
        "without mixup and CutMix", "give `mixup` or `cutmix`",
    ),
    Rule(
        ("color_jitter",), ("auto_augment",),
        lambda values: values["auto_augment"] != "none" and "3a" not in values["auto_augment"],
        "with this policy of `auto_augment`", "use `auto_augment=none` or `auto_augment=3a`", same_as_default=0.0,
    ),
    Rule(
        ("min_crop",), ("crop",), lambda values: values["crop"] == "padded",
        "on padded crops, which keep the whole image", "use `crop=resized`",
    ),
    Rule(
        ("warmup_lr",), ("warmup_epochs",), lambda values: values["warmup_epochs"] == 0,
        "without warm-up", "use `warmup_epochs` above 0",
    ),
    Rule(
        ("val_share",), ("val",), lambda values: values["val"] is not None,
        "beside a validation set", "leave out `val`",
    ),
    Rule(
        ("patience", "best_window"), ("select",), lambda values: values["select"] == "last",
        "where the last epoch is kept", "use `select=best`",
    ),
    Rule(
        ("new_heads",), ("from_scratch",), lambda values: bool(values["from_scratch"]),
        "on random weights", "leave out `from_scratch`",
    ),
    Rule(
        ("sync_bn",), ("freeze_batch_norm",), lambda values: bool(values["freeze_batch_norm"]),
        "on frozen batch norms", "leave out `freeze_batch_norm`",
    ),
    Rule(
        ("layer_decay", "clip", "head_autoencoders"), ("freeze",), lambda values: values["freeze"] == "backbone",
        "on the heads, and the rest is frozen", "use `freeze=stem` or `freeze=nothing`",
    ),
)  # fmt: skip


def find_unused_options(values: Values, defaults: Values) -> Iterator[tuple[str, Rule]]:
    """Find the options that have no effect and are not at their defaults, with the rule that says why.

    Args:
        values: all options of a run, by name.
        defaults: their defaults.

    Examples:
        >>> from levit.training.options import TrainingOptions
        >>> defaults = TrainingOptions().to_flat()
        >>> [name for name, rule in find_unused_options(defaults | {"alpha": 0.9, "epochs": 9}, defaults)]
        ['alpha']
    """
    for rule in RULES:
        changed = [name for name in rule.options if values[name] not in (defaults[name], rule.same_as_default)]
        if changed and rule.applies(values):
            yield from ((name, rule) for name in changed)


def check_no_unused_options(values: Values, defaults: Values) -> None:
    """Check that every option that is not at its default has an effect.

    Raises:
        ConfigError: one has not; the hint names the options that give it one.
    """
    for name, rule in find_unused_options(values, defaults):
        reason = f"is {values[name]}, which has no effect {rule.condition}"
        raise ConfigError(reason, source=name, hint=f"{rule.hint}, or leave out `{name}`")


def without_overridden(recipe: Values, given: Collection[str], values: Values, defaults: Values) -> dict[str, Any]:
    """The options of a recipe without those that lose their effect by the options that override it.

    A recipe with `teacher` and `tau` is thus trained without a teacher by one option, `teacher=none`.

    Args:
        recipe: options of the recipe.
        given: names of the options that override it.
        values: all options of the run: defaults, recipe and the overriding ones.
        defaults: the defaults.

    Examples:
        >>> from levit.training.options import TrainingOptions
        >>> defaults, recipe = TrainingOptions().to_flat(), {"cutmix": 1.0, "mix_share": 0.5, "epochs": 9}
        >>> without_overridden(recipe, {"cutmix"}, defaults | recipe | {"cutmix": 0.0}, defaults)
        {'cutmix': 1.0, 'epochs': 9}
    """
    unused = {
        name
        for name, rule in find_unused_options(values, defaults)
        if name not in given and not set(given).isdisjoint(rule.decided_by)
    }
    return {name: value for name, value in recipe.items() if name not in unused}
