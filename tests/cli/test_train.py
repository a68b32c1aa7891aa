"""`levit train`: options from the command line and from files, and its output."""

import json

import numpy as np
import pytest
import typer
import yaml
from PIL import Image

import levit
from levit.cli import app
from levit.training.automatic_settings import AUTOMATIC_SETTINGS
from levit.training.option_aliases import ALIASES
from levit.training.options import GROUPS, option_fields
from tests.training.runs import TINY


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """Eight noisy pictures in two classes."""
    folder, generator = tmp_path_factory.mktemp("photos"), np.random.default_rng(0)
    for name in ("cat", "dog"):
        (folder / name).mkdir(parents=True)
        for number in range(4):
            pixels = generator.integers(0, 256, (40, 48, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{number}.png")
    return folder


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    """A tiny network with random weights."""
    folder = tmp_path_factory.mktemp("network")
    levit.LevitForImageClassification(levit.LevitConfig(**TINY, num_labels=5)).save_pretrained(folder)
    return folder


@pytest.fixture
def quick(network):
    """Options of a run of two steps."""
    return [
        "--model", str(network), "--epochs", "1", "--batch-size", "4", "--workers", "0", "--report-to", "none",
        "--precision", "fp32", "--val-share", "0.25",
    ]  # fmt: skip


def test_every_training_option_is_an_option_of_the_command():
    parameters = {parameter.name: parameter for parameter in typer.main.get_command(app).commands["train"].params}
    assert set(option_fields()) < set(parameters)
    for name in option_fields():
        if name not in ("data", "out"):
            short = ["-m"] if name == "model" else []
            assert parameters[name].opts == ["--" + name.replace("_", "-"), *short]
            assert option_fields()[name].metadata["help"].partition("`")[0] in parameters[name].help


def test_help_texts_name_other_options_by_their_flags():
    parameters = {parameter.name: parameter for parameter in typer.main.get_command(app).commands["train"].params}
    assert parameters["patch_size"].help.endswith("; only with --from-scratch.")
    assert "grows to --ema (" in parameters["ema_warmup"].help


def test_defaults_that_are_chosen_by_the_number_of_images_are_stated_as_such():
    parameters = {parameter.name: parameter for parameter in typer.main.get_command(app).commands["train"].params}
    for name in AUTOMATIC_SETTINGS:
        assert "(default: by the number of " in parameters[name].help
    assert parameters["batch_size"].help.endswith("(default: by the number of images; 64 from 5,000 on)")
    assert parameters["select"].help.endswith("(default: by the number of validation images; best from 100 on)")
    assert parameters["ema_warmup"].help.endswith("(default: by the number of images)")
    assert parameters["weight_decay"].help.endswith("(default: 0.025)")


def test_the_panels_of_the_help_page_are_the_option_groups(console):
    page = console("train", "--help").out
    for title in ("Data", "Model", "Distillation", "Optimization", "Schedule", "Augmentation", "Run"):
        assert f"─ {title} ─" in page
    assert len(GROUPS) == 7


def test_options_of_timm_and_deit_are_named_beside_the_option_only(console):
    parameters = {parameter.name: parameter for parameter in typer.main.get_command(app).commands["train"].params}
    assert all(parameters[name].hidden for name in ALIASES)
    assert "default: 0.0; also --reprob" in parameters["erase"].help
    assert "also --img-size, --input-size" in parameters["image_size"].help
    assert "--sched" not in console("train", "--help").out


def test_it_prints_the_run_directory_and_the_accuracy_in_per_cent(console, photos, quick, tmp_path):
    result = console("train", photos, "--out", tmp_path / "run", *quick)
    assert result.code == 0, result.err
    metrics = json.loads((tmp_path / "run" / "evaluation" / "metrics.json").read_text())
    accuracy = f"top-1 {100 * metrics['top1']['value']:.2f} % (95 % interval "
    assert result.out.startswith(f"{tmp_path / 'run'}: {accuracy}")
    assert result.out.endswith(") of 2 validation images\n")
    assert "top-1" not in result.err  # there is one accuracy
    assert "6 training images of 2 classes, 2 validation images" in result.err
    assert "epoch 1/1: loss" in result.err
    assert "settings by the number of training images: select last, lr 0.001" in result.err
    assert "(too few to choose an epoch by: the last one is kept)" in result.err
    assert f"  levit evaluate {tmp_path / 'run'} photos" in result.err
    assert " of 2 validation images" in console("info", tmp_path / "run").out.replace("\n", " ")


def test_recipes_are_listed(console):
    result = console("train", "--list-configs")
    assert result.code == 0
    assert "small-data" in result.out
    assert "image size: 224 pixels" in result.out
    assert "expected: 76.6 % top-1, the authors' figure for their weights" in result.out
    assert "result: 54.20 % top-1 on 2,930 validation photos at 96 pixels" in result.out


def test_resume_without_a_run_is_an_error(console, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = console("train", "--resume")
    assert result.code == 2
    assert "--resume is given, and no run in runs/ is incomplete: give its run directory as --out" in result.err


def test_an_option_may_have_its_effect_beside_those_of_the_resumed_run(console, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "args.yaml").write_text("data: nowhere\nteacher: teacher\nunlabeled: more\n")
    result = console("train", "--resume", "--out", tmp_path / "run", "--unlabeled", "moved")
    assert (result.code, result.err) == (2, "levit: nowhere: no such file or folder\n")


def test_json_is_one_object_with_fractions(console, photos, quick, tmp_path):
    result = console("train", photos, "--out", tmp_path / "run", *quick, "--json")
    printed = json.loads(result.out)
    assert printed.keys() == {"run", "is_complete", "stopped_early", "metric", "best", "best_epoch", "epochs"}
    assert (printed["is_complete"], printed["epochs"]) == (True, 1)
    assert 0 <= printed["best"] <= 1


def test_options_of_the_command_line_override_the_file(console, photos, quick, tmp_path):
    file = tmp_path / "recipe.yaml"
    file.write_text("lr: 1e-4\nmin_lr: 1e-6\nweight_decay: 0.3\nflip: 0.0\n")
    result = console("train", photos, "--out", tmp_path / "run", "--config", file, *quick, "--lr", "2e-4")
    assert result.code == 0, result.err
    arguments = yaml.safe_load((tmp_path / "run" / "args.yaml").read_text())
    assert (arguments["lr"], arguments["weight_decay"], arguments["flip"]) == (2e-4, 0.3, 0.0)
    again = console("train", "--config", tmp_path / "run" / "args.yaml", "--out", tmp_path / "again")
    assert again.code == 0, again.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--epochs", "0"], "--epochs is 0: must be at least 1"),
        (["--metric", "f2"], "--metric is 'f2': must be top1"),
        (["--freeze", "head"], "--freeze is 'head': must be nothing or stem or backbone"),
        (["--patch-size", "8"], "--patch-size is fixed in trained weights: add --from-scratch"),
        (["--tau", "3"], "--tau is 3.0, which has no effect without a teacher: give --teacher, or leave out --tau"),
        (["--clip-mode", "norm", "--clip-grad", "1"], "--clip-mode is 'norm': must be agc, the only clipping here"),
        (["--clip-grad", "1"], "add --clip-mode agc for adaptive clipping, or use --clip"),
        (["--config", "nowhere.yaml"], "nowhere.yaml cannot be read"),
        (["--model", "levit-129", "--from-scratch"], "levit-129"),
        (["--val", "nowhere"], "nowhere: no such file or folder"),
    ],
)
def test_an_error_is_one_line_with_the_flag(console, photos, tmp_path, arguments, message):
    result = console("train", photos, "--out", tmp_path / "run", *arguments)
    assert result.code == 2
    assert message in result.err
    assert "Traceback" not in result.err
    assert not (tmp_path / "run" / "args.yaml").exists()


def test_options_of_timm_are_accepted_on_the_command_line_and_in_files(console, photos, quick, tmp_path):
    file = tmp_path / "recipe.yaml"
    file.write_text("reprob: 0.1\nclip-mode: agc\nclip-grad: 2e-2\nsched: cosine\nmodel-ema-decay: 0.9\n")
    flags = ["--aug-repeats", "2", "--no-model-ema", "--smoothing", "0.2"]
    result = console("train", photos, "--out", tmp_path / "run", "--config", file, *quick, *flags)
    assert result.code == 0, result.err
    arguments = yaml.safe_load((tmp_path / "run" / "args.yaml").read_text())
    expected = {"erase": 0.1, "clip": 0.02, "repeats": 2, "ema": 0.0, "label_smoothing": 0.2}
    assert {name: arguments[name] for name in expected} == expected


def test_an_override_of_a_recipe_leaves_out_what_has_no_effect_without_it(console, photos, quick, tmp_path):
    file = tmp_path / "recipe.yaml"
    file.write_text("cutmix: 1.0\nmix_share: 0.5\nteacher: nowhere\ndistillation: soft\ntau: 2.0\n")
    flags = ["--config", file, *quick, "--distillation-type", "none", "--cutmix", "0"]
    result = console("train", photos, "--out", tmp_path / "run", *flags)
    assert result.code == 0, result.err
    arguments = yaml.safe_load((tmp_path / "run" / "args.yaml").read_text())
    assert (arguments["mix_share"], arguments["tau"], arguments["teacher"]) == (1.0, 1.0, None)


def test_a_run_that_cannot_be_resumed_names_the_flags_of_another_run(console, photos, quick, tmp_path):
    run = tmp_path / "run"
    assert console("train", photos, "--out", run, *quick).code == 0
    result = console("train", photos, "--out", run, *quick, "--lr", "2e-3", "--resume")
    assert result.code == 2
    assert f"{run} cannot resume with other values of --lr: give the values in" in result.err
    assert f"or start another run with --model {run / 'last'} and another --out" in result.err


def test_an_unknown_option_in_a_file_is_an_error_with_the_file(console, photos, tmp_path):
    (tmp_path / "recipe.yaml").write_text("learning_rate: 1e-3\n")
    result = console("train", photos, "--out", tmp_path / "run", "--config", tmp_path / "recipe.yaml")
    assert result.code == 2
    assert "recipe.yaml: unknown option 'learning_rate'" in result.err


def test_a_command_without_images_is_wrong_usage(console, tmp_path):
    result = console("train", "--out", tmp_path / "run")
    assert result.code == 2
    assert "give DATA" in result.err
