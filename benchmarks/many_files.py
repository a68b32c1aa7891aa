"""How much memory do very many labeled files take? Names are made up; nothing is read.

    python benchmarks/many_files.py [--files 10000000]

Writes results/many_files.json.
"""

from __future__ import annotations

import argparse
import json
import resource
import time
from pathlib import Path

from levit.data.file_list import FileList

RESULT = Path(__file__).parent / "results" / "many_files.json"


def main() -> None:
    """Measure, print, record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=10_000_000)
    count = parser.parse_args().files
    before, start = _peak(), time.perf_counter()
    files = FileList(Path("train"))
    for number in range(count):
        files.add(f"n{number % 1000:08}/n{number % 1000:08}_{number}.JPEG", (number % 1000,))
    listed = time.perf_counter() - start
    record = {"files": count, "bytes_per_file": (_peak() - before) / count, "files_per_second": count / listed}
    print(f"{count:,} files: {record['bytes_per_file']:.0f} bytes each, {record['files_per_second']:,.0f} a second")
    RESULT.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


def _peak() -> int:
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


if __name__ == "__main__":
    main()
