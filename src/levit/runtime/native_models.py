"""Packed models of the native engine, verified once and cached by the content of the exported file."""

from __future__ import annotations

import hashlib
import json
import mmap
import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from levit import __version__
from levit.checkpoints.cache import write_cached
from levit.checkpoints.hashing import hash_file
from levit.errors import EngineError, first_line
from levit.runtime.external_data import check_external_data
from levit.runtime.native_format import FORMAT_VERSION, OtherFormError, UnverifiedError, WrongLogitsError
from levit.runtime.native_library import BF16_INSTRUCTIONS, chosen_instruction_set

if TYPE_CHECKING:
    import onnx

_FOLDER = "native"  # among compiled models


def open_packed(model: Path | bytes, cache_dir: Path | None, precision: str = "auto") -> Any:
    """Pack an exported file, or find it in the cache.

    A packed model is checked once for each version of levit and each instruction set: its logits of a random image are
    compared with those of another engine. The error of a network that is not computed is cached as well.

    Args:
        model: an ONNX file, or its content.
        cache_dir: folder of compiled models; None for no cache.
        precision: precision that is requested, as for `levit.runtime.native_engine.NativeEngine`.

    Returns:
        A buffer: the memory map of the cached file, or the content.

    Raises:
        CheckpointError: the metadata are missing or invalid.
        EngineError: the file cannot be read or is not an ONNX file.
        OtherFormError: the native engine cannot compute the network, or its logits are wrong.
    """
    content = _read(model)
    key, folder = _key(content, precision), None if cache_dir is None else cache_dir / _FOLDER
    if folder is not None:
        if (refusal := _find_refusal(folder, key)) is not None:
            raise refusal
        if (cached := _find_cached(folder, key)) is not None:
            return cached
    network, is_complete = _load(content, model)
    if not is_complete:  # the key does not depend on weights in other files
        folder = None
    try:
        packed = _pack_verified(network, precision)
    except OtherFormError as error:
        if folder is not None and not isinstance(error, UnverifiedError):
            _keep_refusal(folder, key, error)
        raise
    if folder is not None:
        _write(folder / f"{key}-{hashlib.sha256(packed).hexdigest()}.levit", packed)
    return packed


def find_refusal(model: Path | bytes, cache_dir: Path, precision: str = "auto") -> OtherFormError | None:
    """Find the error of `open_packed` that is cached for an exported file, or None.

    Raises:
        EngineError: the file cannot be read, or there is no native library.
    """
    return _find_refusal(cache_dir / _FOLDER, _key(_read(model), precision))


def _read(model: Path | bytes) -> bytes:
    try:
        return model.read_bytes() if isinstance(model, Path) else model
    except OSError as error:
        raise EngineError(f"cannot be read ({error.strerror})", source=_source(model)) from error


def _source(model: Path | bytes) -> str:
    return str(model) if isinstance(model, Path) else "the model"


def _key(content: bytes, precision: str) -> str:
    """Hash of everything that determines a packed model, and of the code that verified it."""
    parts = [hashlib.sha256(content).hexdigest(), __version__, chosen_instruction_set(), FORMAT_VERSION]
    return hashlib.sha256(repr([*parts, *_forms(precision)]).encode()).hexdigest()[:32]


def _forms(precision: str) -> tuple[bool, bool]:
    """Whether layers that are not quantized are in bf16, and the attention between others in numbers of 16 bits."""
    is_lower = precision != "fp32"
    return is_lower and chosen_instruction_set() in BF16_INSTRUCTIONS, is_lower


def _find_cached(folder: Path, key: str) -> mmap.mmap | None:
    """Map the undamaged packed model of a key, and mark it as used, since the cache deletes its oldest files."""
    for file in folder.glob(f"{key}-*.levit"):
        with suppress(OSError, ValueError):
            if file.name == f"{key}-{hash_file(file)}.levit":
                with suppress(OSError):
                    os.utime(file)
                with file.open("rb") as stream:
                    # Nothing is written to it, but ctypes takes the address of writable memory only.
                    return mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_COPY)
    return None


def _find_refusal(folder: Path, key: str) -> OtherFormError | None:
    with suppress(OSError, ValueError, LookupError, TypeError):
        kept = json.loads((folder / f"{key}.json").read_bytes())
        return (WrongLogitsError if kept["is_wrong"] else OtherFormError)(str(kept["reason"]))
    return None


def _keep_refusal(folder: Path, key: str, error: OtherFormError) -> None:
    kept = {"reason": error.reason, "is_wrong": isinstance(error, WrongLogitsError)}
    _write(folder / f"{key}.json", json.dumps(kept).encode())


def _write(file: Path, content: bytes) -> None:
    with suppress(OSError):
        file.parent.mkdir(parents=True, exist_ok=True)
        write_cached(content, file)


def _load(content: bytes, model: Path | bytes) -> tuple[onnx.ModelProto, bool]:
    """The network with its weights, and whether all of it is in the one file."""
    import onnx  # not needed for a cached model
    from google.protobuf.message import DecodeError

    check_external_data(model, _source(model))
    try:
        network = onnx.load_from_string(content)
        external = [tensor for tensor in network.graph.initializer if tensor.data_location == onnx.TensorProto.EXTERNAL]
        if external and isinstance(model, Path):
            onnx.load_external_data_for_model(network, str(model.absolute().parent))
    except (DecodeError, OSError, ValueError, onnx.checker.ValidationError) as error:
        raise EngineError(f"not an ONNX file ({first_line(error)})", source=_source(model)) from error
    return network, not external


def _pack_verified(network: onnx.ModelProto, precision: str) -> bytes:
    from levit.runtime.native_check import check_packed
    from levit.runtime.native_packing import pack

    bf16, half_attention = _forms(precision)
    packed = pack(network, bf16=bf16, half_attention=half_attention)
    # Rounding to bf16 would hide small differences, so the same network is checked in fp32 too.
    check_packed({"bf16": packed, "fp32": pack(network)} if bf16 else {"fp32": packed}, network)
    return packed
