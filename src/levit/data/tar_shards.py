"""Tar shards in the layout of WebDataset: `0001.jpg` with `0001.cls` or `0001.json`, read sequentially."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from levit.data.class_names import read_class_names
from levit.data.file_content import hash_files
from levit.data.labeled_images import LabeledImage
from levit.data.record_values import (
    class_name,
    describe,
    in_record,
    label_index,
    label_index_in_text,
    parse_json,
)
from levit.data.split_names import split_of_file
from levit.data.tar_members import iterate_members
from levit.errors import DataError, LevitWarning
from levit.spec.image_files import IMAGE_SUFFIXES, is_image_suffix

Sample = dict[str, bytes]
"""Content of each file of a sample, by its suffix without the dot."""


class TarDataset:
    """Samples of tar shards, read sequentially; see `levit.data.labeled_images.LabeledDataset`.

    A label is the number in `….cls`, or `label` (a number or a class name) or `labels` in `….json`. An image may have
    several labels if any of these is a list. Class names in labels are the classes, in alphabetical order; for numbered
    classes see `read_class_names`.

    Args:
        shards: tar files, at least one.
        name: name of the data set; None for the name of the first shard.

    Raises:
        DataError: a file is not a tar file, is damaged or incomplete, there are no images, a label is invalid, or the
            classes have no names.

    Attributes:
        split: the split in the name of the first shard or of its folder; None where there is none.
    """

    is_any_label_correct = False

    def __init__(self, shards: Sequence[Path], *, name: str | None = None) -> None:
        self.name = name or shards[0].name
        self._shards, self.split = list(shards), split_of_file(shards[0])
        labels, orphans, has_list = list[list[int | str]](), list[str](), False
        for shard in shards:
            for key, sample in _samples(shard, with_images=False):
                if _has_image(sample):
                    found, is_list = _labels(shard, key, sample)
                    labels.append(found)
                    has_list |= is_list
                elif "cls" in sample or "json" in sample:
                    orphans.append(key)
        self._count = len(labels)
        if not labels:
            raise DataError(f"no images in it ({', '.join(sorted(IMAGE_SUFFIXES))})", source=shards[0])
        if orphans:
            text = f"{self.name}: {len(orphans):,} labels without an image next to them in the archive ({orphans[0]})"
            warnings.warn(text, LevitWarning, stacklevel=2)
        distinct = {label for sample_labels in labels for label in sample_labels}
        names = sorted(label for label in distinct if isinstance(label, str))
        numbers = [label for label in distinct if isinstance(label, int)]
        if names and numbers:
            reason = f"labels are numbers and names ({numbers[0]}, {describe(names[0])})"
            raise DataError(reason, source=shards[0])
        self.is_multi_label = has_list
        self.classes = tuple(names) if names else read_class_names(shards[0], 1 + max(numbers)) if numbers else ()
        self._class_indices = {name: index for index, name in enumerate(names)}

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[LabeledImage]:
        for shard in self._shards:
            for key, sample in _samples(shard, with_images=True):
                if not _has_image(sample):
                    continue
                image = next(content for suffix, content in sample.items() if is_image_suffix(f".{suffix}"))
                labels = [
                    label if isinstance(label, int) else self._class_indices[label]
                    for label in _labels(shard, key, sample)[0]
                ]
                yield LabeledImage(image, tuple(labels), f"{shard.name}/{key}")

    def sha256(self) -> str:
        """Hash of the shard, or of the hashes of the shards."""
        return hash_files(self._shards)


def _samples(shard: Path, *, with_images: bool) -> Iterator[tuple[str, Sample]]:
    """Key and files of each sample; without images, the content of images is empty."""

    def is_needed(name: str) -> bool:
        suffix = _split_name(name)[1]
        return suffix in ("cls", "json") or (with_images and is_image_suffix(f".{suffix}"))

    current_key, sample = "", Sample()
    for name, content in iterate_members(shard, is_needed):
        key, suffix = _split_name(name)
        if not key:  # a hidden file, such as the metadata of macOS (`._0001.jpg`)
            continue
        if key != current_key:
            if sample:
                yield current_key, sample
            current_key, sample = key, Sample()
        sample[suffix] = content
    if sample:
        yield current_key, sample


def _split_name(name: str) -> tuple[str, str]:
    """Key and suffix of a member; an empty key if its name begins with a dot."""
    folder, _, file = name.rpartition("/")
    stem, _, suffix = file.partition(".")
    return f"{folder}/{stem}" if folder and stem else stem, suffix.lower()


def _has_image(sample: Sample) -> bool:
    return any(is_image_suffix(f".{suffix}") for suffix in sample)


def _labels(shard: Path, key: str, sample: Sample) -> tuple[list[int | str], bool]:
    """Labels of a sample, numbers or class names, and whether they are a list."""
    suffix = "cls" if "cls" in sample else "json"
    try:
        labels, is_list = _labels_in(suffix, sample.get(suffix))
    except DataError as error:
        raise in_record(error, shard, f"{key}.{suffix}") from None
    return list(dict.fromkeys(label for label in labels if label is not None)), is_list


def _labels_in(suffix: str, content: bytes | None) -> tuple[list[int | str | None], bool]:
    if content is None:
        return [], False
    if suffix == "cls":
        return [label_index_in_text(content.decode("utf-8-sig", errors="replace"))], False
    values = parse_json(content)
    if not isinstance(values, dict):
        raise DataError(f"{describe(values)} is not an object of names and values")
    labels = values.get("labels", values.get("label"))
    if isinstance(labels, list):
        return [_label(label) for label in labels], True
    return [_label(labels)], False


def _label(value: Any) -> int | str | None:
    return class_name(value) if isinstance(value, str) else label_index(value)
