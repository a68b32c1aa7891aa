"""Render the output of `levit predict examples --top-k 3` to docs/images/predict.svg.

python docs/pictures.py
"""

from __future__ import annotations

import os
from pathlib import Path

from rich.console import Console

import levit
from levit.cli.prediction_table import TableWriter

ROOT = Path(__file__).parent.parent
PICTURE = ROOT / "docs" / "images" / "predict.svg"


def main() -> None:
    """Classify the example photos and render the table."""
    os.chdir(ROOT)
    with Path(os.devnull).open("w", encoding="utf-8") as null:
        console = Console(record=True, width=76, file=null, force_terminal=True, color_system="truecolor")
        console.print("[bold green]$[/] levit predict examples --top-k 3\n", highlight=False)
        writer = TableWriter(3, console)
        for prediction in levit.Classifier().stream(sorted(Path("examples").glob("*.jpg"))):
            writer.write(prediction)
        writer.close()
    PICTURE.write_text(console.export_svg(title="levit"), encoding="utf-8")


if __name__ == "__main__":
    main()
