"""An engine for artifacts: ONNX Runtime, on the CPU or on what else its providers offer."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from levit.errors import EngineError
from levit.runtime.cores import usable_cores

_PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider", "coreml": "CoreMLExecutionProvider"}


class OnnxRuntimeEngine:
    """An ONNX model in ONNX Runtime; see `levit.runtime.engine.open_engine` for the arguments.

    It computes in float32, or in int8 what the file has quantised; there is no bf16. It keeps nothing in `cache_dir`,
    because opening takes it a fraction of a second. An engine may be shared between threads.
    """

    name = "onnxruntime"

    def __init__(
        self,
        model: Path | bytes,
        *,
        precision: str = "auto",
        threads: int | None = None,
        provider: str | None = None,
        cache_dir: Path | None = None,
    ) -> None:
        name = str(model) if isinstance(model, Path) else "the model"
        if precision == "bf16":
            raise EngineError("onnxruntime has no bf16: use precision auto, or engine openvino")
        chosen = _find_provider(provider or "cpu")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads or usable_cores()
        options.log_severity_level = 3  # errors only; they are raised anyway
        try:
            self._session = onnxruntime.InferenceSession(
                str(model) if isinstance(model, Path) else model, options, providers=[chosen]
            )
        except Exception as error:  # its exceptions share no class
            raise EngineError(f"{name}: ONNX Runtime cannot open it ({_first_line(error)})") from error
        if self._session.get_providers()[0] != chosen:
            raise EngineError(f"{name}: ONNX Runtime cannot use {chosen} here: are its libraries installed?")
        self.metadata: Mapping[str, str] = dict(self._session.get_modelmeta().custom_metadata_map)
        self.precision, self.reason = _precision(precision, self.metadata, name)
        self._input = self._session.get_inputs()[0].name

    def run(self, pixel_values: NDArray[np.float32]) -> NDArray[np.float32]:
        """Logits of a batch: float32 [B, channels, height, width] -> float32 [B, classes].

        Raises:
            EngineError: the batch does not fit the network.
        """
        try:
            (logits,) = self._session.run(None, {self._input: pixel_values})
        except Exception as error:
            raise EngineError(
                f"ONNX Runtime cannot run a batch of shape {list(pixel_values.shape)}: {_first_line(error)}"
            ) from error
        return np.asarray(logits, np.float32)


def _find_provider(provider: str) -> str:
    available: list[str] = onnxruntime.get_available_providers()
    name = _PROVIDERS.get(provider.lower(), provider)
    if name not in available:
        hint = ': pip install "onnxruntime-gpu"' if name == _PROVIDERS["cuda"] else ""
        raise EngineError(f"onnxruntime has no provider {provider!r} here (it has {', '.join(available)}){hint}")
    return name


def _precision(wanted: str, metadata: Mapping[str, str], name: str) -> tuple[str, str]:
    quantized = metadata.get("levit.precision") == '"int8"'
    if wanted == "int8" and not quantized:
        raise EngineError(f"{name}: not quantised: export it with `levit export --precision int8`")
    if quantized:
        return "int8", "the file is quantised; the rest is computed in fp32, because ONNX Runtime has no bf16"
    return "fp32", "fp32, as asked for" if wanted == "fp32" else "fp32, because ONNX Runtime has no bf16"


def _first_line(error: Any) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__
