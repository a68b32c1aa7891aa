"""Networks of other libraries as files: ONNX graphs, and int8 models of OpenVINO by NNCF.

    python benchmarks/peer_networks.py transformers:levit-128s int8

The graphs come from each library's own network by TorchScript's exporter, after the library's own fusing; int8 is the
recipe that NNCF recommends, calibrated on synthetic scenes. Weights are random: the files serve to measure speed, not
accuracy.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np

from levit.images.transform import normalize, read_and_preprocess
from levit.runtime.telemetry import telemetry_disabled
from levit.spec.preprocessing import Preprocessing
from levit.spec.variants import VARIANTS
from random_models import random_checkpoint, scenes
from recording import WORK

# ImageNet top-1 (%) of the published variants.
LEVITS = {name: round(100 * variant.published_top1, 1) for name, variant in VARIANTS.items() if variant.published_top1}

# timm's names of networks with a similar purpose: image size in pixels, published ImageNet top-1 (%), and its source.
COMPETITORS: dict[str, tuple[int, float, str]] = {
    "efficientnet_b0": (224, 77.1, "arXiv 1905.11946, table 2"),
    "efficientnet_b1": (240, 79.1, "arXiv 1905.11946, table 2"),
    "efficientnet_b2": (260, 80.1, "arXiv 1905.11946, table 2"),
    "mobilenetv4_conv_small": (224, 73.8, "arXiv 2404.10518"),
    "mobilenetv4_conv_medium": (256, 79.9, "arXiv 2404.10518"),
    "fastvit_t8": (256, 77.2, "apple/ml-fastvit, distilled"),
    "repvit_m0_9": (224, 79.1, "THU-MIG/RepViT, distilled, 450 epochs"),
    "efficientformerv2_s0": (224, 76.2, "arXiv 2212.08059, distilled, 450 epochs"),
    "resnet18": (224, 69.8, "torchvision, IMAGENET1K_V1"),
    "resnet50": (224, 80.9, "torchvision, IMAGENET1K_V2"),
}


def peer_file(name: str, precision: str) -> Path:
    """File of a network; created in a separate process where it does not exist.

    Args:
        name: "transformers:levit-128s", "timm:levit_128s", or another of timm's names after "timm:".
        precision: "fp32" for an ONNX file, "int8" for an OpenVINO model.
    """
    file = WORK / f"{name.replace(':', '-')}-{precision}.{'xml' if precision == 'int8' else 'onnx'}"
    if not file.exists():
        print(f"creating {file.name} …", file=sys.stderr)
        subprocess.run([sys.executable, __file__, name, precision], check=True, stdout=subprocess.DEVNULL)
    return file


def peer_size(name: str) -> int:
    """Height and width of the network's images in pixels."""
    return COMPETITORS.get(name.partition(":")[2], (224,))[0]


def build_network(name: str) -> Any:
    """Network of a library in torch, with random weights, in evaluation mode."""
    library, _, network = name.partition(":")
    if library == "transformers":
        from transformers import LevitForImageClassificationWithTeacher

        return LevitForImageClassificationWithTeacher.from_pretrained(random_checkpoint(network)).eval()
    import timm

    return timm.create_model(network, pretrained=False).eval()


def fuse(network: Any) -> Any:
    """Fold batch norms and branches with timm."""
    from timm.utils.model import reparameterize_model

    return reparameterize_model(network)


def _export(name: str, file: Path) -> None:
    import torch

    network = build_network(name)
    if name.startswith("timm:"):
        network = fuse(network)

    class Logits(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.network = network

        def forward(self, pixel_values: torch.Tensor) -> torch.Tensor:
            output = self.network(pixel_values)
            return output if isinstance(output, torch.Tensor) else output.logits

    network.requires_grad_(False)
    example = torch.zeros(2, 3, peer_size(name), peer_size(name))
    with torch.no_grad():
        network(example)  # fills the caches of attention biases, which are then constants of the graph
        torch.onnx.export(
            Logits(),
            (example,),
            str(file),
            input_names=["pixel_values"],
            output_names=["logits"],
            dynamic_axes={"pixel_values": {0: "batch"}, "logits": {0: "batch"}},
            dynamo=False,
            opset_version=17,
        )


def _quantize(name: str, source: Path, file: Path) -> None:
    with telemetry_disabled():
        import nncf
        import openvino
        import openvino.passes

    size = peer_size(name)
    preprocessing = Preprocessing.for_image_size((size, size))
    images = [read_and_preprocess(picture, preprocessing) for picture in sorted(scenes().iterdir())]
    network = openvino.Core().read_model(source)
    passes = openvino.passes.Manager()
    passes.register_pass(openvino.passes.ConstantFolding())  # NNCF fails on gathered attention biases
    passes.run_passes(network)
    options: dict[str, Any] = {}
    if "levit" in name:  # as in this package, the head stays in floating point
        linear = [node.get_friendly_name() for node in network.get_ordered_ops() if node.get_type_name() == "MatMul"]
        options = {"ignored_scope": nncf.IgnoredScope(names=linear[-2:]), "model_type": nncf.ModelType.TRANSFORMER}
    batches = nncf.Dataset([normalize(np.stack([image]), preprocessing) for image in images])
    openvino.save_model(nncf.quantize(network, batches, subset_size=len(images), **options), file)


def main() -> None:
    """Create one file."""
    name, precision = sys.argv[1:]
    source = WORK / f"{name.replace(':', '-')}-fp32.onnx"
    WORK.mkdir(parents=True, exist_ok=True)
    if not source.exists():
        _export(name, source)
    if precision == "int8":
        _quantize(name, source, source.with_name(source.name.replace("-fp32.onnx", "-int8.xml")))


if __name__ == "__main__":
    main()
