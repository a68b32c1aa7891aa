"""Speed of a training step, of image loading and of distillation, compared with transformers, timm and torchvision.

    python benchmarks/training.py [--rounds 5] [--compiled] [--record]

Image loading and distillation need ../shared/data. Rows without a remark have the defaults of their library. Writes
training.json.
"""

from __future__ import annotations

import argparse
import io
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional

from levit.benchmarking.machine import describe_machine
from levit.benchmarking.workers import Response, Worker, run_rounds, serve
from recording import add_record_option, result_file, write_json

PHOTOS = Path(__file__).parent.parent.parent / "shared" / "data" / "photos"
TEACHER = PHOTOS.parent / "teacher" / "tf_efficientnet_lite2"
TEACHER_ENGINES, TEACHER_SIZES = ("torch", "openvino"), (160, 192)
BATCH_SIZE, STEPS, CLASSES = 32, 4, 1000
CHANNELS_LAST, FUSED = "channels-last", "fused AdamW"  # both are levit's defaults, and FUSED that of transformers
STEP_LIBRARIES = ("transformers", f"transformers, {CHANNELS_LAST}", "timm", f"timm, {CHANNELS_LAST}, {FUSED}", "levit")
PIPELINE_LIBRARIES = ("torchvision", "timm", "levit")
POLICY = "rand-m9-mstd0.5-inc1"


def main() -> None:
    """Measure, print, and write the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--compiled", action="store_true", help="also measure steps with torch.compile (minutes more)")
    parser.add_argument("--serve", help=argparse.SUPPRESS)
    add_record_option(parser)
    options = parser.parse_args()
    if options.serve:
        benchmark, name = options.serve.split(":")
        workers: dict[str, Callable[[str], Any]] = {"step": Step, "pipeline": Pipeline, "distillation": Distillation}
        serve(lambda: (workers[benchmark](name), {}))
        return
    steps = [*STEP_LIBRARIES, *(f"{name}, compiled" for name in STEP_LIBRARIES if options.compiled)]
    results: dict[str, Any] = {"machine": describe_machine()}
    results["step"] = measure("step", steps, ["fp32", "bf16"], options.rounds)
    results["pipeline"] = measure(
        "pipeline", PIPELINE_LIBRARIES if PHOTOS.exists() else (), ["one core"], options.rounds
    )
    results["distillation"] = measure(
        "distillation", TEACHER_ENGINES if TEACHER.exists() else (), [f"{size} pixels" for size in TEACHER_SIZES],
        options.rounds,
    )  # fmt: skip
    write_json(result_file("training.json", is_recorded=options.record), results)


def measure(benchmark: str, names: Sequence[str], settings: Sequence[str], rounds: int) -> dict[str, dict[str, float]]:
    """Measure and print images per second of each worker in each setting: the median of all rounds."""
    requests = [{"setting": setting} for setting in settings]
    with ExitStack() as stack:
        workers = [
            stack.enter_context(Worker(name, [sys.executable, __file__, "--serve", f"{benchmark}:{name}"]))
            for name in names
        ]
        responses = run_rounds(workers, requests, rounds)
    rates = {
        name: {
            setting: round(statistics.median(response["rate"] for response in setting_responses), 1)
            for setting, setting_responses in zip(settings, worker_responses, strict=True)
        }
        for name, worker_responses in responses.items()
    }
    for setting in settings:
        print(f"\n{benchmark}, {setting}: images per second, and ratio to the first")
        for name in rates:
            print(f"  {name:24}{rates[name][setting]:8.1f}{rates[name][setting] / rates[names[0]][setting]:8.2f}")
    return rates


class Step:
    """Training step of LeViT-128S with one head at 224 pixels in one library: forward, backward and optimizer."""

    def __init__(self, name: str) -> None:
        torch.manual_seed(0)
        self._network, self._optimizer, self._loss = _BUILDERS[name.split(",")[0]]()
        is_channels_last = name.startswith("levit") or CHANNELS_LAST in name
        if is_channels_last:
            self._network.to(memory_format=torch.channels_last)
        if FUSED in name:
            self._optimizer = torch.optim.AdamW(self._network.parameters(), lr=1e-4, fused=True)
        if "compiled" in name:
            self._network = torch.compile(self._network)
        self._pixels = torch.randn(BATCH_SIZE, 3, 224, 224)
        if is_channels_last:
            self._pixels = self._pixels.contiguous(memory_format=torch.channels_last)
        self._labels = torch.randint(0, CLASSES, (BATCH_SIZE,))

    def __call__(self, setting: str) -> Response:
        """Measure images per second of the median step; the first step is not counted."""
        seconds = []
        for _ in range(STEPS + 1):
            start = time.perf_counter()
            with torch.autocast("cpu", torch.bfloat16, enabled=setting == "bf16"):
                output = self._network(self._pixels)
            self._optimizer.zero_grad()
            self._loss(output, self._labels).backward()  # type: ignore[no-untyped-call]
            self._optimizer.step()
            seconds.append(time.perf_counter() - start)
        return {"rate": BATCH_SIZE / statistics.median(seconds[1:])}


class Distillation:
    """Training step of LeViT-128S at 96 pixels in bf16, with EfficientNet-Lite2 as its teacher in one engine."""

    def __init__(self, engine: str) -> None:
        from levit.spec.labels import imagenet_classes
        from levit.training.losses import Loss
        from levit.training.optimizer import build_optimizer
        from levit.training.options import TrainingOptions
        from levit.training.student import build_student
        from levit.training.teacher_opening import load_teachers, open_teacher_of_run

        labels = [name for _, name in imagenet_classes()]
        values = {"model": "levit-128s", "from_scratch": True, "image_size": 96, "distillation": "soft"}
        options = TrainingOptions.from_flat(teacher=str(TEACHER), teacher_engine=engine, **values)
        student = build_student(options.model, options.teacher, labels, crop="resized", is_multi_label=False)
        self._network = student.network.train().to(memory_format=torch.channels_last)
        self._teachers: dict[str, Any] = {}
        for size in TEACHER_SIZES:
            teacher = options.with_values(teacher_size=size).teacher
            self._teachers[f"{size} pixels"] = open_teacher_of_run(
                load_teachers(teacher), teacher, student, device=torch.device("cpu"), precision="bf16"
            )
        self._loss = Loss(label_smoothing=0.0, class_weights=None, is_multi_label=False, distillation=options.teacher)
        self._optimizer = build_optimizer(self._network, options.optimizer, lr=1e-4)
        self._pixels = torch.randn(2 * BATCH_SIZE, 3, 96, 96).contiguous(memory_format=torch.channels_last)
        self._targets = functional.one_hot(torch.randint(0, CLASSES, (2 * BATCH_SIZE,)), CLASSES).float()

    def __call__(self, setting: str) -> Response:
        """Measure images per second of the median step; the first step is not counted."""
        from levit.training.student import read_logits

        seconds = []
        for _ in range(STEPS + 1):
            start = time.perf_counter()
            with torch.autocast("cpu", torch.bfloat16):
                teacher_logits = self._teachers[setting](self._pixels)
                logits = read_logits(self._network(self._pixels))
            self._optimizer.zero_grad()
            self._loss(logits, self._targets, teacher_logits).backward()
            self._optimizer.step()
            seconds.append(time.perf_counter() - start)
        return {"rate": len(self._pixels) / statistics.median(seconds[1:])}


Built = tuple[Any, torch.optim.Optimizer, Callable[[Any, Tensor], Tensor]]


def _transformers() -> Built:
    from transformers import LevitConfig, LevitForImageClassification

    import levit

    config = LevitConfig(**levit.LevitConfig.from_variant("levit-128s").to_dict())
    network: nn.Module = LevitForImageClassification(config).train()
    # The default optimizer of Trainer.
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

    options = TrainingOptions.from_flat(model="levit-128s", from_scratch=True)
    labels = [str(number) for number in range(CLASSES)]
    student = build_student(options.model, options.teacher, labels, crop="resized", is_multi_label=False)
    network = student.network.train()
    loss = Loss(label_smoothing=0.0, class_weights=None, is_multi_label=False, distillation=options.teacher)

    def cross_entropy(output: Any, labels: Tensor) -> Tensor:
        result: Tensor = loss(read_logits(output), functional.one_hot(labels, CLASSES).float())
        return result

    return network, build_optimizer(network, options.optimizer, lr=1e-4), cross_entropy


_BUILDERS: dict[str, Callable[[], Built]] = {"transformers": _transformers, "timm": _timm, "levit": _levit}


class Pipeline:
    """Files in memory to augmented, normalized pixels (RandAugment and erasing), in one process with one thread."""

    def __init__(self, name: str) -> None:
        torch.set_num_threads(1)
        self._files = [file.read_bytes() for file in sorted(PHOTOS.iterdir())]
        self._augment = {"torchvision": _torchvision, "timm": _timm_transform, "levit": _levit_transform}[name]()
        self._number = 0

    def __call__(self, setting: str) -> Response:
        """Measure images per second."""
        start = time.perf_counter()
        for file in self._files:
            self._augment(file, self._number)
            self._number += 1
        return {"rate": len(self._files) / (time.perf_counter() - start)}


Augment = Callable[[bytes, int], object]


def _torchvision() -> Augment:
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


def _timm_transform() -> Augment:
    from timm.data import create_transform
    from timm.data.auto_augment import posterize

    chain = create_transform(
        224, is_training=True, auto_augment=POLICY, re_prob=0.25, re_mode="pixel", interpolation="bicubic"
    )
    for operation in chain.transforms[2].ops:
        if operation.aug_fn is posterize:  # Pillow 13 refuses to posterize to 0 bits
            operation.aug_fn = lambda image, bits, **_: posterize(image, max(1, bits))
    return lambda file, _: chain(Image.open(io.BytesIO(file)).convert("RGB"))


def _levit_transform() -> Augment:
    from levit.spec.preprocessing import Preprocessing
    from levit.training.augmentation import Augmentation
    from levit.training.option_groups import AugmentationOptions
    from levit.training.sampler import SampleIndex

    options = AugmentationOptions(auto_augment=POLICY, erase=0.25)
    augmentation = Augmentation(options, Preprocessing.for_image_size((224, 224)), (224, 224), seed=0)
    return lambda file, number: augmentation(file, SampleIndex(0, number, 0))


if __name__ == "__main__":
    main()
