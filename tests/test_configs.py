"""Every recipe in configs/ can be trained, and its header documents the commands."""

import csv
from math import isfinite

import numpy as np
import pytest
from PIL import Image

from levit.spec.variants import find_variant
from levit.training.options import TrainingOptions
from levit.training.recipe import read_recipe
from levit.training.train import train
from tests.conftest import GOLDEN, ROOT

CONFIGS = sorted((ROOT / "configs").glob("*.yaml"))
IMAGENET = [config for config in CONFIGS if config.name.startswith("imagenet-")]


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    """Two noisy pictures of each class of the golden checkpoint: one for training, one for validation."""
    folder, generator = tmp_path_factory.mktemp("digits"), np.random.default_rng(0)
    for name in (f"LABEL_{number}" for number in range(10)):
        for split in ("train", "validation"):
            (folder / split / name).mkdir(parents=True)
            pixels = generator.integers(0, 256, (40, 48, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / split / name / "0.png")
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("config", CONFIGS, ids=lambda path: path.stem)
def test_a_recipe_can_be_trained_for_a_step(config, digits, tmp_path):
    """With few small images, a small network of the same kind, and weights that need no download."""
    options = TrainingOptions.from_flat(**read_recipe(config)).with_values(
        data=str(digits), out=str(tmp_path / "run"), epochs=1, cooldown_epochs=0, warmup_epochs=0.0, batch_size=10,
        image_size=64, precision="fp32", workers=0, report_to="none", freeze="nothing", from_scratch=True,
    )  # fmt: skip
    if options.teacher.has_teacher:
        options = options.with_values(teacher=str(GOLDEN / "tiny" / "transformers"))
    if (ROOT / options.model.model).exists():
        options = options.with_values(model=str(ROOT / options.model.model))
    else:
        if not options.model.model.startswith("runs/"):  # the result of another recipe
            find_variant(options.model.model)
        options = options.with_values(model="levit-128s")
    run = train(options)
    assert run.is_complete
    with (run.folder / "results.csv").open() as stream:
        row = next(csv.DictReader(stream))
    assert isfinite(float(row["train_loss"]))
    assert (run.folder / "model.safetensors").exists()


@pytest.mark.parametrize("config", CONFIGS, ids=lambda path: path.stem)
def test_a_recipe_starts_with_its_data_command_cost_and_result(config):
    header = "\n".join(line for line in config.read_text().splitlines() if line.startswith("#"))
    assert "# Data: " in header
    assert "# Command" in header
    assert f"--config {config.stem} " in header
    assert "# Cost: " in header
    assert "# Result: " in header or "# Expected: " in header
    TrainingOptions.from_flat(**read_recipe(config))


@pytest.mark.parametrize("config", CONFIGS, ids=lambda path: path.stem)
def test_a_recipe_needs_no_files_outside_the_repository(config):
    assert "shared/" not in config.read_text()


def test_the_recipe_of_the_paper_is_the_same_for_every_size():
    recipes = [read_recipe(config) for config in IMAGENET]
    assert [recipe.pop("model") for recipe in recipes] == [config.stem.removeprefix("imagenet-") for config in IMAGENET]
    assert {recipe["model"]: recipe["drop_path"] for recipe in map(read_recipe, IMAGENET)} == {
        config.stem.removeprefix("imagenet-"): 0.1 if "384" in config.name else 0.0 for config in IMAGENET
    }
    assert all({**recipe, "drop_path": 0} == {**recipes[0], "drop_path": 0} for recipe in recipes)
    assert len(IMAGENET) == 5


@pytest.mark.parametrize("config", IMAGENET, ids=lambda path: path.stem)
def test_the_recipe_of_the_paper_has_its_values(config):
    """Section 5.1, and the published training code for values that the paper does not state."""
    batch_size = 2048
    paper = {
        "epochs": 1000, "batch_size": batch_size, "lr": 5e-4 * batch_size / 512, "weight_decay": 0.025,
        "warmup_epochs": 5, "warmup_lr": 1e-6, "min_lr": 1e-5, "cooldown_epochs": 10,
        "auto_augment": "rand-m9-mstd0.5-inc1", "color_jitter": 0.4, "mixup": 0.8, "cutmix": 1.0,
        "label_smoothing": 0.1, "erase": 0.25, "repeats": 3, "ema": 0.99996, "clip": 0.01,
        "teacher": "timm/regnety_160.deit_in1k", "distillation": "hard", "alpha": 0.5, "image_size": 224,
        "from_scratch": True,
    }  # fmt: skip
    options = TrainingOptions.from_flat(**read_recipe(config)).to_flat()
    assert {name: options[name] for name in paper} == pytest.approx(paper)
