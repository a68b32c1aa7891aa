"""Writers of malformed checkpoints in the formats of MindSpore, Flax, vit-pytorch and ViTCoD, by their kind."""

from __future__ import annotations

import json
import shutil
import struct
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.numpy import load_file, save_file

import levit
from levit.checkpoints.flax_files import read_flax, write_flax
from levit.checkpoints.mindspore_files import read_mindspore, write_mindspore

_GOLDEN = Path(__file__).parent.parent.parent / "tests" / "golden"
_LIBRARIES = _GOLDEN / "frameworks"

Writer = Callable[[Path], Path]
Arrays = dict[str, Any]


def _mindspore(folder: Path, change: Callable[[Arrays], object] = lambda _: None) -> Path:
    """Write a file of MindSpore, with a change of its arrays."""
    arrays = read_mindspore(_LIBRARIES / "mindspore-plain.ckpt")
    change(arrays)
    file = folder / "model.ckpt"
    file.write_bytes(b"".join(write_mindspore(arrays)))
    return file


def _flax(folder: Path, change: Callable[[Arrays], object] = lambda _: None) -> Path:
    """Write a file of Flax, with a change of its arrays."""
    arrays = read_flax(_LIBRARIES / "flax" / "levit.msgpack")
    change(arrays)
    file = folder / "model.msgpack"
    file.write_bytes(write_flax(arrays))
    return file


def _torch(folder: Path, source: str, change: Callable[[Arrays], object]) -> Path:
    """Write a file of torch, with a change of its weights."""
    content = torch.load(_GOLDEN / source, weights_only=True)
    change(content.get("model", content))
    file = folder / "model.pt"
    torch.save(content, file)
    return file


def _edited(writer: Writer, edit: Callable[[bytes], bytes]) -> Writer:
    """A writer of the same file with other bytes."""

    def write(folder: Path) -> Path:
        file = writer(folder)
        file.write_bytes(edit(file.read_bytes()))
        return file

    return write


def _set_first(arrays: Arrays, change: Callable[[Any], Any]) -> None:
    name = next(name for name, array in arrays.items() if array.ndim > 1)
    arrays[name] = change(arrays[name])


def _add_autoencoder(weights: Arrays, heads: int) -> None:
    for letter in "qk":
        for part, shape in (("encoder", (1, heads)), ("decoder", (heads, 1))):
            weights[f"blocks.0.m.{part}_{letter}.weight"] = torch.ones(shape)
            weights[f"blocks.0.m.{part}_{letter}.bias"] = torch.ones(shape[0])


def _masked(folder: Path, change: Callable[[Arrays], object]) -> Path:
    """Write a network with attention masks, with a change of its weights."""
    levit.sparsify(_GOLDEN / "tiny" / "transformers", "examples", folder / "sparse", sparsity=0.5)
    weights = load_file(folder / "sparse" / "checkpoint" / "model.safetensors")
    change({name: array for name, array in weights.items() if name.endswith("attention_mask")})
    save_file(weights, folder / "sparse" / "checkpoint" / "model.safetensors")
    return folder / "sparse" / "checkpoint"


def _clear(masks: Arrays) -> None:
    for mask in masks.values():
        mask[:] = False


def _sparse_training_folder(folder: Path) -> Path:
    """Write a folder whose configuration states masks that the weights lack."""
    shutil.copytree(_GOLDEN / "tiny" / "transformers", folder, dirs_exist_ok=True)
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    config["has_attention_masks"] = True
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    return folder


LIBRARY_KINDS: dict[str, Writer] = {
    "cut file of MindSpore": _edited(_mindspore, lambda content: content[:-1000]),
    "length of 2^62 in a file of MindSpore": _edited(
        _mindspore, lambda content: b"\x0a" + b"\xff" * 8 + b"\x3f" + content[1:]
    ),
    "encrypted file of MindSpore": _edited(_mindspore, lambda content: struct.pack("<I", 0x7F3A5ED8) + content),
    "wrong CRC-32 of a file of MindSpore": _edited(_mindspore, lambda content: content + b"crc_num" + bytes(10)),
    "control characters in a name of MindSpore": partial(
        _mindspore, change=lambda arrays: arrays.update({"\x1b[2J\nhead": np.ones(2, np.float32)})
    ),
    "weights of MindSpore that are NaN": partial(
        _mindspore, change=lambda arrays: _set_first(arrays, lambda array: np.full_like(array, np.nan))
    ),
    "integer weights of MindSpore": partial(
        _mindspore, change=lambda arrays: _set_first(arrays, lambda array: array.astype(np.int64))
    ),
    "missing weights of MindSpore": partial(_mindspore, change=lambda arrays: arrays.pop("head.linear.weight")),
    "cut file of Flax": _edited(_flax, lambda content: content[:-1000]),
    "file of Flax nested 100,000 deep": _edited(_flax, lambda _: b"\x81\xa1a" * 100_000 + b"\x01"),
    "map of 2^32 entries in a file of Flax": _edited(_flax, lambda content: b"\xdf\xff\xff\xff\xff" + content[1:]),
    "unknown extension in a file of Flax": _edited(_flax, lambda _: b"\x81\xa6params\xd4\x7f\x00"),
    "weights of Flax that are NaN": partial(
        _flax, change=lambda arrays: _set_first(arrays, lambda array: np.full_like(array, np.nan))
    ),
    "weights of Flax of another shape": partial(
        _flax, change=lambda arrays: _set_first(arrays, lambda array: np.ones((3, 3), np.float32))
    ),
    "missing statistics of Flax": partial(
        _flax, change=lambda arrays: arrays.pop(next(name for name in arrays if name.startswith("batch_stats/")))
    ),
    "missing weights of vit-pytorch": partial(
        _torch, source="frameworks/vit-pytorch/levit.pt", change=lambda weights: weights.pop(list(weights)[-1])
    ),
    "weights of vit-pytorch of another shape": partial(
        _torch,
        source="frameworks/vit-pytorch/levit.pt",
        change=lambda weights: _set_first(weights, lambda _: torch.ones(3, 3)),
    ),
    "auto-encoder of ViTCoD for other heads": partial(
        _torch, source="tiny/facebook.pth", change=lambda weights: _add_autoencoder(weights, 7)
    ),
    "auto-encoder of ViTCoD without its decoder": partial(
        _torch,
        source="tiny/facebook.pth",
        change=lambda weights: weights.update({"blocks.0.m.encoder_q.weight": torch.ones(1, 2)}),
    ),
    "attention masks that remove every key": partial(_masked, change=_clear),
    "configuration with attention masks that are missing": _sparse_training_folder,
}
