"""The engine that `engine="auto"` selects for exported files: measured rules."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from levit.errors import CheckpointError, EngineError, LevitWarning
from levit.runtime.external_data import has_external_data
from levit.runtime.model_file import AnyModel, ModelFile
from levit.runtime.native_format import WrongLogitsError, unsupported_layers
from levit.runtime.native_library import chosen_instruction_set
from levit.runtime.native_precision import float_precision
from levit.runtime.onnx_metadata import read_metadata
from levit.spec.artifact import Artifact
from levit.spec.network import count_flops

if TYPE_CHECKING:
    from levit.runtime.native_engine import NativeEngine

# Largest number of multiply-adds for one image, of networks for which the native engine was measured to be faster than
# OpenVINO, by instruction set and precision: int8 up to LeViT-384, bf16 up to LeViT-256. It was faster in batches of 16
# and for one image, but for one image of LeViT-192 in bf16, where two runs disagree (0.63 and 2.40). For LeViT-384 in
# bf16 it was hardly faster at batch 16 (1.03). `python benchmarks/native.py`, benchmarks/results/native.md.
NATIVE_IS_FASTER = {
    ("amx", "int8"): 2.4e9,
    ("amx", "bf16"): 1.2e9,
    ("avx512", "int8"): 2.4e9,
    ("avx2", "int8"): 2.4e9,
}


def native_is_fastest(artifact: Artifact, precision: str = "auto") -> tuple[bool, str]:
    """Return whether the native engine is the fastest for a model on this machine.

    Args:
        artifact: description of the model.
        precision: the requested precision, or "auto".

    Returns:
        Whether it is, and the reason in a few words.

    Raises:
        ConfigError: LEVIT_NATIVE_INSTRUCTIONS names no instruction set of this processor.
    """
    try:
        instruction_set = chosen_instruction_set()
    except EngineError as error:
        return False, error.reason
    if layers := unsupported_layers(artifact.architecture):
        return False, f"the native engine does not support {layers}"
    computed = "int8" if artifact.precision == "int8" else float_precision(precision, instruction_set)
    if count_flops(artifact.architecture) <= NATIVE_IS_FASTER.get((instruction_set, computed), 0):
        return True, f"the fastest in {computed} with {instruction_set}"
    return False, f"the native engine is not known to be faster for this size in {computed} with {instruction_set}"


def open_native_if_fastest(
    model: AnyModel, *, precision: str, threads: int | None, cache_dir: Path
) -> NativeEngine | None:
    """Open an exported file in the native engine, if that is the fastest and computes its network.

    A file whose logits it computes wrong is a warning. A file that would be packed at each start is left to other
    engines: one with weights in other files, whose content the cache does not know, or one that is not in a cache that
    cannot be written.

    Args:
        model: an ONNX file, or its content.
        precision: "auto", "fp32", "bf16" or "int8".
        threads: number of threads; None for the number of cores that the process may use.
        cache_dir: folder in which the packed weights are kept.

    Returns:
        The engine; None if another one is to be used, which also reports whatever is wrong with the file.

    Raises:
        ConfigError: LEVIT_NATIVE_INSTRUCTIONS names no instruction set of this processor.
    """
    file = ModelFile.of(model)
    try:
        is_fastest, _ = native_is_fastest(Artifact.from_metadata(read_metadata(file)), precision)
        if not is_fastest or has_external_data(file):
            return None
        from levit.runtime.native_engine import NativeEngine
        from levit.runtime.native_models import can_keep

        if not can_keep(file, cache_dir, precision):
            return None
        return NativeEngine(file, precision=precision, threads=threads, cache_dir=cache_dir)
    except WrongLogitsError as error:
        warnings.warn(f"{file.name}: the native engine is not used: {error.reason}", LevitWarning, stacklevel=2)
    except (CheckpointError, EngineError):
        pass
    return None
