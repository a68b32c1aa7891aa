"""Tiny networks and photos in every layout, to train with."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from levit.data.opening import open_data
from levit.training.options import TrainingOptions
from tests.training.tiny import CLASSES, photo, save_levit


@pytest.fixture(autouse=True)
def _own_random_numbers():
    """Augmentation seeds torch's generator, and no test is to depend on which one ran before."""
    torch.manual_seed(0)


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory) -> Path:
    """A trained network of one head, for 32x32 pixels, that knows the three classes."""
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
    """Options of a run in a folder of this test."""

    def make(**values) -> TrainingOptions:
        return TrainingOptions(**{"data": "photos", "out": str(tmp_path / "run"), **values})

    return make


@pytest.fixture(scope="session")
def picture() -> Image.Image:
    """A photo of 48 by 40 pixels with something in every part of it."""
    rows, columns = np.mgrid[0:40, 0:48]
    return Image.fromarray(np.stack([rows * 6, columns * 5, (rows * columns) % 256], axis=-1).astype(np.uint8))
