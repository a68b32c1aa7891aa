"""Writers of malicious and malformed checkpoints, by the name of their kind."""

from __future__ import annotations

import io
import json
import os
import pickle
import shutil
import struct
import tarfile
import warnings
import zipfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from safetensors.numpy import load_file, save_file

_ROOT = Path(__file__).parent.parent.parent
_TINY = _ROOT / "tests" / "golden" / "tiny" / "transformers"
_ARTIFACT = _ROOT / "src" / "levit" / "runtime" / "embedded" / "default.onnx"
_HEAD = "classifier.linear.weight"
MARKER = "code-was-run"
"""Name of the file that the code in a malicious checkpoint creates next to it."""

Writer = Callable[[Path], Path]


class _Call:
    """Object whose unpickling calls a function."""

    def __init__(self, function: Callable[..., object], *arguments: object) -> None:
        self._call = function, arguments

    def __reduce__(self) -> tuple[Any, ...]:
        return self._call


def _code(folder: Path) -> _Call:
    return _Call(os.system, f"touch '{folder / MARKER}'")


def _torch_file(folder: Path, change: Callable[[dict[str, Any], Path], Any], **options: Any) -> Path:
    """Write facebook's checkpoint after a change."""
    content = torch.load(_ROOT / "tests" / "golden" / "tiny" / "facebook.pth", weights_only=True)
    file = folder / "model.pth"
    torch.save(change(content, folder), file, **options)
    return file


def _weights(content: dict[str, Any]) -> dict[str, Any]:
    return next((value for value in content.values() if isinstance(value, dict)), content)


def _with_first(content: dict[str, Any], value: Any) -> dict[str, Any]:
    weights = _weights(content)
    weights[next(iter(weights))] = value
    return content


def _plain_pickle(folder: Path) -> Path:
    file = folder / "model.bin"
    file.write_bytes(pickle.dumps({"model": _code(folder)}))
    return file


def _script(folder: Path) -> Path:
    file = folder / "model.pt"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about the deprecation of TorchScript
        torch.jit.script(torch.nn.Linear(2, 2)).save(file)  # type: ignore[no-untyped-call]
    return file


def _tar_archive(folder: Path) -> Path:
    file = folder / "model.pth.tar"
    with tarfile.open(file, "w") as stream:
        member = tarfile.TarInfo("../outside")
        stream.addfile(member, io.BytesIO())
    return file


def _zip_of_zeros(folder: Path) -> Path:
    """A file of torch with an entry of 1 GB of zeros, deflated."""
    file = _torch_file(folder, lambda content, _: content)
    changed = folder / "deflated.pth"
    with zipfile.ZipFile(file) as source, zipfile.ZipFile(changed, "w", zipfile.ZIP_DEFLATED) as target:
        for name in source.namelist():
            if not name.endswith("/data/0"):
                target.writestr(name, source.read(name))
                continue
            entry = zipfile.ZipInfo(name)
            entry.compress_type = zipfile.ZIP_DEFLATED
            with target.open(entry, "w", force_zip64=True) as stream:
                for _ in range(64):
                    stream.write(bytes(2**24))
    file.unlink()
    return changed


def _folder(folder: Path, change: Callable[[dict[str, Any]], object]) -> Path:
    """Write the folder of transformers, with a change of its weights."""
    shutil.copytree(_TINY, folder, dirs_exist_ok=True)
    weights = load_file(folder / "model.safetensors")
    change(weights)
    save_file(weights, folder / "model.safetensors")
    return folder


def _json(folder: Path, change: Callable[[dict[str, Any]], object], name: str = "config.json") -> Path:
    """Write the folder of transformers, with a change of one of its JSON files."""
    shutil.copytree(_TINY, folder, dirs_exist_ok=True)
    content = json.loads((folder / name).read_text(encoding="utf-8"))
    change(content)
    (folder / name).write_text(json.dumps(content), encoding="utf-8")
    return folder


def _text(folder: Path, text: str, name: str = "config.json") -> Path:
    """Write the folder of transformers, with another text in one of its JSON files."""
    shutil.copytree(_TINY, folder, dirs_exist_ok=True)
    (folder / name).write_text(text, encoding="utf-8")
    return folder


def _header(folder: Path, change: Callable[[dict[str, Any]], object], length: int | None = None) -> Path:
    """Write the folder of transformers, with a change of the header of its weights."""
    shutil.copytree(_TINY, folder, dirs_exist_ok=True)
    file = folder / "model.safetensors"
    content = file.read_bytes()
    end = 8 + struct.unpack("<Q", content[:8])[0]
    header = json.loads(content[8:end])
    change(header)
    text = json.dumps(header).encode()
    file.write_bytes(struct.pack("<Q", len(text) if length is None else length) + text + content[end:])
    return folder


def _cut(folder: Path) -> Path:
    shutil.copytree(_TINY, folder, dirs_exist_ok=True)
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-1000])
    return folder


def _artifact(folder: Path, change: Callable[[onnx.ModelProto], object]) -> Path:
    """Write the embedded model after a change."""
    model = onnx.load(_ARTIFACT)
    change(model)
    file = folder / "model.onnx"
    file.write_bytes(model.SerializeToString())
    return file


def _set_metadata(model: onnx.ModelProto, name: str, value: str) -> None:
    for entry in model.metadata_props:
        if entry.key == name:
            entry.value = value


def _metadata(name: str, value: str) -> Writer:
    return partial(_artifact, change=lambda model: _set_metadata(model, name, value))


def _external_data(model: onnx.ModelProto) -> None:
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    for key, value in (("location", "../../../../etc/passwd"), ("offset", "0"), ("length", "64")):
        tensor.external_data.add(key=key, value=value)


def _not_finite(model: onnx.ModelProto) -> None:
    for tensor in model.graph.initializer:
        if tensor.data_type == onnx.TensorProto.FLOAT and len(tensor.dims) == 2:
            tensor.raw_data = np.full(tuple(tensor.dims), np.nan, np.float32).tobytes()
            return
    tensor = next(tensor for tensor in model.graph.initializer if tensor.data_type == onnx.TensorProto.FLOAT16)
    tensor.raw_data = np.full(tuple(tensor.dims), np.nan, np.float16).tobytes()


def _fifo(name: str) -> Writer:
    def write(folder: Path) -> Path:
        os.mkfifo(folder / name)
        return folder / name

    return write


def _linked_device(folder: Path) -> Path:
    (folder / "model.safetensors").symlink_to("/dev/zero")
    return folder / "model.safetensors"


def _named_folder(folder: Path) -> Path:
    (folder / "model.onnx").mkdir()
    return folder / "model.onnx"


def _huge_sizes(config: dict[str, Any]) -> None:
    config.update(hidden_sizes=[10**6] * 3)


KINDS: dict[str, Writer] = {
    "code in a file of torch": lambda f: _torch_file(f, lambda c, folder: {**c, "extra": _code(folder)}),
    "code in an old file of torch": lambda f: _torch_file(
        f, lambda c, folder: {**c, "extra": _code(folder)}, _use_new_zipfile_serialization=False
    ),
    "code in a plain pickle": _plain_pickle,
    "exec in a file of torch": lambda f: _torch_file(
        f, lambda c, folder: {**c, "extra": _Call(exec, f"open({str(folder / MARKER)!r}, 'w')")}
    ),
    "TorchScript": _script,
    "tar archive with a path outside": _tar_archive,
    "1 GB of zeros, deflated": _zip_of_zeros,
    "expanded tensor of 16 GB": lambda f: _torch_file(
        f, lambda c, _: _with_first(c, torch.zeros(1, 1).expand(64_000, 64_000))
    ),
    "sparse tensor": lambda f: _torch_file(f, lambda c, _: _with_first(c, torch.eye(3).to_sparse())),
    "tensor without data": lambda f: _torch_file(f, lambda c, _: _with_first(c, torch.empty(3, 3, device="meta"))),
    "complex tensor": lambda f: _torch_file(f, lambda c, _: _with_first(c, torch.ones(3, dtype=torch.complex64))),
    "text instead of a tensor": lambda f: _torch_file(f, lambda c, _: _with_first(c, "\x1b[2Jtext")),
    "control characters in a key": lambda f: _torch_file(
        f, lambda c, _: {"\x1b[2J\nmodel": torch.ones(2), "a\rb": torch.ones(3)}
    ),
    "number as a key": lambda f: _torch_file(f, lambda c, _: {3: torch.ones(2)}),
    "list instead of weights": lambda f: _torch_file(f, lambda c, _: [torch.ones(2)]),
    "weights that are NaN": lambda f: _folder(f, lambda w: w.update({_HEAD: np.full_like(w[_HEAD], np.nan)})),
    "weights whose logits overflow": lambda f: _folder(f, lambda w: w.update({_HEAD: np.full_like(w[_HEAD], 3e38)})),
    "missing weights": lambda f: _folder(f, lambda w: w.pop(_HEAD)),
    "weights of another shape": lambda f: _folder(f, lambda w: w.update({_HEAD: np.ones((3, 3), np.float32)})),
    "integer weights": lambda f: _folder(f, lambda w: w.update({_HEAD: np.ones(w[_HEAD].shape, np.int64)})),
    "weight without elements": lambda f: _folder(f, lambda w: w.update({_HEAD: np.ones((0, 0), np.float32)})),
    "cut safetensors file": _cut,
    "header of 2^63 bytes": lambda f: _header(f, lambda _: None, length=2**63),
    "offsets outside the file": lambda f: _header(f, lambda h: h[_HEAD].update(data_offsets=[0, 2**40])),
    "shape of 2^62 elements": lambda f: _header(f, lambda h: h[_HEAD].update(shape=[2**31, 2**31])),
    "negative shape": lambda f: _header(f, lambda h: h[_HEAD].update(shape=[-1, 64])),
    "unknown type of numbers": lambda f: _header(f, lambda h: h[_HEAD].update(dtype="F3")),
    "hidden sizes of a million": lambda f: _json(f, _huge_sizes),
    "image size of 2^31": lambda f: _json(f, lambda c: c.update(image_size=2**31)),
    "texts instead of numbers": lambda f: _json(f, lambda c: c.update(depths="\x1b[2J", key_dim=None)),
    "control characters in labels": lambda f: _json(f, lambda c: c["id2label"].update({"0": "\x1b[2J\rfine"})),
    "gap in the labels": lambda f: _json(f, lambda c: c["id2label"].update({"900": c["id2label"].pop("3")})),
    "labels in a list": lambda f: _json(f, lambda c: c.update(id2label=[1, None])),
    "code named in auto_map": lambda f: _json(f, lambda c: c.update(auto_map={"AutoModel": "evil.Model"})),
    "configuration nested 100,000 deep": lambda f: _text(f, "[" * 100_000),
    "configuration of a number with 5,000 digits": lambda f: _text(f, '{"image_size": ' + "1" * 5000 + "}"),
    "preprocessing with texts": lambda f: _json(
        f, lambda c: c.update(size="x", image_mean=[None], rescale_factor="nan"), "preprocessor_config.json"
    ),
    "preprocessing with a deviation of 0": lambda f: _json(
        f, lambda c: c.update(image_std=[0, 0, 0], do_normalize=True), "preprocessor_config.json"
    ),
    "FIFO as safetensors": _fifo("model.safetensors"),
    "FIFO as artifact": _fifo("model.onnx"),
    "device as safetensors": _linked_device,
    "folder as artifact": _named_folder,
    "artifact without metadata": lambda f: _artifact(f, lambda model: model.ClearField("metadata_props")),
    "artifact with labels that are no list": _metadata("levit.labels", '{"0": "\\u001b[2J"}'),
    "artifact with deep metadata": _metadata("levit.architecture", "[" * 100_000),
    "artifact with a temperature of 0": lambda f: _artifact(
        f,
        lambda model: model.metadata_props.add(
            key="levit.rejection", value='{"temperature": 0, "threshold": 0.5, "coverage": 1}'
        ),
    ),
    "artifact with external data elsewhere": lambda f: _artifact(f, _external_data),
    "artifact with weights that are NaN": lambda f: _artifact(f, _not_finite),
    "artifact without nodes": lambda f: _artifact(f, lambda model: model.graph.ClearField("node")),
}
