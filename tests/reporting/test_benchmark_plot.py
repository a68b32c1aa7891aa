"""Plots of benchmark reports."""

import re

import pytest
from PIL import Image

from levit.benchmarking.benchmark_report import BenchmarkReport, BenchmarkResult
from levit.errors import ConfigError
from levit.reporting.benchmark_plot import plot_benchmark


def make_report(**options) -> BenchmarkReport:
    """A report of two engines at two batch sizes."""
    results = [
        BenchmarkResult(
            model="fruit", engine=engine, precision="fp32", batch_size=batch_size, images_per_second=100.0 * batch_size,
            latency_p95=0.02, cold_start=1.0, warm_start=0.5, peak_share=0.5,
            **{"latency_p50": 0.01, "peak_memory": 50_000_000, **options},
        )
        for engine in ("openvino", "onnxruntime")
        for batch_size in (1, 4)
    ]  # fmt: skip
    machine = {"processor": "a processor", "cores": "2 cores"}
    return BenchmarkReport(machine=machine, peaks={"fp32": 1.0}, results=tuple(results))


def test_a_plot_is_an_image_and_the_only_file(tmp_path):
    file = plot_benchmark(make_report(), tmp_path / "speed.png")
    with Image.open(file) as image:
        assert image.width > 1000
        assert len(image.convert("RGB").getcolors(1 << 20)) > 10
    assert list(tmp_path.iterdir()) == [file]


def test_latencies_are_whole_milliseconds_or_have_two_digits(tmp_path):
    def labels(latency):
        text = plot_benchmark(make_report(latency_p50=latency), tmp_path / "speed.svg").read_text(encoding="utf-8")
        return set(re.findall(r"<!-- ([\d.,e+]+) -->", text))

    assert "123" in labels(0.1234)
    assert "4.6" in labels(0.00456)


def test_a_report_without_memory_can_be_plotted(tmp_path):
    file = plot_benchmark(make_report(peak_memory=None), tmp_path / "speed.SVG")
    assert file.stat().st_size > 1000
    assert b"<svg" in file.read_bytes()


def test_the_backend_of_matplotlib_stays_as_it_is(tmp_path):
    import matplotlib as mpl

    with mpl.rc_context({"backend": "svg"}):
        plot_benchmark(make_report(), tmp_path / "speed.png")
        assert mpl.rcParams["backend"] == "svg"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("speed.nonsense", "speed.nonsense: give a name that ends in .png, .svg, .pdf"),
        ("missing/speed.png", "speed.png: there is no folder"),
    ],
)
def test_a_plot_that_cannot_be_written_leaves_no_file(tmp_path, name, message):
    with pytest.raises(ConfigError, match=message):
        plot_benchmark(make_report(), tmp_path / name)
    assert list(tmp_path.iterdir()) == []
