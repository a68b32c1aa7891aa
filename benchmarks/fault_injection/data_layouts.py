"""Small valid data sets, one of every layout that `levit.data` reads."""

from __future__ import annotations

import io
import json
import pickle
import tarfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pyarrow.parquet
import scipy.io
from PIL import Image

_IMAGES = 4
_CLASSES = ("cat", "dog")
_WORDNET_IDS = ("n01440764", "n01443537")


@dataclass(frozen=True)
class Layout:
    """Layout of a data set.

    Attributes:
        write: writes the data set into an empty folder.
        opened: path of the data set below the folder; empty for the folder itself.
        changed: patterns of the files that are changed.
    """

    write: Callable[[Path], None]
    opened: str
    changed: tuple[str, ...]


def write_parquet(file: Path, image: list[Any], label: list[Any], column: str, features: object) -> None:
    """Write a parquet file in the Hugging Face image layout."""
    table = pyarrow.table({"image": image, column: label})
    metadata = {"huggingface": json.dumps({"info": {"features": {"image": {"_type": "Image"}, column: features}}})}
    pyarrow.parquet.write_table(table.replace_schema_metadata(metadata), file)


def parquet_columns() -> tuple[list[Any], list[Any]]:
    """Valid columns of images and labels."""
    return [{"bytes": _png(number), "path": f"{number}.png"} for number in range(_IMAGES)], [0, 1, 0, 1]


def _png(number: int) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(np.full((4, 4, 3), 40 * number, np.uint8)).save(stream, "PNG")
    return stream.getvalue()


def _write_images(folder: Path, names: list[str]) -> None:
    for number, name in enumerate(names):
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(_png(number))


def _photos(suffix: str = "png") -> list[str]:
    return [f"{number}.{suffix}" for number in range(_IMAGES)]


def _image_folder(folder: Path) -> None:
    _write_images(folder, [f"{split}/{name}/0.png" for split in ("train", "val") for name in _CLASSES])


def _csv_table(folder: Path) -> None:
    _write_images(folder, _photos())
    rows = [f"{name},{_CLASSES[number % 2]}" for number, name in enumerate(_photos())]
    (folder / "metadata.csv").write_text("\n".join(["file_name,label", *rows]) + "\n", encoding="utf-8")


def _json_table(folder: Path) -> None:
    _write_images(folder, _photos())
    rows: list[dict[str, object]] = [{"file_name": name, "label": _CLASSES[n % 2]} for n, name in enumerate(_photos())]
    rows[0] = {"file_name": "0.png", "labels": list(_CLASSES)}
    (folder / "metadata.jsonl").write_text("\n".join(map(json.dumps, rows)) + "\n", encoding="utf-8")


def _annotations(folder: Path) -> None:
    _write_images(folder / "val", _photos())
    (folder / "meta").mkdir()
    rows = [f"{name} {number % 2}" for number, name in enumerate(_photos())]
    (folder / "meta" / "val.txt").write_text("\n".join(rows) + "\n", encoding="utf-8")
    (folder / "meta" / "classes.txt").write_text("\n".join(_CLASSES) + "\n", encoding="utf-8")


def _coco(folder: Path) -> None:
    _write_images(folder, _photos())
    content = {
        "images": [{"id": number, "file_name": name} for number, name in enumerate(_photos())],
        "annotations": [{"image_id": number, "category_id": 7 + number % 2} for number in range(_IMAGES)],
        "categories": [{"id": 7 + number, "name": name} for number, name in enumerate(_CLASSES)],
    }
    (folder / "val2018.json").write_text(json.dumps(content), encoding="utf-8")


def _real_labels(folder: Path) -> None:
    _validation_images(folder)
    (folder / "real.json").write_text(json.dumps([[1], [], [3, 999], [0]]), encoding="utf-8")


def _synsets(folder: Path) -> None:
    _validation_images(folder)
    lines = [_WORDNET_IDS[number % 2] for number in range(_IMAGES)]
    (folder / "synset_labels.txt").write_text("\n".join(lines) + "\n", encoding="ascii")


def _devkit(folder: Path) -> None:
    _validation_images(folder)
    data = folder / "ILSVRC2012_devkit_t12" / "data"
    data.mkdir(parents=True)
    rows = np.array([(1, _WORDNET_IDS[0]), (2, _WORDNET_IDS[1])], [("ILSVRC2012_ID", object), ("WNID", object)])
    scipy.io.savemat(data / "meta.mat", {"synsets": rows})
    (data / "ILSVRC2012_validation_ground_truth.txt").write_text("1\n2\n1\n2\n", encoding="ascii")


def _validation_images(folder: Path) -> None:
    _write_images(folder, [f"ILSVRC2012_val_{number:08}.JPEG" for number in range(1, _IMAGES + 1)])


def _tar(folder: Path) -> None:
    with tarfile.open(folder / "shard-000.tar", "w") as stream:
        for number in range(_IMAGES):
            label = {"label": _CLASSES[number % 2], "caption": "a photo"}
            for suffix, content in (("png", _png(number)), ("json", json.dumps(label).encode())):
                member = tarfile.TarInfo(f"{number:04}.{suffix}")
                member.size = len(content)
                stream.addfile(member, io.BytesIO(content))


def _numbered_tar(folder: Path) -> None:
    with tarfile.open(folder / "shard-000.tar", "w", format=tarfile.PAX_FORMAT) as stream:
        for number in range(_IMAGES):
            for suffix, content in (("png", _png(number)), ("cls", str(number % 2).encode())):
                member = tarfile.TarInfo(f"é{number:04}.{suffix}")
                member.size = len(content)
                stream.addfile(member, io.BytesIO(content))
    (folder / "classes.txt").write_text("\n".join(_CLASSES) + "\n", encoding="utf-8")


def _parquet(folder: Path) -> None:
    images, labels = parquet_columns()
    features = {"_type": "ClassLabel", "names": list(_CLASSES)}
    write_parquet(folder / "test.parquet", images, labels, "label", features)


def _parquet_shards(folder: Path) -> None:
    (folder / "data").mkdir()
    images, _ = parquet_columns()
    features = {"_type": "List", "feature": {"_type": "ClassLabel", "names": list(_CLASSES)}}
    for name in ("train-00000-of-00002", "train-00001-of-00002", "test-00000-of-00001"):
        write_parquet(folder / "data" / f"{name}.parquet", images, [[0], [1], [], [0, 1]], "labels", features)


def _cifar(folder: Path) -> None:
    rows = np.arange(_IMAGES * 3072).reshape(_IMAGES, 3072).astype(np.uint8)
    for batch in ("test_batch", *(f"data_batch_{number}" for number in range(1, 6))):
        values = {b"data": rows, b"labels": [0, 1, 0, 1], b"batch_label": batch.encode()}
        (folder / batch).write_bytes(pickle.dumps(values, protocol=2))
    (folder / "batches.meta").write_bytes(pickle.dumps({b"label_names": [name.encode() for name in _CLASSES]}))


def _binary_cifar(folder: Path) -> None:
    rows = np.arange(_IMAGES * 3073).reshape(_IMAGES, 3073).astype(np.uint8)
    rows[:, 0] = [0, 1, 0, 1]
    for batch in ("test_batch", *(f"data_batch_{number}" for number in range(1, 6))):
        (folder / f"{batch}.bin").write_bytes(rows.tobytes())
    (folder / "batches.meta.txt").write_text("\n".join(_CLASSES) + "\n\n", encoding="ascii")


def _flowers(folder: Path) -> None:
    _write_images(folder / "jpg", [f"image_{number:05}.jpg" for number in range(1, 7)])
    scipy.io.savemat(folder / "imagelabels.mat", {"labels": np.array([1, 2, 1, 2, 1, 2])})
    splits = {name: np.array(numbers) for name, numbers in (("trnid", [1, 2]), ("valid", [3, 4]), ("tstid", [5, 6]))}
    scipy.io.savemat(folder / "setid.mat", splits)


def _cars(folder: Path) -> None:
    _write_images(folder / "cars_test", ["1.jpg", "2.jpg"])
    (folder / "devkit").mkdir()
    scipy.io.savemat(folder / "devkit" / "cars_meta.mat", {"class_names": np.array(_CLASSES, object)})
    rows = np.array([(1, "1.jpg"), (2, "2.jpg")], [("class", object), ("fname", object)])
    scipy.io.savemat(folder / "devkit" / "cars_test_annos_withlabels.mat", {"annotations": rows})


LAYOUTS = {
    "image folder": Layout(_image_folder, "", ("*/*/*.png",)),
    "metadata.csv": Layout(_csv_table, "", ("metadata.csv",)),
    "metadata.jsonl": Layout(_json_table, "", ("metadata.jsonl",)),
    "list of files": Layout(_annotations, "meta/val.txt", ("meta/*.txt",)),
    "COCO": Layout(_coco, "val2018.json", ("val2018.json",)),
    "ImageNet-ReaL": Layout(_real_labels, "real.json", ("real.json",)),
    "list of synsets": Layout(_synsets, "", ("synset_labels.txt",)),
    "devkit": Layout(_devkit, "", ("*/data/*",)),
    "tar": Layout(_tar, "shard-000.tar", ("*.tar",)),
    "numbered tar": Layout(_numbered_tar, "", ("*.tar", "classes.txt")),
    "parquet": Layout(_parquet, "test.parquet", ("*.parquet",)),
    "parquet shards": Layout(_parquet_shards, "", ("data/*.parquet",)),
    "CIFAR-10": Layout(_cifar, "", ("test_batch", "batches.meta")),
    "binary CIFAR-10": Layout(_binary_cifar, "", ("test_batch.bin", "batches.meta.txt")),
    "Flowers-102": Layout(_flowers, "", ("*.mat",)),
    "Stanford Cars": Layout(_cars, "", ("devkit/*.mat",)),
}
