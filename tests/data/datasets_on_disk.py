"""Small data sets on disk, for tests."""

from __future__ import annotations

import io
import json
import pickle
from pathlib import Path

import numpy as np
import pyarrow
import pyarrow.parquet
from PIL import Image

from levit.data.labeled_images import LabeledDataset


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


def write_cifar(folder: Path, *, binary: bool, count: int = 4) -> Path:
    """Write CIFAR-10 with `count` images per file: the red value of an image is its number, its label 9 - number."""
    folder.mkdir()
    names = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
    pixels = np.zeros((count, 3, 1024), np.uint8)
    pixels[:, 0] = np.arange(count)[:, None]
    rows, labels = pixels.reshape(count, -1), [9 - number for number in range(count)]
    for batch in ("test_batch", *(f"data_batch_{number}" for number in range(1, 6))):
        if binary:
            content = np.concatenate([np.array(labels, np.uint8)[:, None], rows], axis=1).tobytes()
            (folder / f"{batch}.bin").write_bytes(content)
        else:
            values = {b"data": rows, b"labels": labels, b"batch_label": batch.encode()}
            (folder / batch).write_bytes(pickle.dumps(values, protocol=2))
    if binary:
        (folder / "batches.meta.txt").write_text("\n".join(names) + "\n\n")
    else:
        (folder / "batches.meta").write_bytes(pickle.dumps({b"label_names": [name.encode() for name in names]}))
    return folder


def names_and_labels(data: LabeledDataset) -> list[tuple[str, tuple[str, ...]]]:
    """Name and class names of each image."""
    return [(item.name, tuple(data.classes[label] for label in item.labels)) for item in data]
