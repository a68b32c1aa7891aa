"""Training runs that are killed at five random moments each and resumed; they must end with the same bits."""

from __future__ import annotations

import csv
import json
import multiprocessing
import shutil
import tempfile
import time
import weakref
from collections.abc import Iterator
from functools import cached_property
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

import levit
from levit.training.options import TrainingOptions
from levit.training.run_state import load_state
from levit.training.train import run_training

KILLS = 5
_CLASSES = ("blue", "red")
_IMAGES = 12  # of a class
_SAVE_AFTER_EVERY_STEP = 1e-6  # minutes
_MEASURED = ("seconds", "images_per_second")  # columns of the results that differ between equal runs
_TIMEOUT = 300  # seconds of one run


class KilledTraining:
    """Cases of one run each, killed five times with SIGKILL; every third loads images in a worker process."""

    seconds = 1800.0
    num_bytes = 2**31

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload(["levit.training.train"])

    def name_case(self, number: int) -> str:
        """Number of worker processes."""
        return f"{KILLS} kills, {_workers(number)} worker processes"

    def write_case(self, number: int, folder: Path) -> Path:
        """Write the moments of the kills, as fractions of the duration of a run."""
        moments = np.random.default_rng([self._seed, number]).random(KILLS)
        file = folder / "moments.json"
        file.write_text(json.dumps({"workers": _workers(number), "moments": moments.tolist()}), encoding="utf-8")
        return file

    def open_case(self, file: Path) -> None:
        """Train, kill and resume, and compare each complete run with one that was not killed."""
        case = json.loads(file.read_text(encoding="utf-8"))
        moments, number = list(case["moments"]), 0
        while moments:  # a run that is complete before its last kill is followed by another
            run = file.parent / f"run-{number}"
            while moments:
                process = self._start(run, case["workers"])
                process.join(moments.pop() * self._seconds)
                if not process.is_alive():
                    break
                process.kill()
                process.join()
            self._finish(run, case["workers"])
            _compare(run, self._reference)
            number += 1

    @cached_property
    def _scratch(self) -> Path:
        scratch = Path(tempfile.mkdtemp(prefix="levit-faults-training-"))
        weakref.finalize(self, shutil.rmtree, scratch, ignore_errors=True)
        generator = np.random.default_rng(0)
        for channel, name in zip((2, 0), _CLASSES, strict=True):
            (scratch / "data" / name).mkdir(parents=True)
            for number in range(_IMAGES):
                pixels = generator.integers(0, 128, (40, 36, 3), dtype=np.uint8)
                pixels[..., channel] += 127
                Image.fromarray(pixels).save(scratch / "data" / name / f"{number}.png")
        config = levit.LevitConfig(
            image_size=32, hidden_sizes=[16, 24, 32], num_attention_heads=[1, 2, 2], depths=[1] * 3, key_dim=[8] * 3,
            id2label=dict(enumerate(_CLASSES)), label2id={name: index for index, name in enumerate(_CLASSES)},
        )  # fmt: skip
        torch.manual_seed(0)
        levit.LevitForImageClassification(config).save_pretrained(scratch / "model")
        return scratch

    @cached_property
    def _reference(self) -> Path:
        """Run that is not killed; the second one, because the first is slower."""
        run = self._scratch / "reference"
        self._finish(run.with_name("warm-up"), 0)
        start = time.monotonic()
        self._finish(run, 0)
        self._duration = time.monotonic() - start
        return run

    @property
    def _seconds(self) -> float:
        assert self._reference.exists()
        return self._duration

    def _start(self, run: Path, workers: int) -> BaseProcess:
        folder = self._scratch
        process = self._context.Process(target=_train, args=(str(folder), str(run), workers))
        process.start()
        return process

    def _finish(self, run: Path, workers: int) -> None:
        process = self._start(run, workers)
        process.join(_TIMEOUT)
        if process.is_alive():
            process.kill()
            process.join()
            raise TimeoutError("a resumed run does not end")
        if process.exitcode != 0:
            reason = run.with_suffix(".error")
            raise RuntimeError(
                reason.read_text(encoding="utf-8") if reason.exists() else f"exit code {process.exitcode}"
            )


def create(seed: int) -> KilledTraining:
    """Create the subject."""
    return KilledTraining(seed)


def _workers(number: int) -> int:
    return int(number % 3 == 2)


def _train(folder: str, run: str, workers: int) -> None:
    torch.set_num_threads(1)
    options = TrainingOptions.from_flat(
        data=f"{folder}/data", out=run, model=f"{folder}/model", resume=Path(run).exists(), epochs=2, batch_size=8,
        lr=3e-3, drop_path=0.1, ema=0.8, mixup=0.8, precision="fp32", workers=workers, report_to="none",
        save_minutes=_SAVE_AFTER_EVERY_STEP, keep_state=True,
    )  # fmt: skip
    try:
        run_training(options, [])
    except Exception as error:
        Path(run).with_suffix(".error").write_text(f"{type(error).__name__}: {error}", encoding="utf-8")
        raise


def _compare(run: Path, reference: Path) -> None:
    for name in ("model.safetensors", "ema/model.safetensors"):
        if (run / name).read_bytes() != (reference / name).read_bytes():
            raise AssertionError(f"{name} differs from that of the run that was not killed")
    tensors, expected = dict(_tensors(run)), dict(_tensors(reference))
    if tensors.keys() != expected.keys() or not all(torch.equal(tensors[name], expected[name]) for name in tensors):
        raise AssertionError("the state differs from that of the run that was not killed")
    if _results(run) != _results(reference):
        raise AssertionError("results.csv differs from that of the run that was not killed")


def _tensors(run: Path) -> Iterator[tuple[str, torch.Tensor]]:
    state = load_state(run)
    assert state is not None
    remaining: list[tuple[str, Any]] = [("", state.tensors)]
    while remaining:
        name, value = remaining.pop()
        if isinstance(value, torch.Tensor):
            yield name, value
        elif isinstance(value, dict):
            remaining += [(f"{name}.{key}", item) for key, item in value.items()]
        elif isinstance(value, list):
            remaining += [(f"{name}.{index}", item) for index, item in enumerate(value)]


def _results(run: Path) -> list[dict[str, str]]:
    with (run / "results.csv").open(encoding="utf-8") as stream:
        return [{name: value for name, value in row.items() if name not in _MEASURED} for row in csv.DictReader(stream)]
