"""Worker process that runs one network in one library or runtime, for peers.py.

    python benchmarks/worker.py '{"runtime": "openvino", "file": "x.onnx", "precision": "bf16", "threads": 2}'

Requests and responses are JSON lines (`levit.benchmarking.workers`). Each response is `{"images_per_second": …}`, for
the requests

- `{"batch_size": 16, "seconds": 2}`: throughput of a stream of random batches;
- `{"batch_size": 1, "seconds": 2}`: the inverse of the median latency of one image;
- `{"files": […], "seconds": 2}`: throughput from image files to labels.
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
from levit.benchmarking.workers import Handler, Response, serve
from levit.runtime.normalizing_engine import as_image_engine

_BATCH_SIZE = 16  # for files
_IMAGES_PER_TASK = 4  # of a batch that one thread preprocesses
_MIN_CALLS = 3


class Levit:
    """This package's Classifier."""

    def __init__(self, model: str, engine: str, precision: str, threads: int) -> None:
        import levit

        self.classify = levit.Classifier(model, engine=engine, precision=precision, threads=threads)  # type: ignore[arg-type]
        self._engine = as_image_engine(self.classify.engine, self.classify.artifact.preprocessing)
        self._threads = threads

    def images_per_second(self, batch_size: int, seconds: float) -> float:
        """Measure random batches."""
        height, width = self.classify.artifact.architecture.image_height_width
        batch = np.random.default_rng(0).integers(0, 256, (batch_size, height, width, 3), np.uint8)
        if batch_size == 1:
            return 1 / statistics.median(measure_latency(self._engine, batch, seconds))
        return measure_throughput(self._engine, batch, seconds, threads=self._threads)

    def classify_files(self, files: list[str]) -> None:
        """Classify image files."""
        for prediction in self.classify.stream(files, batch_size=_BATCH_SIZE):
            assert prediction.error is None


class OpenVino:
    """OpenVINO on a file, used as documented: fixed shapes, one stream for latency, a queue for throughput."""

    def __init__(self, file: str, precision: str, threads: int, processor: str | None = None) -> None:
        from levit.runtime.openvino_core import openvino

        self._core, self._file = openvino.Core(), file
        hint = "f32" if precision == "fp32" else "bf16"
        self._settings = {"INFERENCE_PRECISION_HINT": hint, "INFERENCE_NUM_THREADS": threads}
        self._preprocess = _build_preprocess(processor) if processor else None
        self._pool = ThreadPoolExecutor(threads)

    @cache  # noqa: B019 (this object exists until its process ends)
    def _compiled(self, batch_size: int, hint: str) -> Any:
        network = self._core.read_model(self._file)
        size = network.input(0).get_partial_shape()[2].get_length()
        network.reshape([batch_size, 3, size, size])
        return self._core.compile_model(network, "CPU", {**self._settings, "PERFORMANCE_HINT": hint})

    def images_per_second(self, batch_size: int, seconds: float) -> float:
        """Measure random batches."""
        from levit.runtime.openvino_core import openvino

        compiled = self._compiled(batch_size, "LATENCY" if batch_size == 1 else "THROUGHPUT")
        values = np.random.default_rng(0).standard_normal(tuple(compiled.input(0).shape), np.float32)
        if batch_size == 1:
            request = compiled.create_infer_request()
            return _inverse_latency(lambda: request.infer([values], share_inputs=True), 1, seconds)
        queue = openvino.AsyncInferQueue(compiled)
        count, start = 0, time.perf_counter()
        while time.perf_counter() - start < seconds:
            queue.start_async([values], share_inputs=True)
            count += batch_size
        queue.wait_all()
        return count / (time.perf_counter() - start)

    def classify_files(self, files: list[str]) -> None:
        """Classify image files; each thread preprocesses a part of a batch."""
        from levit.runtime.openvino_core import openvino

        predictions: list[int] = []
        queue = openvino.AsyncInferQueue(self._compiled(_BATCH_SIZE, "THROUGHPUT"))
        queue.set_callback(lambda request, _: predictions.extend(request.get_output_tensor(0).data.argmax(1)))
        tasks = [files[start : start + _IMAGES_PER_TASK] for start in range(0, len(files), _IMAGES_PER_TASK)]
        preprocessed = self._pool.map(self._preprocess, tasks)  # type: ignore[arg-type]
        while batch := list(islice(preprocessed, _BATCH_SIZE // _IMAGES_PER_TASK)):
            values = np.concatenate([part["pixel_values"] for part in batch])
            missing = _BATCH_SIZE - len(values)
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

    def images_per_second(self, batch_size: int, seconds: float) -> float:
        """Measure random batches."""
        size = self._session.get_inputs()[0].shape[2]
        values = np.random.default_rng(0).standard_normal((batch_size, 3, size, size), np.float32)
        return _inverse_latency(lambda: self._session.run(None, {"pixel_values": values}), batch_size, seconds)


class Torch:
    """A network of transformers or timm in torch: eager, fused, traced or compiled."""

    def __init__(self, network: str, form: str, precision: str, threads: int) -> None:
        import torch

        from peer_networks import build_network, fuse

        torch.set_num_threads(threads)
        self._dtype = torch.bfloat16 if precision == "bf16" else torch.float32
        built = build_network(network).requires_grad_(False)
        built = fuse(built) if "fused" in form else built
        self._network = built.to(self._dtype)  # after fusing, which makes float32
        self._form = form
        self._prepared: dict[int, Any] = {}  # by batch size

    def images_per_second(self, batch_size: int, seconds: float) -> float:
        """Measure random batches."""
        import torch

        with torch.inference_mode():
            pixel_values = torch.randn(batch_size, 3, 224, 224, dtype=self._dtype)
            if batch_size not in self._prepared:
                self._prepared[batch_size] = self._prepare(pixel_values)
            return _inverse_latency(lambda: self._prepared[batch_size](pixel_values), batch_size, seconds)

    def _prepare(self, example: Any) -> Any:
        import torch

        self._network(example)  # fills caches
        if "traced" in self._form:
            return torch.jit.freeze(torch.jit.trace(self._network, example, strict=False))  # type: ignore[no-untyped-call]
        return torch.compile(self._network, dynamic=False) if "compiled" in self._form else self._network


class Pipeline:
    """transformers.pipeline on files."""

    def __init__(self, folder: str, precision: str, threads: int) -> None:
        import torch
        from transformers import pipeline

        torch.set_num_threads(threads)
        dtype = torch.bfloat16 if precision == "bf16" else torch.float32
        self._classify = pipeline("image-classification", model=folder, batch_size=_BATCH_SIZE, dtype=dtype)

    def classify_files(self, files: list[str]) -> None:
        """Classify image files."""
        assert len(self._classify(files)) == len(files)


class TimmLoop:
    """torch's DataLoader with timm's transform, and timm's network in the fastest form, as in timm's validate.py."""

    def __init__(self, network: str, workers: int, precision: str, threads: int) -> None:
        import torch
        from timm.data.config import resolve_model_data_config
        from timm.data.transforms_factory import create_transform

        from peer_networks import build_network, fuse

        torch.set_num_threads(threads)
        built = build_network(network)
        self._transform = create_transform(**resolve_model_data_config(built), is_training=False)
        self._dtype = torch.bfloat16 if precision == "bf16" else torch.float32
        folded: Any = fuse(built).requires_grad_(False).to(self._dtype)
        self._network: Any = torch.compile(folded, dynamic=False)
        self._workers, self._loaders = workers, dict[tuple[str, ...], Any]()

    def classify_files(self, files: list[str]) -> None:
        """Classify image files."""
        import torch
        from PIL import Image
        from torch.utils.data import DataLoader, Dataset

        transform = self._transform

        class Images(Dataset[Any]):
            def __len__(self) -> int:
                return len(files)

            def __getitem__(self, index: int) -> Any:
                return transform(Image.open(files[index]).convert("RGB"))

        key = tuple(files)
        if key not in self._loaders:  # its processes stay for the next pass
            self._loaders[key] = DataLoader(
                Images(), batch_size=_BATCH_SIZE, num_workers=self._workers, persistent_workers=self._workers > 0
            )
        with torch.inference_mode():
            for batch in self._loaders[key]:
                self._network(batch.to(self._dtype)).argmax(1)


def _build_preprocess(processor_class: str) -> Callable[[list[str]], Any]:
    """Build the preprocessing of files by an image processor of transformers."""
    import transformers
    from PIL import Image

    processor = getattr(transformers, processor_class)()
    tensors = "pt" if processor_class == "LevitImageProcessor" else "np"

    def preprocess(files: list[str]) -> Any:
        values = processor([Image.open(file).convert("RGB") for file in files], return_tensors=tensors)
        return {name: np.asarray(value) for name, value in values.items()}

    return preprocess


def _inverse_latency(call: Callable[[], object], batch_size: int, seconds: float) -> float:
    """Batch size divided by the median seconds of a call, in images per second."""
    durations: list[float] = []
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or len(durations) < _MIN_CALLS:
        start = time.perf_counter()
        call()
        durations.append(time.perf_counter() - start)
    return batch_size / statistics.median(durations)


RUNTIMES: dict[str, Callable[..., Any]] = {
    "levit": Levit,
    "openvino": OpenVino,
    "onnxruntime": OnnxRuntime,
    "torch": Torch,
    "pipeline": Pipeline,
    "timm loop": TimmLoop,
}


def start(runtime: str, **options: Any) -> tuple[Handler, Response]:
    """Open a network in a runtime."""
    network = RUNTIMES[runtime](**options)

    def handle(seconds: float, batch_size: int = 0, files: list[str] | None = None) -> Response:
        if files is None:
            return {"images_per_second": network.images_per_second(batch_size, seconds)}
        count, start = 0, time.perf_counter()
        while time.perf_counter() - start < seconds:
            network.classify_files(files)
            count += len(files)
        return {"images_per_second": count / (time.perf_counter() - start)}

    return handle, {}


if __name__ == "__main__":
    serve(lambda: start(**json.loads(sys.argv[1])))
