"""Accuracy of fine-tuning on few images: settings by their number and others, from several initial weights.

python benchmarks/small_data.py ../shared/data                         # CIFAR-10 as cifar10-{train,test}.parquet there
python benchmarks/small_data.py ../shared/data --sizes 60 --seeds 5    # three classes of 20 images, five times
python benchmarks/small_data.py ../shared/data --weights embedded runs/mine --settings automatic
python benchmarks/small_data.py ../shared/data --settings automatic defaults,lr=0.0003,epochs=60  # another recipe

Each row is the mean over seeds, which choose the training images and, where they are fewer than 100, three of the ten
classes. The networks are tested on images of the test set. Seconds are processor time, of all cores together. Writes
small_data.md, or the file of `--out`.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import yaml

import levit
from levit.data.labeled_images import LabeledDataset, LabeledImage
from levit.data.subsets import Subset
from levit.training.automatic_settings import AUTOMATIC_SETTINGS
from recording import add_record_option, result_file


class Row(NamedTuple):
    """Top-1 accuracies of the seeds, as fractions, and the mean processor time of a training in seconds."""

    size: int
    weights: str
    settings: str
    accuracies: list[float]
    seconds: float

    def __str__(self) -> str:
        values = 100 * np.array(self.accuracies)
        spread = f" ± {values.std(ddof=1):.1f}" if len(values) > 1 else ""
        each = ", ".join(f"{value:.1f}" for value in values)
        name = Path(self.weights).name
        return (
            f"| {self.size:,} | {name} | {self.settings} | {values.mean():.1f}{spread} | {each} | {self.seconds:.0f} |"
        )


def choose(data: LabeledDataset, labels: np.ndarray, classes: Iterable[int], count: int, seed: int) -> Subset:
    """Choose `count` images of each of some classes."""
    generator = np.random.default_rng(seed)
    members = [generator.permutation(np.flatnonzero(labels == label))[:count] for label in classes]
    return Subset(data, np.concatenate(members))


def write_folder(images: Iterable[LabeledImage], classes: tuple[str, ...], folder: Path) -> None:
    """Write images into a folder for each class."""
    for number, item in enumerate(images):
        assert isinstance(item.image, bytes)
        file = folder / classes[item.labels[0]] / f"{number}.jpg"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(item.image)


def parse_settings(text: str) -> tuple[str, dict[str, Any]]:
    """Split `automatic,epochs=15` into the settings that apply otherwise, and the options that are given."""
    base, *given = text.split(",")
    if base not in ("automatic", "defaults"):
        raise argparse.ArgumentTypeError(f"{text!r} does not start with automatic or defaults")
    return base, {name: yaml.safe_load(value) for name, value in (item.split("=", 1) for item in given)}


def train_and_test(folder: Path, weights: str, settings: str, seed: int) -> tuple[float, float]:
    """Fine-tune on `folder/train`; top-1 accuracy of `folder/test`, and the processor time of the training."""
    base, given = parse_settings(settings)
    values: dict[str, Any] = {
        "data": str(folder / "train"), "out": str(folder / f"run-{Path(weights).name}-{settings}"), "model": weights,
        "seed": seed, "report_to": "none", "evaluation": False,
    } | given  # fmt: skip
    start = sum(os.times()[:4])  # with processes that have ended
    run = levit.train(**values) if base == "automatic" else levit.train(levit.TrainingOptions.from_flat(**values))
    seconds = sum(os.times()[:4]) - start
    return levit.evaluate(run.folder, folder / "test").top1.value, seconds


def measure(arguments: argparse.Namespace) -> Iterable[Row]:
    """Measure every combination of number of images, weights and settings."""
    train, test = (levit.open_data(arguments.data / f"cifar10-{split}.parquet") for split in ("train", "test"))
    labels, test_labels = (np.array([item.labels[0] for item in data]) for data in (train, test))
    for size in arguments.sizes:
        measured: dict[tuple[str, str], list[tuple[float, float]]] = {}
        for seed in range(arguments.seeds):
            classes = np.random.default_rng(seed).choice(10, 3 if size < 100 else 10, replace=False)
            with tempfile.TemporaryDirectory() as folder:
                each, num_test = size // len(classes), arguments.num_test // len(classes)
                write_folder(choose(train, labels, classes, each, seed), train.classes, Path(folder, "train"))
                write_folder(choose(test, test_labels, classes, num_test, seed), test.classes, Path(folder, "test"))
                for weights in arguments.weights:
                    for settings in arguments.settings:
                        result = train_and_test(Path(folder), weights, settings, seed)
                        measured.setdefault((weights, settings), []).append(result)
        for (weights, settings), results in measured.items():
            accuracies, seconds = zip(*results, strict=True)
            yield Row(size, weights, settings, list(accuracies), float(np.mean(seconds)))


def main() -> None:
    """Print a table, and write it into the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--sizes", type=int, nargs="+", default=[60, 100, 300, 1000])
    parser.add_argument("--weights", nargs="+", default=["embedded", "../shared/data/starter"])
    parser.add_argument(
        "--settings", nargs="+", default=["automatic", "defaults"], metavar="BASE[,OPTION=VALUE…]",
        help="automatic or defaults, and options of levit train that are set by hand",
    )  # fmt: skip
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--num-test", type=int, default=1000)
    parser.add_argument("--out", type=Path, help="file to write")
    add_record_option(parser)
    arguments = parser.parse_args()
    file = arguments.out or result_file("small_data.md", is_recorded=arguments.record)
    names = ", ".join(sorted(AUTOMATIC_SETTINGS))
    lines = [
        f"CIFAR-10, {arguments.num_test:,} test images; automatic: {names} by the number of images.\n",
        "| images | initial weights | settings | top-1, % | of each seed | seconds |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    print("\n".join(lines))
    for row in measure(arguments):
        print(row, flush=True)
        lines.append(str(row))
        file.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
