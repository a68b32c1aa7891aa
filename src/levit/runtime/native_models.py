"""Packed models of the native engine, verified once and cached by the content of the exported file."""

from __future__ import annotations

import hashlib
import json
import mmap
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from levit import __version__
from levit.checkpoints.cache import find_verified, is_writable, mark_as_used, write_cached, write_verified
from levit.errors import EngineError, first_line
from levit.runtime.code_stamp import PACKAGE, code_stamp
from levit.runtime.external_data import check_external_data
from levit.runtime.model_file import AnyModel, ModelFile
from levit.runtime.native_format import FORMAT_VERSION, OtherFormError, WrongLogitsError
from levit.runtime.native_library import chosen_instruction_set, find_library
from levit.runtime.native_precision import float_precision

if TYPE_CHECKING:
    import onnx

_FOLDER = "native"  # among compiled models
_SUFFIX = ".levit"
_CODE = tuple(PACKAGE / name for name in ("runtime", "deployment", "spec"))  # with the code that packs and verifies


def open_packed(model: AnyModel, cache_dir: Path | None, precision: str = "auto") -> Any:
    """Pack an exported file, or find it in the cache.

    A packed model is checked once for each version of the code and each instruction set: its logits of a random image
    are compared with those of onnx's evaluator. The error of a network that is not computed is cached as well.

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
    file = ModelFile.of(model)
    key, folder = _key(file.content, precision), None if cache_dir is None else cache_dir / _FOLDER
    if folder is not None:
        if (refusal := _find_refusal(folder, key)) is not None:
            raise refusal
        if (cached := _find_packed(folder, key)) is not None:
            return cached
    network, is_complete = _load(file)
    if not is_complete:  # the key does not depend on weights in other files
        folder = None
    try:
        packed = _pack_verified(network, precision)
    except OtherFormError as error:
        if folder is not None:
            _keep_refusal(folder, key, error)
        raise
    if folder is not None:
        write_verified(folder, key, _SUFFIX, packed)
    return packed


def can_keep(model: AnyModel, cache_dir: Path, precision: str = "auto") -> bool:
    """Return whether the packed model of an exported file is in the cache, or could be written to it.

    Raises:
        EngineError: the file cannot be read, or there is no native library.
    """
    folder = cache_dir / _FOLDER
    return (
        is_writable(folder) or find_verified(folder, _key(ModelFile.of(model).content, precision), _SUFFIX) is not None
    )


def find_refusal(model: AnyModel, cache_dir: Path, precision: str = "auto") -> OtherFormError | None:
    """Find the error of `open_packed` that is cached for an exported file, or None.

    Raises:
        EngineError: the file cannot be read, or there is no native library.
    """
    return _find_refusal(cache_dir / _FOLDER, _key(ModelFile.of(model).content, precision))


def _key(content: bytes, precision: str) -> str:
    """Hash of everything that determines a packed model, and of the code that verified it."""
    library = find_library()  # which may be in another folder
    stamp = code_stamp(*_CODE, *([] if library is None else [library]))
    parts = [hashlib.sha256(content).hexdigest(), __version__, stamp, chosen_instruction_set(), FORMAT_VERSION]
    return hashlib.sha256(repr([*parts, *_forms(precision)]).encode()).hexdigest()[:32]


def _forms(precision: str) -> tuple[bool, bool]:
    """Whether layers that are not quantized are in bf16, and the attention between others in numbers of 16 bits."""
    return float_precision(precision, chosen_instruction_set()) == "bf16", precision != "fp32"


def _find_packed(folder: Path, key: str) -> mmap.mmap | None:
    """Map the packed model of a key."""
    file = find_verified(folder, key, _SUFFIX)
    if file is not None:
        with suppress(OSError, ValueError), file.open("rb") as stream:  # another process may delete it
            # Nothing is written to it, but ctypes takes the address of writable memory only.
            return mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_COPY)
    return None


def _find_refusal(folder: Path, key: str) -> OtherFormError | None:
    """The cached error of a key; another version of onnx may evaluate the network otherwise."""
    file = folder / f"{key}.json"
    with suppress(OSError, ValueError, LookupError, TypeError):
        kept = json.loads(file.read_bytes())
        if kept["onnx"] == _onnx_version():
            mark_as_used(file)
            return (WrongLogitsError if kept["is_wrong"] else OtherFormError)(str(kept["reason"]))
    return None


def _keep_refusal(folder: Path, key: str, error: OtherFormError) -> None:
    kept = {"reason": error.reason, "is_wrong": isinstance(error, WrongLogitsError), "onnx": _onnx_version()}
    write_cached(json.dumps(kept).encode(), folder / f"{key}.json")


def _onnx_version() -> str:
    from importlib.metadata import version  # which takes longer to import than a cached model to open

    return version("onnx")


def _load(file: ModelFile) -> tuple[onnx.ModelProto, bool]:
    """The network with its weights, and whether all of it is in the one file."""
    import onnx  # not needed for a cached model
    from google.protobuf.message import DecodeError

    check_external_data(file)
    try:
        network = onnx.load_from_string(file.content)
        external = [tensor for tensor in network.graph.initializer if tensor.data_location == onnx.TensorProto.EXTERNAL]
        if external:
            onnx.load_external_data_for_model(network, str(file.folder))
    except (DecodeError, OSError, ValueError, onnx.checker.ValidationError) as error:
        raise EngineError(f"not an ONNX file ({first_line(error)})", source=file.name) from error
    return network, not external


def _pack_verified(network: onnx.ModelProto, precision: str) -> bytes:
    from levit.runtime.native_check import check_packed
    from levit.runtime.native_packing import pack

    bf16, attention_16_bit = _forms(precision)
    packed = pack(network, bf16=bf16, attention_16_bit=attention_16_bit)
    # Rounding to bf16 would hide small differences, so the same network is checked in fp32 too.
    check_packed({"bf16": packed, "fp32": pack(network)} if bf16 else {"fp32": packed}, network)
    return packed
