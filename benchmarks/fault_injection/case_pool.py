"""Processes that run cases under a limit of time and of memory, and what became of each case.

A case is made from the name of its subject, the seed and its number alone, so that each can be repeated. A process
that hangs or crashes is replaced, and its case is recorded.
"""

from __future__ import annotations

import multiprocessing
import os
import resource
import shutil
import tempfile
import time
import traceback
import unicodedata
import warnings
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib import import_module
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, Protocol

from levit.errors import LevitError, first_line

_ADDRESS_SPACE = 8 * 2**30  # bytes that a process may add; a request beyond this is refused by the system
MAX_REPRODUCERS = 3  # files that are kept for each kind of failure
_START_TIMEOUT = 300  # seconds for the imports of a process


class Subject(Protocol):
    """Kind of cases.

    Attributes:
        seconds: time limit of a case.
        num_bytes: resident memory that a case may add to that of its process; a larger amount is a failure.
    """

    seconds: float
    num_bytes: int

    def write_case(self, number: int, folder: Path) -> Path:
        """Write the files of a case into an empty folder, and return the one to be opened."""
        ...

    def name_case(self, number: int) -> str:
        """Group of a case in the report: a format, a layout, or a kind of file."""
        ...

    def open_case(self, file: Path) -> None:
        """Open the file; a `LevitError` is a correct outcome, any other exception a failure."""
        ...


@dataclass(frozen=True)
class Outcome:
    """Outcome of a case.

    Attributes:
        kind: "success", the name of a `LevitError`, or "failure".
        reason: for a failure, its description, equal for failures of the same origin.
        example: message of the exception, for one case of a failure.
    """

    kind: str
    reason: str = ""
    example: str = ""


@dataclass
class Report:
    """Outcomes of all cases of a subject.

    Attributes:
        outcomes: number of cases by outcome.
        groups: number of cases by group and outcome.
        failures: numbers of the cases of each failure, by reason.
        examples: message of the first case of each failure.
        peak_bytes: largest resident memory of a process.
        seconds: duration of the run.
    """

    outcomes: Counter[str] = field(default_factory=Counter)
    groups: dict[str, Counter[str]] = field(default_factory=dict)
    failures: dict[str, list[int]] = field(default_factory=dict)
    examples: dict[str, str] = field(default_factory=dict)
    peak_bytes: int = 0
    seconds: float = 0.0

    def add(self, number: int, group: str, outcome: Outcome) -> None:
        """Count one case."""
        self.outcomes[outcome.kind] += 1
        self.groups.setdefault(group, Counter())[outcome.kind] += 1
        if outcome.kind == "failure":
            reason = f"{group}: {outcome.reason}"
            self.failures.setdefault(reason, []).append(number)
            self.examples.setdefault(reason, outcome.example)


def create_subject(module: str, seed: int) -> Subject:
    """Create the subject of a module, with the seed of its random numbers."""
    subject: Subject = import_module(module).create(seed)
    return subject


def run_case(subject: Subject, number: int, folder: Path) -> Outcome:
    """Write and open one case in this process."""
    file = subject.write_case(number, folder)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            subject.open_case(file)
    except LevitError as error:
        return _outcome_of_error(error)
    except BaseException as error:
        return Outcome("failure", _describe(error), first_line(error, limit=100))
    return Outcome("success")


def run_cases(module: str, seed: int, numbers: range, *, processes: int, end: float, kept: Path) -> Report:
    """Run cases in a pool of processes.

    Args:
        module: module of the subject.
        seed: seed of the random numbers.
        numbers: numbers of the cases.
        processes: number of processes.
        end: value of `time.monotonic()` after which no further case is started.
        kept: folder for the files of the first cases of each kind of failure.
    """
    report, start, subject = Report(), time.monotonic(), create_subject(module, seed)
    remaining = iter(numbers)
    with tempfile.TemporaryDirectory(prefix="levit-faults-") as scratch:
        workers = [_Worker(module, seed, Path(scratch) / str(index)) for index in range(processes)]
        active = [worker for worker in workers if worker.start_next(remaining, end)]
        while active:
            ready = wait([worker.connection for worker in active], timeout=0.2)
            for worker in list(active):
                outcome = worker.outcome(subject.seconds, is_ready=worker.connection in ready)
                if outcome is None:
                    continue
                report.add(worker.number, worker.group or subject.name_case(worker.number), outcome)
                if not worker.start_next(remaining, end):
                    active.remove(worker)
        for worker in workers:
            report.peak_bytes = max(report.peak_bytes, worker.peak_bytes)
            worker.close()
    report.seconds = time.monotonic() - start
    _keep_files(report, subject, kept)
    return report


class _Worker:
    """Process that runs one case after the other; it is replaced when it ends or hangs."""

    def __init__(self, module: str, seed: int, folder: Path) -> None:
        self._arguments = module, seed, folder
        self._context = multiprocessing.get_context("spawn")
        self.number, self.group = -1, ""
        self.peak_bytes = 0
        self.connection: Connection
        self._process: BaseProcess
        self._started = 0.0
        self._is_new = True
        self._open()

    def start_next(self, numbers: Iterator[int], end: float) -> bool:
        """Start the next case, unless there is none or the time is over."""
        number = next(numbers, None) if time.monotonic() < end else None
        if number is None:
            return False
        self.number, self.group, self._started = number, "", time.monotonic()
        self.connection.send(number)
        return True

    def outcome(self, seconds: float, *, is_ready: bool) -> Outcome | None:
        """Outcome of the current case; None while it runs within its time limit."""
        if is_ready:
            try:
                message = self.connection.recv()
            except (EOFError, OSError):
                self._process.join()
                code = self._process.exitcode
                self._open()
                return Outcome("failure", f"the process ended with exit code {code}")
            if message is None:  # the imports are done, and the case begins
                self._is_new, self._started = False, time.monotonic()
                return None
            outcome, self.group, peak = message
            self.peak_bytes = max(self.peak_bytes, peak)
            assert isinstance(outcome, Outcome)
            return outcome
        limit = _START_TIMEOUT if self._is_new else seconds
        if time.monotonic() - self._started < limit:
            return None
        self._process.kill()
        self._process.join()
        self._open()
        return Outcome("failure", f"no end within {limit:.0f} s")

    def close(self) -> None:
        """End the process."""
        self.connection.close()
        self._process.join(5)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()

    def _open(self) -> None:
        self.connection, other = self._context.Pipe()
        self._process = self._context.Process(target=_serve, args=(other, *self._arguments))
        self._process.start()
        other.close()
        self._is_new = True


def _serve(connection: Connection, module: str, seed: int, folder: Path) -> None:
    """Run the cases whose numbers arrive, until the connection is closed."""
    os.environ["HF_HUB_OFFLINE"] = "1"
    silent = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silent, 1)
    os.dup2(silent, 2)  # libtiff, for instance, writes warnings
    subject, is_limited = create_subject(module, seed), False
    subject.name_case(0)  # prepares what all cases share
    connection.send(None)
    while True:
        try:
            number = connection.recv()
        except (EOFError, OSError):
            return
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # resets the peak
        before = _memory("VmRSS")
        outcome = run_case(subject, number, folder)
        peak = _memory("VmHWM")
        if peak - before > subject.num_bytes:
            outcome = Outcome("failure", f"too much memory before {outcome.kind}", f"{(peak - before) / 1e9:.1f} GB")
        if not is_limited:  # after the imports of the first case
            _limit_address_space()
            is_limited = True
        connection.send((outcome, subject.name_case(number), peak))


def _memory(field: str) -> int:
    """Bytes of resident memory of this process, now (VmRSS) or at its peak (VmHWM)."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return 1024 * int(next(line for line in lines if line.startswith(field)).split()[1])


def _limit_address_space() -> None:
    """Limit the address space of this process (Linux)."""
    used = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + _ADDRESS_SPACE, used + _ADDRESS_SPACE))


def _outcome_of_error(error: LevitError) -> Outcome:
    text = str(error)
    if any(unicodedata.category(character) in ("Cc", "Zl", "Zp") for character in text):
        return Outcome("failure", f"{type(error).__name__} with control characters", repr(text[:120]))
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, MemoryError):
            return Outcome(f"{type(error).__name__} at the limit of memory")
        cause = cause.__cause__ or cause.__context__
    return Outcome(type(error).__name__)


def _describe(error: BaseException) -> str:
    """Type of an exception, and its place in the package."""
    frames: list[Any] = traceback.extract_tb(error.__traceback__)
    place = next((frame for frame in reversed(frames) if "/levit/" in frame.filename), frames[-1])
    return f"{type(error).__name__} in {Path(place.filename).name}, {place.name}"


def _keep_files(report: Report, subject: Subject, folder: Path) -> None:
    for numbers in report.failures.values():
        for number in numbers[:MAX_REPRODUCERS]:
            case = folder / str(number)
            shutil.rmtree(case, ignore_errors=True)
            case.mkdir(parents=True)
            subject.write_case(number, case)
