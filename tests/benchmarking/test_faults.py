"""A few cases of each subject of benchmarks/faults.py, and the processes that run them."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.benchmarking.faulty_cases import OUTCOMES
from tests.conftest import ROOT

pytest.importorskip("pyarrow")
pytest.importorskip("scipy")
pytest.importorskip("torch")
pytest.importorskip("resource", reason="limits of memory are those of Unix")

with pytest.MonkeyPatch.context() as path:
    path.syspath_prepend(ROOT / "benchmarks")
    import faults
    from fault_injection.case_pool import Outcome, Report, create_subject, run_case, run_cases
    from fault_injection.checkpoint_kinds import ALL_KINDS
    from fault_injection.data_layouts import LAYOUTS
    from fault_injection.mutated_data import LAYOUTS_IN_TURN
    from fault_injection.mutation import mutate

NO_END = float("inf")
MODULE = "tests.benchmarking.faulty_cases"
needs_linux = pytest.mark.skipif(sys.platform != "linux", reason="memory is limited and measured on Linux")


@pytest.fixture(autouse=True, scope="module")
def _importable_benchmarks() -> Iterator[None]:
    """Let the processes that run cases import the benchmarks."""
    with pytest.MonkeyPatch.context() as path:
        path.syspath_prepend(ROOT / "benchmarks")
        yield


def case_of(subject: str, number: int, folder: Path) -> Outcome:
    folder.mkdir()
    return run_case(create_subject(f"fault_injection.{subject}", 0), number, folder)


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> tuple[Report, Path]:
    kept = tmp_path_factory.mktemp("kept")
    return run_cases(MODULE, 0, range(len(OUTCOMES)), processes=1, end=NO_END, kept=kept), kept


@pytest.mark.slow
@needs_linux
def test_every_outcome_of_a_case_is_recorded(report):
    outcomes = {group: next(iter(outcomes)) for group, outcomes in report[0].groups.items()}
    refused = {"success": "success", "refusal": "DataError"}
    assert outcomes == {name: refused.get(name, "failure") for name in OUTCOMES}


@pytest.mark.slow
@needs_linux
def test_a_failure_is_described_and_its_files_are_kept(report):
    counts, kept = report
    assert list(counts.failures) == [
        "exception: ValueError in faulty_cases.py, open_case",
        "crash: the process ended with exit code 3",
        "hang: no end within 4 s",
        "memory: too much memory before success",
    ]
    assert counts.examples["exception: ValueError in faulty_cases.py, open_case"] == "no rows"
    assert {folder.name: (folder / "case").read_text() for folder in kept.iterdir()} == {
        str(number): name for number, name in enumerate(OUTCOMES) if number > 1
    }


@needs_linux
def test_no_case_is_started_after_the_end(tmp_path):
    report = run_cases(MODULE, 0, range(3), processes=2, end=time.monotonic(), kept=tmp_path)
    assert not report.outcomes


@pytest.mark.parametrize(
    "subject",
    [
        pytest.param("mutated_images", marks=pytest.mark.slow),  # encodes the originals in every format
        "mutated_data",
        "killed_training",
        "failing_stream",
    ],
)
def test_a_case_is_determined_by_seed_and_number(tmp_path, subject):
    contents = []
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        create_subject(f"fault_injection.{subject}", 3).write_case(18, tmp_path / name)
        contents.append(sorted(path.read_bytes() for path in (tmp_path / name).rglob("*") if path.is_file()))
    assert contents[0] == contents[1]


def test_a_mutation_changes_the_content():
    import numpy as np

    original = bytes(range(256))
    mutated = [mutate(original, np.random.default_rng(seed)) for seed in range(50)]
    assert sum(content != original for content in mutated) > 40


@pytest.mark.slow
def test_mutated_images_are_read_or_refused(tmp_path):
    outcomes = [case_of("mutated_images", number, tmp_path / str(number)) for number in range(60)]
    assert [outcome for outcome in outcomes if outcome.kind not in ("success", "ImageError")] == []


@pytest.mark.parametrize("number", range(len(LAYOUTS)), ids=list(LAYOUTS))
def test_mutated_data_are_read_or_refused(tmp_path, number):
    for case in (number, number + len(LAYOUTS_IN_TURN)):
        assert case_of("mutated_data", case, tmp_path / str(case)).kind != "failure"


QUICK_KINDS = [
    name for name in ALL_KINDS if not any(word in name for word in ("GB", "FIFO", "device", "million", "2^31"))
]


@pytest.mark.parametrize("name", QUICK_KINDS)
def test_malicious_and_malformed_checkpoints_are_refused_in_one_line(tmp_path, name):
    outcome = case_of("checkpoint_kinds", list(ALL_KINDS).index(name), tmp_path / "case")
    assert outcome.kind != "failure", outcome


@pytest.mark.slow
def test_a_run_that_is_killed_five_times_ends_with_the_same_bits(tmp_path):
    assert case_of("killed_training", 0, tmp_path / "case") == Outcome("success")


@pytest.mark.slow
def test_an_export_that_is_killed_leaves_a_whole_file(tmp_path):
    assert case_of("killed_exports", 0, tmp_path / "case") == Outcome("success")


@pytest.mark.slow
def test_streams_with_injected_failures_end_with_the_right_predictions(tmp_path):
    assert case_of("failing_stream", 0, tmp_path / "case") == Outcome("success")


def test_a_record_that_is_extended_is_that_of_one_run_of_all_cases():
    outcomes = [Outcome("success"), Outcome("failure", "hang", "5 s"), Outcome("DataError"), Outcome("success")] * 3
    reports = [Report(peak_bytes=peak * 10**6, seconds=seconds) for peak, seconds in ((5, 3), (9, 4), (9, 7))]
    for number, outcome in enumerate(outcomes):
        for report in (reports[number >= 5], reports[2]):
            report.add(number, f"format {number % 3}", outcome)
    arguments = argparse.Namespace(first=0, seed=7)
    recorded, added, whole = (faults._describe_run("mutated_images", arguments, report) for report in reports)
    assert faults._add(recorded, added, "mutated_images") == whole
    assert whole["command"] == "python benchmarks/faults.py mutated_images --count 12 --first 0 --seed 7"


def test_the_recorded_table_is_that_of_the_recorded_runs():
    assert faults._table(faults._read_records()) == faults.RESULT.with_suffix(".md").read_text(encoding="utf-8")


def test_a_case_needs_a_subject(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["faults.py", "--case", "417"])
    with pytest.raises(SystemExit, match="2"):
        faults.main()
    assert "--case needs a subject" in capsys.readouterr().err
