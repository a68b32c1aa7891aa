"""Shared memory of worker processes."""

import os
import shutil
import subprocess
import sys

import pytest

from levit.errors import LevitError
from levit.training.shared_memory import LoaderShape, check_shared_memory, free_shared_memory
from tests.conftest import ROOT

BATCH = 64 * 3 * 224 * 224 * 4  # the defaults: 39 MB


def test_the_default_batches_do_not_fit_into_the_shared_memory_of_a_container():
    match = (
        r"^/dev/shm: the batches of workers need 116 MB, and 64 MB are free: set `workers` to 0 or give fewer, "
        r"a smaller `batch_size`, or more shared memory \(docker run --shm-size=8g\)$"
    )
    with pytest.raises(LevitError, match=match):
        check_shared_memory([LoaderShape(1, BATCH)], 64_000_000)


def test_batches_of_all_loaders_are_added():
    loaders = [LoaderShape(2, BATCH), LoaderShape(1, 2 * BATCH)]
    assert sum(loader.required_bytes for loader in loaders) == (5 + 6) * BATCH
    check_shared_memory(loaders, 11 * BATCH)
    with pytest.raises(LevitError):
        check_shared_memory(loaders, 11 * BATCH - 1)


def test_a_process_that_loads_images_itself_needs_no_shared_memory():
    check_shared_memory([LoaderShape(0, BATCH)], 0)


def test_a_system_without_a_limit_is_not_checked(tmp_path):
    assert free_shared_memory(tmp_path / "absent") is None
    check_shared_memory([LoaderShape(99, BATCH)], None)


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
