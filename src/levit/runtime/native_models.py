"""Packed models of the native engine, verified once and cached by the content of the exported file."""

from __future__ import annotations

import hashlib
import mmap
import os
from contextlib import suppress
from pathlib import Path
from typing import Any

from levit.checkpoints.cache import write_cached
from levit.checkpoints.hashing import hash_file
from levit.errors import EngineError, first_line
from levit.runtime.external_data import check_external_data
from levit.runtime.native_format import FORMAT_VERSION


def open_packed(model: Path | bytes, cache_dir: Path | None, *, bf16: bool, half_attention: bool) -> Any:
    """Pack an exported file, or find it in the cache.

    A packed model is checked once: its logits of a random image are compared with those of another engine.

    Args:
        model: an ONNX file, or its content.
        cache_dir: folder of the cache; None for no cache.
        bf16: whether layers that are not quantized are computed in bf16.
        half_attention: whether attention between layers in int8 or bf16 is computed with numbers of 16 bits.

    Returns:
        A buffer: the memory map of the cached file, or the content.

    Raises:
        CheckpointError: the metadata are missing or invalid.
        EngineError: the file cannot be read or is not an ONNX file, or the logits are wrong.
        OtherFormError: the native engine cannot compute the network.
    """
    source = str(model) if isinstance(model, Path) else "the model"
    try:
        content = model.read_bytes() if isinstance(model, Path) else model
    except OSError as error:
        raise EngineError(f"cannot be read ({error.strerror})", source=source) from error
    key = hashlib.sha256(content).hexdigest()[:32] + f"-{FORMAT_VERSION}{'-bf16' * bf16}{'-half' * half_attention}"
    cached = None if cache_dir is None else _find_cached(cache_dir, key)
    if cached is not None:
        return cached
    packed, is_complete = _pack(content, model, source, bf16, half_attention)
    if cache_dir is not None and is_complete:
        with suppress(OSError):
            cache_dir.mkdir(parents=True, exist_ok=True)
            write_cached(packed, cache_dir / f"{key}-{hashlib.sha256(packed).hexdigest()}.levit")
    return packed


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


def _pack(content: bytes, model: Path | bytes, source: str, bf16: bool, half_attention: bool) -> tuple[bytes, bool]:
    """Packed model, and whether all of the network is in the one file."""
    import onnx  # not needed for a cached model
    from google.protobuf.message import DecodeError

    from levit.runtime.native_check import check_packed
    from levit.runtime.native_packing import pack

    check_external_data(model, source)
    try:
        network = onnx.load_from_string(content)
        external = [tensor for tensor in network.graph.initializer if tensor.data_location == onnx.TensorProto.EXTERNAL]
        if external and isinstance(model, Path):
            onnx.load_external_data_for_model(network, str(model.absolute().parent))
    except (DecodeError, OSError, ValueError, onnx.checker.ValidationError) as error:
        raise EngineError(f"not an ONNX file ({first_line(error)})", source=source) from error
    packed = pack(network, bf16=bf16, half_attention=half_attention)
    # Rounding to bf16 would hide small differences, so the same network is checked in fp32 too.
    check_packed({"bf16": packed, "fp32": pack(network)} if bf16 else {"fp32": packed}, network)
    return packed, not external
