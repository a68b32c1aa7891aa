"""Balance the classes of a trained LeViT: subtract a multiple of the logarithms of the class frequencies.

    python configs/balance_classes.py RUN DATA --out OUT

A network that was trained on classes of different frequencies predicts the frequent ones too often. Here the biases of
its classifiers are lowered by `strength` times the logarithm of each class's share of the training images in DATA
(logit adjustment, arXiv 2007.07314); no image is computed. OUT is a model folder, as RUN is.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

import levit
from levit.data.class_matching import match_classes
from levit.data.labeled_images import LabeledDataset
from levit.data.open_data import open_split
from levit.errors import DataError

STRENGTH = 1.5
CLASSIFIERS = ("classifier", "classifier_distill")


def main() -> None:
    """Count the images of each class, adjust the biases, write the model."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", help="trained model")
    parser.add_argument("data", help="its labeled training images")
    parser.add_argument("--strength", type=float, default=STRENGTH, help=f"default: {STRENGTH}")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    model = levit.load_checkpoint(options.run)
    labels = [model.config.id2label[index] for index in range(model.config.num_labels)]
    counts = count_images(open_split(options.data, "train"), labels)
    lower_biases(model, options.strength * np.log(counts / counts.mean()))
    model.save_pretrained(options.out)
    levit.LevitImageProcessor.from_pretrained(options.run).save_pretrained(options.out)
    print(f"{int(counts.min()):,} to {int(counts.max()):,} images of a class; written to {options.out}")


def count_images(data: LabeledDataset, labels: Sequence[str]) -> NDArray[np.float64]:
    """Number of labeled images of each class of the model, float64 [classes].

    Raises:
        DataError: a class has no image.
    """
    found = Counter(item.labels[0] for item in data if item.labels)
    counts = np.zeros(len(labels))
    for number, index in enumerate(match_classes(data.classes, labels, data.name).class_indices):
        counts[index] = found[number]
    if (missing := int((counts == 0).sum())) > 0:
        raise DataError(f"has no images of {missing} classes of the model", source=data.name)
    return counts


@torch.no_grad()
def lower_biases(model: nn.Module, values: NDArray[np.float64]) -> None:
    """Subtract a value for each class, [classes], from the biases of all classifiers."""
    for name in CLASSIFIERS:
        if hasattr(model, name):
            getattr(model, name).linear.bias -= torch.as_tensor(values, dtype=torch.float32)


if __name__ == "__main__":
    main()
