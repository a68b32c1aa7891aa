"""Small data sets on disk, for tests."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pyarrow
import pyarrow.parquet
from PIL import Image


def png(value: int) -> bytes:
    """A PNG file of 4x4 gray pixels of this value."""
    stream = io.BytesIO()
    Image.fromarray(np.full((4, 4, 3), value, np.uint8)).save(stream, "PNG")
    return stream.getvalue()


def write_images(folder: Path, *names: str) -> Path:
    """Write PNG files of these names below a folder."""
    for name in names:
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(png(len(name)))
    return folder


def write_parquet(path: Path, *, names=("cat", "dog"), labels=(1, 0, 1), column="label") -> Path:
    """Write a parquet file in the Hugging Face image layout: images 0.png, 1.png and so on with these labels."""
    table = pyarrow.table(
        {
            "image": [{"bytes": png(index), "path": f"{index}.png"} for index in range(len(labels))],
            column: list(labels),
        }
    )
    feature = {"_type": "ClassLabel"} | ({"names": names} if names else {})
    if isinstance(labels[0], tuple):
        feature = {"_type": "List", "feature": feature}
    features = {"image": {"_type": "Image"}, column: feature}
    metadata = {"huggingface": json.dumps({"info": {"features": features}})}
    pyarrow.parquet.write_table(table.replace_schema_metadata(metadata), path)
    return path
