"""Time from starting a process to its first prediction, and peak memory, compared with transformers' pipeline.

    python benchmarks/first_prediction.py [--rounds 7]

Every measurement is a new process that classifies one photo; the rounds alternate between both programs, and medians
are compared. Both use the same weights: the embedded model here, ../shared/data/starter in the pipeline. Without that
folder, only levit is measured. Writes results/first_prediction.json.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from levit.benchmarking.machine import describe_machine

ROOT = Path(__file__).parent.parent
STARTER = ROOT.parent / "shared" / "data" / "starter"
PHOTO = ROOT / "examples" / "espresso.jpg"
RESULT = Path(__file__).parent / "results" / "first_prediction.json"

PIPELINE = f"""
from transformers import pipeline
print(pipeline("image-classification", model={str(STARTER)!r}, top_k=5)({str(PHOTO)!r}))
"""
COMMANDS = {
    "levit predict": [sys.executable, "-m", "levit", "predict", str(PHOTO), "--json"],
    "transformers.pipeline": [sys.executable, "-c", PIPELINE],
}


def main() -> None:
    """Measure, print the table and write the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    rounds = parser.parse_args().rounds
    commands = {name: command for name, command in COMMANDS.items() if name == "levit predict" or STARTER.exists()}
    runs: dict[str, list[tuple[float, float]]] = {name: [] for name in commands}
    with tempfile.TemporaryDirectory() as cache:
        environment = {**os.environ, "LEVIT_CACHE": cache, "HF_HUB_OFFLINE": "1"}
        cold_start, _ = run(COMMANDS["levit predict"], environment)
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
    print(f"\nmedians of {rounds} rounds, {os.cpu_count()} cores\n")
    print("| whole process, one photo | seconds | peak memory |")
    print("| --- | --- | --- |")
    for name, values in medians.items():
        print(f"| `{name}` | {values['seconds']:.2f} | {values['peak_megabytes']:.0f} MB |")
    record = {"machine": describe_machine(), "rounds": rounds, "cold_start_seconds": cold_start, "medians": medians}
    RESULT.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


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
    return seconds, usage.ru_maxrss / 1024


if __name__ == "__main__":
    main()
