"""One way to run a network, in a process of its own: `levit.benchmarking.workers` asks, this answers.

    python benchmarks/contender.py '{"way": "openvino", "file": "x.onnx", "precision": "bf16", "threads": 2}'

Requests are `{"batch_size": 16, "seconds": 2}` for images a second of a stream of batches, `{"batch_size": 1, …}` for
the same of one image at a time (one over the median latency), or `{"files": [...], "seconds": 2}` for files to labels.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from itertools import islice
from typing import Any

import numpy as np

from levit.benchmarking.timing import measure_latency, measure_throughput
from levit.benchmarking.workers import Answer, serve

_PART = 4  # images that one thread prepares for a batch of 16

Batch = np.ndarray[Any, Any]
Call = Callable[[], object]


class Levit:
    """This package, through its Classifier."""

    def __init__(self, model: str, engine: str, precision: str, threads: int) -> None:
        import levit

        self.classify = levit.Classifier(model, engine=engine, precision=precision, threads=threads)  # type: ignore[arg-type]

    def images(self, batch_size: int, seconds: float) -> float:
        """Images a second."""
        height, width = self.classify.artifact.architecture.image_height_width
        batch = np.random.default_rng(0).integers(0, 256, (batch_size, height, width, 3), np.uint8)
        if batch_size == 1:
            return 1 / statistics.median(measure_latency(self.classify.engine, batch, seconds))
        return measure_throughput(self.classify.engine, batch, seconds)

    def files(self, files: list[str]) -> None:
        """Classify them all."""
        for prediction in self.classify.stream(files, batch_size=16):
            assert prediction.error is None


class OpenVino:
    """OpenVINO on a file, as its documentation recommends: fixed shapes, one stream for latency, a queue for many."""

    def __init__(self, file: str, precision: str, threads: int, processor: str | None = None) -> None:
        import openvino

        self._core, self._file = openvino.Core(), file
        hint = "f32" if precision == "fp32" else "bf16"
        self._settings = {"INFERENCE_PRECISION_HINT": hint, "INFERENCE_NUM_THREADS": threads}
        self._processor = _image_processor(processor) if processor else None
        self._pool = ThreadPoolExecutor(threads)

    @cache  # noqa: B019 (it lives as long as its process)
    def _compiled(self, batch_size: int, hint: str) -> Any:
        network = self._core.read_model(self._file)
        size = network.input(0).get_partial_shape()[2].get_length()
        network.reshape([batch_size, 3, size, size])
        return self._core.compile_model(network, "CPU", {**self._settings, "PERFORMANCE_HINT": hint})

    def images(self, batch_size: int, seconds: float) -> float:
        """Images a second."""
        import openvino

        compiled = self._compiled(batch_size, "LATENCY" if batch_size == 1 else "THROUGHPUT")
        values = np.random.default_rng(0).standard_normal(tuple(compiled.input(0).shape), np.float32)
        if batch_size == 1:
            request = compiled.create_infer_request()
            return _repeat(lambda: request.infer([values], share_inputs=True), 1, seconds)
        queue = openvino.AsyncInferQueue(compiled)
        count, start = 0, time.perf_counter()
        while time.perf_counter() - start < seconds:
            queue.start_async([values], share_inputs=True)
            count += batch_size
        queue.wait_all()
        return count / (time.perf_counter() - start)

    def files(self, files: list[str]) -> None:
        """Classify them all, behind the image processor: as many parts of batches are prepared at once as threads."""
        import openvino

        answers: list[int] = []
        queue = openvino.AsyncInferQueue(self._compiled(16, "THROUGHPUT"))
        queue.set_callback(lambda request, _: answers.extend(request.get_output_tensor(0).data.argmax(1)))
        parts = [files[start : start + _PART] for start in range(0, len(files), _PART)]
        prepared = self._pool.map(self._processor, parts)  # type: ignore[arg-type]
        while batch := list(islice(prepared, 16 // _PART)):
            values = np.concatenate([part["pixel_values"] for part in batch])
            missing = 16 - len(values)
            values = np.concatenate([values, np.zeros((missing, *values.shape[1:]), np.float32)]) if missing else values
            queue.start_async([values], share_inputs=False)
        queue.wait_all()


class OnnxRuntime:
    """ONNX Runtime on a file."""

    def __init__(self, file: str, threads: int) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        self._session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])

    def images(self, batch_size: int, seconds: float) -> float:
        """Images a second."""
        size = self._session.get_inputs()[0].shape[2]
        values = np.random.default_rng(0).standard_normal((batch_size, 3, size, size), np.float32)
        return _repeat(lambda: self._session.run(None, {"pixel_values": values}), batch_size, seconds)


class Torch:
    """A network of transformers or timm in torch: eager, fused, traced or compiled."""

    def __init__(self, network: str, form: str, precision: str, threads: int) -> None:
        import torch

        from peer_networks import build_network, fuse

        torch.set_num_threads(threads)
        self._dtype = torch.bfloat16 if precision == "bf16" else torch.float32
        built = build_network(network).requires_grad_(False)
        built = fuse(built) if "fused" in form else built
        self._forms: dict[int, Any] = {}
        self._built, self._form = built.to(self._dtype), form  # last, since what fuses makes float32

    def images(self, batch_size: int, seconds: float) -> float:
        """Images a second."""
        import torch

        with torch.inference_mode():
            pixel_values = torch.randn(batch_size, 3, 224, 224, dtype=self._dtype)
            if batch_size not in self._forms:
                self._forms[batch_size] = self._prepare(pixel_values)
            return _repeat(lambda: self._forms[batch_size](pixel_values), batch_size, seconds)

    def _prepare(self, example: Any) -> Any:
        import torch

        self._built(example)  # fills caches
        if "traced" in self._form:
            return torch.jit.freeze(torch.jit.trace(self._built, example, strict=False))  # type: ignore[no-untyped-call]
        return torch.compile(self._built, dynamic=False) if "compiled" in self._form else self._built


class Pipeline:
    """transformers.pipeline on files."""

    def __init__(self, folder: str, threads: int) -> None:
        import torch
        from transformers import pipeline

        torch.set_num_threads(threads)
        self._classify = pipeline("image-classification", model=folder, batch_size=16)

    def files(self, files: list[str]) -> None:
        """Classify them all."""
        assert len(self._classify(files)) == len(files)


class TimmLoop:
    """timm's loader and network, as its validate.py has them, with the network at its fastest."""

    def __init__(self, network: str, workers: int, threads: int) -> None:
        import torch
        from timm.data.config import resolve_model_data_config
        from timm.data.transforms_factory import create_transform

        from peer_networks import build_network, fuse

        torch.set_num_threads(threads)
        built = build_network(network)
        self._transform = create_transform(**resolve_model_data_config(built), is_training=False)
        folded: Any = fuse(built).requires_grad_(False).to(torch.bfloat16)
        self._network: Any = torch.compile(folded, dynamic=False)
        self._workers = workers

    def files(self, files: list[str]) -> None:
        """Classify them all."""
        import torch
        from PIL import Image
        from torch.utils.data import DataLoader, Dataset

        transform = self._transform

        class Images(Dataset[Any]):
            def __len__(self) -> int:
                return len(files)

            def __getitem__(self, index: int) -> Any:
                return transform(Image.open(files[index]).convert("RGB"))

        with torch.inference_mode():
            for batch in DataLoader(Images(), batch_size=16, num_workers=self._workers):
                self._network(batch.to(torch.bfloat16)).argmax(1)


def _image_processor(kind: str) -> Callable[[list[str]], Any]:
    import transformers
    from PIL import Image

    processor = getattr(transformers, kind)()
    tensors = "pt" if kind == "LevitImageProcessor" else "np"

    def prepare(files: list[str]) -> Any:
        values = processor([Image.open(file).convert("RGB") for file in files], return_tensors=tensors)
        return {name: np.asarray(value) for name, value in values.items()}

    return prepare


def _repeat(call: Call, batch_size: int, seconds: float) -> float:
    taken: list[float] = []
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or len(taken) < 3:
        start = time.perf_counter()
        call()
        taken.append(time.perf_counter() - start)
    return batch_size / statistics.median(taken)


WAYS: dict[str, Callable[..., Any]] = {
    "levit": Levit,
    "openvino": OpenVino,
    "onnxruntime": OnnxRuntime,
    "torch": Torch,
    "pipeline": Pipeline,
    "timm loop": TimmLoop,
}


def main() -> None:
    """Open what the command line says, and serve."""
    options = json.loads(sys.argv[1])
    contender = WAYS[options.pop("way")](**options)

    def answer(seconds: float, batch_size: int = 0, files: list[str] | None = None) -> Answer:
        if files is None:
            return {"images_per_second": contender.images(batch_size, seconds)}
        count, start = 0, time.perf_counter()
        while time.perf_counter() - start < seconds:
            contender.files(files)
            count += len(files)
        return {"images_per_second": count / (time.perf_counter() - start)}

    serve(answer)


if __name__ == "__main__":
    main()
