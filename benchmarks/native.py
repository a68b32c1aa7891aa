"""The native engine against OpenVINO: processor time of one thread per image; with AMX, also without it.

    python benchmarks/native.py [levit-128s …] [--rounds 5] [--seconds 0.5] [--record]

Each configuration runs in a process of its own, in alternating rounds. The least processor time is compared, because it
depends least on other programs; on a machine without other programs, `peers.py` measures images per second with all
cores. Weights are random. Writes native.md, or the file of `--out`.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from subprocess import PIPE, Popen

import numpy as np

from levit.benchmarking.machine import describe_machine
from levit.runtime.engine import open_engine
from levit.runtime.native_library import chosen_instruction_set
from levit.runtime.normalizing_engine import as_image_engine
from levit.spec.artifact import Artifact
from levit.spec.choices import Precision
from markdown_tables import table
from random_models import export_random
from recording import add_record_option, result_file, write_markdown

# Environment in which neither engine uses AMX.
WITHOUT_AMX = {"ONEDNN_MAX_CPU_ISA": "AVX512_CORE_BF16", "LEVIT_NATIVE_INSTRUCTIONS": "avx512"}
ENGINES = ("native", "openvino")
BATCHES = (16, 1)
HEADER = ("network", "batch", "native, µs", "OpenVINO, µs", "ratio")


def main() -> None:
    """Measure and print one table row for each network, precision and environment."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("variants", nargs="*", default=["levit-128s"])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=0.5)
    parser.add_argument("--out", type=Path, metavar="FILE", help="file to write, of another machine")
    parser.add_argument("--worker", nargs=3, metavar=("FILE", "ENGINE", "PRECISION"))
    add_record_option(parser)
    arguments = parser.parse_args()
    if arguments.worker:
        work(*arguments.worker)
        return
    rows: list[list[str]] = []
    for variant in arguments.variants:
        for precision, environment in configurations():
            file = export_random(variant, "int8" if precision == "int8" else "fp32")
            best = compare(file, precision, environment, arguments.rounds, arguments.seconds)
            for batch in BATCHES:
                native, openvino = (best[engine, batch] for engine in ENGINES)
                name = f"{variant} {precision}" + ", without AMX" * bool(environment)
                rows.append([name, str(batch), f"{native:.0f}", f"{openvino:.0f}", f"{openvino / native:.2f}"])
                print(*rows[-1], flush=True)
    file = arguments.out or result_file("native.md", is_recorded=arguments.record)
    machine = ", ".join(describe_machine().values())
    note = f"Least processor time of {arguments.rounds} rounds of {arguments.seconds:g} seconds on {machine}."
    write_markdown(file, "\n".join([*table(HEADER, rows), "", note]) + "\n")


def configurations() -> list[tuple[Precision, dict[str, str]]]:
    """Precisions that are fast on this processor, with the environment of each."""
    if chosen_instruction_set() == "amx":
        return [("int8", {}), ("bf16", {}), ("int8", WITHOUT_AMX), ("fp32", WITHOUT_AMX)]
    return [("int8", {}), ("fp32", {})]


def compare(
    file: Path, precision: str, environment: dict[str, str], rounds: int, seconds: float
) -> dict[tuple[str, int], float]:
    """Least processor time per image in microseconds, by engine and batch size."""
    best: dict[tuple[str, int], float] = {}
    with ExitStack() as stack:
        workers = {}
        for engine in ENGINES:
            command = [sys.executable, __file__, "--worker", str(file), engine, precision]
            worker = Popen(command, stdin=PIPE, stdout=PIPE, text=True, bufsize=1, env=os.environ | environment)
            workers[engine] = stack.enter_context(worker)
        for number in range(rounds):
            for engine in ENGINES[:: 1 if number % 2 else -1]:
                for batch in BATCHES:
                    measured = request(workers[engine], f"{batch} {seconds}")
                    best[engine, batch] = min(measured, best.get((engine, batch), measured))
        for worker in workers.values():
            worker.communicate()
    return best


def request(worker: Popen[str], line: str) -> float:
    """Send a request to a worker, and wait for its result."""
    assert worker.stdin is not None
    assert worker.stdout is not None
    print(line, file=worker.stdin, flush=True)
    return float(worker.stdout.readline())


def work(file: str, engine: str, precision: Precision) -> None:
    """Measure batches until standard input ends; one line of output for each line of input."""
    opened = open_engine(Path(file), engine=engine, precision="auto" if precision == "int8" else precision, threads=1)
    artifact = Artifact.from_metadata(opened.metadata)
    images = as_image_engine(opened, artifact.preprocessing)
    shape = (*artifact.architecture.image_height_width, 3)
    pixels = np.random.default_rng(0).integers(0, 256, (max(BATCHES), *shape), np.uint8)

    def times(batch: int, seconds: float) -> Iterator[float]:
        end = time.perf_counter() + seconds
        while time.perf_counter() < end:
            start = time.process_time()
            if batch == 1:
                images.run_images(pixels[:1])
            else:
                images.submit(pixels[:batch], batch).result()
            yield (time.process_time() - start) / batch * 1e6

    for line in sys.stdin:
        batch, seconds = line.split()
        list(times(int(batch), 0.1))
        print(min(times(int(batch), float(seconds))), flush=True)


if __name__ == "__main__":
    main()
