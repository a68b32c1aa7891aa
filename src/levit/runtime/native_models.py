"""Packed models of the native engine, verified once and cached by the content of the exported file."""

from __future__ import annotations

import hashlib
import mmap
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from levit.checkpoints.cache import write_cached
from levit.checkpoints.hashing import hash_file
from levit.errors import EngineError, first_line
from levit.runtime.external_data import check_external_data
from levit.runtime.native_format import FORMAT_VERSION, OtherFormError
from levit.runtime.native_network import NativeNetwork
from levit.spec.artifact import Artifact

# Largest difference to the reference on a random image, relative to the largest logit: rounding in another order. In
# int8 a number that is rounded to the next code changes others.
_TOLERANCES = {"int8": 0.15, "bf16": 0.1, "fp32": 1e-3}


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
    """Map the undamaged packed model of a key."""
    for file in folder.glob(f"{key}-*.levit"):
        with suppress(OSError, ValueError):
            if file.name == f"{key}-{hash_file(file)}.levit":
                with file.open("rb") as stream:
                    return mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)
    return None


def _pack(content: bytes, model: Path | bytes, source: str, bf16: bool, half_attention: bool) -> tuple[bytes, bool]:
    """Packed model, and whether all of the network is in the one file."""
    import onnx  # not needed for a cached model
    from google.protobuf.message import DecodeError

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
    _check({"bf16": packed, "fp32": pack(network)} if bf16 else {"fp32": packed}, network.SerializeToString())
    return packed, not external


def _check(packed: Mapping[str, bytes], content: bytes) -> None:
    """Compare the logits of a random image with those of OpenVINO.

    Args:
        packed: packed models by the precision of the layers that are not quantized.
        content: the ONNX file.

    Raises:
        OtherFormError: they differ by more than rounding.
    """
    from levit.runtime.engine import open_engine

    reference = open_engine(content, engine="openvino", precision="fp32", threads=1)
    artifact = Artifact.from_metadata(reference.metadata)
    image = random_image(artifact)
    expected = reference.run(image)
    for precision, model in packed.items():
        native = NativeNetwork(model, threads=1)
        actual = native.run(image)
        native.close()
        if actual.shape != expected.shape:
            raise OtherFormError(f"its output has the shape {list(expected.shape)}, not {list(actual.shape)}")
        difference = float(np.abs(actual - expected).max() / np.abs(expected).max())
        tolerance = _TOLERANCES["int8" if artifact.precision == "int8" else precision]
        if np.isfinite(expected).all() and not difference <= tolerance:
            raise OtherFormError(f"its logits of a random image differ from those of OpenVINO by {difference:.2g}")


def random_image(artifact: Artifact) -> NDArray[np.float32]:
    """Smooth random image, normalized: float32 [1, channels, height, width]."""
    shape = (1, artifact.architecture.num_channels, *artifact.architecture.image_height_width)
    steps = np.random.default_rng(0).standard_normal(shape)
    smooth = np.cumsum(np.cumsum(steps, 2), 3)
    image: NDArray[np.float32] = ((smooth - smooth.mean()) / max(smooth.std(), 1e-6)).astype(np.float32)
    return image
