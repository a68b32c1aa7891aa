"""Recorded results of benchmarks/, and where its programs write."""

from __future__ import annotations

import argparse
import json
import sys
from types import SimpleNamespace

import pytest

import levit
from tests.conftest import ROOT

pytest.importorskip("resource", reason="benchmarks run on Unix")

with pytest.MonkeyPatch.context() as path:
    path.syspath_prepend(ROOT / "benchmarks")
    import first_prediction
    import peer_tables
    import recording
    import serving_tables
    from frontier import find_points
    from peak_memory import peak_bytes

RESULTS = ROOT / "benchmarks" / "results"
RENDERED = {
    "peers": peer_tables.markdown,
    "amd-epyc/peers": peer_tables.markdown,
    "amd-epyc-avx2/peers": peer_tables.markdown,
    "serving": serving_tables.markdown,
}
TIMES = "\N{MULTIPLICATION SIGN}"
CONDITIONS = {"machine": {"processor": "a processor"}, "rounds": 1, "seconds": 1.0}


@pytest.mark.parametrize("name", RENDERED)
def test_recorded_tables_are_those_of_the_recorded_results(name):
    record = json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))
    assert RENDERED[name](record) == (RESULTS / f"{name}.md").read_text(encoding="utf-8")


def test_no_row_of_a_processor_without_bf16_is_in_bf16():
    record = json.loads((RESULTS / "amd-epyc-avx2" / "peers.json").read_text(encoding="utf-8"))
    assert not any("bf16" in name for part in ("runtimes", "files", "frontier") for name in record[part])


def test_rates_and_ratios_that_were_not_measured_are_dashes():
    rates = {
        "transformers eager fp32": {"batch 1": 10.0},
        "levit fp32": {"batch 16": 200.0, "batch 1": 25.0},
    }
    record = {"runtimes": rates, "peaks": {"fp32": 100.0}, "measured": {"runtimes": CONDITIONS | {"note": "A note."}}}
    text = peer_tables.markdown(record)
    assert f"| transformers eager fp32 | — | — | 10 | 1.0{TIMES} |" in text
    assert f"| levit fp32 | 200 | — | 25 | 2.5{TIMES} |" in text
    assert text.endswith("1 rounds of 1.0 seconds on a processor.\n\nA note.\n")


def test_files_without_the_pipeline_have_no_ratios():
    rates = {"levit fp32": {"500 pixels": 12.0}, "levit int8": {"500 pixels": 34.0, "12 megapixels": 5.0}}
    text = peer_tables.markdown({"files": rates, "measured": {"files": CONDITIONS}})
    assert "| levit fp32 | 12 | — | — | — |" in text
    assert "| levit int8 | 34 | — | 5 | — |" in text


def test_the_plot_leaves_out_networks_that_were_not_measured():
    published = {"levit-128s": (224, 76.6, ""), "resnet18": (224, 69.8, "")}
    rates = {"levit-128s fp32": {"batch 16": 400.0}, "levit-128s int8": {"batch 16": 900.0}}
    assert find_points(rates, published) == {"levit-128s": (900.0, 76.6)}


def test_results_are_written_into_the_repository_only_with_record(tmp_path, monkeypatch):
    monkeypatch.setattr(recording, "RESULTS", tmp_path / "recorded")
    monkeypatch.setattr(recording, "WORK", tmp_path / "build")
    parser = argparse.ArgumentParser()
    recording.add_record_option(parser)
    files = [
        recording.result_file("x.json", is_recorded=parser.parse_args(options).record) for options in ([], ["--record"])
    ]
    assert files == [tmp_path / "build" / "results" / "x.json", tmp_path / "recorded" / "x.json"]
    assert all(file.parent.is_dir() for file in files)


@pytest.mark.parametrize(("platform", "size"), [("linux", 2048), ("darwin", 2)])
def test_peak_memory_is_in_bytes_on_every_system(monkeypatch, platform, size):
    monkeypatch.setattr(sys, "platform", platform)
    assert peak_bytes(SimpleNamespace(ru_maxrss=2)) == size


def test_the_pipeline_gets_the_weights_of_the_embedded_model_at_its_size(tmp_path):
    embedded = levit.Classifier().artifact
    written = levit.read_checkpoint(first_prediction.write_model(tmp_path / "model"))
    assert written.architecture.image_height_width == embedded.architecture.image_height_width
    assert (written.labels, written.preprocessing) == (embedded.labels, embedded.preprocessing)
