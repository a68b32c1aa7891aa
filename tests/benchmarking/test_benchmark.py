"""Real models in real processes: every figure is there, and the shares are of what was measured."""

import json

import pytest
from PIL import Image

from levit.benchmarking.benchmark import Speed, SpeedReport, measure_speed
from levit.benchmarking.peak import measure_peak
from levit.errors import ConfigError, EngineError
from levit.reporting.benchmark_plot import draw_speed
from levit.spec.blocks import count_flops
from tests.runtime.small_model import SMALL, write_checkpoint


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    folder = write_checkpoint(tmp_path_factory.mktemp("models") / "fruit")
    engines = ("openvino", "auto", "onnxruntime")
    return measure_speed([folder], batch_sizes=[1, 4], engines=engines, precisions=["fp32"], rounds=2, seconds=0.05)


@pytest.mark.slow
def test_there_is_one_row_for_each_engine_and_batch_size(report):
    rows = [(one.model, one.engine, one.precision, one.batch_size) for one in report.speeds]
    engines = ("openvino", "onnxruntime")
    assert rows == [("fruit", engine, "fp32", size) for engine in engines for size in (1, 4)]


@pytest.mark.slow
def test_the_figures_are_possible(report):
    for one in report.speeds:
        assert 0 < one.latency_p50 <= one.latency_p95 < 10
        assert one.images_per_second > 1
        assert one.first_start > 0.05
        assert one.start > 0.05
        assert one.peak_memory is None or one.peak_memory > 20e6
        assert one.peak_share == pytest.approx(one.images_per_second * count_flops(SMALL) / 1e9 / report.peaks["fp32"])


@pytest.mark.slow
def test_the_report_is_json(report):
    values = json.loads(json.dumps(report.to_dict()))
    assert values["speeds"][0]["model"] == "fruit"
    assert set(values["machine"]) == {"processor", "cores", "capabilities", "system", "versions"}


@pytest.mark.slow
def test_the_picture_can_be_looked_at(report, tmp_path):
    file = draw_speed(report, tmp_path / "speed.png")
    with Image.open(file) as image:
        assert image.width > 1000
        assert len(image.convert("RGB").getcolors(1 << 20)) > 10
    assert list(tmp_path.iterdir()) == [file]


@pytest.mark.slow
def test_a_picture_that_cannot_be_written_leaves_nothing(report, tmp_path):
    with pytest.raises(ValueError, match="nonsense"):
        draw_speed(report, tmp_path / "speed.nonsense")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("precision", ["fp32", "bf16", "int8"])
def test_the_peak_is_measured(precision):
    assert 0.1 < measure_peak(precision, 0.1, threads=1) < 1e6


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_sizes": []}, "nothing to measure"),
        ({"batch_sizes": [0]}, "give positive numbers"),
        ({"seconds": 0}, "give positive numbers"),
        ({"engines": ["openvino", "openvino"]}, "name each of them once"),
    ],
)
def test_wrong_options_are_named(options, message):
    with pytest.raises(ConfigError, match=message):
        measure_speed(**options)


def test_what_cannot_be_opened_is_one_line(tmp_path):
    with pytest.raises(EngineError) as caught:
        measure_speed([tmp_path / "missing.onnx"])
    assert str(caught.value).endswith("missing.onnx: no such file")
    assert "\n" not in str(caught.value)


def test_a_report_without_memory_can_be_drawn(tmp_path):
    speed = Speed(
        model="m", engine="e", precision="fp32", batch_size=1, images_per_second=1.0, latency_p50=1.0, latency_p95=2.0,
        first_start=1.0, start=1.0, peak_memory=None, peak_share=0.5,
    )  # fmt: skip
    report = SpeedReport(machine={"processor": "p", "cores": "1 cores"}, peaks={"fp32": 1.0}, speeds=(speed,))
    assert draw_speed(report, tmp_path / "speed.svg").stat().st_size > 1000
