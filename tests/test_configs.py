"""Every recipe in configs/ learns for a step, and says on top what it is for."""

import csv
from dataclasses import replace
from math import isfinite

import numpy as np
import pytest
from PIL import Image

from levit.training.options import options_from, read_options
from levit.training.train import train
from tests.conftest import GOLDEN, ROOT

CONFIGS = sorted((ROOT / "configs").glob("*.yaml"))
IMAGENET = [config for config in CONFIGS if config.name.startswith("imagenet-")]


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    """Two noisy pictures of each class that the teacher knows: one to learn from, one to judge."""
    folder, generator = tmp_path_factory.mktemp("digits"), np.random.default_rng(0)
    for name in (f"LABEL_{number}" for number in range(10)):
        for split, count in (("train", 1), ("validation", 1)):
            (folder / split / name).mkdir(parents=True)
            for number in range(count):
                pixels = generator.integers(0, 256, (40, 48, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(folder / split / name / f"{number}.png")
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("config", CONFIGS, ids=lambda path: path.stem)
def test_it_learns_for_a_step(config, digits, tmp_path, request):
    options = options_from(read_options(config), str(config))
    options = replace(
        options, data=str(digits), out=str(tmp_path / "run"), epochs=1, cooldown_epochs=0, warmup_epochs=0.0,
        batch_size=10, precision="fp32", workers=0, report_to="none",
    )  # fmt: skip
    if options.is_taught:  # one that is not here has to be replaced
        options = replace(options, teacher=str(GOLDEN / "tiny" / "transformers"))
    if options.model.startswith("runs/"):  # of another recipe
        options = replace(options, model="levit-128s", from_scratch=True)
    if "starter" in options.model:
        request.getfixturevalue("shared_data")
    elif not options.from_scratch:
        options = replace(options, from_scratch=True)
    local = ROOT / options.model
    run = train(replace(options, model=str(local) if local.exists() else options.model))
    assert run.is_complete
    with (run.folder / "results.csv").open() as stream:
        row = next(csv.DictReader(stream))
    assert isfinite(float(row["train_loss"]))
    assert (run.folder / "model.safetensors").exists()


@pytest.mark.parametrize("config", CONFIGS, ids=lambda path: path.stem)
def test_it_opens_with_its_command_cost_and_result(config):
    comment = "\n".join(line for line in config.read_text().splitlines() if line.startswith("#"))
    assert f"--config configs/{config.name}" in comment
    assert "Cost: " in comment
    assert "Result: " in comment or "Expected: " in comment
    options_from(read_options(config), str(config))


def test_the_paper_s_recipe_is_the_same_for_every_size():
    recipes = [read_options(config) for config in IMAGENET]
    assert [recipe.pop("model") for recipe in recipes] == [config.stem.removeprefix("imagenet-") for config in IMAGENET]
    assert {recipe["model"]: recipe["drop_path"] for recipe in map(read_options, IMAGENET)} == {
        config.stem.removeprefix("imagenet-"): 0.1 if "384" in config.name else 0.0 for config in IMAGENET
    }
    assert all({**recipe, "drop_path": 0} == {**recipes[0], "drop_path": 0} for recipe in recipes)
    assert len(IMAGENET) == 5


@pytest.mark.parametrize("config", IMAGENET, ids=lambda path: path.stem)
def test_the_paper_s_recipe_is_the_paper_s(config):
    """Section 5.1, and the published training code where the paper is silent."""
    recipe = read_options(config)
    batch_size = 2048
    paper = {
        "epochs": 1000, "batch_size": batch_size, "lr": 5e-4 * batch_size / 512, "weight_decay": 0.025,
        "warmup_epochs": 5, "warmup_lr": 1e-6, "min_lr": 1e-5, "cooldown_epochs": 10,
        "auto_augment": "rand-m9-mstd0.5-inc1", "color_jitter": 0.4, "mixup": 0.8, "cutmix": 1.0,
        "label_smoothing": 0.1, "erase": 0.25, "repeats": 3, "ema": 0.99996, "clip": 0.01,
        "teacher": "timm/regnety_160.deit_in1k", "distillation": "hard", "alpha": 0.5, "image_size": 224,
        "from_scratch": True,
    }  # fmt: skip
    options = options_from(recipe, str(config)).to_dict()
    assert {name: options[name] for name in paper} == pytest.approx(paper)
