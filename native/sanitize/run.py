"""Runs the native engine under sanitizers: `python native/sanitize/run.py [FILES]`.

Address and undefined behavior: mutated model files are opened, and images computed with those that are accepted.
Threads: an engine is shared by two callers. It needs g++ or clang++ with the libraries of their sanitizers.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import onnx

from levit.checkpoints.checkpoint import Checkpoint
from levit.deployment.build import build_artifact
from levit.runtime.native_format import split_metadata
from levit.runtime.native_packing import pack
from levit.spec.architecture import Architecture
from levit.spec.artifact import Source
from levit.spec.labels import default_labels
from levit.spec.network import weight_shapes
from levit.spec.preprocessing import Preprocessing

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

import build  # noqa: E402  # native/build.py
from int8_model import quantize_layers  # noqa: E402  # beside this file

SMALL = Architecture(
    image_size=32,
    hidden_sizes=(16, 24, 32),
    depths=(1, 1, 1),
    num_attention_heads=(1, 2, 2),
    key_dim=(8, 8, 8),
    num_labels=5,
)


def small_network() -> onnx.ModelProto:
    """Small network of random weights."""
    generator = np.random.default_rng(0)
    weights = {
        name: generator.uniform(0.1, 0.5, shape).astype(np.float32) for name, shape in weight_shapes(SMALL).items()
    }
    checkpoint = Checkpoint(
        weights=weights,
        architecture=SMALL,
        labels=default_labels(SMALL.num_labels),
        preprocessing=Preprocessing.for_image_size(SMALL.image_height_width),
        source=Source(name="small", dialect="none"),
    )
    return build_artifact(checkpoint)


def model_file(model: onnx.ModelProto, *, bf16: bool) -> bytes:
    """Packed model without the metadata."""
    packed = pack(model, bf16=bf16, attention_16_bit=bf16)
    return packed[: split_metadata(memoryview(packed))[0]]


def main(files: int) -> None:
    """Build and run both programs.

    Args:
        files: number of mutated model files in each precision.
    """
    compiler = next((name for name in ("g++", "clang++") if shutil.which(name)), None)
    if compiler is None:
        sys.exit("the sanitizers need g++ or clang++")
    with tempfile.TemporaryDirectory() as folder:
        small = small_network()
        models = [
            ("fp32", model_file(small, bf16=False)),
            ("bf16", model_file(small, bf16=True)),
            ("int8", model_file(quantize_layers(small), bf16=True)),
        ]
        for name, content in models:
            (Path(folder) / name).write_bytes(content)
        for sanitizers in ("address,undefined", "thread"):
            program = Path(folder) / sanitizers.partition(",")[0]
            flags = [f"-fsanitize={sanitizers}", "-fno-sanitize-recover=all", "-g", "-O1"]
            build.build_program(program, [ROOT / "sanitize" / "mutate.cpp"], compiler=[compiler], flags=flags)
            for name, _ in models:
                arguments = [str(files), "1"] if program.name == "address" else ["0", "4"]
                command = [str(program), str(Path(folder) / name), *arguments]
                print(name, flush=True)
                subprocess.run(command, check=True)  # noqa: S603  # the program built above


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 100_000)
