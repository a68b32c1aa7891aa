"""Options of a training run: groups, flat names, validation and differences."""

from dataclasses import fields
from pathlib import Path

import pytest

from levit.errors import ConfigError
from levit.training.option_fields import option_type
from levit.training.option_groups import DataOptions, ScheduleOptions
from levit.training.options import GROUPS, TrainingOptions, option_fields

FIELDS = option_fields()
CHOICES = {name: one.metadata["choices"] for name, one in FIELDS.items() if one.metadata["choices"]}
NUMBERS = [name for name, one in FIELDS.items() if option_type(one) in (int, float)]
FLOATS = [name for name, one in FIELDS.items() if option_type(one) is float]


def bounds(side):
    return [(name, one.metadata[side]) for name, one in FIELDS.items() if one.metadata[side] is not None]


def build(**values):
    return TrainingOptions.from_flat(**values)


def test_every_option_is_in_one_group():
    names = [one.name for kind in GROUPS.values() for one in fields(kind)]
    assert len(names) == len(set(names)) > 50
    assert list(GROUPS) == [one.name for one in fields(TrainingOptions)]
    assert list(TrainingOptions().to_flat()) == names


def test_flat_options_are_sorted_into_their_groups():
    options = build(data="photos", lr=1e-3)
    assert options.data == DataOptions(data="photos")
    assert options.schedule == ScheduleOptions(lr=1e-3)
    assert build(**options.to_flat()) == options


def test_other_values_make_a_copy():
    options = build(lr=1e-3)
    assert options.with_values(epochs=5) == build(lr=1e-3, epochs=5)
    assert options.schedule.epochs == 30


@pytest.mark.parametrize("name", FIELDS)
def test_every_option_has_a_help_text(name):
    text = FIELDS[name].metadata["help"]
    assert text.endswith(".")
    assert len(text) < 100


def test_every_choice_is_valid_and_the_default_is_a_choice():
    for name, choices in CHOICES.items():
        assert FIELDS[name].default in choices
        for choice in choices:
            needed = {"teacher": "run"} if name.startswith(("distillation", "teacher_")) else {}
            build(**{name: choice}, **needed)


@pytest.mark.parametrize("name", FIELDS)
def test_a_value_of_another_type_is_an_error_of_the_option(name):
    for wrong in ([1], "many" if name in NUMBERS else 7):
        with pytest.raises(ConfigError, match=rf"^{name} is .*: must be ") as caught:
            build(**{name: wrong})
        assert caught.value.source == name
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", FLOATS)
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_nan_and_infinity_are_errors_of_the_option(name, value):
    with pytest.raises(ConfigError, match=f"^{name} is .*: must be a number"):
        build(**{name: value})


@pytest.mark.parametrize("name", NUMBERS)
def test_true_is_not_a_number(name):
    with pytest.raises(ConfigError, match=f"^{name} is True: must be (a number|an integer)"):
        build(**{name: True})


@pytest.mark.parametrize(("name", "low"), bounds("low"))
def test_a_value_below_the_lower_bound_is_an_error_of_the_option(name, low):
    with pytest.raises(ConfigError, match=f"^{name} is .*: must be (at least|from) {low}"):
        build(**{name: low - 1})


@pytest.mark.parametrize(("name", "high"), bounds("high"))
def test_a_value_above_the_upper_bound_is_an_error_of_the_option(name, high):
    with pytest.raises(ConfigError, match=rf"^{name} is .*: must be from .* to {high}"):
        build(**{name: high + 1.0})


@pytest.mark.parametrize("name", CHOICES)
def test_an_unknown_choice_is_an_error_that_lists_the_choices(name):
    with pytest.raises(ConfigError, match=f"^{name} is 'nonsense': must be .* or "):
        build(**{name: "nonsense"})


@pytest.mark.parametrize(
    ("values", "match"),
    [
        ({"lr": 1e-6}, r"^min_lr is 1e-05: must be at most `lr`, 1e-06"),
        ({"patch_size": 8}, r"^patch_size is fixed in trained weights: add `from_scratch`"),
        ({"freeze": "backbone", "from_scratch": True}, r"^freeze is 'backbone', and random weights would stay random"),
        ({"freeze": "stem", "from_scratch": True}, r"^freeze is 'stem', and random weights would stay random"),
        ({"val": ""}, r"^val is empty: give images"),
    ],
)
def test_options_that_exclude_each_other_are_errors(values, match):
    with pytest.raises(ConfigError, match=match):
        build(**values)


@pytest.mark.parametrize(
    ("teacher", "names"),
    [(None, ()), ("none", ()), (" ,", ()), ("a,b", ("a", "b")), (" timm/regnety_160 ", ("timm/regnety_160",))],
)
def test_teachers_are_separated_by_commas_and_none_is_no_teacher(teacher, names):
    options = build(teacher=teacher).teacher
    assert options.names == names
    assert options.has_teacher == bool(names)


def test_a_path_is_a_string():
    options = build(data=Path("photos"), teacher=Path("runs") / "teacher")
    assert options == build(data="photos", teacher=str(Path("runs") / "teacher"))


def test_one_epoch_may_be_half_warm_up():
    assert build(epochs=1, warmup_epochs=1).schedule.warmup_epochs == 1


def test_the_total_number_of_epochs_includes_cool_down():
    assert build(epochs=3, cooldown_epochs=2).schedule.total_epochs == 5


def test_an_integer_is_a_number_but_a_fraction_is_not_an_integer():
    assert isinstance(build(lr=1, min_lr=0).schedule.lr, float)
    with pytest.raises(ConfigError, match=r"^epochs is 2\.5: must be an integer"):
        build(epochs=2.5)


def test_an_unknown_option_is_an_error_with_the_closest_name():
    with pytest.raises(ConfigError, match=r"^unknown option 'learning_rate': see levit\.TrainingOptions"):
        build(learning_rate=1e-3)
    for wrong, right in (
        ("bath_size", "batch_size"),
        ("reprob", "erase"),
        ("clip_grad", "clip"),
        ("aa", "auto_augment"),
    ):
        with pytest.raises(ConfigError, match=rf"^unknown option '{wrong}': did you mean '{right}'\?"):
            build(**{wrong: 8})


def test_options_that_do_not_change_the_result_are_not_differences():
    options = build(data="photos", out="here")
    other = build(data="/photos", val="b", out="there", workers=3, report_to="none", save_minutes=1.0, resume=True)
    assert options.differences(other) == []


@pytest.mark.parametrize(
    ("name", "value"), [("val_share", 0.2), ("lr", 1e-2), ("seed", 3), ("teacher", "run"), ("batch_size", 32)]
)
def test_an_option_that_changes_the_result_is_a_difference(name, value):
    assert TrainingOptions().differences(build(**{name: value})) == [name]
