"""The snippets of docs/migration.md run, and both sides of a change give the same."""

import re

import numpy as np
import pytest

from tests.conftest import ROOT

PAGE = (ROOT / "docs" / "migration.md").read_text(encoding="utf-8")


def snippets(library: str) -> list[str]:
    section = re.search(rf"^## From {re.escape(library)}\n(.*?)(?=^## |\Z)", PAGE, re.DOTALL | re.MULTILINE)
    return re.findall(r"^```python\n(.*?)^```", section[1], re.DOTALL | re.MULTILINE)


def results(run, tmp_path, code: str) -> dict:
    """What the snippet leaves in the names that the page uses for results."""
    saving = """
import numpy, torch
found = {
    name: value for name, value in globals().copy().items() if name in ("logits", "best", "maps")
}
if "maps" in found:
    found |= {f"maps{index}": map_.numpy() for index, map_ in enumerate(found.pop("maps"))}
if "logits" in found:
    found["logits"] = found["logits"].numpy()
if "best" in found:
    best = found["best"]
    found["best"] = numpy.array([best["label"] if isinstance(best, dict) else best.name])
numpy.savez("found.npz", **found)
"""
    (tmp_path / "snippet.py").write_text(code + saving)
    run("snippet.py")
    with np.load(tmp_path / "found.npz") as found:
        return dict(found)


CASES = [
    ("transformers", 4),
    ("timm", 3),
    ("facebookresearch/LeViT", 1),
    ("mmpretrain", 2),
]


def test_the_page_has_these_snippets():
    assert [(library, len(snippets(library))) for library, _ in CASES] == CASES


@pytest.mark.slow
def test_transformers(run, tmp_path):
    before, after, registered, without_torch = (results(run, tmp_path, code) for code in snippets("transformers"))
    scale = np.abs(before["logits"]).max()
    # Stock's default image processor is torchvision's, ours is Pillow's: up to two gray levels apart.
    assert np.abs(after["logits"] - before["logits"]).max() / scale < 0.05
    assert after["logits"].argmax() == before["logits"].argmax()
    assert without_torch["best"] == registered["best"]


@pytest.mark.slow
def test_timm(run, tmp_path):
    before, after, maps = (results(run, tmp_path, code) for code in snippets("timm"))
    np.testing.assert_allclose(after["logits"], before["logits"], atol=1e-5 * np.abs(before["logits"]).max())
    assert [maps[f"maps{index}"].shape for index in range(3)] == [(1, 128, 14, 14), (1, 256, 7, 7), (1, 384, 4, 4)]


@pytest.mark.slow
def test_facebook_and_mmpretrain(run, tmp_path):
    """Neither library can be installed here; their files hold the same weights as those of the other two."""
    _, stock, *_ = snippets("transformers")
    expected = results(run, tmp_path, stock)["logits"]
    (facebook,) = snippets("facebookresearch/LeViT")
    label, mmpretrain = snippets("mmpretrain")
    for code in (facebook, mmpretrain):
        np.testing.assert_array_equal(results(run, tmp_path, code)["logits"], expected)
    assert results(run, tmp_path, label)["best"].size == 1
