"""Sparse attention on a CPU: a masked network in OpenVINO; the products of one attention in torch, dense and in CSR.

python benchmarks/sparse_attention.py [--record]      writes sparse_attention.md

Each round measures the processor time of all variants in turn, with one thread; the fastest round of each is written.
Both make the results independent of other processes, as far as that is possible. The masks keep the same number of
random keys for each query, because speed depends on their number only.
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections.abc import Callable
from functools import partial
from math import inf

import numpy as np
import torch
from torch import Tensor

from levit.checkpoints.attention_masks import mask_shapes, with_masks
from levit.checkpoints.checkpoint import Checkpoint
from levit.checkpoints.from_model import checkpoint_from_model
from levit.deployment.build import build_artifact
from levit.deployment.graph import INPUT
from levit.model.config import LevitConfig
from levit.model.image_classification import LevitForImageClassification
from levit.runtime.openvino_core import openvino_core
from levit.sparsifying.savings import count_savings
from levit.spec.variants import VARIANTS
from recording import add_record_option, result_file, write_markdown

ROUNDS = 60
SPARSITIES = (0.8, 0.9, 0.95)
TOKENS, HEADS, KEY_DIM, VALUE_DIM = 196, 4, 16, 32  # the first stage of LeViT-128S


def main() -> None:
    """Measure, print and write the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_record_option(parser)
    arguments = parser.parse_args()
    text = "\n".join([
        "# Sparse attention on a CPU", "",
        "`python benchmarks/sparse_attention.py`", "",
        "Share of the multiply-adds of a network that are in the products and the softmax of its attention:", "",
        "| network | share |", "| --- | --- |", *attention_shares(), "",
        f"LeViT-128S in OpenVINO, fp32, one image, one thread, processor time of the fastest of {ROUNDS} rounds:", "",
        "| masks | images/s | ratio |", "| --- | --- | --- |", *network_speed(), "",
        f"The two products of one attention ({TOKENS} tokens, {HEADS} heads) in torch, one thread:", "",
        "| removed | dense, µs | CSR, µs | ratio |", "| --- | --- | --- | --- |", *product_speed(), "",
    ])  # fmt: skip
    write_markdown(result_file("sparse_attention.md", is_recorded=arguments.record), text)
    print(text)


def attention_shares() -> list[str]:
    """Rows of the first table."""
    rows = []
    for name, variant in VARIANTS.items():
        architecture = variant.architecture()
        masks = {key: np.ones(shape, bool) for key, shape in mask_shapes(architecture).items()}
        savings = count_savings(architecture, masks)
        rows.append(f"| {name} | {savings.total('flops') / savings.network_flops:.1%} |")
    return rows


def network_speed() -> list[str]:
    """Rows of the second table."""
    dense = checkpoint_from_model(LevitForImageClassification(LevitConfig.from_variant("levit-128s")))
    networks = {"none": dense, "none, compiled again": dense} | {
        f"{share:.0%} removed": _masked(dense, share) for share in SPARSITIES
    }
    core = openvino_core()
    # Without pinning, because engines that are pinned to different cores differ by what else these cores do.
    options = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": 1, "ENABLE_CPU_PINNING": False}
    engines = {
        name: core.compile_model(core.read_model(build_artifact(network).SerializeToString()), "CPU", options)
        for name, network in networks.items()
    }
    images = np.random.default_rng(0).standard_normal((1, 3, 224, 224), np.float32)
    seconds = _alternate({name: partial(engine, {INPUT: images}) for name, engine in engines.items()})
    return [
        f"| {name} | {1 / value:.0f} | {seconds['none'] / value:.2f} |"  # of speeds
        for name, value in seconds.items()
    ]


def _masked(checkpoint: Checkpoint, sparsity: float) -> Checkpoint:
    """A network with random masks that keep the same number of keys for each query."""
    generator = np.random.default_rng(0)
    masks = {}
    for key, shape in mask_shapes(checkpoint.architecture).items():
        count = max(1, round((1 - sparsity) * shape[-1]))
        masks[key] = np.argsort(generator.random(shape), axis=-1) < count
    return with_masks(checkpoint, masks)


def product_speed() -> list[str]:
    """Rows of the third table: scores of the kept entries, and the weighted sums of the values."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    query, key = (torch.randn(HEADS, TOKENS, KEY_DIM) for _ in range(2))
    value, probabilities = torch.randn(HEADS, TOKENS, VALUE_DIM), torch.rand(HEADS, TOKENS, TOKENS)
    rows = []
    for sparsity in SPARSITIES:
        count = round((1 - sparsity) * TOKENS)
        masks = torch.rand(HEADS, TOKENS, TOKENS).argsort(dim=-1) < count
        sparse = [(probability * mask).to_sparse_csr() for probability, mask in zip(probabilities, masks, strict=True)]
        seconds = _alternate(
            {
                "dense": lambda: (query @ key.mT, probabilities @ value),
                "sparse": partial(_sparse_products, sparse, query, key, value),
            }
        )
        dense, csr = (1e6 * seconds[name] for name in ("dense", "sparse"))
        rows.append(f"| {sparsity:.0%} | {dense:.0f} | {csr:.0f} | {dense / csr:.2f} |")
    return rows


def _sparse_products(sparse: list[Tensor], query: Tensor, key: Tensor, value: Tensor) -> None:
    for head, pattern in enumerate(sparse):
        torch.sparse.sampled_addmm(pattern, query[head], key[head].mT, beta=0.0)
        pattern @ value[head]


def _alternate(functions: dict[str, Callable[[], object]]) -> dict[str, float]:
    """Processor time of the fastest call of each function (s), in alternating rounds after one that is not counted."""
    seconds = dict.fromkeys(functions, inf)
    for number in range(ROUNDS + 1):
        for name, function in functions.items():
            start = time.process_time()
            function()
            if number:
                seconds[name] = min(seconds[name], time.process_time() - start)
    return seconds


if __name__ == "__main__":
    warnings.filterwarnings("ignore", "Sparse CSR tensor support is in beta")
    with torch.no_grad():
        main()
