"""Adapt a timm teacher to other classes and smaller photos: a new classifier on the features of its frozen network.

    python configs/adapt_teacher.py TEACHER DATA --val VALIDATION --image-size 96 --teacher-size 192 --out OUT

A teacher that was trained on large photos is less accurate, and too confident, on small ones, although its features
still separate the classes. OpenVINO computes the features of every labeled photo, by default once as a whole and once
as a random crop, as the student sees them; then a linear classifier is trained in seconds, from the teacher's own
weights where it knows the classes. OUT is a folder for `--teacher`.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import numpy as np
import openvino
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from levit.data.class_matching import match_classes
from levit.data.labeled_images import LabeledDataset, LabeledImage
from levit.data.open_data import open_split
from levit.errors import DataError
from levit.training.augmentation import Augmentation
from levit.training.option_groups import AugmentationOptions
from levit.training.sampler import SampleIndex
from levit.training.teacher import match_teacher_classes
from levit.training.timm_networks import ClassificationNetwork, load_timm_network, write_timm_config

BATCH_SIZE, EPOCHS, LR, DROPOUT, LABEL_SMOOTHING = 1024, 8, 1e-3, 0.2, 0.05
CROPS = {"whole": 1.0, "random": 0.35}  # smallest area of the crop, as a fraction of the image
FEATURE_BATCH = 64


class Features(NamedTuple):
    """Pooled features of images, float32 [N, channels], and the indices of their classes, int64 [N]."""

    values: Tensor
    labels: Tensor


def main() -> None:
    """Compute features, train the classifier, print its accuracy, and write the teacher."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("teacher", help="folder of timm with a trained network")
    parser.add_argument("data", help="labeled training images")
    parser.add_argument("--val", required=True, help="labeled validation images with the same classes")
    parser.add_argument("--image-size", type=int, default=96, help="height and width of the student's input in pixels")
    parser.add_argument("--teacher-size", type=int, default=192, help="those of the teacher's input")
    parser.add_argument(
        "--crops", nargs="+", choices=CROPS, default=list(CROPS), help="one pass over the data for each"
    )
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    torch.manual_seed(0)
    teacher = load_timm_network(options.teacher)
    train, validation = open_split(options.data, "train"), open_split(options.val, "validation")
    indices = match_classes(validation.classes, train.classes, validation.name).class_indices
    classifier = initial_classifier(teacher, train.classes)
    extractor = FeatureExtractor(teacher, options.image_size, options.teacher_size)
    held_out = extractor(validation, "whole")
    held_out = held_out._replace(labels=torch.tensor(indices)[held_out.labels])
    parts = [extractor(train, crop) for crop in options.crops]
    features = Features(*(torch.cat(values) for values in zip(*parts, strict=True)))
    train_classifier(classifier, features, held_out)
    network = teacher.network
    network.reset_classifier(len(train.classes))  # type: ignore[operator]
    network.get_classifier().load_state_dict(classifier.state_dict())  # type: ignore[operator]
    options.out.mkdir(parents=True, exist_ok=True)
    size = (options.teacher_size, options.teacher_size)
    adapted = ClassificationNetwork(network, teacher.preprocessing, train.classes)
    write_timm_config(adapted, options.out, size, is_multi_label=False)


def initial_classifier(teacher: ClassificationNetwork, classes: Sequence[str]) -> nn.Linear:
    """The teacher's weights of the classes, or random weights if it does not know all of them."""
    own = teacher.network.get_classifier()  # type: ignore[operator]
    classifier = nn.Linear(own.in_features, len(classes))
    try:
        indices = torch.tensor(match_teacher_classes("teacher", classes, teacher.labels))
    except DataError:
        print("the teacher does not know all classes: its classifier starts from random weights")
        return classifier
    with torch.no_grad():
        classifier.weight.copy_(own.weight[indices])
        classifier.bias.copy_(own.bias[indices])
    return classifier


class FeatureExtractor:
    """Features of a frozen network, computed by OpenVINO, for images in the size of the student.

    Args:
        teacher: the network, with the mean and standard deviation of its pixels.
        image_size: height and width of the student's input in pixels.
        teacher_size: height and width to which it is enlarged for the teacher.
    """

    def __init__(self, teacher: ClassificationNetwork, image_size: int, teacher_size: int) -> None:
        network = teacher.network.eval()
        network.reset_classifier(0)  # type: ignore[operator]
        model = openvino.convert_model(network, example_input=torch.zeros(2, 3, teacher_size, teacher_size))
        self._network = openvino.compile_model(model, "CPU", {"PERFORMANCE_HINT": "LATENCY"})
        self._preprocessing, self._sizes = teacher.preprocessing, (image_size, teacher_size)

    def __call__(self, data: LabeledDataset, crop: str) -> Features:
        """Compute the features of all labeled images with one kind of crop."""
        options = AugmentationOptions(min_crop=CROPS[crop], flip=0.0 if crop == "whole" else 0.5, color_jitter=0.0)
        size = (self._sizes[0], self._sizes[0])
        augmentation = Augmentation(options, self._preprocessing, size, seed=0)
        values, labels = list[Tensor](), list[int]()
        images = _labeled(data)
        while batch := list(islice(images, FEATURE_BATCH)):
            pixels = [augmentation(item.image, SampleIndex(0, number, 0)) for number, item in batch]
            values.append(torch.from_numpy(self._compute(torch.stack(pixels))))
            labels.extend(item.labels[0] for _, item in batch)
        print(f"{data.name}, {crop}: {len(labels):,} images", flush=True)
        return Features(torch.cat(values), torch.tensor(labels))

    def _compute(self, pixels: Tensor) -> NDArray[np.float32]:
        enlarged = functional.interpolate(pixels, self._sizes[1], mode="bicubic", antialias=True)
        return np.array(self._network(enlarged.numpy())[0], np.float32)


def _labeled(data: LabeledDataset) -> Iterator[tuple[int, LabeledImage]]:
    return ((number, item) for number, item in enumerate(data) if item.labels)


def train_classifier(classifier: nn.Linear, features: Features, held_out: Features) -> None:
    """Train a linear classifier by AdamW with a one-cycle schedule; print its accuracy before, and after each epoch."""
    optimizer = torch.optim.AdamW(classifier.parameters(), lr=LR, weight_decay=1e-4)
    steps = -(-len(features.labels) // BATCH_SIZE)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, LR, total_steps=EPOCHS * steps)
    print(f"before: {measure_classifier(classifier, held_out)}", flush=True)
    for epoch in range(EPOCHS):
        for rows in torch.split(torch.randperm(len(features.labels)), BATCH_SIZE):
            logits = classifier(functional.dropout(features.values[rows], DROPOUT))
            loss = functional.cross_entropy(logits, features.labels[rows], label_smoothing=LABEL_SMOOTHING)
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()
        print(f"epoch {epoch + 1}: {measure_classifier(classifier, held_out)}", flush=True)


@torch.no_grad()
def measure_classifier(classifier: nn.Linear, held_out: Features) -> str:
    """Accuracy and loss on validation images, for printing."""
    logits = classifier(held_out.values)
    accuracy = (logits.argmax(dim=1) == held_out.labels).float().mean()
    return f"top1 {accuracy:.2%}, loss {functional.cross_entropy(logits, held_out.labels):.3f}"


if __name__ == "__main__":
    main()
