"""What the tests share: where the golden data is, and checkpoints of random weights."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from uuid import uuid4

# Before anything imports a library that would look for it: no test may reach for a hub.
os.environ["HF_HUB_OFFLINE"] = "1"

import numpy as np
import pytest
from hypothesis import settings

from levit.checkpoints.checkpoint import Checkpoint
from levit.spec.architecture import Architecture
from levit.spec.artifact import Source
from levit.spec.blocks import weight_shapes
from levit.spec.labels import default_labels
from levit.spec.preprocessing import Preprocessing

# They belong into a package of transformers' tests, where test_upstream.py puts them.
collect_ignore_glob = ["model/upstream/*.py"]

ROOT = Path(__file__).parent.parent
GOLDEN = Path(__file__).parent / "golden"
EXAMPLES = ROOT / "examples"
SHARED = ROOT.parent / "shared"

# A machine that is busy is no error.
settings.register_profile("levit", deadline=None)
settings.load_profile("levit")

# Those that train, export or measure; `make quick` has tests of the same rooms.
SLOW_EXAMPLES = {
    "levit.benchmarking.benchmark.measure_speed",
    "levit.exporting.export.export",
    "levit.training.train.train",
    "levit-for-image-classification.md",
    "levit-for-image-classification-with-teacher.md",
    "levit-backbone.md",
}


@pytest.hookimpl(tryfirst=True)  # before -m chooses
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Examples in documentation cannot be marked where they stand."""
    for item in items:
        if item.name in SLOW_EXAMPLES:
            item.add_marker(pytest.mark.slow)


@pytest.fixture(scope="session")
def _caches(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One folder for all: pytest looks through every numbered one before it makes the next."""
    return tmp_path_factory.mktemp("caches")


@pytest.fixture(autouse=True)
def _own_cache(_caches: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test reads or fills the user's cache."""
    cache = _caches / uuid4().hex
    cache.mkdir()
    monkeypatch.setenv("LEVIT_CACHE", str(cache))


@pytest.fixture(autouse=True)
def _same_random_numbers() -> None:
    """A test draws the same weights alone and after any others; torch is seeded only where it is in use."""
    np.random.seed(0)  # transformers' own tests draw from it
    if "torch" in sys.modules:
        sys.modules["torch"].manual_seed(0)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The data sets and photos that are never part of the repository."""
    folder = SHARED / "data"
    if not folder.is_dir():
        pytest.skip(f"needs the data sets and photos in {folder}")
    return folder


@pytest.fixture(scope="session")
def shared_golden() -> Path:
    """Reference outputs on photographs that are never part of the repository."""
    folder = SHARED / "golden"
    if not folder.is_dir():
        pytest.skip(f"needs the reference outputs in {folder}")
    return folder


def random_weights(architecture: Architecture, seed: int = 0) -> dict[str, np.ndarray]:
    """Weights that make every part of the network matter, and keep its values near one."""
    generator = np.random.default_rng(seed)
    weights = {}
    for name, shape in weight_shapes(architecture).items():
        kind = name.rpartition(".")[2]
        if kind == "num_batches_tracked":
            weights[name] = np.array(7)
        elif kind == "running_var":
            weights[name] = generator.uniform(0.5, 1.5, shape).astype(np.float32)
        elif kind == "weight" and len(shape) > 1:
            fan_in = int(np.prod(shape[1:]))
            weights[name] = generator.normal(0, fan_in**-0.5, shape).astype(np.float32)
        elif kind == "weight":
            # Branches that are small beside their shortcut, as in trained networks, so that rounding does not grow.
            size = 0.3 if "projection" in name or "linear_down" in name else 1.0
            signs = generator.choice([-size, size], shape)
            weights[name] = (signs * generator.uniform(0.5, 1.5, shape)).astype(np.float32)
        else:
            weights[name] = generator.normal(0, 0.3, shape).astype(np.float32)
    return weights


def random_checkpoint(architecture: Architecture, seed: int = 0) -> Checkpoint:
    return Checkpoint(
        weights=random_weights(architecture, seed),
        architecture=architecture,
        labels=default_labels(architecture.num_labels),
        preprocessing=Preprocessing.for_image_size(architecture.image_height_width),
        source=Source(name="random", dialect="transformers"),
    )


def relative(found: np.ndarray, expected: np.ndarray) -> float:
    """The largest difference, as a share of the largest expected value."""
    return float(np.abs(found - expected).max() / np.abs(expected).max())


def agrees(found: np.ndarray, expected: np.ndarray) -> bool:
    """Whether an array is the golden one but for rounding, which differs between processors.

    On one processor everything is equal to the last bit: tests that compute both sides compare them so.
    """
    found = np.asarray(found)
    return found.shape == expected.shape and relative(found, expected) < 1e-5
