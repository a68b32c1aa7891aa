"""What a run can be told, and what is said of what it cannot."""

from dataclasses import fields
from pathlib import Path

import pytest

from levit.errors import ConfigError
from levit.training.options import CHOICES, TrainingOptions, flag, options_from, read_options

FIELDS = {one.name: one for one in fields(TrainingOptions)}
NUMBERS = [name for name, one in FIELDS.items() if str(one.type).startswith(("int", "float"))]


def bounds(side):
    return [(name, one.metadata[side]) for name, one in FIELDS.items() if one.metadata[side] is not None]


def test_the_defaults_are_valid_and_untaught():
    options = TrainingOptions.from_flat(data="photos", out="run")
    assert not options.is_taught
    assert not TrainingOptions.from_flat(teacher="none").is_taught
    assert TrainingOptions.from_flat(teacher="timm/regnety_160.deit_in1k").is_taught


@pytest.mark.parametrize("name", FIELDS)
def test_every_option_says_what_it_is(name):
    text = FIELDS[name].metadata["help"]
    assert text.endswith(".")
    assert len(text) < 100


def test_every_choice_is_one_of_an_option_and_the_default_is_one_of_them():
    for name, choices in CHOICES.items():
        assert FIELDS[name].default in choices
        for choice in choices:
            TrainingOptions.from_flat(**{name: choice})


@pytest.mark.parametrize("name", FIELDS)
def test_a_value_of_another_kind_names_the_flag(name):
    for wrong in ([1], "many" if name in NUMBERS else 7):
        with pytest.raises(ConfigError, match=rf"^{flag(name)} is .*: give ") as caught:
            TrainingOptions.from_flat(**{name: wrong})
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", [name for name in NUMBERS if str(FIELDS[name].type).startswith("float")])
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_what_is_no_finite_number_names_the_flag(name, value):
    with pytest.raises(ConfigError, match=f"^{flag(name)} is .*: give a number"):
        TrainingOptions.from_flat(**{name: value})


@pytest.mark.parametrize("name", NUMBERS)
def test_true_is_no_number(name):
    with pytest.raises(ConfigError, match=f"^{flag(name)} is True: give a (whole )?number"):
        TrainingOptions.from_flat(**{name: True})


@pytest.mark.parametrize(("name", "low"), bounds("low"))
def test_less_than_the_least_names_the_flag(name, low):
    with pytest.raises(ConfigError, match=f"^{flag(name)} is .*: it must be (at least|from) {low}"):
        TrainingOptions.from_flat(**{name: low - 1})


@pytest.mark.parametrize(("name", "high"), bounds("high"))
def test_more_than_the_most_names_the_flag(name, high):
    with pytest.raises(ConfigError, match=rf"^{flag(name)} is .*: it must be from .* to {high}"):
        TrainingOptions.from_flat(**{name: high + 1.0})


@pytest.mark.parametrize("name", [*CHOICES, "crop"])
def test_an_unknown_choice_names_the_flag_and_the_known_ones(name):
    with pytest.raises(ConfigError, match=f"^{flag(name)} is 'nonsense': use .* or "):
        TrainingOptions.from_flat(**{name: "nonsense"})


@pytest.mark.parametrize(
    ("values", "match"),
    [
        ({"warmup_epochs": 5, "epochs": 5}, r"^--warmup-epochs is 5.*less than --epochs 5"),
        ({"lr": 1e-6}, r"^--min-lr 1e-05 is more than --lr 1e-06"),
        ({"patch_size": 8}, r"^--patch-size: .*add --from-scratch"),
        ({"freeze": "backbone", "from_scratch": True}, r"^--freeze backbone: random weights would stay random"),
        ({"freeze": "stem", "from_scratch": True}, r"^--freeze stem: random weights would stay random"),
        ({"val": ""}, r"^--val is empty: name images"),
    ],
)
def test_options_that_do_not_go_together_name_a_flag(values, match):
    with pytest.raises(ConfigError, match=match):
        TrainingOptions.from_flat(**values)


@pytest.mark.parametrize(("teacher", "is_taught"), [(None, False), ("none", False), (" ,", False), ("a,b", True)])
def test_who_teaches_may_be_nobody(teacher, is_taught):
    assert TrainingOptions.from_flat(teacher=teacher).is_taught is is_taught


def test_a_path_is_a_name():
    chosen = TrainingOptions.from_flat(data=Path("photos"), teacher=Path("runs") / "teacher")
    assert chosen == TrainingOptions.from_flat(data="photos", teacher=str(Path("runs") / "teacher"))


def test_one_epoch_may_be_half_warm_up():
    assert TrainingOptions.from_flat(epochs=1, warmup_epochs=1).warmup_epochs == 1


def test_whole_numbers_are_numbers_but_no_fraction_is_a_whole_one():
    assert TrainingOptions.from_flat(lr=1, min_lr=0).lr == 1
    with pytest.raises(ConfigError, match=r"^--epochs is 2\.5: give a whole number"):
        TrainingOptions.from_flat(epochs=2.5)


def test_numbers_may_be_written_as_yaml_reads_them(tmp_path):
    (tmp_path / "recipe.yaml").write_text("lr: 5e-4\nepochs: '7'\nmin_lr: 0\nimage_size: '64'\nteacher: null\n")
    values = read_options(tmp_path / "recipe.yaml")
    assert values["lr"] == "5e-4"  # YAML 1.1 wants a point in it
    options = options_from(values, "recipe.yaml")
    assert (options.lr, options.epochs, options.min_lr, options.image_size) == (5e-4, 7, 0.0, 64)
    assert isinstance(options.min_lr, float)


def test_a_text_that_is_no_number_names_the_flag():
    with pytest.raises(ConfigError, match=r"^--lr is 'fast': give a number"):
        options_from({"lr": "fast"}, "recipe.yaml")


def test_an_unknown_option_is_named_with_its_file():
    with pytest.raises(ConfigError, match=r"^recipe\.yaml: there is no option 'learning_rate': `levit train --help`"):
        options_from({"learning_rate": 1e-3}, "recipe.yaml")
    with pytest.raises(ConfigError, match=r"there is no option 'bath_size': is 'batch_size' meant\?"):
        options_from({"bath-size": 8}, "recipe.yaml")


def test_a_name_may_be_spelled_as_on_the_command_line():
    assert options_from({"batch-size": 8, "min_lr": 0.0}, "recipe.yaml") == TrainingOptions.from_flat(batch_size=8, min_lr=0.0)


@pytest.mark.parametrize(
    ("content", "match"),
    [
        (None, r"recipe\.yaml: cannot be read \(No such file"),
        (b"lr: [1", r"recipe\.yaml: not a YAML file"),
        (b"\xff\xfe\xff", r"recipe\.yaml: not a YAML file"),
        (b"- lr\n- epochs\n", r"recipe\.yaml: give one option on each line"),
        (b"", r"recipe\.yaml: give one option on each line"),
    ],
)
def test_a_file_of_something_else_is_named_in_one_line(tmp_path, content, match):
    file = tmp_path / "recipe.yaml"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(ConfigError, match=match) as caught:
        read_options(file)
    assert "\n" not in str(caught.value)


def test_all_options_survive_a_yaml_file(tmp_path):
    import yaml

    options = TrainingOptions.from_flat(data="ä b", out="run", teacher="run1", lr=3e-4, image_size=64, crop="padded", resume=True)
    file = tmp_path / "args.yaml"
    file.write_text(yaml.safe_dump(options.to_dict(), allow_unicode=True), encoding="utf-8")
    assert options_from(read_options(file), "args.yaml") == options


def test_circumstances_are_no_differences():
    options = TrainingOptions.from_flat(data="photos", out="here")
    elsewhere = TrainingOptions(
        data="/photos", val="b", out="there", workers=3, report_to="none", save_minutes=1.0, resume=True
    )
    assert options.differences(elsewhere) == []


@pytest.mark.parametrize(
    ("name", "value"), [("val_share", 0.2), ("lr", 1e-2), ("seed", 3), ("teacher", "run"), ("batch_size", 32)]
)
def test_what_changes_the_result_is_a_difference(name, value):
    assert TrainingOptions().differences(TrainingOptions.from_flat(**{name: value})) == [flag(name)]
