"""Training recipes: YAML files of options."""

import os
import re

import pytest
import yaml

from levit.errors import ConfigError
from levit.training.options import TrainingOptions
from levit.training.recipe import find_recipe, list_recipes, read_recipe
from tests.conftest import ROOT


def test_numbers_may_be_written_as_yaml_reads_them(tmp_path):
    file = tmp_path / "recipe.yaml"
    file.write_text("lr: 5e-4\nepochs: '7'\nmin_lr: 0\nimage_size: '64'\nteacher: null\n")
    assert yaml.safe_load(file.read_text())["lr"] == "5e-4"  # YAML 1.1 requires a point in a number with an exponent
    options = TrainingOptions.from_flat(**read_recipe(file))
    assert (options.schedule.lr, options.schedule.epochs, options.schedule.min_lr) == (5e-4, 7, 0.0)
    assert options.model.image_size == 64
    assert isinstance(options.schedule.min_lr, float)


def test_text_that_is_no_number_is_an_error_of_the_option(tmp_path):
    (tmp_path / "recipe.yaml").write_text("lr: fast")
    with pytest.raises(ConfigError, match=r"^lr is 'fast': must be a number"):
        TrainingOptions.from_flat(**read_recipe(tmp_path / "recipe.yaml"))


def test_a_name_may_be_spelled_as_a_flag(tmp_path):
    (tmp_path / "recipe.yaml").write_text("batch-size: 8\nmin_lr: 0.0\n")
    assert read_recipe(tmp_path / "recipe.yaml") == {"batch_size": 8, "min_lr": 0.0}


@pytest.mark.parametrize(
    ("content", "match"),
    [
        (None, r"recipe\.yaml cannot be read \(No such file"),
        (b"lr: [1", r"recipe\.yaml: not a YAML file"),
        (b"\xff\xfe\xff", r"recipe\.yaml: not a YAML file"),
        (b"- lr\n- epochs\n", r"recipe\.yaml: not a mapping: give one option on each line"),
        (b"", r"recipe\.yaml: not a mapping: give one option on each line"),
        (b"learning_rate: 1e-3", r"recipe\.yaml: unknown option 'learning_rate': see levit\.TrainingOptions"),
        (b"bath-size: 8", r"recipe\.yaml: unknown option 'bath_size': did you mean 'batch_size'\?"),
    ],
)
def test_an_unusable_file_is_an_error_of_one_line(tmp_path, content, match):
    file = tmp_path / "recipe.yaml"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(ConfigError, match=match) as caught:
        read_recipe(file)
    assert caught.value.source == str(file)
    assert "\n" not in str(caught.value)


def test_all_options_survive_a_yaml_file(tmp_path):
    options = TrainingOptions.from_flat(
        data="ä b", out="run", teacher="run1", lr=3e-4, image_size=64, crop="padded", resume=True
    )
    file = tmp_path / "args.yaml"
    file.write_text(yaml.safe_dump(options.to_flat(), allow_unicode=True), encoding="utf-8")
    assert TrainingOptions.from_flat(**read_recipe(file)) == options


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_pipe_is_refused_instead_of_waiting_for_its_other_end(tmp_path):
    os.mkfifo(tmp_path / "recipe.yaml")
    with pytest.raises(ConfigError, match=r"recipe\.yaml: a pipe, not a regular file"):
        read_recipe(tmp_path / "recipe.yaml")


def test_recipes_of_the_package_are_found_by_name():
    assert find_recipe("small-data") == ROOT / "configs" / "small-data.yaml"
    assert read_recipe("small-data") == read_recipe(ROOT / "configs" / "small-data.yaml")


def test_a_file_has_precedence_over_a_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "small-data").write_text("epochs: 3")
    assert read_recipe("small-data") == {"epochs": 3}


def test_a_folder_of_the_name_of_a_recipe_is_not_read(tmp_path, monkeypatch):
    (tmp_path / "outliers").mkdir()
    monkeypatch.chdir(tmp_path)
    assert find_recipe("outliers") == ROOT / "configs" / "outliers.yaml"


@pytest.mark.parametrize(
    ("name", "hint"), [("smal-data", "did you mean 'small-data'?"), ("x", "use one of cifar10, cifar10-convnet, ")]
)
def test_an_unknown_name_is_an_error_with_known_ones(name, hint):
    with pytest.raises(ConfigError, match=r"no such file, and no recipe of this name") as caught:
        read_recipe(name)
    assert caught.value.hint.startswith(hint)


def test_a_network_next_to_the_recipe_is_found_from_any_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert read_recipe("cifar10-convnet")["model"] == str(ROOT / "configs" / "networks" / "resnet9-cifar")


def test_summaries_of_recipes_are_complete():
    recipes = {recipe.name: recipe for recipe in list_recipes()}
    assert list(recipes) == sorted(path.stem for path in (ROOT / "configs").glob("*.yaml"))
    for recipe in recipes.values():
        assert "\n" not in recipe.purpose + recipe.cost + recipe.result
        assert min(map(len, (recipe.purpose, recipe.cost, recipe.result))) > 5
    assert recipes["imagenet-levit-384"].image_size == 224
    assert recipes["imagenet-levit-384"].result == "82.6 % top-1, the authors' figure for their weights"
    assert recipes["small-data"].cost == "not measured"


def test_clauses_of_summaries_are_complete_and_results_are_figures():
    for recipe in list_recipes():
        for text in (recipe.purpose, recipe.cost, recipe.result):
            assert text.count("(") == text.count(")"), f"{recipe.name}: {text}"
        assert re.search(r"\d %", recipe.result) or not recipe.is_measured, f"{recipe.name}: {recipe.result}"


def test_expected_results_differ_from_measured_ones():
    measured = {recipe.name: recipe.is_measured for recipe in list_recipes()}
    assert (measured["embedded"], measured["imagenet-levit-128"]) == (True, False)
