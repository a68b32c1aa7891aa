"""Does a teacher help? The starter weights learn CIFAR-10 with and without one, by three seeds each.

python benchmarks/teacher.py runs/cifar10 [--epochs 4] [--seeds 3]      needs ../shared/data; goes on where it stopped

The teacher is a run on CIFAR-10 with seed 0: the images that judge here are the 5,000 that it did not learn from. With
a teacher a step takes longer, so there are also runs without one that take as long.
"""

from __future__ import annotations

import argparse
import csv
import json
import math
import statistics
import subprocess
import sys
from pathlib import Path

from levit.benchmarking.machine import describe_machine
from levit.data.open_data import open_data
from levit.training.datasets import divide
from levit.training.indexed_images import index_images

ROOT = Path(__file__).parent.parent
DATA = ROOT.parent / "shared" / "data"
WORK = ROOT / "runs" / "teacher"
RESULT = Path(__file__).parent / "results" / "teacher.json"
WITHOUT, WITH, LONGER = "without", "with", "without, in the same time"
STUDENT_T = {2: 12.706, 3: 4.303, 4: 3.182, 5: 2.776}  # 97.5 %, by the number of seeds


def main() -> None:
    """Train, print, record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("teacher", type=Path)
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--seeds", type=int, choices=STUDENT_T, default=3)
    options = parser.parse_args()
    write_images()
    runs: dict[str, list[dict[str, float]]] = {WITHOUT: [], WITH: [], LONGER: []}
    for seed in range(options.seeds):  # in turns, because machines have moods
        runs[WITHOUT].append(train(seed, options.epochs))
        runs[WITH].append(train(seed, options.epochs, options.teacher))
    seconds = {name: statistics.median(run["seconds_of_an_epoch"] for run in runs[name]) for name in (WITHOUT, WITH)}
    longer = round(options.epochs * seconds[WITH] / seconds[WITHOUT])
    runs[LONGER] = [train(seed, longer) for seed in range(options.seeds)]
    top1 = {name: summary([run["top1"] for run in found]) for name, found in runs.items()}
    difference = {
        name: summary([one["top1"] - other["top1"] for one, other in zip(runs[WITH], runs[name], strict=True)])
        for name in (WITHOUT, LONGER)
    }
    for name, found in top1.items():
        print(f"{name:28}{runs[name][0]['epochs']:4.0f} epochs   {found['mean']:.2f} ± {found['interval']:.2f} %")
    for name, found in difference.items():
        print(f"with - {name}: {found['mean']:+.2f} ± {found['interval']:.2f}")
    results = {
        "machine": describe_machine(),
        "student": "../shared/data/starter at 64 pixels, configs/cifar10.yaml",
        "teacher": {"run": options.teacher.name, "top1": top1_of(options.teacher)},
        "top1": top1,
        "difference": difference,
        "runs": runs,
    }
    RESULT.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")


def write_images() -> None:
    """The division that a run with seed 0 makes, as folders, so that it is the same for every seed."""
    folder = WORK / "images"
    if folder.exists():
        return
    WORK.mkdir(parents=True, exist_ok=True)
    data, partial = open_data(DATA / "cifar10-train.parquet"), folder.with_name("partial")
    images = index_images(data, WORK / "copy", classes=data.classes, places=range(len(data.classes)))
    for split, part in zip(("train", "validation"), divide(images, 0.1, 0), strict=True):
        for index in range(len(part)):
            file = partial / split / data.classes[part.labels(index)[0]] / f"{index}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(bytes(part.image(index)))  # type: ignore[arg-type]
    partial.rename(folder)


def train(seed: int, epochs: int, teacher: Path | None = None) -> dict[str, float]:
    """One run; what it came to after its last epoch, chosen by nothing."""
    out = WORK / f"{'with' if teacher else 'without'}-{epochs}-{seed}"
    command = [sys.executable, "-m", "levit", "train", WORK / "images", "--config", ROOT / "configs" / "cifar10.yaml"]
    command += ["--image-size", 64, "--epochs", epochs, "--ema", 0, "--seed", seed, "--out", out, "--resume"]
    command += ["--teacher", teacher] if teacher else []
    subprocess.run([str(one) for one in command], check=True, cwd=ROOT)
    rows = rows_of(out)
    return {
        "seed": seed,
        "epochs": epochs,
        "top1": float(rows[-1]["top1"]),
        "seconds_of_an_epoch": statistics.median(float(row["seconds"]) for row in rows),
    }


def rows_of(run: Path) -> list[dict[str, str]]:
    """What a run has written about its epochs."""
    with (run / "results.csv").open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def top1_of(run: Path) -> float:
    """Of its best epoch, the average of the weights included."""
    return max(float(row[name]) for row in rows_of(run) for name in ("top1", "ema_top1") if row.get(name))


def summary(values: list[float]) -> dict[str, float]:
    """Mean, and half of its 95 % interval."""
    half = STUDENT_T[len(values)] * statistics.stdev(values) / math.sqrt(len(values))
    return {"mean": round(statistics.mean(values), 3), "interval": round(half, 3)}


if __name__ == "__main__":
    main()
