"""What is timed is what a classifier does, and the figures add up."""

import time
from concurrent.futures import Future

import numpy as np
import pytest

from levit.benchmarking.timing import measure_latency, measure_throughput, percentile
from levit.runtime.fake_engine import FakeEngine
from tests.runtime.small_model import colors_card

IMAGES = np.zeros((4, 16, 16, 3), np.uint8)


class Slow:
    """Takes a hundredth of a second for everything."""

    name, precision, reason, metadata = "slow", "fp32", "", colors_card().to_metadata()

    def __init__(self) -> None:
        self.calls: list[tuple[str, int]] = []

    def run(self, pixel_values):
        raise AssertionError("normalized values are not needed")

    def run_images(self, images):
        self.calls.append(("run_images", len(images)))
        time.sleep(0.01)
        return np.zeros((len(images), 3), np.float32)

    def submit(self, images, batch_size):
        assert len(images) == batch_size
        self.calls.append(("submit", batch_size))
        time.sleep(0.01)
        future = Future()
        future.set_result(np.zeros((len(images), 3), np.float32))
        return future


def test_throughput_counts_images():
    engine = Slow()
    rate = measure_throughput(engine, IMAGES, 0.2)
    assert 0.5 * 400 < rate <= 400  # four images in a hundredth of a second, at most
    assert set(engine.calls) == {("submit", 4)}


def test_latency_is_that_of_one_call():
    engine = Slow()
    latencies = measure_latency(engine, IMAGES[:1], 0.1)
    assert min(latencies) >= 0.01
    assert percentile(latencies, 0.5) <= percentile(latencies, 0.95)
    assert set(engine.calls) == {("run_images", 1)}
    measure_latency(engine, IMAGES, 0.1)
    assert engine.calls[-1] == ("submit", 4)


def test_at_least_five_batches_are_timed():
    assert len(measure_latency(Slow(), IMAGES, 0)) == 5


def test_an_engine_that_takes_normalized_values_gets_them():
    seen = []
    engine = FakeEngine(colors_card(), lambda batch: seen.append(batch) or batch.mean((2, 3)))
    assert measure_throughput(engine, IMAGES + 255, 0.01) > 0
    assert seen[0].shape == (4, 3, 16, 16)
    assert seen[0].max() == pytest.approx(1)
