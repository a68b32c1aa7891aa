"""An option that has no effect beside other options is an error, unless it is at its default."""

import pytest

from levit.errors import ConfigError
from levit.training.options import TrainingOptions, option_defaults, option_fields
from levit.training.unused_options import RULES, find_unused_options, without_overridden

# For each rule: options by which it applies, and options by which it does not.
CASES = [
    ({}, {"teacher": "run", "distillation": "soft"}),
    ({"teacher": "run", "alpha": 0.0}, {"teacher": "run", "distillation": "soft"}),
    ({"teacher": "run"}, {"teacher": "run", "distillation": "soft"}),
    ({"teacher": "run", "alpha": 1.0}, {"teacher": "run", "alpha": 0.9}),
    ({"teacher": "run", "distillation": "soft", "alpha": 1.0}, {"teacher": "run", "alpha": 1.0}),
    ({}, {"ema": 0.99}),
    ({}, {"cutmix": 1.0}),
    ({"auto_augment": "rand-m9"}, {"auto_augment": "3a"}),
    ({"crop": "padded"}, {}),
    ({"warmup_epochs": 0.0}, {}),
    ({"val": "photos"}, {}),
    ({"select": "last"}, {}),
    ({"from_scratch": True}, {}),
    ({"freeze_batch_norm": True}, {}),
    ({"freeze": "backbone"}, {"freeze": "stem"}),
]
OTHER_VALUES = {
    "unlabeled": "more", "teacher_size": 64, "teacher_engine": "torch", "teacher_classes": "all", "teacher_views": 3,
    "distillation": "soft", "alpha": 0.9, "tau": 3.0, "label_smoothing": 0.2, "class_weights": "balanced",
    "ema_warmup": True, "mix_share": 0.5,
    "color_jitter": 0.2, "min_crop": 0.3, "warmup_lr": 1e-5, "val_share": 0.2, "patience": 5, "best_window": 2,
    "new_heads": "linear-probe", "sync_bn": True, "layer_decay": 0.8, "clip": 0.1, "head_autoencoders": True,
}  # fmt: skip
PARAMETERS = [
    pytest.param(rule, name, *case, id=f"{name} {rule.condition}")
    for rule, case in zip(RULES, CASES, strict=True)
    for name in rule.options
]


def build(**values):
    return TrainingOptions.from_flat(**values)


@pytest.mark.parametrize(("rule", "name", "without", "with_effect"), PARAMETERS)
def test_an_option_without_effect_is_an_error_that_names_what_gives_it_one(rule, name, without, with_effect):
    with pytest.raises(ConfigError, match=rf"^{name} is .*, which has no effect {rule.condition}: ") as caught:
        build(**{name: OTHER_VALUES[name]} | without)
    assert caught.value.source == name
    assert caught.value.hint == f"{rule.hint}, or leave out `{name}`"
    build(**with_effect | {name: OTHER_VALUES[name]})


@pytest.mark.parametrize(("rule", "name", "without", "with_effect"), PARAMETERS)
def test_a_default_is_never_an_error(rule, name, without, with_effect):
    default = option_defaults()[name]
    assert build(**{name: default} | without).to_flat()[name] == without.get(name, default)


def test_no_color_jitter_is_what_a_policy_means_anyway():
    assert build(color_jitter=0.0, auto_augment="rand-m9").augmentation.color_jitter == 0


def test_rules_name_existing_options():
    names = {name for rule in RULES for name in (*rule.options, *rule.decided_by)}
    assert names <= set(option_fields())
    assert {name for rule in RULES for name in rule.options} == set(OTHER_VALUES)


def remaining(recipe, given):
    defaults = option_defaults()
    return without_overridden(recipe, given, defaults | recipe | given, defaults)


def test_options_of_a_recipe_that_lose_their_effect_by_an_override_are_left_out():
    recipe = {"teacher": "run", "distillation": "soft", "tau": 2.0, "alpha": 0.9, "epochs": 9}
    left = remaining(recipe, {"teacher": "none"})
    assert left == {"teacher": "run", "epochs": 9}
    build(**left | {"teacher": "none"})
    assert remaining(recipe, {"epochs": 3}) == recipe


def test_an_option_that_is_given_itself_or_never_had_an_effect_stays_and_is_an_error():
    for recipe, given in (({"cutmix": 1.0}, {"cutmix": 0.0, "mix_share": 0.5}), ({"mix_share": 0.5}, {"epochs": 3})):
        values = remaining(recipe, given) | given
        assert [name for name, _ in find_unused_options(option_defaults() | values, option_defaults())] == ["mix_share"]
        with pytest.raises(ConfigError, match="mix_share"):
            build(**values)
