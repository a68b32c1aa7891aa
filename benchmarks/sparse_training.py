"""Accuracy with sparse attention: before masks, with masks, and after fine-tuning with them.

python benchmarks/sparse_training.py ../shared/data/cifar10-train.parquet ../shared/data/cifar10-test.parquet \
    --out runs/sparse [--images 10000] [--epochs 4] [--fine-tuning-epochs 3]      resumes where it stopped

The network is a LeViT-128S at 96 pixels, from the weights in the package, or that of `--model`. Fine-tuning is more
training, so that there is also a network without masks that is fine-tuned likewise. The results are those of the last
epochs, in fp32 on the test images, which select nothing. They are written to sparse_training.md, or to the page of
`--result`, and the masks as a picture beside it, with --record into docs/images; each network's report is in the folder
of its masks.
"""

from __future__ import annotations

import argparse
import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet
from matplotlib.figure import Figure

import levit
from levit.benchmarking.machine import describe_machine
from levit.checkpoints.attention_masks import MASKS_FILE, Masks, read_masks
from levit.files import write_bytes, write_text
from levit.training.train import train
from recording import add_record_option, result_file

PICTURE = Path(__file__).parent.parent / "docs" / "images" / "sparse_masks.png"
SPARSITIES = (0.8, 0.9)
AVERAGED_IMAGES = 5000
VALIDATION_IMAGES = 500  # watched during training; they select nothing


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
    options = parse_options()
    split(options)
    dense = options.out / "dense"
    run(options, dense, model=options.model, image_size=options.image_size, epochs=options.epochs, lr=1e-3,
        warmup_epochs=0.25)  # fmt: skip
    fine_tuned = fine_tune(options, dense, options.out / "dense-fine-tuned")
    rows = [Row("without masks", 1.0, 0.0, accuracy(dense, options.test), fine_tuned)]
    for sparsity in SPARSITIES:
        folder = options.out / f"masks-{sparsity:g}"
        choice: dict[str, Any] = {"sparsity": sparsity, "images": AVERAGED_IMAGES, "evaluation": options.test}
        train_images, run_folder = str(options.out / "train.parquet"), options.out / f"fine-tuned-{sparsity:g}"
        levit.sparsify(dense, train_images, folder, **choice)
        fine_tuned = fine_tune(options, folder / "checkpoint", run_folder)
        result = levit.sparsify(dense, train_images, folder, **choice, fine_tuned=run_folder)  # for its report
        assert result.accuracies is not None
        masked, removed = result.accuracies.masked.top1, result.savings.sparsity
        rows.append(Row(f"{sparsity:.0%} removed", result.attention_mass, removed, masked, fine_tuned))
    text = report(rows, options, result.images)
    page = options.result or result_file("sparse_training.md", is_recorded=options.record)
    write_text(page, text)
    picture = PICTURE if options.record and options.result is None else page.with_suffix(".png")
    write_bytes(picture, draw(read_masks(options.out / f"masks-{SPARSITIES[0]:g}" / MASKS_FILE)))
    print(text)


def parse_options() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("train", help="training images, a parquet file whose rows are shuffled")
    parser.add_argument("test", help="test images")
    parser.add_argument("--out", type=Path, required=True, help="folder of all runs")
    parser.add_argument("--result", type=Path, help="page to write")
    add_record_option(parser)
    parser.add_argument("--model", default="embedded", help="weights from which the first training starts")
    parser.add_argument("--image-size", type=int, default=96)
    parser.add_argument("--images", type=int, default=49_500, help="number of training images, the first ones")
    parser.add_argument("--epochs", type=int, default=4, help="of the network without masks")
    parser.add_argument("--fine-tuning-epochs", type=int, default=3)
    return parser.parse_args()


def split(options: argparse.Namespace) -> None:
    """Write the training images and those after them, for validation, as files of their own."""
    images = pyarrow.parquet.read_table(options.train)
    options.out.mkdir(parents=True, exist_ok=True)
    pyarrow.parquet.write_table(images[: options.images], options.out / "train.parquet")
    pyarrow.parquet.write_table(images[-VALIDATION_IMAGES:], options.out / "validation.parquet")


def run(options: argparse.Namespace, out: Path, **values: Any) -> None:
    """Train one network, or the rest of an interrupted run."""
    settings: dict[str, Any] = {
        "batch_size": 128, "min_lr": 1e-5, "weight_decay": 0.05, "crop": "padded", "color_jitter": 0.0,
        "layer_decay": 1.0, "ema": 0.0, "select": "last", "evaluation": False, "report_to": "none",
    }  # fmt: skip
    images, validation = str(options.out / "train.parquet"), str(options.out / "validation.parquet")
    train(data=images, val=validation, out=str(out), resume=True, **settings | values)


def fine_tune(options: argparse.Namespace, model: Path, out: Path) -> float:
    """Fine-tune a network, with its masks if it has any; return its accuracy on the test images."""
    values = {"lr": 5e-4, "weight_decay": 1e-8, "warmup_epochs": 0.1}
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
        f"--model {options.model} --image-size {options.image_size} --images {options.images} "
        f"--epochs {options.epochs} --fine-tuning-epochs {options.fine_tuning_epochs}"
    )
    network = "LeViT-128S from the weights in the package" if options.model == "embedded" else f"`{options.model}`"
    description = (
        f"{network} at {options.image_size} pixels, trained without masks on {options.images:,} images for "
        f"{options.epochs} epochs, then for {options.fine_tuning_epochs} more, with masks or without. The masks follow "
        f"from the average attention over {averaged:,} training images. Top-1 accuracy on the test images, %, and the "
        "difference to the network without masks after the same training, percentage points; "
        f"{describe_machine()['processor']}."
    )
    lines = [
        "# Accuracy with sparse attention", "", f"`{command}`", "", description, "",
        "| attention | each query keeps at least | removed | before fine-tuning | after fine-tuning | difference |",
        "| --- | --- | --- | --- | --- | --- |",
    ]  # fmt: skip
    lines += [
        f"| {row.name} | {row.attention_mass:.1%} | {row.removed:.1%} | {100 * row.masked:.2f} | "
        f"{100 * row.fine_tuned:.2f} | {100 * (row.fine_tuned - rows[0].fine_tuned):+.2f} |"
        for row in rows
    ]
    return "\n".join([*lines, ""])


def draw(masks: Masks) -> bytes:
    """Draw masks as a PNG: one row for each attention, one square for each head, kept keys dark."""
    heads = max(len(mask) for mask in masks.values())
    figure = Figure(figsize=(0.55 * heads, 0.62 * len(masks)), dpi=100)
    axes = figure.subplots(len(masks), heads, squeeze=False)
    for row, mask in zip(axes, masks.values(), strict=True):
        _, queries, keys = mask.shape
        row[0].set_ylabel(f"{queries}x{keys}", rotation=0, ha="right", va="center", fontsize=8)
        for head, axis in enumerate(row):
            axis.set(xticks=[], yticks=[], frame_on=head < len(mask))
            if head < len(mask):
                axis.imshow(mask[head], cmap="Greens", vmin=0, vmax=1, aspect="auto", interpolation="nearest")
    content = io.BytesIO()
    figure.savefig(content, format="png", bbox_inches="tight")
    return content.getvalue()


if __name__ == "__main__":
    main()
