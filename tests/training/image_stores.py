"""Indexed images in memory, for tests; worker processes import this module, so that it imports little."""

from __future__ import annotations

import torch

from levit.images.decoding import read_image
from levit.training.indexed_images import IndexedImages
from tests.data.datasets_on_disk import png

CLASSES = ("bear", "cat", "dog")


class GrayImages:
    """Store of uniform images: the gray level of each, or None for one that cannot be decoded."""

    def __init__(self, levels, labels):
        self._levels, self._labels = levels, labels

    def __len__(self):
        return len(self._levels)

    def image(self, index):
        return b"no image" if self._levels[index] is None else png(self._levels[index])

    def view(self, index):
        return memoryview(self.image(index))

    def labels(self, index):
        return self._labels[index]

    def name(self, index):
        return f"{index}.png"


def gray_images(*levels, labels=None, classes=CLASSES, is_multi_label=False) -> IndexedImages:
    """Uniform images; by default with the labels 0, 1, 2, 0, 1 and so on."""
    labels = labels or [(index % 3,) for index in range(len(levels))]
    store = GrayImages(levels, labels)
    return IndexedImages(store, range(len(classes)), classes=classes, is_multi_label=is_multi_label)


def labeled_images(labels, classes=CLASSES, *, is_multi_label=False) -> IndexedImages:
    """One image for each tuple of labels."""
    return gray_images(*range(len(labels)), labels=labels, classes=classes, is_multi_label=is_multi_label)


def first_pixel(source, sample):
    """Transform to one pixel: a conversion that imports neither timm nor torchvision."""
    return torch.tensor(read_image(source).getpixel((0, 0)), dtype=torch.float32)[:, None, None]


def names(images: IndexedImages) -> list[str]:
    """Names of all images."""
    return [images.name(index) for index in range(len(images))]


def labels(images: IndexedImages) -> list[tuple[int, ...]]:
    """Labels of all images."""
    return [images.labels(index) for index in range(len(images))]
