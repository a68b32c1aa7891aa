"""Tiny networks, and photos in every layout, for training."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator
from multiprocessing.context import BaseContext
from pathlib import Path

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from PIL import Image

import levit
from levit.data.open_data import open_data
from levit.training.datasets import IMAGE_COPIES, index_training_data, open_training_data
from levit.training.indexed_images import IndexedImages
from levit.training.option_groups import DataOptions
from levit.training.options import TrainingOptions
from levit.training.student import build_student
from tests.training.runs import COLORS, TINY
from tests.training.tiny import CLASSES, photo, save_levit


@pytest.fixture(autouse=True, scope="package")
def _only_the_cpu() -> Iterator[None]:
    """Train on the CPU, on which equal runs have equal bits; so do processes that inherit the variable."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CUDA_VISIBLE_DEVICES", "")
        for kind in (torch.accelerator, torch.cuda):
            patch.setattr(kind, "is_available", lambda: False)
        yield


@pytest.fixture(scope="module")
def accelerator() -> Accelerator:
    """A single process that computes in fp32."""
    AcceleratorState._reset_state()  # a run in this process may have had another precision
    return Accelerator(cpu=True, mixed_precision="no")


@pytest.fixture
def load(tmp_path: Path) -> Callable[..., tuple[IndexedImages, IndexedImages]]:
    """Open and index training and validation set."""

    def make(data, *, classes=None, writes=True, val_share=0.1, keeps_unlabeled=False, **others):
        paths = {name: str(path) for name, path in others.items() if path is not None}
        opened = open_training_data(DataOptions(data=str(data), **paths), keeps_unlabeled=keeps_unlabeled)
        copies = tmp_path / "run" / IMAGE_COPIES
        chosen = classes or opened.train.classes
        return index_training_data(
            opened, chosen, copies=copies, val_share=val_share, seed=0, writes=writes, keeps_unlabeled=keeps_unlabeled
        )

    return make


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory) -> Path:
    """A trained LeViT with one head for the three classes, and 32x32 pixels."""
    torch.manual_seed(0)
    return save_levit(tmp_path_factory.mktemp("checkpoint"), CLASSES)


@pytest.fixture(scope="session")
def photos(tmp_path_factory) -> Path:
    """A folder for each class: eight bears, six cats, four dogs."""
    folder = tmp_path_factory.mktemp("photos") / "pets"
    for label, (name, count) in enumerate(zip(CLASSES, (8, 6, 4), strict=True)):
        (folder / name).mkdir(parents=True)
        for number in range(count):
            photo(10 * label + number).save(folder / name / f"{number}.png")
    return folder


@pytest.fixture(scope="session")
def parquet(photos, tmp_path_factory) -> Path:
    """The same photos as `datasets` writes them."""
    import datasets

    rows = [(item.image.read_bytes(), item.name, item.labels[0]) for item in open_data(photos)]
    features = datasets.Features({"image": datasets.Image(), "label": datasets.ClassLabel(names=list(CLASSES))})
    table = datasets.Dataset.from_dict(
        {
            "image": [{"bytes": content, "path": name} for content, name, _ in rows],
            "label": [label for *_, label in rows],
        },
        features=features,
    )
    file = tmp_path_factory.mktemp("parquet") / "pets.parquet"
    table.to_parquet(file)
    return file


@pytest.fixture
def options(tmp_path):
    """Builder of training options with a run directory of this test."""

    def make(**values) -> TrainingOptions:
        return TrainingOptions.from_flat(**{"data": "photos", "out": str(tmp_path / "run"), **values})

    return make


@pytest.fixture
def build(options):
    """Builder of a student, by the name of a model and options."""

    def make(model, classes=CLASSES, *, is_multi_label=False, **values):
        chosen = options(model=str(model), **values)
        return build_student(
            chosen.model, chosen.teacher, classes, crop=chosen.augmentation.crop, is_multi_label=is_multi_label
        )

    return make


@pytest.fixture(scope="session")
def picture() -> Image.Image:
    """An image of 48 by 40 pixels without two equal pixels in a row or column."""
    rows, columns = np.mgrid[0:40, 0:48]
    return Image.fromarray(np.stack([rows * 6, columns * 5, (rows * columns) % 256], axis=-1).astype(np.uint8))


@pytest.fixture(scope="session")
def colors(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Noisy images of three colors, which even a tiny network classifies correctly."""
    folder = tmp_path_factory.mktemp("colors")
    generator = np.random.default_rng(0)
    for split, count in (("train", 16), ("validation", 6)):
        for channel, name in enumerate(reversed(COLORS)):
            (folder / split / name).mkdir(parents=True)
            for number in range(count):
                pixels = generator.integers(0, 130, (32, 32, 3), dtype=np.uint8)
                pixels[..., channel] += 90
                Image.fromarray(pixels).save(folder / split / name / f"{number}.png")
    return folder


@pytest.fixture(scope="session")
def network(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny network with random weights and two heads of other classes."""
    folder = tmp_path_factory.mktemp("network")
    torch.manual_seed(1)
    config = levit.LevitConfig(**TINY, num_labels=5)
    levit.LevitForImageClassificationWithTeacher(config).save_pretrained(folder)
    return folder


@pytest.fixture
def run_options(colors: Path, network: Path, tmp_path: Path) -> TrainingOptions:
    """A run of two epochs of three steps with every source of randomness."""
    return TrainingOptions.from_flat(
        data=str(colors),
        out=str(tmp_path / "run"),
        model=str(network),
        epochs=2,
        batch_size=16,
        lr=3e-3,
        drop_path=0.1,
        ema=0.8,
        clip=0.1,
        mixup=0.8,
        cutmix=1.0,
        mix_share=0.5,
        auto_augment="rand-m5-n1-mstd0.5-inc1",
        erase=0.25,
        repeats=2,
        precision="fp32",
        workers=0,
        save_minutes=0.0,
        keep_state=True,
        evaluation=False,
        report_to="none",
    )


@pytest.fixture(scope="session")
def processes() -> BaseContext:
    """Context of processes that can be killed, forked from a server that has imported what they need."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["levit.training.train", "matplotlib.figure", "hypothesis", "pytest"])
    return context
