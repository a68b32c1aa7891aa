"""Markdown tables of the results of peers.py.

python benchmarks/peer_tables.py FILE.json …      writes the tables again, beside each file
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from levit.spec.network import count_flops
from levit.spec.variants import VARIANTS
from markdown_tables import table
from peer_networks import COMPETITORS, LEVITS

PRECISIONS = ("fp32", "bf16", "int8")
PIPELINE = "transformers.pipeline(batch_size=16)"
DEFAULT_ENGINE = "default engine"  # that of `engine="auto"`
NOT_MEASURED = "—"

Rates = Mapping[str, Mapping[str, float]]  # worker -> request -> images per second


def markdown(record: Mapping[str, Any]) -> str:
    """Render all parts of peers.json."""
    lines = ["# levit compared with other libraries and networks", ""]
    lines += ["Measured by `python benchmarks/peers.py`: one process per row, alternating rounds, medians."]
    lines += ["Weights are random: the figures describe speed alone.", ""]
    for part in ("runtimes", "frontier", "files"):
        if part not in record:
            continue
        rates, conditions = record[part], record["measured"][part]
        if part == "runtimes":
            lines += _runtimes(rates) + _peak_shares(rates, record["peaks"])
        else:
            lines += _frontier(rates, levit_engine(record)) if part == "frontier" else _files(rates)
        rounds, machine = conditions["rounds"], ", ".join(conditions["machine"].values())
        lines += [f"{rounds} rounds of {conditions['seconds']} seconds on {machine}.", ""]
        lines += [conditions["note"], ""] if "note" in conditions else []
    return "\n".join(lines)


def levit_engine(record: Mapping[str, Any]) -> str:
    """The engine of LeViT beside other networks."""
    return str(record["measured"]["frontier"].get("levit", DEFAULT_ENGINE))


def published() -> dict[str, tuple[int, float, str]]:
    """Image size in pixels, published ImageNet top-1 (%) and its source, of every network in the comparison."""
    return {name: (224, top1, "facebookresearch/LeViT") for name, top1 in LEVITS.items()} | COMPETITORS


def _runtimes(rates: Rates) -> list[str]:
    header = ["", "batch 16", "against transformers", "batch 1", "against transformers"]
    rows = _rows(rates, "transformers eager fp32", ("batch 16", "batch 1"))
    return _section("LeViT-128S, 224 pixels, images per second", header, rows)


def _peak_shares(rates: Rates, peaks: Mapping[str, float]) -> list[str]:
    flops = count_flops(VARIANTS["levit-128s"].architecture()) / 1e9
    rows = [
        [precision, f"{peak:,.0f}", f"{rate:,.0f}", f"{100 * rate * flops / peak:.0f} %"]
        for precision, peak in peaks.items()
        for rate in [rates.get(f"levit, OpenVINO {precision}", {}).get("batch 16")]
        if rate is not None
    ]
    header = [
        "precision",
        "matrix products, 1e9 multiply-adds per second",
        "levit, images per second",
        "levit's share of that rate",
    ]
    return _section("LeViT-128S at batch 16 and large matrix products, both in OpenVINO", header, rows)


def _frontier(rates: Rates, engine: str) -> list[str]:
    rows = [
        [name, str(pixels), str(top1), source] + [_rate(rates, f"{name} {precision}") for precision in PRECISIONS]
        for name, (pixels, top1, source) in published().items()
    ]
    header = ["network", "pixels", "published top-1 (%)", "source", *PRECISIONS]
    title = f"LeViT in the {engine} and other networks in OpenVINO, batch 16, images per second"
    return _section(title, header, rows)


def _rate(rates: Rates, name: str) -> str:
    """Rate of batches; a dash for a precision that was not measured."""
    return f"{rates[name]['batch 16']:,.0f}" if name in rates else NOT_MEASURED


def _files(rates: Rates) -> list[str]:
    requests = list(dict.fromkeys(request for row in rates.values() for request in row))
    header = ["", *(column for name in requests for column in (f"{name}, images per second", "against pipeline"))]
    rows = _rows(rates, f"{PIPELINE} fp32", requests)
    return _section("From JPEG files to labels, LeViT-128S", header, rows)


def _rows(rates: Rates, base: str, requests: Sequence[str]) -> list[list[str]]:
    """Cells of all workers: each rate, and its ratio to that of the base; dashes where one was not measured."""
    return [
        [name, *(cell for request in requests for cell in _cells(row.get(request), rates.get(base, {}).get(request)))]
        for name, row in rates.items()
    ]


def _cells(rate: float | None, base: float | None) -> tuple[str, str]:
    if rate is None:
        return NOT_MEASURED, NOT_MEASURED
    ratio = NOT_MEASURED if base is None else f"{rate / base:.1f}×"
    return f"{rate:,.4g}" if rate < 100 else f"{rate:,.0f}", ratio


def _section(title: str, header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    return [f"## {title}", "", *table(header, rows), ""]


if __name__ == "__main__":
    for argument in sys.argv[1:]:
        file = Path(argument)
        text = markdown(json.loads(file.read_text(encoding="utf-8")))
        file.with_suffix(".md").write_text(text, encoding="utf-8")
