"""Small data sets on disk, for tests."""

from __future__ import annotations

import io
import json
import pickle
import tarfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

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


def write_tar(file: Path, members: Iterable[tuple[str, bytes]], mode: str = "w") -> Path:
    """Write a tar file of these names and contents."""
    with tarfile.open(file, mode) as archive:
        for name, content in members:
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return file


def write_shard(file: Path, samples: Mapping[str, Mapping[str, bytes]], mode: str = "w") -> Path:
    """Write a shard of WebDataset: contents by suffix of each sample, by its key."""
    members = ((f"{key}.{suffix}", content) for key, sample in samples.items() for suffix, content in sample.items())
    return write_tar(file, members, mode)


def named_samples(*labels: object, field: str = "label") -> dict[str, dict[str, bytes]]:
    """Samples of a shard with the keys 0, 1 and so on, whose labels are a field of JSON."""
    return {
        str(number): {"png": png(number), "json": json.dumps({field: label}).encode()}
        for number, label in enumerate(labels)
    }


def write_annotation_list(folder: Path, *labels: int) -> Path:
    """Write images 1.png, 2.png and so on of cats and dogs, and a list of them with their labels."""
    write_images(folder, *(f"{number}.png" for number in range(1, len(labels) + 1)))
    (folder / "classes.txt").write_text("cat\ndog\n")
    lines = [f"{number}.png {label}\n" for number, label in enumerate(labels, start=1)]
    (folder / "list.txt").write_text("".join(lines))
    return folder / "list.txt"


def coco_content(*labels: int) -> dict[str, list[dict[str, Any]]]:
    """Annotations in COCO format of images 1.png, 2.png and so on of cats and dogs with these labels."""
    return {
        "images": [{"id": number, "file_name": f"{number}.png"} for number in range(1, len(labels) + 1)],
        "annotations": [{"image_id": number, "category_id": label} for number, label in enumerate(labels, start=1)],
        "categories": [{"id": 0, "name": "cat"}, {"id": 1, "name": "dog"}],
    }


def write_coco(folder: Path, *labels: int) -> Path:
    """Write the images and the file of `coco_content`."""
    write_images(folder, *(f"{number}.png" for number in range(1, len(labels) + 1)))
    (folder / "val2018.json").write_text(json.dumps(coco_content(*labels)))
    return folder / "val2018.json"


def write_real_labels(folder: Path, *labels: Sequence[int]) -> Path:
    """Write validation images of ImageNet, and the labels of ImageNet-ReaL for them."""
    write_images(folder, *(f"ILSVRC2012_val_{number:08}.JPEG" for number in range(1, len(labels) + 1)))
    (folder / "real.json").write_text(json.dumps(labels))
    return folder / "real.json"


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


def write_cifar_100(folder: Path, *, binary: bool) -> Path:
    """Write CIFAR-100 with two images of gray values 1 and 2 per file, which are a bee and an apple."""
    folder.mkdir()
    names, labels, pixels = ("apple", "bear", "bee"), (2, 0), np.repeat(np.uint8([[1], [2]]), 3 * 1024, axis=1)
    for split in ("train", "test"):
        if binary:
            coarse = np.full((2, 1), 1, np.uint8)
            content = np.concatenate([coarse, np.uint8(labels)[:, None], pixels], axis=1).tobytes()
            (folder / f"{split}.bin").write_bytes(content)
        else:
            values = {b"data": pixels, b"coarse_labels": [1, 1], b"fine_labels": [*labels]}
            (folder / split).write_bytes(pickle.dumps(values, protocol=2))
    if binary:
        (folder / "fine_label_names.txt").write_text("\n".join(names) + "\n")
    else:
        meta = {b"coarse_label_names": [b"fruit", b"animal"], b"fine_label_names": [name.encode() for name in names]}
        (folder / "meta").write_bytes(pickle.dumps(meta, protocol=2))
    return folder


def names_and_labels(data: LabeledDataset) -> list[tuple[str, tuple[str, ...]]]:
    """Name and class names of each image."""
    return [(item.name, tuple(data.classes[label] for label in item.labels)) for item in data]
