"""Benchmarks of small models in worker processes."""

import json

import pytest

from levit.benchmarking import peak
from levit.benchmarking.benchmark import benchmark
from levit.benchmarking.peak import measure_peak, measure_peaks
from levit.errors import CheckpointError, ConfigError, EngineError
from levit.spec.network import count_flops
from tests.runtime.small_model import SMALL, write_checkpoint


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    folder = write_checkpoint(tmp_path_factory.mktemp("models") / "fruit")
    engines = ("openvino", "auto", "onnxruntime")
    return benchmark([folder], batch_sizes=[1, 4], engines=engines, precisions=["fp32"], rounds=2, seconds=0.05)


@pytest.mark.slow
def test_each_engine_and_batch_size_has_one_result(report):
    rows = [(result.model, result.engine, result.precision, result.batch_size) for result in report.results]
    engines = ("openvino", "onnxruntime")
    assert rows == [("fruit", engine, "fp32", size) for engine in engines for size in (1, 4)]


@pytest.mark.slow
def test_results_have_plausible_values_in_the_documented_units(report):
    for result in report.results:
        assert 0 < result.latency_p50 <= result.latency_p95
        assert result.images_per_second > 0
        assert result.latency_p50 < min(result.cold_start, result.warm_start)  # which contain the first prediction
        assert result.peak_memory is None or result.peak_memory > 20e6
        multiply_adds = 1e9 * report.peaks["fp32"]
        assert result.peak_share == pytest.approx(result.images_per_second * count_flops(SMALL) / multiply_adds)


@pytest.mark.slow
def test_the_report_converts_to_json(report):
    values = json.loads(json.dumps(report.to_dict()))
    assert values["results"][0]["model"] == "fruit"
    assert set(values["machine"]) == {"processor", "cores", "capabilities", "system", "versions"}


class Clock:
    """A clock that advances by half a second whenever it is read."""

    seconds = 0.0

    def perf_counter(self) -> float:
        self.seconds += 0.5
        return self.seconds


@pytest.mark.parametrize("precision", ["fp32", "bf16", "int8"])
def test_the_peak_is_in_billions_of_multiply_adds_per_second(precision, monkeypatch):
    monkeypatch.setattr(peak, "time", Clock())
    multiply_adds = 4 * 2048 * 1024 * 1024  # four products of a batch of 2048 rows with weights of 1024x1024
    assert measure_peak(precision, 0.1, threads=1) == pytest.approx(multiply_adds / 0.5 / 1e9)


@pytest.mark.slow
def test_peaks_are_measured_in_a_worker():
    peaks = measure_peaks(["fp32", "int8"], rounds=1, seconds=0.01, threads=1)
    assert list(peaks) == ["fp32", "int8"]
    assert min(peaks.values()) > 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_sizes": []}, "batch_sizes is empty: give at least one value"),
        ({"batch_sizes": [1, 0]}, "batch_sizes is 0: give positive numbers"),
        ({"seconds": 0}, "seconds is 0: give positive numbers"),
        ({"engines": ["openvino", "openvino"]}, "engines has a value twice: give each value once"),
    ],
)
def test_invalid_options_are_named(options, message):
    with pytest.raises(ConfigError) as caught:
        benchmark(**options)
    assert str(caught.value) == message


def test_a_missing_model_is_an_error_before_a_process_starts(tmp_path):
    steps = []
    with pytest.raises(CheckpointError) as caught:
        benchmark([None, tmp_path / "missing.onnx"], on_progress=steps.append)
    assert str(caught.value) == f"{tmp_path / 'missing.onnx'}: no such file"
    assert steps == []


def test_a_model_that_cannot_be_opened_is_a_one_line_error(tmp_path):
    damaged = tmp_path / "damaged.onnx"
    damaged.write_bytes(b"damaged")
    with pytest.raises(EngineError) as caught:
        benchmark([damaged])
    assert caught.value.source == f"{damaged} (engine auto, precision auto)"
    assert "\n" not in str(caught.value)
