"""The record of peers.py as tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from levit.spec.blocks import count_flops
from levit.spec.variants import VARIANTS
from peer_networks import COMPETITORS, LEVITS

PRECISIONS = ("fp32", "bf16", "int8")

Rates = Mapping[str, Mapping[str, float]]  # by contender, by request: images a second


def markdown(record: Mapping[str, Any]) -> str:
    """Everything that was measured, as Markdown."""
    lines = ["# levit against its peers", ""]
    lines += ["Measured by `python benchmarks/peers.py`: every contender in a process of its own, alternating rounds,"]
    lines += ["medians. Weights are random: these figures are about speed alone.", ""]
    for part, tables in (("ways", _ways), ("frontier", _frontier), ("files", _files)):
        if part in record:
            how = record["measured"][part]
            lines += tables(record[part])
            lines += _shares(record[part], record["peaks"]) if part == "ways" else []
            lines += [
                f"{how['rounds']} rounds of {how['seconds']} seconds on {', '.join(how['machine'].values())}.",
                "",
            ]
    return "\n".join(lines)


def published() -> dict[str, tuple[int, float, str]]:
    """Image size, top-1 and its source of every network in the comparison."""
    return {name: (224, top1, "facebookresearch/LeViT") for name, top1 in LEVITS.items()} | COMPETITORS


def _ways(rates: Rates) -> list[str]:
    base = rates["transformers eager fp32"]
    header = ["", "batch 16", "against transformers", "one at a time", "against transformers"]
    rows = [_row(name, row, base) for name, row in rates.items()]
    return _table("ways", "LeViT-128S, 224 pixels, images a second", header, rows)


def _shares(rates: Rates, peaks: Mapping[str, float]) -> list[str]:
    flops = count_flops(VARIANTS["levit-128s"].architecture()) / 1e9
    rows = [
        [precision, f"{peak:,.0f}", f"{rate:,.0f}", f"{100 * rate * flops / peak:.0f} %"]
        for precision, peak in peaks.items()
        for rate in [rates[f"levit {precision}"]["batch 16"]]
    ]
    header = ["precision", "peak, G multiply-adds/s", "levit, images a second", "share"]
    return _table("shares", "Share of the machine's matrix-product peak, LeViT-128S, batch 16", header, rows)


def _frontier(rates: Rates) -> list[str]:
    rows = [
        [name, str(pixels), str(top1), source]
        + [f"{rates[f'{name} {precision}']['batch 16']:,.0f}" for precision in PRECISIONS]
        for name, (pixels, top1, source) in published().items()
    ]
    header = ["network", "pixels", "published top-1 (%)", "source", *PRECISIONS]
    return _table("frontier", "Every network in OpenVINO, batch 16, images a second", header, rows)


def _files(rates: Rates) -> list[str]:
    base = rates["transformers.pipeline(batch_size=16)"]
    header = ["", *(column for request in base for column in (f"{request}, images a second", "against pipeline"))]
    rows = [_row(name, row, base) for name, row in rates.items()]
    return _table("files", "From JPEG files to labels, LeViT-128S", header, rows)


def _row(name: str, rates: Mapping[str, float], base: Mapping[str, float]) -> list[str]:
    """Each rate, and how many times that of the base it is."""
    cells = (
        (f"{rate:,.4g}" if rate < 100 else f"{rate:,.0f}", f"{rate / base[key]:.1f}×") for key, rate in rates.items()
    )
    return [name, *(cell for pair in cells for cell in pair)]


def _table(name: str, title: str, header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """A table under its title, between marks by which docs/speed.md takes it over."""
    lines = [" | ".join(["", *row, ""]).strip() for row in [header, ["---"] * len(header), *rows]]
    start, end = (f"<!-- --8<-- [{mark}:{name}] -->" for mark in ("start", "end"))
    return [f"## {title}", "", start, "", *lines, "", end, ""]
