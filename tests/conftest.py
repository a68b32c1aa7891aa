"""Fixtures and builders of all tests: golden data, a separate cache per test, checkpoints of random weights."""

from __future__ import annotations

import tests.environment  # noqa: F401  # before libraries that read the environment

# isort: split
import sys
from pathlib import Path
from uuid import uuid4

import numpy as np
import pytest
from hypothesis import settings

from levit.checkpoints.checkpoint import Checkpoint
from levit.logs import set_quiet
from levit.spec.architecture import Architecture
from levit.spec.artifact import Source
from levit.spec.blocks import MASK
from levit.spec.labels import default_labels
from levit.spec.network import weight_shapes
from levit.spec.preprocessing import Preprocessing

# Part of a package of transformers' tests, into which test_upstream.py copies them.
collect_ignore_glob = ["model/upstream/*.py"]

ROOT = Path(__file__).parent.parent
GOLDEN = Path(__file__).parent / "golden"
EXAMPLES = ROOT / "examples"
SHARED = ROOT.parent / "shared"

# Messages are on standard error, as on the command line, and not in the root logger, which has handlers of pytest.
set_quiet(False)

# The same examples in each run, so that only a change of the code makes a test fail. A busy machine is not an error.
settings.register_profile("levit", deadline=None, derandomize=True)
# New examples: pytest --hypothesis-profile random
settings.register_profile("random", deadline=None, derandomize=False)
settings.load_profile("levit")

# Examples that train, export or measure; `make quick` has faster tests of the same code.
SLOW_EXAMPLES = {
    "levit.benchmarking.benchmark.benchmark",
    "levit.exporting.export.export",
    "levit.training.train.train",
    "levit-for-image-classification.md",
    "levit-for-image-classification-with-teacher.md",
    "levit-backbone.md",
}


@pytest.hookimpl(tryfirst=True)  # before -m selects
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the slow examples, and run modules with slow tests first, so that parallel workers end together."""
    for item in items:
        if item.name in SLOW_EXAMPLES:
            item.add_marker(pytest.mark.slow)
    slow_files = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow_files)


@pytest.fixture(scope="session")
def _caches(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One folder for all caches: pytest scans every numbered folder before it makes the next one."""
    return tmp_path_factory.mktemp("caches")


@pytest.fixture(autouse=True)
def _own_cache(_caches: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test reads what another one cached; fixtures of modules and sessions share the cache of the environment."""
    cache = _caches / uuid4().hex
    cache.mkdir()
    monkeypatch.setenv("LEVIT_CACHE", str(cache))


@pytest.fixture(autouse=True)
def _same_random_numbers() -> None:
    """Seed numpy and torch, so that a test draws the same weights alone and after any other test."""
    np.random.seed(0)  # used by transformers' own tests
    if "torch" in sys.modules:
        sys.modules["torch"].manual_seed(0)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of the data sets and photos that are not part of the repository."""
    folder = SHARED / "data"
    if not folder.is_dir():
        pytest.skip(f"needs the data sets and photos in {folder}")
    return folder


@pytest.fixture(scope="session")
def shared_golden() -> Path:
    """Folder of reference outputs on photos that are not part of the repository."""
    folder = SHARED / "golden"
    if not folder.is_dir():
        pytest.skip(f"needs the reference outputs in {folder}")
    return folder


def random_weights(architecture: Architecture, seed: int = 0) -> dict[str, np.ndarray]:
    """Random weights with which every part of the network affects the logits, and activations stay near one."""
    generator = np.random.default_rng(seed)
    weights = {}
    for name, shape in weight_shapes(architecture).items():
        kind = name.rpartition(".")[2]
        if kind == "num_batches_tracked":
            weights[name] = np.array(7)
        elif kind == MASK:
            weights[name] = generator.random(shape) < 0.5
            weights[name][..., 0] = True  # each query keeps a key
        elif kind == "running_var":
            weights[name] = generator.uniform(0.5, 1.5, shape).astype(np.float32)
        elif kind == "weight" and len(shape) > 1:
            fan_in = int(np.prod(shape[1:]))
            weights[name] = generator.normal(0, fan_in**-0.5, shape).astype(np.float32)
        elif kind == "weight":
            # Branches small compared with their shortcut, as in trained networks, so that rounding is not amplified.
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


def relative(actual: np.ndarray, expected: np.ndarray) -> float:
    """Largest absolute difference divided by the largest expected value."""
    return float(np.abs(actual - expected).max() / np.abs(expected).max())


def agrees(actual: np.ndarray, expected: np.ndarray) -> bool:
    """Return whether an array equals the golden array up to rounding, which differs between processors.

    Tests that compute both sides on the same processor compare them bit for bit instead.
    """
    actual = np.asarray(actual)
    return actual.shape == expected.shape and relative(actual, expected) < 1e-5
