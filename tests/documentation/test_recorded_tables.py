"""Figures of the README and of docs/ are copies of recorded results, because GitHub shows no includes."""

import json
import re
from pathlib import Path

import pytest

from tests.conftest import ROOT

RESULTS = ROOT / "benchmarks" / "results"
# Pages of the site alone, which no other page that GitHub shows links to.
INCLUDING = {"architecture.md", "changelog.md"}
COPIES = {"speed.md": 13, "results.md": 1, "how-to/sparse-attention.md": 2}
ROWS = {  # of the README: workers of peers.py for networks, and for files
    "transformers, fp32 (files: its `pipeline`)": (
        "transformers eager fp32",
        "transformers.pipeline(batch_size=16) fp32",
    ),
    "timm, fused and compiled, fp32 (files: torch's `DataLoader`)": (
        "timm fused, compiled fp32",
        "timm, torch's DataLoader with 2 workers fp32",
    ),
    "OpenVINO on timm's graph, fp32 (files: transformers' image processor)": (
        "OpenVINO on timm's graph fp32",
        "OpenVINO fp32 behind LevitImageProcessor",
    ),
    "levit, fp32": ("levit fp32", "levit fp32"),
    "levit, int8": ("levit int8", "levit int8"),
}


def tables(file: Path) -> list[str]:
    return re.findall(r"(?:^\|.*\n)+", file.read_text(encoding="utf-8"), re.MULTILINE)


RECORDED = [table for file in sorted(RESULTS.rglob("*.md")) for table in tables(file)]


def header(table: str) -> str:
    return table.partition("\n")[0]


@pytest.mark.parametrize("page", COPIES)
def test_tables_with_the_header_of_a_recorded_one_are_its_copies(page):
    headers = {header(table) for table in RECORDED}
    copies = [table for table in tables(ROOT / "docs" / page) if header(table) in headers]
    assert len(copies) == COPIES[page]
    assert [table for table in copies if table not in RECORDED] == []


@pytest.mark.parametrize("page", sorted((ROOT / "docs").rglob("*.md")), ids=lambda page: page.name)
def test_no_page_includes_another_file(page):
    assert page.name in INCLUDING or "--8<--" not in page.read_text(encoding="utf-8")


def test_the_speed_in_the_readme_is_the_recorded_one():
    record = json.loads((RESULTS / "amd-epyc-avx2" / "peers.json").read_text(encoding="utf-8"))
    text = (ROOT / "README.md").read_text(encoding="utf-8").replace("**", "")
    for name, (network, files) in ROWS.items():
        rates = [record["runtimes"][network][request] for request in ("batch 16", "batch 1")]
        rates.append(record["files"][files]["500 pixels"])
        assert f"| {name} | {' | '.join(f'{rate:.0f}' for rate in rates)} |" in text


def test_the_first_prediction_in_the_readme_and_in_speed_is_the_recorded_one():
    record = json.loads((RESULTS / "first_prediction.json").read_text(encoding="utf-8"))
    for page in (ROOT / "README.md", ROOT / "docs" / "speed.md"):
        rows = {cells[0].partition(",")[0]: cells[1:] for cells in _rows(page)}
        for name, values in record["medians"].items():
            assert rows[f"`{name}`"] == [f"{values['seconds']:.2f}", f"{values['peak_megabytes']:.0f} MB"]


def _rows(page: Path) -> list[list[str]]:
    return [
        [cell.strip() for cell in row.strip("| \n").split("|")] for table in tables(page) for row in table.split("\n")
    ]
