"""Snippets of docs/migration.md: each runs, and the code before and after a migration gives the same results."""

import re

import numpy as np
import pytest

from tests.conftest import ROOT

PAGE = (ROOT / "docs" / "migration.md").read_text(encoding="utf-8")


def snippets(library: str) -> list[str]:
    section = re.search(rf"^## From {re.escape(library)}\n(.*?)(?=^## |\Z)", PAGE, re.DOTALL | re.MULTILINE)
    return re.findall(r"^```python\n(.*?)^```", section[1], re.DOTALL | re.MULTILINE)


def run_snippet(run, tmp_path, code: str) -> dict:
    """Run a snippet and return its variables `logits`, `best` and `maps`, where it defines them, as arrays."""
    saving = """
import numpy, torch
results = {
    name: value for name, value in globals().copy().items() if name in ("logits", "best", "maps")
}
if "maps" in results:
    results |= {f"maps{index}": map_.numpy() for index, map_ in enumerate(results.pop("maps"))}
if "logits" in results:
    results["logits"] = results["logits"].numpy()
if "best" in results:
    best = results["best"]
    results["best"] = numpy.array([best["label"] if isinstance(best, dict) else best.name])
numpy.savez("results.npz", **results)
"""
    (tmp_path / "snippet.py").write_text(code + saving)
    run("snippet.py")
    with np.load(tmp_path / "results.npz") as saved:
        return dict(saved)


CASES = [
    ("transformers", 4),
    ("timm", 3),
    ("facebookresearch/LeViT", 1),
    ("mmpretrain", 2),
    ("MindSpore", 1),
    ("vit-pytorch", 1),
    ("LeViT-flax", 1),
]


def test_the_page_has_a_snippet_for_each_way_of_migration():
    assert [(library, len(snippets(library))) for library, _ in CASES] == CASES


@pytest.mark.slow
def test_the_snippets_for_transformers_give_the_same_predictions(run, tmp_path):
    before, after, registered, without_torch = (run_snippet(run, tmp_path, code) for code in snippets("transformers"))
    scale = np.abs(before["logits"]).max()
    # transformers' default image processor uses torchvision, this package's uses Pillow: up to two gray levels apart.
    assert np.abs(after["logits"] - before["logits"]).max() / scale < 0.05
    assert after["logits"].argmax() == before["logits"].argmax()
    with_torchvision = snippets("transformers")[1].replace("LevitImageProcessor", "LevitImageProcessorFast")
    np.testing.assert_array_equal(run_snippet(run, tmp_path, with_torchvision)["logits"], before["logits"])
    assert without_torch["best"] == registered["best"]


@pytest.mark.slow
def test_the_snippets_for_timm_give_the_same_logits(run, tmp_path):
    before, after, maps = (run_snippet(run, tmp_path, code) for code in snippets("timm"))
    np.testing.assert_allclose(after["logits"], before["logits"], atol=1e-5 * np.abs(before["logits"]).max())
    assert [maps[f"maps{index}"].shape for index in range(3)] == [(1, 128, 14, 14), (1, 256, 7, 7), (1, 384, 4, 4)]


@pytest.mark.slow
def test_the_snippets_for_facebook_and_mmpretrain_give_the_logits_of_transformers(run, tmp_path):
    """Neither library is installed in tests; their files have the same weights as those of the other two."""
    _, stock, *_ = snippets("transformers")
    expected = run_snippet(run, tmp_path, stock)["logits"]
    (facebook,) = snippets("facebookresearch/LeViT")
    label, mmpretrain = snippets("mmpretrain")
    for code in (facebook, mmpretrain):
        np.testing.assert_array_equal(run_snippet(run, tmp_path, code)["logits"], expected)
    assert run_snippet(run, tmp_path, label)["best"].size == 1


@pytest.mark.slow
def test_the_snippet_for_mindspore_gives_the_logits_of_facebook(run, tmp_path):
    libraries = ("facebookresearch/LeViT", "MindSpore")
    expected, logits = (run_snippet(run, tmp_path, snippets(library)[0])["logits"] for library in libraries)
    np.testing.assert_array_equal(logits, expected)


@pytest.mark.slow
@pytest.mark.parametrize("library", ["vit-pytorch", "LeViT-flax"])
def test_the_snippets_for_another_network_run(run, tmp_path, library):
    """The tests of the weights compare the logits of the same files with those of the libraries."""
    (code,) = snippets(library)
    logits = run_snippet(run, tmp_path, code)["logits"]
    assert logits.shape == (1, 10)
    assert np.isfinite(logits).all()
