"""How fast are a training step, and the preparation of its images, beside transformers, timm and torchvision?

python benchmarks/training.py [--rounds 5] [--compiled]      the second part needs ../shared/data
"""

from __future__ import annotations

import argparse
import io
import json
import statistics
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional

from levit.benchmarking.machine import describe_machine
from levit.benchmarking.workers import Response, Worker, run_rounds, serve

RESULTS = Path(__file__).parent / "results"
PHOTOS = Path(__file__).parent.parent.parent / "shared" / "data" / "photos"
BATCH, STEPS, CLASSES = 32, 4, 1000
STEP = ("transformers", "timm", "levit")
PIPELINE = ("torchvision", "timm", "levit")
POLICY = "rand-m9-mstd0.5-inc1"


def main() -> None:
    """Measure, print, record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--compiled", action="store_true", help="the step also by torch.compile, which takes minutes")
    parser.add_argument("--serve", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        what, name = options.serve.split(":")
        serve(lambda: (Step(name) if what == "step" else Pipeline(name), {}))
        return
    results: dict[str, Any] = {"machine": describe_machine()}
    names = [*STEP, *(f"{name}, compiled" for name in STEP if options.compiled)]
    for what, workers, requests in (
        ("step", names, [{"precision": "fp32"}, {"precision": "bf16"}]),
        ("pipeline", PIPELINE if PHOTOS.exists() else (), [{"precision": "one core"}]),
    ):
        found = _measure(what, workers, requests, options.rounds)
        results[what] = found
        for precision in (request["precision"] for request in requests):
            print(f"\n{what}, {precision}: images/s, and times the first")
            for name, values in found.items():
                first = next(iter(found.values()))[precision]
                print(f"  {name:24}{values[precision]:8.1f}{values[precision] / first:8.2f}")
    (RESULTS / "training.json").write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")


def _measure(what: str, names: Any, requests: list[dict[str, str]], rounds: int) -> dict[str, dict[str, float]]:
    with ExitStack() as stack:
        workers = [
            stack.enter_context(Worker(name, [sys.executable, __file__, "--serve", f"{what}:{name}"]))
            for name in names
        ]
        answers = run_rounds(workers, requests, rounds)
    return {
        name: {
            request["precision"]: round(statistics.median(one["rate"] for one in given), 1)
            for request, given in zip(requests, found, strict=True)
        }
        for name, found in answers.items()
    }


class Step:
    """Forward, backward and optimizer of LeViT-128S at 224 pixels with one head, as with each library."""

    def __init__(self, name: str) -> None:
        torch.manual_seed(0)
        self._network, self._optimizer, self._loss = _LIBRARIES[name.split(",")[0]]()
        if "compiled" in name:
            self._network = torch.compile(self._network)
        self._pixels = torch.randn(BATCH, 3, 224, 224)
        if name.startswith("levit"):
            self._pixels = self._pixels.contiguous(memory_format=torch.channels_last)
        self._labels = torch.randint(0, CLASSES, (BATCH,))

    def __call__(self, precision: str) -> Response:
        """Images a second, of the median step."""
        seconds = []
        for _ in range(STEPS + 1):
            start = time.perf_counter()
            with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
                output = self._network(self._pixels)
            self._optimizer.zero_grad()
            self._loss(output, self._labels).backward()  # type: ignore[no-untyped-call]
            self._optimizer.step()
            seconds.append(time.perf_counter() - start)
        return {"rate": BATCH / statistics.median(seconds[1:])}


Built = tuple[Any, torch.optim.Optimizer, Callable[[Any, Tensor], Tensor]]


def _transformers() -> Built:
    from transformers import LevitConfig, LevitForImageClassification

    import levit

    config = LevitConfig(**levit.LevitConfig.from_variant("levit-128s").to_dict())
    network: nn.Module = LevitForImageClassification(config).train()
    # What Trainer does: its default optimizer is the fused one.
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-4, fused=True)
    return network, optimizer, lambda output, labels: functional.cross_entropy(output.logits.float(), labels)


def _timm() -> Built:
    import timm
    from timm.optim import create_optimizer_v2

    network = timm.create_model("levit_128s", num_classes=CLASSES).train()
    optimizer = create_optimizer_v2(network, opt="adamw", lr=1e-4)
    return network, optimizer, lambda output, labels: functional.cross_entropy(output.float(), labels)


def _levit() -> Built:
    from levit.training.losses import Loss
    from levit.training.optimizer import build_optimizer
    from levit.training.options import TrainingOptions
    from levit.training.student import build_student, read_logits

    options = TrainingOptions.from_flat(model="levit-128s", from_scratch=True, lr=1e-4)
    labels = [str(number) for number in range(CLASSES)]
    network = build_student(options, labels, is_multi_label=False).network.train()
    network = network.to(memory_format=torch.channels_last)
    loss = Loss(label_smoothing=0.0, weights=None, is_multi_label=False, kind="hard", alpha=0.5, tau=1.0)

    def of(output: Any, labels: Tensor) -> Tensor:
        found: Tensor = loss(read_logits(output), functional.one_hot(labels, CLASSES).float())
        return found

    return network, build_optimizer(network, options), of


_LIBRARIES: dict[str, Callable[[], Built]] = {"transformers": _transformers, "timm": _timm, "levit": _levit}


class Pipeline:
    """Files in memory to augmented, normalized pixels, in one process with one thread: RandAugment and erasing."""

    def __init__(self, name: str) -> None:
        torch.set_num_threads(1)
        self._files = [file.read_bytes() for file in sorted(PHOTOS.iterdir())]
        self._prepare = {"torchvision": _torchvision, "timm": _timm_loader, "levit": _levit_loader}[name]()
        self._number = 0

    def __call__(self, precision: str) -> Response:
        """Images a second."""
        start = time.perf_counter()
        for file in self._files:
            self._prepare(file, self._number)
            self._number += 1
        return {"rate": len(self._files) / (time.perf_counter() - start)}


Prepare = Callable[[bytes, int], object]


def _torchvision() -> Prepare:
    from torchvision import transforms

    chain = transforms.Compose(
        [
            transforms.RandomResizedCrop(224, interpolation=transforms.InterpolationMode.BICUBIC),
            transforms.RandomHorizontalFlip(),
            transforms.RandAugment(interpolation=transforms.InterpolationMode.BILINEAR),
            transforms.ToTensor(),
            transforms.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
            transforms.RandomErasing(0.25),
        ]
    )
    return lambda file, _: chain(Image.open(io.BytesIO(file)).convert("RGB"))


def _timm_loader() -> Prepare:
    from timm.data import create_transform
    from timm.data.auto_augment import posterize

    chain = create_transform(
        224, is_training=True, auto_augment=POLICY, re_prob=0.25, re_mode="pixel", interpolation="bicubic"
    )
    for operation in chain.transforms[2].ops:
        if operation.aug_fn is posterize:  # which Pillow 13 refuses to do to 0 bits
            operation.aug_fn = lambda image, bits, **_: posterize(image, max(1, bits))
    return lambda file, _: chain(Image.open(io.BytesIO(file)).convert("RGB"))


def _levit_loader() -> Prepare:
    from levit.spec.preprocessing import Preprocessing
    from levit.training.augmentation import Augmentation
    from levit.training.options import TrainingOptions
    from levit.training.sampler import SampleIndex

    options = TrainingOptions.from_flat(auto_augment=POLICY, erase=0.25)
    augmentation = Augmentation(options, Preprocessing.for_image_size((224, 224)), (224, 224))
    return lambda file, number: augmentation(file, SampleIndex(0, number, 0))


if __name__ == "__main__":
    main()
