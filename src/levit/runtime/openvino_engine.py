"""The default engine: OpenVINO on the CPU."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import openvino
from numpy.typing import NDArray

from levit.errors import EngineError

_DEVICE = "CPU"
_ELEMENT_TYPES = {"fp32": "f32", "bf16": "bf16"}


class OpenVinoEngine:
    """An ONNX model in OpenVINO; see `levit.runtime.engine.open_engine` for the arguments.

    It may be shared between threads: each call makes an inference request of its own.
    """

    name = "openvino"

    def __init__(
        self,
        model: Path | bytes,
        *,
        precision: str = "auto",
        threads: int | None = None,
        cache_dir: Path | None = None,
    ) -> None:
        _check_is_onnx(model)
        core = openvino.Core()
        wanted = precision if precision != "auto" else _native_precision(core)
        settings: dict[str, Any] = {"INFERENCE_PRECISION_HINT": _ELEMENT_TYPES[wanted]}
        if threads is not None:
            settings["INFERENCE_NUM_THREADS"] = threads
        if cache_dir is not None:
            settings["CACHE_DIR"] = str(cache_dir)
        try:
            network = core.read_model(model)
            self.metadata: Mapping[str, str] = _metadata(network)
            self._compiled = core.compile_model(network, _DEVICE, settings)
            self.precision = _precision_of(self._compiled)  # what it really is, whatever was asked for
        except RuntimeError as error:
            raise EngineError(f"{_name(model)}: OpenVINO cannot open it ({_first_line(error)})") from error

    def run(self, pixel_values: NDArray[np.float32]) -> NDArray[np.float32]:
        """Logits of a batch: float32 [B, channels, height, width] -> float32 [B, classes].

        Raises:
            EngineError: the batch does not fit the network.
        """
        try:
            request = self._compiled.create_infer_request()
            logits = request.infer([pixel_values], share_inputs=True)[0]
        except RuntimeError as error:
            raise EngineError(
                f"OpenVINO cannot run a batch of shape {list(pixel_values.shape)}: {_first_line(error)}"
            ) from error
        return np.asarray(logits, np.float32)


def _check_is_onnx(model: Path | bytes) -> None:
    """Refuse what is no ONNX file before OpenVINO asks all of its readers, some of which complain on stderr."""
    try:
        start = model[:1] if isinstance(model, bytes) else _first_byte(model)
    except OSError as error:
        raise EngineError(f"{model!s}: cannot be read ({error.strerror})") from error
    if start != b"\x08":  # the version of the format, which comes first
        raise EngineError(f"{_name(model)}: not an ONNX file")


def _first_byte(file: Path) -> bytes:
    with file.open("rb") as stream:
        return stream.read(1)


def _native_precision(core: openvino.Core) -> str:
    return "bf16" if "BF16" in core.get_property(_DEVICE, "OPTIMIZATION_CAPABILITIES") else "fp32"


def _precision_of(compiled: openvino.CompiledModel) -> str:
    element_type = compiled.get_property("INFERENCE_PRECISION_HINT").get_type_name()
    return next((name for name, short in _ELEMENT_TYPES.items() if short == element_type), str(element_type))


def _metadata(network: openvino.Model) -> dict[str, str]:
    # OpenVINO files an ONNX model's metadata under "framework", where it has any.
    if not network.has_rt_info(["framework"]):
        return {}
    return {name: str(value) for name, value in network.get_rt_info("framework").value.items()}


def _name(model: Path | bytes) -> str:
    return str(model) if isinstance(model, Path) else "the model"


def _first_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__
