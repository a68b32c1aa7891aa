"""Memory of a list of many labeled files. The names are synthetic; no file is read.

    python benchmarks/many_files.py [--files 10000000] [--record]

Writes many_files.json.
"""

from __future__ import annotations

import argparse
import resource
import time
from pathlib import Path

from levit.benchmarking.machine import describe_machine
from levit.data.file_list import FileList
from peak_memory import peak_bytes
from recording import add_record_option, result_file, write_json


def main() -> None:
    """Measure, print and write the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=10_000_000)
    add_record_option(parser)
    arguments = parser.parse_args()
    count = arguments.files
    memory_before, start = _peak_memory(), time.perf_counter()
    files = FileList(Path("train"))
    for number in range(count):
        files.add(f"n{number % 1000:08}/n{number % 1000:08}_{number}.JPEG", (number % 1000,))
    seconds = time.perf_counter() - start
    record = {
        "machine": describe_machine(),
        "files": count,
        "bytes_per_file": (_peak_memory() - memory_before) / count,
        "files_per_second": count / seconds,
    }
    print(f"{count:,} files: {record['bytes_per_file']:.0f} bytes each, {record['files_per_second']:,.0f} per second")
    write_json(result_file("many_files.json", is_recorded=arguments.record), record)


def _peak_memory() -> int:
    """Peak resident memory of this process in bytes."""
    return peak_bytes(resource.getrusage(resource.RUSAGE_SELF))


if __name__ == "__main__":
    main()
