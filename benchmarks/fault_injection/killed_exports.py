"""Exports over an existing file that are killed at a random moment; the file must be the old one or the new one."""

from __future__ import annotations

import json
import multiprocessing
import shutil
import tempfile
import time
import weakref
from functools import cached_property
from multiprocessing.process import BaseProcess
from pathlib import Path

import numpy as np
import torch

import levit

_ROOT = Path(__file__).parent.parent.parent
_OLD = _ROOT / "src" / "levit" / "runtime" / "embedded" / "default.onnx"
_PHOTO = _ROOT / "examples" / "espresso.jpg"


class KilledExports:
    """Cases of one export each."""

    seconds = 300.0
    num_bytes = 2**31

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload(["levit.exporting.export", "levit.deployment.build"])

    def name_case(self, number: int) -> str:
        """All cases are of one group."""
        return "one kill"

    def write_case(self, number: int, folder: Path) -> Path:
        """Write the moment of the kill as a fraction of the duration of an export, and the old file."""
        moment = float(np.random.default_rng([self._seed, number]).random())
        (folder / "moment.json").write_text(json.dumps(moment), encoding="utf-8")
        shutil.copy(_OLD, folder / "model.onnx")
        return folder / "model.onnx"

    def open_case(self, file: Path) -> None:
        """Export, kill, and predict with the file that is left."""
        moment = json.loads((file.parent / "moment.json").read_text(encoding="utf-8"))
        process = self._start(file)
        process.join(moment * self._seconds)
        process.kill()
        process.join()
        if file.read_bytes() != _OLD.read_bytes():
            prediction = levit.Classifier(file, precision="fp32")(_PHOTO)
            if not np.array_equal(prediction.logits, self._new_logits):
                raise AssertionError("the file is neither the old nor the new one")

    @cached_property
    def _scratch(self) -> Path:
        """Folder of a checkpoint of random weights."""
        scratch = Path(tempfile.mkdtemp(prefix="levit-faults-export-"))
        weakref.finalize(self, shutil.rmtree, scratch, ignore_errors=True)
        torch.manual_seed(0)
        config = levit.LevitConfig(
            image_size=64, hidden_sizes=[16, 24, 32], num_attention_heads=[1, 2, 2], depths=[1] * 3, key_dim=[8] * 3
        )
        levit.LevitForImageClassification(config).save_pretrained(scratch)
        return scratch

    @cached_property
    def _reference(self) -> tuple[float, np.ndarray[tuple[int], np.dtype[np.float32]]]:
        """Duration of an export, and logits of the new file."""
        with tempfile.TemporaryDirectory(prefix="levit-faults-export-") as folder:
            file, seconds = Path(folder) / "model.onnx", 0.0
            for _ in range(2):  # the first is slower
                start = time.monotonic()
                process = self._start(file)
                process.join()
                seconds = time.monotonic() - start
                assert process.exitcode == 0
            return seconds, levit.Classifier(file, precision="fp32")(_PHOTO).logits

    @property
    def _seconds(self) -> float:
        return self._reference[0]

    @property
    def _new_logits(self) -> np.ndarray[tuple[int], np.dtype[np.float32]]:
        return self._reference[1]

    def _start(self, file: Path) -> BaseProcess:
        process = self._context.Process(target=levit.export, args=(self._scratch, str(file)))
        process.start()
        return process


def create(seed: int) -> KilledExports:
    """Create the subject."""
    return KilledExports(seed)
