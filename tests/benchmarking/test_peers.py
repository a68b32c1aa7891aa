"""Failures and omitted rows in benchmarks/peers.py, without measuring anything."""

from __future__ import annotations

import json
import sys

import pytest

from levit.errors import EngineError
from tests.conftest import ROOT

with pytest.MonkeyPatch.context() as path:
    path.syspath_prepend(ROOT / "benchmarks")
    import peers


class FakeWorker:
    """Worker with the images per second of each request; None is a failure."""

    def __init__(self, *rates: float | None) -> None:
        self.rates = iter(rates)

    def request(self, **_: object) -> dict[str, float]:
        rate = next(self.rates)
        if rate is None:
            raise EngineError("has failed", source="worker")
        return {"images_per_second": rate}


def test_a_worker_that_fails_is_left_out_and_the_others_are_kept(capsys):
    running = {"good": FakeWorker(10, 20, 30), "bad": FakeWorker(10, None)}
    assert peers.measure(running, {"batch 16": {}}, 3) == {"good": {"batch 16": 20}}
    assert "bad is left out: worker has failed" in capsys.readouterr().err


def test_a_row_whose_file_cannot_be_made_is_left_out(monkeypatch, capsys):
    def fail() -> None:
        raise OSError("no space")

    monkeypatch.setattr(peers, "usable_precisions", lambda: ["fp32"])
    assert peers.compare({"row": {"runtime": "openvino", "file": fail}}, {"batch 16": {}}, 1) == {}
    assert "row is left out: no space" in capsys.readouterr().err


def test_rows_in_bf16_are_left_out_by_their_precision_where_the_processor_has_none():
    precisions = ["fp32", "int8"]
    workers = {**peers.runtime_workers(), **peers.frontier_workers(), **peers.file_workers()}
    usable = peers.usable(workers, precisions)
    assert not any(options.get("precision") == "bf16" or "bf16" in name for name, options in usable.items())
    assert {
        "timm, torch's DataLoader in this process fp32",
        "OpenVINO fp32 behind LevitImageProcessor",
    } <= usable.keys()
    assert all(("bf16" in name) == (options.get("precision") == "bf16") for name, options in workers.items())


def test_each_part_is_written_before_the_next_is_measured(tmp_path, monkeypatch):
    parts = iter([{"levit int8": {"batch 16": 2.0, "batch 1": 1.0}}])
    monkeypatch.setattr(peers, "compare", lambda *_: next(parts))
    monkeypatch.setattr(peers, "measure_peaks", lambda *_, **__: {})
    monkeypatch.setattr(peers, "usable_precisions", lambda: ["fp32"])
    monkeypatch.setattr(peers, "describe_machine", lambda: {"processor": "a processor"})
    monkeypatch.setattr(sys, "argv", ["peers.py", "runtimes", "frontier", "--results", str(tmp_path)])
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(StopIteration):
        peers.main()
    record = json.loads((tmp_path / "peers.json").read_text(encoding="utf-8"))
    assert record["runtimes"] == {"levit int8": {"batch 16": 2.0, "batch 1": 1.0}}
    assert list(record["measured"]) == ["runtimes"]
    assert "| levit int8 | 2 | — | 1 | — |" in (tmp_path / "peers.md").read_text(encoding="utf-8")
