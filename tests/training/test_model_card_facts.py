"""What a model card says about a run, from its network, its images and its initial weights."""

import shutil
from types import SimpleNamespace

import pytest
import torch

from levit.training.model_card_writer import CARD_FILE, ModelCardWriter, collect_facts
from levit.training.run_data import RunData
from levit.training.run_state import LAST, STATE_FILE
from tests.training.card_facts import progress
from tests.training.tiny import TIMM_NETWORK, save_levit


@pytest.fixture
def collect(load, photos):
    """Builder of the facts about a run on photos of three classes."""
    images = RunData(*load(photos), None)
    accelerator = SimpleNamespace(num_processes=1, device=torch.device("cpu"))

    def make(options, student):
        return collect_facts(options, student, images, accelerator, has_validation_set=False)

    return make


@pytest.mark.parametrize(
    ("model", "values", "expected"),
    [
        ("levit-128s", {}, (True, True)),
        ("levit-128s", {"patch_size": 8}, (True, False)),
        (TIMM_NETWORK, {}, (False, False)),
    ],
)
def test_a_network_is_stock_if_transformers_computes_it(build, options, collect, model, values, expected):
    values = {"from_scratch": True, "image_size": 64, **values}
    facts = collect(options(model=model, **values), build(model, **values))
    assert (facts.is_levit, facts.is_stock) == expected


@pytest.fixture
def started(build, options, collect, checkpoint, tmp_path, monkeypatch):
    """A run with a state and both cards, and what collects its facts again; its initial weights were deleted."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    base = save_levit(tmp_path / "runs" / "base", ("emu", "fox"))
    (base / CARD_FILE).write_text("---\nlicense: mit\nbase_model: facebook/levit-256\n---\n# Base\n")
    chosen, student, run = options(model="runs/base", ema=0.9), build(checkpoint), tmp_path / "run"
    (run / "ema").mkdir(parents=True)
    ModelCardWriter(run, collect(chosen, student)).on_checkpoint(progress(1))
    (run / LAST).mkdir()
    (run / LAST / STATE_FILE).touch()
    shutil.rmtree(base)
    return run, lambda: collect(chosen, student)


@pytest.mark.parametrize("changed", [None, CARD_FILE])
def test_a_resumed_run_keeps_the_base_model_and_license_of_weights_that_are_gone(started, changed):
    run, collect = started
    if changed:
        (run / changed).write_text("---\nlicense: gpl\nbase_model: ann/other\n---\n# Mine\n")
    facts = collect()
    assert (facts.base_model, facts.license) == ("facebook/levit-256", "mit")
    ModelCardWriter(run, facts).on_checkpoint(progress(2))
    text = (run / "ema" / CARD_FILE).read_text()
    assert "after epoch 2 of 30" in text
    assert "base_model: facebook/levit-256\n" in text
    assert "license: mit\n" in text


def test_without_a_card_weights_that_are_gone_are_no_base_model(started):
    run, collect = started
    for card in (run / CARD_FILE, run / "ema" / CARD_FILE):
        card.unlink()
    facts = collect()
    assert (facts.base_model, facts.license) == (None, None)
