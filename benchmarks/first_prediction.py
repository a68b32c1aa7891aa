"""Time from starting a process to its first prediction, and peak memory, compared with transformers' pipeline.

    python benchmarks/first_prediction.py [--rounds 7] [--record]

Every measurement is a new process that classifies one photo; the rounds alternate between both programs, and medians
are compared. levit has the embedded model, in int8; the pipeline has its training weights in float32, at the same
image size. Writes first_prediction.json.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from multiprocessing import get_context
from pathlib import Path

from peak_memory import peak_bytes
from recording import add_record_option, result_file, write_json

PHOTO = Path(__file__).parent.parent / "examples" / "espresso.jpg"

PIPELINE = f"""
import sys
from transformers import pipeline
print(pipeline("image-classification", model=sys.argv[1], top_k=5)({str(PHOTO)!r}))
"""
PREDICT = [sys.executable, "-m", "levit", "predict", str(PHOTO), "--json"]


def main() -> None:
    """Measure, print the table and write the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    add_record_option(parser)
    arguments = parser.parse_args()
    rounds = arguments.rounds
    with tempfile.TemporaryDirectory() as folder:
        # In a process of its own: a measured process has at least the peak memory of the one that started it.
        writer = get_context("spawn").Process(target=write_model, args=(model := Path(folder, "transformers"),))
        writer.start()
        writer.join()
        commands = {"levit predict": PREDICT, "transformers.pipeline": [sys.executable, "-c", PIPELINE, str(model)]}
        runs: dict[str, list[tuple[float, float]]] = {name: [] for name in commands}
        environment = {**os.environ, "LEVIT_CACHE": str(Path(folder, "cache")), "HF_HUB_OFFLINE": "1"}
        environment.pop("PYTHONDONTWRITEBYTECODE", None)  # an installed package has its bytecode
        cold_start, _ = run(PREDICT, environment)
        print(f"levit predict, cold start with empty caches: {cold_start:.2f} s")
        for _ in range(rounds):
            for name, command in commands.items():
                runs[name].append(run(command, environment))
    medians = {
        name: {
            "seconds": statistics.median(seconds for seconds, _ in values),
            "peak_megabytes": statistics.median(megabytes for _, megabytes in values),
        }
        for name, values in runs.items()
    }
    from levit.benchmarking.machine import describe_machine

    print(f"\nmedians of {rounds} rounds, {os.cpu_count()} cores\n")
    print("| whole process, one photo | seconds | peak memory |")
    print("| --- | --- | --- |")
    for name, values in medians.items():
        print(f"| `{name}` | {values['seconds']:.2f} | {values['peak_megabytes']:.0f} MB |")
    record = {"machine": describe_machine(), "rounds": rounds, "cold_start_seconds": cold_start, "medians": medians}
    write_json(result_file("first_prediction.json", is_recorded=arguments.record), record)


def write_model(folder: Path) -> Path:
    """Training weights of the embedded model for transformers, at the image size of the embedded model."""
    import levit
    from levit.checkpoints.writing import write_checkpoint
    from levit.deployment.bias_interpolation import resize_checkpoint
    from levit.runtime.model_info import describe

    size = describe(None)[0].architecture.image_height_width
    return write_checkpoint(resize_checkpoint(levit.read_checkpoint("embedded"), size), folder)


def run(command: list[str], environment: dict[str, str]) -> tuple[float, float]:
    """Run a process; return its seconds and its peak memory in megabytes."""
    start = time.perf_counter()
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    output = process.stdout.read() if process.stdout else b""
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    seconds = time.perf_counter() - start
    if process.returncode or b"espresso" not in output:
        raise RuntimeError(f"{command[:4]} failed with exit code {process.returncode}")
    return seconds, peak_bytes(usage) / 2**20


if __name__ == "__main__":
    main()
