"""Number of worker processes that load images, and their shared memory."""

import os
import shutil
import subprocess
import sys
import warnings

import pytest

from levit.errors import LevitError, LevitWarning
from levit.training.worker_count import (
    check_shared_memory,
    choose_num_workers,
    free_shared_memory,
    reduce_num_workers,
)
from tests.conftest import ROOT

BATCH = 64 * 3 * 224 * 224 * 4  # the defaults: 39 MB
CONTAINER = 64_000_000


@pytest.fixture(autouse=True)
def _no_torchrun(monkeypatch):
    monkeypatch.delenv("LOCAL_WORLD_SIZE", raising=False)


@pytest.mark.parametrize(
    ("cores", "num_processes", "on_cpu", "expected"),
    [(2, 1, True, 0), (4, 2, True, 0), (16, 1, True, 15), (2, 1, False, 2), (16, 8, False, 2), (1, 2, False, 1)],
)  # fmt: skip
def test_the_number_of_workers_depends_on_the_cores(cores, num_processes, on_cpu, expected):
    assert choose_num_workers(None, num_processes, on_cpu=on_cpu, cores=cores) == expected
    assert choose_num_workers(3, num_processes, on_cpu=on_cpu, cores=cores) == 3


def test_the_default_batches_do_not_fit_into_the_shared_memory_of_a_container():
    match = (
        r"^/dev/shm: the batches of workers need 347 MB, and 64 MB are free: set `workers` to 0 or give fewer, "
        r"a smaller `batch_size`, or more shared memory \(docker run --shm-size=8g\)$"
    )
    with pytest.raises(LevitError, match=match):
        check_shared_memory(1, BATCH, 1, CONTAINER)


def test_the_workers_of_a_container_are_reduced_with_a_warning():
    text = r"^/dev/shm: the batches of workers need 1,272 MB, and 64 MB are free: 0 instead of 7 workers load images"
    with pytest.warns(LevitWarning, match=text):
        assert reduce_num_workers(7, BATCH, 1, CONTAINER) == 0
    with pytest.warns(LevitWarning, match="need 1,272 MB, and 1,050 MB are free: 4 instead of 7 workers load images"):
        assert reduce_num_workers(7, BATCH, 1, 1_050_000_000) == 4


def test_workers_that_fit_do_not_warn():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert reduce_num_workers(7, BATCH, 1, 2_000_000_000) == 7
        assert reduce_num_workers(7, BATCH, 1, None) == 7


def test_batches_of_both_loaders_and_of_all_processes_are_added():
    num_bytes = 3 * ((2 * 6 + 1) * BATCH + (2 * 4 + 1) * 2 * BATCH)  # validation has at most 4 workers
    check_shared_memory(6, BATCH, 3, num_bytes)
    with pytest.raises(LevitError):
        check_shared_memory(6, BATCH, 3, num_bytes - 1)


def test_a_process_that_loads_images_itself_needs_no_shared_memory():
    check_shared_memory(0, BATCH, 1, 0)


def test_a_system_without_a_limit_is_not_checked(tmp_path):
    assert free_shared_memory(tmp_path / "absent") is None
    check_shared_memory(99, BATCH, 1, None)


SCRIPT = """
import torch
from levit.training.data_loader import ImageDataset, LoaderSettings, validation_batches
from tests.training.image_stores import gray_images

def large(source, sample):
    return torch.zeros(3, 512, 512)

if __name__ == "__main__":
    dataset = ImageDataset(gray_images(*range(40)), large, on_bad_image="skip")
    for _ in validation_batches(dataset, LoaderSettings(num_workers=1), batch_size=4):
        pass
"""
IN_SMALL_SHARED_MEMORY = 'mount -t tmpfs -o size=4m tmpfs /dev/shm && exec "$@"'


def can_mount() -> bool:
    command = ["unshare", "-m", "sh", "-c", IN_SMALL_SHARED_MEMORY, "sh", "true"]
    return shutil.which("unshare") is not None and subprocess.run(command, capture_output=True).returncode == 0


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="mounts /dev/shm")
def test_a_full_shared_memory_ends_training_with_an_error_and_not_with_silence(tmp_path):
    if not can_mount():
        pytest.skip("needs the right to mount")
    (tmp_path / "script.py").write_text(SCRIPT)
    done = subprocess.run(
        ["unshare", "-m", "sh", "-c", IN_SMALL_SHARED_MEMORY, "sh", sys.executable, str(tmp_path / "script.py")],
        text=True, capture_output=True, timeout=120, env=os.environ | {"PYTHONPATH": f"{ROOT / 'src'}:{ROOT}"},
    )  # fmt: skip
    assert done.returncode == 1
    last = done.stderr.strip().splitlines()[-1]
    assert "the shared memory of 4 MB is too small" in last
    assert "set `workers` to 0" in last
