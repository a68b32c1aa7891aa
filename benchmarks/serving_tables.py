"""Results of serving.py and serving_faults.py: serving.json, and its tables in serving.md.

python benchmarks/serving_tables.py      writes the recorded tables again
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from markdown_tables import table
from recording import RESULTS, result_file, write_json, write_markdown

STREAM, SERVE = "stream()", "levit serve"

NOT_MEASURED = "Not recorded yet: `python benchmarks/{program}.py --record` writes this table."


def record(part: str, values: Mapping[str, Any], *, is_recorded: bool) -> None:
    """Write results, beside those that are written already, and the tables.

    Args:
        part: "speed", of serving.py, or "faults", of serving_faults.py.
        values: its results; those of faults by name of the run, of which others stay as they are.
        is_recorded: whether they are written into the repository.
    """
    file = result_file("serving.json", is_recorded=is_recorded)
    results = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    results[part] = {**results.get(part, {}), **values} if part == "faults" else dict(values)
    write_json(file, results)
    write_markdown(file.with_suffix(".md"), markdown(results))


def markdown(results: Mapping[str, Any]) -> str:
    """All tables, each below a heading."""
    speed = results.get("speed")
    parts = {
        "Throughput": _throughput(speed) if speed else [NOT_MEASURED.format(program="serving")],
        "Latency": _latency(speed) if speed else [NOT_MEASURED.format(program="serving")],
        "Overload, faults and kills": _faults(results["faults"])
        if "faults" in results
        else [NOT_MEASURED.format(program="serving_faults")],
    }
    lines = ["# levit serve: speed and faults", ""]
    for title, content in parts.items():
        lines += [f"## {title}", "", *content, ""]
    return "\n".join(lines)


def _throughput(speed: Mapping[str, Any]) -> list[str]:
    rows = [
        [name, kind, f"{row['images_per_second']:,.0f}", f"{row['cpu_milliseconds']:.2f}", _ratio(name, row["ratio"])]
        for kind, rows in speed["throughput"].items()
        for name, row in rows.items()
    ]
    machine = ", ".join(speed["machine"].values())
    header = ["", "images", "images per second", "processor time, ms per image", "levit serve is"]
    rounds = f"{speed['rounds']} rounds of {speed['seconds']:g} seconds"
    note = f"levit in int8, the others in float32. Medians, of the ratios too, of {rounds} on {machine}."
    return [*table(header, rows), "", note]


def _ratio(name: str, ratio: float) -> str:
    if name == SERVE:
        return ""
    return f"{100 * ratio:.0f} % of it" if name == STREAM else f"{ratio:.1f} times as fast"


def _latency(speed: Mapping[str, Any]) -> list[str]:
    rows = [
        [
            kind,
            f"{one['classifier']:.2f}",
            f"{one['http']:.2f}",
            f"{one['added']:.2f}",
            f"{load['requests_per_second']}",
            f"{load['p50']:.1f} · {load['p99']:.0f}",
        ]
        for kind, one in speed["one"].items()
        for load in [speed["half load"][kind]]
    ]
    half = ["requests per second at half load", "their latency, 50 % · 99 %"]
    header = ["images", "`Classifier(one)`", "by HTTP", "added", *half]
    note = "Milliseconds; medians of one image after the other, and percentiles of requests at random times."
    return [*table(header, rows), "", note]


def _faults(faults: Mapping[str, Mapping[str, Any]]) -> list[str]:
    rows = [
        [run, "; ".join(f"{name}: {_text(value)}" for name, value in values.items())] for run, values in faults.items()
    ]
    return table(["run", "result"], rows)


def _text(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{_text(number)} × {name}" for name, number in value.items()) or "none"
    if isinstance(value, list):
        return " · ".join(map(_text, value))
    if isinstance(value, float):
        return f"{value:.3g}" if abs(value) < 1000 else f"{value:,.0f}"
    return f"{value:,}" if isinstance(value, int) else str(value)


if __name__ == "__main__":
    recorded = json.loads((RESULTS / "serving.json").read_text(encoding="utf-8"))
    (RESULTS / "serving.md").write_text(markdown(recorded), encoding="utf-8")
