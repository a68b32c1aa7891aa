"""Markdown tables of the results of peers.py."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from levit.spec.blocks import count_flops
from levit.spec.variants import VARIANTS
from peer_networks import COMPETITORS, LEVITS

PRECISIONS = ("fp32", "bf16", "int8")

Rates = Mapping[str, Mapping[str, float]]  # worker -> request -> images per second


def markdown(record: Mapping[str, Any]) -> str:
    """Render all parts of results/peers.json."""
    lines = ["# levit compared with other libraries and networks", ""]
    lines += ["Measured by `python benchmarks/peers.py`: one process per row, alternating rounds, medians."]
    lines += ["Weights are random: the figures describe speed alone.", ""]
    for part, tables in (("runtimes", _runtimes), ("frontier", _frontier), ("files", _files)):
        if part in record:
            conditions = record["measured"][part]
            lines += tables(record[part])
            lines += _peak_shares(record[part], record["peaks"]) if part == "runtimes" else []
            rounds, machine = conditions["rounds"], ", ".join(conditions["machine"].values())
            lines += [f"{rounds} rounds of {conditions['seconds']} seconds on {machine}.", ""]
    return "\n".join(lines)


def published() -> dict[str, tuple[int, float, str]]:
    """Image size in pixels, published ImageNet top-1 (%) and its source, of every network in the comparison."""
    return {name: (224, top1, "facebookresearch/LeViT") for name, top1 in LEVITS.items()} | COMPETITORS


def _runtimes(rates: Rates) -> list[str]:
    base = rates["transformers eager fp32"]
    header = ["", "batch 16", "against transformers", "batch 1", "against transformers"]
    rows = [_row(name, row, base) for name, row in rates.items()]
    return _table("runtimes", "LeViT-128S, 224 pixels, images per second", header, rows)


def _peak_shares(rates: Rates, peaks: Mapping[str, float]) -> list[str]:
    flops = count_flops(VARIANTS["levit-128s"].architecture()) / 1e9
    rows = [
        [precision, f"{peak:,.0f}", f"{rate:,.0f}", f"{100 * rate * flops / peak:.0f} %"]
        for precision, peak in peaks.items()
        for rate in [rates[f"levit {precision}"]["batch 16"]]
    ]
    header = [
        "precision",
        "matrix products in OpenVINO, 1e9 multiply-adds per second",
        "levit, images per second",
        "levit's share of that rate",
    ]
    return _table("shares", "LeViT-128S at batch 16 and large matrix products in OpenVINO", header, rows)


def _frontier(rates: Rates) -> list[str]:
    rows = [
        [name, str(pixels), str(top1), source] + [_rate(rates, f"{name} {precision}") for precision in PRECISIONS]
        for name, (pixels, top1, source) in published().items()
    ]
    header = ["network", "pixels", "published top-1 (%)", "source", *PRECISIONS]
    return _table(
        "frontier",
        "LeViT in its default engine and other networks in OpenVINO, batch 16, images per second",
        header,
        rows,
    )


def _rate(rates: Rates, name: str) -> str:
    """Rate of batches; a dash for a precision that the processor does not compute."""
    return f"{rates[name]['batch 16']:,.0f}" if name in rates else "—"


def _files(rates: Rates) -> list[str]:
    base = rates["transformers.pipeline(batch_size=16)"]
    header = ["", *(column for request in base for column in (f"{request}, images per second", "against pipeline"))]
    rows = [_row(name, row, base) for name, row in rates.items()]
    return _table("files", "From JPEG files to labels, LeViT-128S", header, rows)


def _row(name: str, rates: Mapping[str, float], base: Mapping[str, float]) -> list[str]:
    """Cells of one worker: each rate, and its ratio to that of the base."""
    cells = (
        (f"{rate:,.4g}" if rate < 100 else f"{rate:,.0f}", f"{rate / base[key]:.1f}×") for key, rate in rates.items()
    )
    return [name, *(cell for pair in cells for cell in pair)]


def _table(name: str, title: str, header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """A table with its title, between the markers by which docs/speed.md includes it."""
    lines = [" | ".join(["", *row, ""]).strip() for row in [header, ["---"] * len(header), *rows]]
    start, end = (f"<!-- --8<-- [{mark}:{name}] -->" for mark in ("start", "end"))
    return [f"## {title}", "", start, "", *lines, "", end, ""]
