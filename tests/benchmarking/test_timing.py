"""Throughput and latency of engines, timed by a fake clock."""

from concurrent.futures import Future

import numpy as np
import pytest

from levit.benchmarking import timing
from levit.benchmarking.timing import measure_latency, measure_throughput, quantile
from tests.runtime.small_model import color_artifact

IMAGES = np.zeros((4, 16, 16, 3), np.uint8)
CALL_SECONDS = 0.25


class SlowEngine:
    """Image engine with a fake clock, on which every call takes a quarter of a second."""

    name, precision, reason, metadata = "slow", "fp32", "", color_artifact().to_metadata()

    def __init__(self) -> None:
        self.calls: list[tuple[str, int]] = []
        self.now = 0.0

    def clock(self) -> float:
        return self.now

    def run(self, pixel_values):
        raise AssertionError("normalized values are not needed")

    def run_images(self, images):
        self.calls.append(("run_images", len(images)))
        self.now += CALL_SECONDS
        return np.zeros((len(images), 3), np.float32)

    def submit(self, images, batch_size):
        assert len(images) == batch_size
        self.calls.append(("submit", batch_size))
        self.now += CALL_SECONDS
        future = Future()
        future.set_result(np.zeros((len(images), 3), np.float32))
        return future


def test_throughput_is_in_images_per_second():
    engine = SlowEngine()
    assert measure_throughput(engine, IMAGES, 2.1, engine.clock) == 4 / CALL_SECONDS
    assert engine.calls == [("submit", 4)] * 9


def test_latency_is_that_of_one_call_in_seconds():
    engine = SlowEngine()
    assert measure_latency(engine, IMAGES[:1], 2, engine.clock) == [CALL_SECONDS] * 8
    assert set(engine.calls) == {("run_images", 1)}
    assert measure_latency(engine, IMAGES, 2, engine.clock) == [CALL_SECONDS] * 8
    assert engine.calls[-1] == ("submit", 4)


def test_at_least_five_batches_are_timed():
    engine = SlowEngine()
    assert len(measure_latency(engine, IMAGES, 0, engine.clock)) == 5


@pytest.mark.parametrize("threads", [1, 3])
def test_the_batches_in_flight_follow_the_number_of_threads(threads):
    engine, waiting = SlowEngine(), []
    submit = engine.submit

    class Pending(Future):
        def result(self, timeout=None):
            waiting.remove(self)
            return super().result(timeout)

    def submit_pending(images, batch_size):
        future = Pending()
        future.set_result(submit(images, batch_size).result())
        waiting.append(future)
        most.append(len(waiting))
        return future

    most, engine.submit = [], submit_pending
    measure_throughput(engine, IMAGES, 10 * CALL_SECONDS, engine.clock, threads=threads)
    assert max(most) == threads + 3  # one that is waited for, and two more


def test_the_usable_cores_are_counted_once(monkeypatch):
    calls = []
    monkeypatch.setattr(timing, "usable_cores", lambda: calls.append(1) or 2)
    engine = SlowEngine()
    measure_throughput(engine, IMAGES, 2.1, engine.clock)
    assert len(calls) == 1  # the count reads files, which would take the time of the engine


def test_quantiles_are_ordered():
    latencies = [0.3, 0.1, 0.2, 0.5]
    assert quantile(latencies, 0.5) == pytest.approx(0.25)
    assert quantile(latencies, 0.5) <= quantile(latencies, 0.95) <= 0.5
