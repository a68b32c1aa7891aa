"""`levit sparsify`."""

import json

import numpy as np
import pytest
from PIL import Image

import levit


@pytest.fixture
def photos(tmp_path):
    """Three photos without labels."""
    generator = np.random.default_rng(0)
    for name in ("a", "b", "c"):
        pixels = generator.integers(0, 256, (40, 50, 3), np.uint8)
        (tmp_path / "photos").mkdir(exist_ok=True)
        Image.fromarray(pixels).save(tmp_path / "photos" / f"{name}.png")
    return tmp_path / "photos"


def test_it_writes_a_masked_checkpoint_that_predict_opens(console, model, photos, tmp_path):
    result = console("sparsify", model, photos, "--sparsity", "0.4", "--out", tmp_path / "sparse", "--json")
    assert (result.code, result.err) == (0, "")
    summary = json.loads(result.out)
    assert summary["sparsity"] >= 0.4
    assert summary["images"] == 3
    checkpoint = tmp_path / "sparse" / "checkpoint"
    assert levit.read_checkpoint(checkpoint).architecture.has_attention_masks
    assert console("predict", photos / "a.png", "--model", checkpoint).code == 0


def test_it_prints_what_is_removed(console, model, photos, tmp_path):
    result = console("sparsify", model, photos, "--attention-mass", "0.5", "--out", tmp_path / "sparse")
    text = " ".join(result.out.split())
    assert "% of the attention maps, by their average over 3 images" in text
    assert "at least 50.0% of the average attention of each query" in text


def test_invalid_options_are_named_as_flags(console, model, photos, tmp_path):
    result = console("sparsify", model, photos, "--sparsity", "2", "--out", tmp_path / "sparse")
    assert (result.code, result.err) == (2, "levit: --sparsity is 2: use a number above 0 and below 1\n")
    result = console("sparsify", model, photos, "--out", tmp_path / "sparse")
    assert (result.code, result.err) == (
        2,
        "levit: give either --attention-mass or --sparsity: such as --sparsity 0.8\n",
    )
