"""Accuracy with sparse attention: before masks, with masks, and after fine-tuning with them.

python benchmarks/sparse_training.py ../shared/data/cifar10-train.parquet ../shared/data/cifar10-test.parquet \
    --out runs/sparse [--epochs 4] [--fine-tuning-epochs 3]      resumes where it stopped

The network is a LeViT-128S at 96 pixels, from the weights in the package. Fine-tuning is more training, so that there
is also a network without masks that is fine-tuned likewise. The results are those of the last epochs, in fp32 on the
test images, which select nothing; they are written to results/sparse_training.md, or to the page of `--result`.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import levit
from levit.benchmarking.machine import describe_machine
from levit.files import write_text
from levit.training.train import train

RESULT = Path(__file__).parent / "results" / "sparse_training.md"
SPARSITIES = (0.8, 0.9)
IMAGE_SIZE = 96
AVERAGED_IMAGES = 5000


@dataclass(frozen=True)
class Row:
    """One network of the table; accuracies are fractions in [0, 1]."""

    name: str
    attention_mass: float
    removed: float
    masked: float
    fine_tuned: float


def main() -> None:
    """Train, print and write the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("train", help="training images")
    parser.add_argument("test", help="test images")
    parser.add_argument("--out", type=Path, required=True, help="folder of all runs")
    parser.add_argument("--result", type=Path, default=RESULT, help="page to write")
    parser.add_argument("--epochs", type=int, default=4, help="of the network without masks")
    parser.add_argument("--fine-tuning-epochs", type=int, default=3)
    options = parser.parse_args()
    dense = options.out / "dense"
    run(options, dense, model="embedded", image_size=IMAGE_SIZE, epochs=options.epochs, lr=1e-3, warmup_epochs=0.25)
    before = accuracy(dense, options.test)
    rows = [Row("without masks", 1.0, 0.0, before, fine_tune(options, dense, options.out / "dense-fine-tuned"))]
    for sparsity in SPARSITIES:
        folder = options.out / f"masks-{sparsity:g}"
        result = levit.sparsify(
            dense, options.train, folder, sparsity=sparsity, images=AVERAGED_IMAGES, evaluation=options.test
        )
        assert result.accuracies is not None
        fine_tuned = fine_tune(options, folder / "checkpoint", options.out / f"fine-tuned-{sparsity:g}")
        savings = result.savings.sparsity
        rows.append(
            Row(f"{sparsity:.0%} removed", result.attention_mass, savings, result.accuracies[1].top1, fine_tuned)
        )
    text = report(rows, options, result.images)
    write_text(options.result, text)
    print(text)


def run(options: argparse.Namespace, out: Path, **values: Any) -> None:
    """Train one network, or the rest of an interrupted run."""
    settings: dict[str, Any] = {
        "batch_size": 128, "min_lr": 1e-5, "weight_decay": 0.05, "crop": "padded", "color_jitter": 0.0,
        "layer_decay": 1.0, "ema": 0.0, "select": "last", "evaluation": False, "report_to": "none",
    }  # fmt: skip
    train(data=options.train, val=options.test, out=str(out), resume=True, **settings | values)


def fine_tune(options: argparse.Namespace, model: Path, out: Path) -> float:
    """Fine-tune a network, with its masks if it has any; return its accuracy on the test images."""
    values = {"lr": 2e-4, "weight_decay": 1e-8, "warmup_epochs": 0.1}
    run(options, out, model=str(model), epochs=options.fine_tuning_epochs, **values)
    return accuracy(out, options.test)


def accuracy(model: Path, data: str) -> float:
    """Top-1 accuracy in fp32, a fraction in [0, 1]."""
    with levit.Classifier(model, precision="fp32") as classify:
        return levit.evaluate(classify, data).top1.value


def report(rows: list[Row], options: argparse.Namespace, averaged: int) -> str:
    """The page with the table."""
    command = (
        f"python benchmarks/sparse_training.py {options.train} {options.test} --out {options.out} "
        f"--epochs {options.epochs} --fine-tuning-epochs {options.fine_tuning_epochs}"
    )
    description = (
        f"LeViT-128S at {IMAGE_SIZE} pixels from the weights in the package, trained without masks for "
        f"{options.epochs} epochs, then for {options.fine_tuning_epochs} more, with masks or without. The masks follow "
        f"from the average attention over {averaged:,} training images. Top-1 accuracy on the test images, %; "
        f"{describe_machine()['processor']}."
    )
    lines = [
        "# Accuracy with sparse attention", "", f"`{command}`", "", description, "",
        "| attention | each query keeps at least | removed | before fine-tuning | after fine-tuning |",
        "| --- | --- | --- | --- | --- |",
    ]  # fmt: skip
    lines += [
        f"| {row.name} | {row.attention_mass:.1%} | {row.removed:.1%} | {100 * row.masked:.2f} | "
        f"{100 * row.fine_tuned:.2f} |"
        for row in rows
    ]
    return "\n".join([*lines, ""])


if __name__ == "__main__":
    main()
