"""Effect of distillation: fine-tuning of the starter weights on CIFAR-10 with and without a teacher, several seeds.

    python benchmarks/teacher.py runs/cifar10 [--epochs 4] [--seeds 3] [--record]      resumes where it stopped

The teacher is a run on CIFAR-10 with seed 0; the validation set is the 5,000 images on which it was not trained. A step
with a teacher takes longer, so there are also runs without a teacher of the same duration. Needs ../shared/data.
"""

from __future__ import annotations

import argparse
import csv
import math
import statistics
import subprocess
import sys
from pathlib import Path

from scipy.stats import t

from levit.benchmarking.machine import describe_machine
from levit.data.open_data import open_data
from levit.files import replacing
from levit.training.datasets import split_validation
from levit.training.indexed_images import index_images
from recording import add_record_option, result_file, write_json

ROOT = Path(__file__).parent.parent
DATA = ROOT.parent / "shared" / "data"
WORK = ROOT / "runs" / "teacher"
NO_TEACHER, TEACHER, EQUAL_TIME = "no teacher", "teacher", "no teacher, equal time"


def main() -> None:
    """Train, print, and write the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("teacher", type=Path)
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--seeds", type=int, default=3, help="at least 2")
    add_record_option(parser)
    options = parser.parse_args()
    if options.seeds < 2:
        parser.error("--seeds: give at least 2")
    write_images()
    runs = train_all(options.teacher, options.epochs, options.seeds)
    top1 = {name: summarize([run["top1"] for run in group]) for name, group in runs.items()}
    difference = {
        name: summarize([run["top1"] - base["top1"] for run, base in zip(runs[TEACHER], runs[name], strict=True)])
        for name in (NO_TEACHER, EQUAL_TIME)
    }
    for name, values in top1.items():
        print(f"{name:28}{runs[name][0]['epochs']:4.0f} epochs   {values['mean']:.2%} ± {values['margin']:.2%}")
    for name, values in difference.items():
        print(f"{TEACHER} - {name}: {100 * values['mean']:+.2f} ± {100 * values['margin']:.2f} points")
    results = {
        "machine": describe_machine(),
        "student": "../shared/data/starter at 64 pixels, configs/cifar10.yaml",
        "teacher": {"run": options.teacher.name, "top1": best_top1(options.teacher)},
        "top1": top1,
        "difference": difference,
        "runs": runs,
    }
    write_json(result_file("teacher.json", is_recorded=options.record), results)


def train_all(teacher: Path, epochs: int, seeds: int) -> dict[str, list[dict[str, float]]]:
    """Train with and without a teacher, alternating because of machine drift; then without one for the same time."""
    runs: dict[str, list[dict[str, float]]] = {NO_TEACHER: [], TEACHER: [], EQUAL_TIME: []}
    for seed in range(seeds):
        runs[NO_TEACHER].append(train(seed, epochs))
        runs[TEACHER].append(train(seed, epochs, teacher))
    seconds = {
        name: statistics.median(run["seconds_per_epoch"] for run in runs[name]) for name in (NO_TEACHER, TEACHER)
    }
    more_epochs = round(epochs * seconds[TEACHER] / seconds[NO_TEACHER])
    runs[EQUAL_TIME] = [train(seed, more_epochs) for seed in range(seeds)]
    return runs


def write_images() -> None:
    """Write the training and validation set of a run with seed 0 as folders, so that every seed has the same sets."""
    folder = WORK / "images"
    if folder.exists():
        return
    WORK.mkdir(parents=True, exist_ok=True)
    data = open_data(DATA / "cifar10-train.parquet")
    images = index_images(data, WORK / "copy", classes=data.classes, class_indices=range(len(data.classes)))
    with replacing(folder) as partial:
        for split, part in zip(("train", "validation"), split_validation(images, 0.1, 0), strict=True):
            for index in range(len(part)):
                file = partial / split / data.classes[part.labels(index)[0]] / f"{index}.png"
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_bytes(bytes(part.image(index)))  # type: ignore[arg-type]


def train(seed: int, epochs: int, teacher: Path | None = None) -> dict[str, float]:
    """Train once; return the accuracy after the last epoch, a fraction in [0, 1], and the time of an epoch."""
    out = WORK / f"{'teacher' if teacher else 'no-teacher'}-{epochs}-{seed}"
    command = [sys.executable, "-m", "levit", "train", WORK / "images", "--config", ROOT / "configs" / "cifar10.yaml"]
    command += [
        "--model",
        DATA / "starter",
        "--image-size",
        64,
        "--epochs",
        epochs,
        "--ema",
        0,
        "--seed",
        seed,
        "--out",
        out,
        "--resume",
    ]
    command += ["--teacher", teacher] if teacher else []
    subprocess.run([str(argument) for argument in command], check=True, cwd=ROOT)
    rows = read_results(out)
    return {
        "seed": seed,
        "epochs": epochs,
        "top1": float(rows[-1]["top1"]),
        "seconds_per_epoch": statistics.median(float(row["seconds"]) for row in rows),
    }


def read_results(run: Path) -> list[dict[str, str]]:
    """Read the results table of a run, one row for each epoch."""
    with (run / "results.csv").open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def best_top1(run: Path) -> float:
    """Top-1 accuracy of the best epoch of a run, of the network or of its moving average: a fraction in [0, 1]."""
    return max(float(row[name]) for row in read_results(run) for name in ("top1", "ema_top1") if row.get(name))


def summarize(values: list[float]) -> dict[str, float]:
    """Mean, and half the width of its 95 % confidence interval."""
    margin = float(t.ppf(0.975, len(values) - 1)) * statistics.stdev(values) / math.sqrt(len(values))
    return {"mean": round(statistics.mean(values), 5), "margin": round(margin, 5)}


if __name__ == "__main__":
    main()
