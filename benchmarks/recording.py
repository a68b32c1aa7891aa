"""Where the benchmarks write: results of a run, and models and photos that are made once."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).resolve().parent / "results"  # part of the repository
WORK = Path(__file__).resolve().parent.parent / "build" / "benchmarks"  # not part of it


def add_record_option(parser: argparse.ArgumentParser) -> None:
    """Add `--record`, without which no recorded result is replaced."""
    parser.add_argument(
        "--record", action="store_true", help="write into benchmarks/results instead of build/benchmarks/results"
    )


def result_file(name: str, *, is_recorded: bool) -> Path:
    """File of a result, in a folder that exists."""
    folder = RESULTS if is_recorded else WORK / "results"
    folder.mkdir(parents=True, exist_ok=True)
    return folder / name


def write_json(file: Path, record: Any) -> None:
    """Write a result, and print the name of its file."""
    file.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    print(f"written: {file}", file=sys.stderr)


def write_markdown(file: Path, text: str) -> None:
    """Write a page, and print the name of its file."""
    file.write_text(text, encoding="utf-8")
    print(f"written: {file}", file=sys.stderr)
