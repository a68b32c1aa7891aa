"""How good is the embedded model? Measured through the runtime, from the files' bytes to the labels.

    python benchmarks/embedded_accuracy.py             measure, compare with what the file says of itself
    python benchmarks/embedded_accuracy.py --rebuild   export it anew from ../shared/data/starter, measure, record

Needs ../shared/data (never part of the repository) and pyarrow (`make bench` installs it).
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import platform
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet

import levit
from levit.checkpoints.arrays import hash_file
from levit.exporting.export import record_accuracy
from levit.runtime.engine import Precision
from levit.runtime.opening import find_artifact
from levit.spec.artifact import Accuracy

ROOT = Path(__file__).parent.parent
STARTER = ROOT.parent / "shared" / "data" / "starter"
PARQUET = ROOT.parent / "shared" / "data" / "tiny-imagenet-val.parquet"
RESULT = Path(__file__).parent / "results" / "embedded_accuracy.json"
NAME = "levit-128s at 64 px, Tiny-ImageNet"
PUBLISHED_TOP1 = 41.53  # the starter's README: transformers 5.23, float32
TOLERANCE = 0.3  # points


def main() -> int:
    """Measure, print, record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rebuild", action="store_true")
    arguments = parser.parse_args()
    if not PARQUET.exists():
        print(f"{PARQUET} is missing: this measurement needs the shared data", file=sys.stderr)
        return 2
    embedded = find_artifact(None)
    if not isinstance(embedded, Path):
        raise TypeError("the embedded model is a file")
    if arguments.rebuild:
        rebuild(embedded)
    measured = [measure(embedded, precision) for precision in precisions()]
    if arguments.rebuild:
        record_accuracy(embedded, measured[0])
    RESULT.write_text(json.dumps([dataclasses.asdict(one) for one in measured], indent=1) + "\n", encoding="utf-8")
    worst = max(abs(one.top1 - PUBLISHED_TOP1) for one in measured)
    recorded = levit.Classifier().artifact.accuracy
    print(f"recorded in the file: {recorded}")
    print(f"largest distance to the {PUBLISHED_TOP1} % of transformers: {worst:.2f} points (allowed: {TOLERANCE})")
    return 0 if worst <= TOLERANCE and recorded is not None and recorded.top1 == measured[0].top1 else 1


def rebuild(target: Path) -> None:
    """Export the starter weights into the package, matrices in half precision."""
    checkpoint = levit.read_checkpoint(STARTER)
    named = dataclasses.replace(checkpoint, source=dataclasses.replace(checkpoint.source, name=NAME))
    report = levit.export(named, target, precision="fp16")
    print(f"exported {report.num_bytes / 1e6:.1f} MB, largest logit difference {report.max_difference:.1e}")


def precisions() -> list[Precision]:
    """fp32, and bf16 where the processor has it."""
    native = levit.Classifier().engine.precision
    return ["fp32"] if native == "fp32" else ["fp32", "bf16"]


def measure(model: Path, precision: Precision) -> Accuracy:
    """Top-1 and top-5 of the model on all rows of the parquet file, classes matched by name."""
    table = pyarrow.parquet.read_table(PARQUET)
    features = json.loads(table.schema.metadata[b"huggingface"])["info"]["features"]
    names = features["label"]["names"]
    targets = table.column("label").to_pylist()
    classifier = levit.Classifier(model, precision=precision)
    if list(classifier.labels) != names:
        raise ValueError("the model's classes are not those of the data")

    def images() -> Iterator[bytes]:
        for batch in table.to_batches(max_chunksize=256):
            yield from (image["bytes"] for image in batch.column("image").to_pylist())

    top1 = top5 = 0
    start = time.perf_counter()
    for target, prediction in zip(targets, classifier.stream(images(), batch_size=64), strict=True):
        if prediction.error is not None:
            raise prediction.error
        best = [label.index for label in prediction.top(5)]
        top1 += best[0] == target
        top5 += target in best
    seconds = time.perf_counter() - start
    accuracy = Accuracy(
        top1=100 * top1 / len(targets),
        top5=100 * top5 / len(targets),
        images=len(targets),
        data=PARQUET.name,
        sha256=hash_file(PARQUET),
        engine=classifier.engine.name,
        precision=classifier.engine.precision,
    )
    print(
        f"{accuracy.engine} {accuracy.precision}: {accuracy.top1:.2f} % top-1, {accuracy.top5:.2f} % top-5 "
        f"of {accuracy.images:,} images in {seconds:.1f} s ({len(targets) / seconds:.0f} images/s from JPEG bytes, "
        f"{platform.machine()}, {classifier.engine.name})"
    )
    return accuracy


if __name__ == "__main__":
    sys.exit(main())
