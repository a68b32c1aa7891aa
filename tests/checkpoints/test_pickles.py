import argparse
import os
import pathlib
import pickle
import subprocess
import sys
import tarfile
import warnings
from collections import OrderedDict, defaultdict, deque
from datetime import datetime, timedelta

import numpy as np
import pytest
import torch

from levit.checkpoints.pickles import read_pickle
from levit.errors import CheckpointError
from tests.conftest import GOLDEN

TENSORS = {"a": torch.arange(6).float().reshape(2, 3), "b": torch.tensor(7)}


class Exploit:
    """Object of a malicious file: unpickling it runs a command."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


class Meter:
    """Object of a training script that is saved with the weights."""

    def __init__(self):
        self.average = 0.5


def exploits(marker):
    return [
        Exploit(os.system, f'echo > "{marker}"'),
        Exploit(subprocess.check_call, [sys.executable, "-c", f"open({str(marker)!r}, 'w')"]),
        Exploit(exec, f"__import__('pathlib').Path({str(marker)!r}).touch()"),
        Exploit(eval, f"__import__('pathlib').Path({str(marker)!r}).touch()"),
        Exploit(pathlib.Path.touch, pathlib.Path(marker)),  # pickled as getattr(PosixPath, "touch")
        Exploit(np.save, str(marker), 0),
    ]


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("number", range(6))
def test_a_file_with_code_is_refused_and_the_code_is_not_run(tmp_path, number, zipped):
    marker, file = tmp_path / "marker", tmp_path / "evil.pth"
    content = {"model": TENSORS, "extra": exploits(marker)[number]}
    torch.save(content, file, _use_new_zipfile_serialization=zipped)
    with pytest.raises(CheckpointError, match=r"evil\.pth: refused, because it contains code") as caught:
        read_pickle(file)
    assert "\n" not in str(caught.value)
    assert not marker.exists()
    pickle.loads(pickle.dumps(exploits(marker)[number]))  # shows that the code is harmful
    assert list(tmp_path.glob("marker*"))


def test_the_code_in_a_plain_pickle_is_not_run(tmp_path):
    marker, file = tmp_path / "marker", tmp_path / "evil.bin"
    file.write_bytes(pickle.dumps(Exploit(os.system, f'echo > "{marker}"')))
    with pytest.raises(CheckpointError, match=r"evil\.bin"):
        read_pickle(file)
    assert not marker.exists()


def test_the_refused_object_is_named_with_a_hint(tmp_path):
    torch.save({"model": TENSORS, "meter": Meter()}, tmp_path / "own.pth")
    with pytest.raises(CheckpointError, match=r"\(tests\.checkpoints\.test_pickles\.Meter\): .*state_dict\(\) alone"):
        read_pickle(tmp_path / "own.pth")


HARMLESS = {
    "the arguments of facebook's files": argparse.Namespace(
        model="LeViT_128S", output_dir=pathlib.Path("out"), lr=5e-4
    ),
    "numbers of numpy": [np.float64(0.5), np.int64(3), np.float32(1), np.bool_(True)],
    "arrays of numpy": {"state": np.random.default_rng(0).random(5), "names": np.array(["cat", "dog"])},
    "types": [np.float32, np.dtype("float32"), np.dtype("<i8"), torch.float16, float],
    "the state of a generator": np.random.RandomState(0).get_state(),
    "paths": [pathlib.Path("a"), pathlib.PurePosixPath("/b"), pathlib.PureWindowsPath("c:/d")],
    "containers": [
        OrderedDict(a=1),
        defaultdict(list, a=[1]),
        deque([1, 2], maxlen=3),
        {1, 2},
        frozenset({3}),
        slice(1),
    ],
    "times": [datetime(2023, 1, 17), timedelta(seconds=3)],
    "a version": torch.__version__,
}


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("extra", HARMLESS.values(), ids=HARMLESS)
def test_harmless_objects_next_to_the_weights_are_ignored(tmp_path, extra, zipped):
    file = tmp_path / "training.pth"
    torch.save({"before": extra, "model": TENSORS, "epoch": 3}, file, _use_new_zipfile_serialization=zipped)
    content = read_pickle(file)
    assert content["epoch"] == 3
    assert all(torch.equal(content["model"][key], tensor) for key, tensor in TENSORS.items())


def test_harmless_objects_are_replaced_by_placeholders(tmp_path):
    torch.save(
        {"path": pathlib.Path("a"), "number": np.float64(1), "arguments": argparse.Namespace()}, tmp_path / "x.pt"
    )
    kinds = {type(value).__name__ for value in read_pickle(tmp_path / "x.pt").values()}
    assert kinds == {"_Placeholder"}


def test_objects_of_a_library_that_is_not_installed_are_ignored(tmp_path):
    """Each training checkpoint of mmengine contains a history of losses."""
    module = type(sys)("mmengine.logging.history_buffer")
    code = "class HistoryBuffer:\n    def mean(self):\n        pass\n"
    exec(code, module.__dict__)
    module.HistoryBuffer.__module__ = module.__name__
    modules = {"mmengine": type(sys)("mmengine"), "mmengine.logging": type(sys)("mmengine.logging")}
    modules[module.__name__] = module
    history = module.HistoryBuffer()
    history.values, history.methods = np.arange(3), {"mean": module.HistoryBuffer.mean}
    sys.modules.update(modules)
    try:
        torch.save({"state_dict": TENSORS, "message_hub": {"loss": history}}, tmp_path / "epoch_1.pth")
    finally:
        for name in modules:
            del sys.modules[name]
    assert list(read_pickle(tmp_path / "epoch_1.pth")["state_dict"]) == ["a", "b"]


def test_torch_s_list_of_safe_globals_is_restored(tmp_path):
    torch.save({"number": np.float64(1)}, tmp_path / "x.pt")
    before = set(torch.serialization.get_safe_globals())
    read_pickle(tmp_path / "x.pt")
    assert set(torch.serialization.get_safe_globals()) == before


def test_files_of_torch_before_1_6_are_read(tmp_path):
    torch.save({"model": TENSORS}, tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    assert torch.equal(read_pickle(tmp_path / "old.pth")["model"]["a"], TENSORS["a"])


@pytest.mark.filterwarnings("ignore:.*deprecated")  # TorchScript is deprecated
@pytest.mark.parametrize("name", ["script.pt", "script.pth"])
def test_a_torchscript_archive_is_named(tmp_path, name):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch discourages TorchScript on Python 3.14
        torch.jit.script(torch.nn.Linear(2, 2)).save(tmp_path / name)
    with pytest.raises(CheckpointError, match=r"a TorchScript archive, .*torch\.jit\.load") as caught:
        read_pickle(tmp_path / name)
    assert "\n" not in str(caught.value)


def test_a_tar_archive_is_named(tmp_path):
    with tarfile.open(tmp_path / "model.pth.tar", "w") as archive:
        archive.add(GOLDEN / "tiny" / "input.npy", "pickle")
    with pytest.raises(CheckpointError, match=r"model\.pth\.tar: a tar archive, .*unpack it") as caught:
        read_pickle(tmp_path / "model.pth.tar")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("size", [0, 10, 1000, 100_000])
@pytest.mark.parametrize("zipped", [True, False])
def test_a_truncated_file_is_an_error_of_one_line(tmp_path, size, zipped):
    file = tmp_path / "half.pth"
    content = torch.load(GOLDEN / "tiny" / "facebook.pth", weights_only=True)
    torch.save(content, file, _use_new_zipfile_serialization=zipped)
    file.write_bytes(file.read_bytes()[:size])
    with pytest.raises(CheckpointError, match=r"half\.pth: not a PyTorch file, or truncated.*: download it") as caught:
        read_pickle(file)
    assert "\n" not in str(caught.value)


def test_a_file_of_another_format_is_an_error_of_one_line(tmp_path):
    file = tmp_path / "model.pth"
    for other in (GOLDEN / "tiny" / "timm" / "model.safetensors", GOLDEN / "tiny" / "expected.npz"):
        file.write_bytes(other.read_bytes())
        with pytest.raises(CheckpointError, match="download it again") as caught:
            read_pickle(file)
        assert "\n" not in str(caught.value)
