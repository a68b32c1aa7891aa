"""Tar shards in the layout of WebDataset: `0001.jpg` with `0001.cls` or `0001.json`, read sequentially."""

from __future__ import annotations

import json
import tarfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from levit.data.class_names import read_class_names
from levit.data.file_hash import hash_files
from levit.data.labeled_images import LabeledImage
from levit.errors import DataError, first_line
from levit.spec.image_files import IMAGE_SUFFIXES

Sample = dict[str, bytes]
"""Content of each file of a sample, by its suffix without the dot."""


class TarDataset:
    """Samples of tar shards, read sequentially; see `levit.data.labeled_images.LabeledDataset`.

    A label is the number in `….cls`, or `label` (a number or a class name) or `labels` in `….json`. Class names in
    labels are the classes, in alphabetical order; for numbered classes see `read_class_names`.

    Args:
        shards: tar files, at least one.
        name: name of the data set; None for the name of the first shard.

    Raises:
        DataError: a file is not a tar file, there are no images, or the classes have no names.
    """

    is_any_label_correct = is_grouped = False

    def __init__(self, shards: Sequence[Path], *, name: str | None = None) -> None:
        self.name = name or shards[0].name
        self._shards = list(shards)
        labels = [_labels(sample) for shard in shards for _, sample in _samples(shard, with_images=False)]
        self._count = len(labels)
        if not labels:
            raise DataError(f"no images in it ({', '.join(sorted(IMAGE_SUFFIXES))})", source=shards[0])
        distinct = {label for sample_labels in labels for label in sample_labels}
        names = sorted(label for label in distinct if isinstance(label, str))
        numbers = [label for label in distinct if isinstance(label, int)]
        self.is_multi_label = any(len(sample_labels) > 1 for sample_labels in labels)
        self.classes = tuple(names) if names else read_class_names(shards[0], 1 + max(numbers)) if numbers else ()
        self._class_indices = {name: index for index, name in enumerate(names)}

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[LabeledImage]:
        for shard in self._shards:
            for key, sample in _samples(shard, with_images=True):
                image = next(content for suffix, content in sample.items() if f".{suffix}" in IMAGE_SUFFIXES)
                labels = [label if isinstance(label, int) else self._class_indices[label] for label in _labels(sample)]
                yield LabeledImage(image, tuple(labels), f"{shard.name}/{key}")

    def sha256(self) -> str:
        """Hash of the shard, or of the hashes of the shards."""
        return hash_files(self._shards)


def _samples(shard: Path, *, with_images: bool) -> Iterator[tuple[str, Sample]]:
    """Key and files of each sample that has an image; without images, their content is empty."""
    current_key, sample = "", Sample()
    try:
        with tarfile.open(shard, "r|*") as stream:
            for member in stream:
                if not member.isfile():
                    continue
                folder, _, file = member.name.rpartition("/")
                stem, _, suffix = file.partition(".")
                key, suffix = f"{folder}/{stem}" if folder else stem, suffix.lower()
                if key != current_key:
                    if _has_image(sample):
                        yield current_key, sample
                    current_key, sample = key, Sample()
                is_read = with_images or f".{suffix}" not in IMAGE_SUFFIXES
                content = stream.extractfile(member) if is_read else None
                sample[suffix] = content.read() if content is not None else b""
    except (OSError, tarfile.TarError) as error:
        raise DataError(f"not a tar file, or incomplete ({first_line(error)})", source=shard) from error
    if _has_image(sample):
        yield current_key, sample


def _has_image(sample: Sample) -> bool:
    return any(f".{suffix}" in IMAGE_SUFFIXES for suffix in sample)


def _labels(sample: Sample) -> list[int | str]:
    """Labels of a sample, numbers or class names."""
    try:
        if "cls" in sample:
            return [int(sample["cls"])]
        values = json.loads(sample["json"]) if "json" in sample else {}
    except ValueError:
        return []
    labels = values.get("labels", values.get("label", [])) if isinstance(values, dict) else []
    return [label for label in (labels if isinstance(labels, list) else [labels]) if isinstance(label, int | str)]
