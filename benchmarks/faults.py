"""Runs with injected faults: every case must end in success or in a `LevitError` of one line, in bounded memory.

    python benchmarks/faults.py                         every subject, with the counts of the record
    python benchmarks/faults.py mutated_images --count 1000 --seed 1
    python benchmarks/faults.py mutated_images --case 417       repeats one case in this process
    python benchmarks/faults.py mutated_images --extend --minutes 60        further cases, added to those of the record

Subjects: mutated_images, mutated_data, checkpoint_kinds, killed_training, killed_exports, failing_stream. Writes
results/faults.json and results/faults.md with `--record`. With `--extend`, the cases after those of the record are run,
until it has the full count, or as many more as `--count`, and are added to the record. Files of failed cases are kept
in the folder of `--keep`.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from fault_injection.case_pool import Report, create_subject, run_case, run_cases

RESULT = Path(__file__).parent / "results" / "faults.json"
COUNTS = {
    "mutated_images": 100_000,
    "mutated_data": 10_000,
    "checkpoint_kinds": 70,
    "killed_training": 40,
    "killed_exports": 200,
    "failing_stream": 24,
}


def main() -> int:
    """Run the subjects, print and record; the exit code is 1 after a failure."""
    arguments = _parse()
    if arguments.case is not None:
        return _repeat(arguments)
    is_failed = False
    for name in [arguments.subject] if arguments.subject else list(COUNTS):
        recorded = _read_records().get(name) if arguments.extend else None
        first, seed = (recorded["cases"], recorded["seed"]) if recorded else (arguments.first, arguments.seed)
        count = arguments.count or max(0, COUNTS[name] - first)
        numbers = range(first, first + count)
        end = time.monotonic() + 60 * arguments.minutes
        kept = arguments.keep / name
        report = run_cases(_module(name), seed, numbers, processes=arguments.processes, end=end, kept=kept)
        print(_summary(name, report), flush=True)
        is_failed |= bool(report.failures)
        if arguments.record or arguments.extend:
            _record(name, _describe_run(name, arguments, report), recorded)
    return int(is_failed)


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("subject", nargs="?", choices=list(COUNTS))
    parser.add_argument("--count", type=int, help="number of cases; default: that of the record")
    parser.add_argument("--first", type=int, default=0, help="number of the first case")
    parser.add_argument("--case", type=int, help="repeat this case only")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--minutes", type=float, default=600.0, help="start no case of a subject after this time")
    parser.add_argument("--keep", type=Path, default=Path(tempfile.gettempdir()) / "levit-faults")
    parser.add_argument("--record", action="store_true", help="write into benchmarks/results")
    parser.add_argument("--extend", action="store_true", help="run the cases after those of the record, and add them")
    arguments = parser.parse_args()
    if arguments.case is not None and arguments.subject is None:
        parser.error("--case needs a subject")
    return arguments


def _module(subject: str) -> str:
    return f"fault_injection.{subject}"


def _repeat(arguments: argparse.Namespace) -> int:
    subject = create_subject(_module(arguments.subject), arguments.seed)
    folder = arguments.keep / arguments.subject / str(arguments.case)
    folder.mkdir(parents=True, exist_ok=True)
    outcome = run_case(subject, arguments.case, folder)
    print(f"{folder}: {outcome.kind} {outcome.reason} {outcome.example}")
    return int(outcome.kind == "failure")


def _summary(name: str, report: Report) -> str:
    outcomes = _list_outcomes(dict(report.outcomes.most_common()))
    lines = [f"{name}: {report.outcomes.total():,} cases in {report.seconds:.0f} s: {outcomes}"]
    for reason, numbers in sorted(report.failures.items(), key=lambda item: -len(item[1])):
        cases = ", ".join(map(str, numbers[:3]))
        lines.append(f"  {len(numbers):6,}x {reason} (cases {cases}): {report.examples[reason]}")
    return "\n".join(lines)


def _read_records() -> dict[str, Any]:
    records: dict[str, Any] = json.loads(RESULT.read_text(encoding="utf-8")) if RESULT.exists() else {}
    return records


def _describe_run(name: str, arguments: argparse.Namespace, report: Report) -> dict[str, Any]:
    """Entry of a run in the record."""
    options = f"--count {report.outcomes.total()} --first {arguments.first} --seed {arguments.seed}"
    values = asdict(report)
    return {
        "command": f"python benchmarks/faults.py {name} {options}",
        "seed": arguments.seed,
        "cases": report.outcomes.total(),
        "outcomes": dict(report.outcomes.most_common()),
        "groups": {group: dict(outcomes.most_common()) for group, outcomes in sorted(report.groups.items())},
        "failures": values["failures"],
        "examples": values["examples"],
        "peak_megabytes": round(report.peak_bytes / 1e6),
        "seconds": round(report.seconds),
    }


def _record(name: str, entry: dict[str, Any], extended: Mapping[str, Any] | None) -> None:
    """Update the entry of one subject in the record, and write the table again."""
    records = _read_records()
    records[name] = _add(extended, entry, name) if extended else entry
    RESULT.write_text(json.dumps(records, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    RESULT.with_suffix(".md").write_text(_table(records), encoding="utf-8")


def _add(recorded: Mapping[str, Any], entry: Mapping[str, Any], name: str) -> dict[str, Any]:
    """The entry of the recorded cases, which begin with number 0, and the ones after them."""
    groups = {group: Counter(outcomes) for group, outcomes in recorded["groups"].items()}
    for group, outcomes in entry["groups"].items():
        groups.setdefault(group, Counter()).update(outcomes)
    failures = {reason: list(numbers) for reason, numbers in recorded["failures"].items()}
    for reason, numbers in entry["failures"].items():
        failures.setdefault(reason, []).extend(numbers)
    cases = recorded["cases"] + entry["cases"]
    return {
        "command": f"python benchmarks/faults.py {name} --count {cases} --first 0 --seed {recorded['seed']}",
        "seed": recorded["seed"],
        "cases": cases,
        "outcomes": dict((Counter(recorded["outcomes"]) + Counter(entry["outcomes"])).most_common()),
        "groups": {group: dict(outcomes.most_common()) for group, outcomes in sorted(groups.items())},
        "failures": failures,
        "examples": {**entry["examples"], **recorded["examples"]},
        "peak_megabytes": max(recorded["peak_megabytes"], entry["peak_megabytes"]),
        "seconds": recorded["seconds"] + entry["seconds"],
    }


def _table(records: dict[str, Any]) -> str:
    lines = [
        "# Runs with injected faults",
        "",
        "Every case must end in success or in a `LevitError` of one line, within limits of time and memory. Subject,",
        "seed and number determine a case, so that `--case NUMBER` repeats it. Written by `benchmarks/faults.py`.",
    ]
    for name in sorted(records, key=list(COUNTS).index):
        record = records[name]
        lines += ["", f"## {name}", "", f"    {record['command']}", ""]
        lines += [
            f"{record['cases']:,} cases in {record['seconds']} s: {_list_outcomes(record['outcomes'])}. Peak memory of "
            f"a process: {record['peak_megabytes']} MB.",
            "",
        ]
        lines += [f"- {group}: {_list_outcomes(outcomes)}" for group, outcomes in record["groups"].items()]
        for reason, numbers in record["failures"].items():
            lines.append(f"- failure, {len(numbers):,} times: {reason} (case {numbers[0]})")
    return "\n".join(lines) + "\n"


def _list_outcomes(outcomes: Mapping[str, int]) -> str:
    return ", ".join(f"{count:,} {kind}" for kind, count in outcomes.items())


if __name__ == "__main__":
    sys.exit(main())
