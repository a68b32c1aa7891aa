"""Options of timm and DeiT with the same meaning as one of this package."""

import pytest

from levit.errors import ConfigError
from levit.training.option_aliases import ALIASES, SYNONYMS, resolve_aliases
from levit.training.option_fields import option_type
from levit.training.options import TrainingOptions, option_fields


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ({"clip_mode": "agc", "clip_grad": 0.02}, {"clip": 0.02}),
        ({"reprob": 0.25, "remode": "pixel", "recount": 1}, {"erase": 0.25}),
        ({"aug_repeats": 0}, {"repeats": 1}),
        ({"aug_repeats": 3.0}, {"repeats": 3}),
        ({"repeated_aug": True}, {"repeats": 3}),
        ({"repeated_aug": False}, {"repeats": 1}),
        (
            {"distillation_type": "soft", "distillation_alpha": 0.9, "distillation_tau": 2.0, "teacher": "run"},
            {"distillation": "soft", "alpha": 0.9, "tau": 2.0, "teacher": "run"},
        ),
        ({"distillation_type": "none"}, {"teacher": "none"}),
        ({"model_ema": True, "model_ema_decay": 0.9998}, {"ema": 0.9998}),
        ({"model_ema_decay": 0.9998, "model_ema_warmup": True}, {"ema": 0.9998, "ema_warmup": True}),
        ({"model_ema_decay": 0.9998}, {"ema": 0.9998}),
        ({"model_ema": False}, {"ema": 0.0}),
        ({"model_ema": False, "model_ema_decay": 0.9998}, {"ema": 0.0}),
        ({"opt": "muon", "sched": "cosine", "smoothing": 0.2}, {"optimizer": "muon", "label_smoothing": 0.2}),
        (
            {"aa": "rand-m9-mstd0.5-inc1", "hflip": 0.0, "input_size": 96},
            {"auto_augment": "rand-m9-mstd0.5-inc1", "flip": 0.0, "image_size": 96},
        ),
        (
            {"cutmix": 1.0, "mixup_prob": 0.5, "mixup_mode": "batch", "mixup_switch_prob": 0.5},
            {"cutmix": 1.0, "mix_share": 0.5},
        ),
        ({"eval_metric": "loss", "img_size": 64}, {"metric": "loss", "image_size": 64}),
        ({"clip_grad": None, "lr": 1e-3}, {"lr": 1e-3}),  # as timm writes an option that is not set
    ],
)
def test_options_of_timm_and_deit_are_those_of_this_package(given, meant):
    assert resolve_aliases(given) == meant
    TrainingOptions.from_flat(**meant)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"clip_mode": "norm", "clip_grad": 1.0}, r"^clip_mode is 'norm': must be agc, the only clipping here"),
        ({"clip_grad": 1.0}, r"^clip_grad: limits the norm of all gradients in timm: add `clip_mode=agc` .* `clip`"),
        ({"clip_mode": "agc"}, r"^clip_mode has no effect without a limit: add `clip_grad`"),
        ({"sched": "step"}, r"^sched is 'step': must be cosine, the only schedule here"),
        ({"remode": "const"}, r"^remode is 'const': must be pixel"),
        ({"recount": 3}, r"^recount is 3: must be 1"),
        ({"mixup_mode": "elem"}, r"^mixup_mode is 'elem': must be batch"),
        ({"mixup_switch_prob": 0.8}, r"^mixup_switch_prob is 0\.8: must be 0\.5"),
        ({"model_ema": True}, r"^model_ema has no decay by default: add `model_ema_decay`, or use `ema`"),
        ({"reprob": 0.1, "erase": 0.1}, r"^reprob is the same as `erase`, which is given, too: give one"),
        ({"aug_repeats": 3, "repeated_aug": True}, r"is the same as `repeats`, which is given, too"),
        (
            {"distillation_type": "none", "teacher": "run"},
            r"^distillation_type is the same as `teacher`",
        ),
    ],
)
def test_a_value_without_an_equal_is_an_error_that_says_what_there_is(given, message):
    with pytest.raises(ConfigError, match=message) as caught:
        resolve_aliases(given)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "value"), [("opt", "sgd"), ("reprob", 2.0), ("aug_repeats", 2.5), ("eval_metric", "f2")]
)
def test_a_value_that_the_option_does_not_take_is_an_error_of_the_option(name, value):
    meant = resolve_aliases({name: value})
    with pytest.raises(ConfigError, match="must be") as caught:
        TrainingOptions.from_flat(**meant)
    assert caught.value.source == ALIASES[name].option


def test_aliases_mean_existing_options_and_are_no_options_themselves():
    known = option_fields()
    assert not set(ALIASES) & set(known)
    assert {alias.option for alias in ALIASES.values()} - {None} <= set(known)


def test_a_synonym_has_the_type_of_its_option():
    for option, names in SYNONYMS.items():
        assert {ALIASES[name].kind for name in names} == {option_type(option_fields()[option])}
    assert SYNONYMS["image_size"] == ["img_size", "input_size"]
    assert not {"model_ema", "clip_mode", "sched"} & {name for names in SYNONYMS.values() for name in names}
