"""Tar shards in the layout of WebDataset: `0001.jpg` beside `0001.cls` or `0001.json`, streamed."""

from __future__ import annotations

import hashlib
import json
import tarfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from levit.checkpoints.weight_files import hash_file
from levit.data.class_names import read_class_names
from levit.data.labeled_images import LabeledImage
from levit.errors import DataError
from levit.spec.image_files import IMAGE_SUFFIXES


class TarDataset:
    """The samples of some tar files, read from the first byte to the last; only their number is kept.

    A label is the number in `….cls`, or `label` (a number or a name) or `labels` in `….json`. The names of the classes
    are the lines of `classes.txt` beside the shards; without it a thousand classes are ImageNet's, and labels that are
    names name themselves.

    Raises:
        DataError: a file is no tar file, or there are no images, or the classes have no names.
    """

    is_any_label_correct = is_grouped = False

    def __init__(self, shards: Sequence[Path], *, name: str | None = None) -> None:
        self.name = name or shards[0].name
        self._shards = list(shards)
        labels = [_labels(sample) for shard in shards for _, sample in _samples(shard, images=False)]
        self._count = len(labels)
        if not labels:
            raise DataError(f"{shards[0]}: no images in it ({', '.join(sorted(IMAGE_SUFFIXES))})")
        given = {label for of_one in labels for label in of_one}
        names = sorted(label for label in given if isinstance(label, str))
        self.is_multi_label = any(len(of_one) > 1 for of_one in labels)
        numbers = [label for label in given if isinstance(label, int)]
        self.classes = tuple(names) if names else read_class_names(shards[0], 1 + max(numbers)) if numbers else ()
        self._places = {label: index for index, label in enumerate(names)}

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[LabeledImage]:
        for shard in self._shards:
            for key, sample in _samples(shard, images=True):
                image = next(content for ending, content in sample.items() if f".{ending}" in IMAGE_SUFFIXES)
                indices = [label if isinstance(label, int) else self._places[label] for label in _labels(sample)]
                yield LabeledImage(image, tuple(indices), f"{shard.name}/{key}")

    def sha256(self) -> str:
        """Of the shard, or of the hashes of the shards."""
        hashes = [hash_file(shard) for shard in self._shards]
        return hashes[0] if len(hashes) == 1 else hashlib.sha256("".join(hashes).encode()).hexdigest()


def _samples(shard: Path, *, images: bool) -> Iterator[tuple[str, dict[str, bytes]]]:
    """Key and files of each sample that has an image; the images' own bytes only where they are wanted."""
    key, sample = "", dict[str, bytes]()
    try:
        with tarfile.open(shard, "r|*") as stream:
            for member in stream:
                folder, _, file = member.name.rpartition("/")
                stem, _, ending = file.partition(".")
                ending = ending.lower()
                this = f"{folder}/{stem}" if folder else stem
                if not member.isfile():
                    continue
                if this != key and sample:
                    yield from _whole(key, sample)
                    sample = {}
                key = this
                wanted = images or f".{ending}" not in IMAGE_SUFFIXES
                content = stream.extractfile(member) if wanted else None
                sample[ending] = content.read() if content is not None else b""
    except (OSError, tarfile.TarError) as error:
        raise DataError(f"{shard}: not a tar file, or incomplete ({error})") from error
    yield from _whole(key, sample)


def _whole(key: str, sample: dict[str, bytes]) -> Iterator[tuple[str, dict[str, bytes]]]:
    if any(f".{ending}" in IMAGE_SUFFIXES for ending in sample):
        yield key, sample


def _labels(sample: dict[str, bytes]) -> list[int | str]:
    """What a sample says of its classes: numbers or names."""
    try:
        if "cls" in sample:
            return [int(sample["cls"])]
        values = json.loads(sample["json"]) if "json" in sample else {}
    except ValueError:
        return []
    found = values.get("labels", values.get("label", [])) if isinstance(values, dict) else []
    several = found if isinstance(found, list) else [found]
    return [label for label in several if isinstance(label, int | str)]
