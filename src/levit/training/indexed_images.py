"""Random access to labeled images by index: files are read in place, other data is copied into one file first."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from levit.data.file_list import FileList, FileListDataset
from levit.data.labeled_images import LabeledDataset, LabeledImage
from levit.errors import DataError, LevitWarning
from levit.images.decoding import ImageSource
from levit.training.packed_images import PackedImages, estimate_packed_size, pack_images


class ImageStore(Protocol):
    """Images by number, with the labels of their data set."""

    def __len__(self) -> int: ...

    def image(self, index: int) -> ImageSource:
        """Return the path or the bytes of an image file."""
        ...

    def view(self, index: int) -> Path | memoryview:
        """Return the path or the bytes of an image file, without reading it."""
        ...

    def labels(self, index: int) -> tuple[int, ...]:
        """Return the class indices of an image in the data set."""
        ...

    def name(self, index: int) -> str:
        """Return the name of an image."""
        ...


class IndexedImages:
    """Labeled images with random access, and the labels of the network.

    Args:
        store: the images, with the labels of the data set.
        class_indices: for each class of the data set, the index of the network's label of the same name.
        classes: labels of the network.
        is_multi_label: whether an image may have any number of labels.
        rows: numbers of the images in `store`, int64 [images]; None for all of them.
        first_outlier: number of the first image in `store` that is an outlier, an out-of-distribution image, as are all
            images after it; None without outliers.

    Attributes:
        class_indices, classes, is_multi_label: the arguments.
    """

    def __init__(
        self,
        store: ImageStore,
        class_indices: Sequence[int],
        *,
        classes: tuple[str, ...],
        is_multi_label: bool,
        rows: NDArray[np.int64] | None = None,
        first_outlier: int | None = None,
    ) -> None:
        self.classes, self.is_multi_label = classes, is_multi_label
        self._store, self.class_indices = store, tuple(class_indices)
        self._rows = np.arange(len(store)) if rows is None else rows
        self._first_outlier = len(store) if first_outlier is None else first_outlier

    def __len__(self) -> int:
        return len(self._rows)

    def image(self, index: int) -> ImageSource:
        """Return the path or the bytes of an image file."""
        return self._store.image(int(self._rows[index]))

    def view(self, index: int) -> Path | memoryview:
        """Return the path or the bytes of an image file, without reading it."""
        return self._store.view(int(self._rows[index]))

    def labels(self, index: int) -> tuple[int, ...]:
        """Return the labels of an image, as indices into `classes`."""
        return tuple(self.class_indices[label] for label in self._store.labels(int(self._rows[index])))

    def name(self, index: int) -> str:
        """Return the name of an image."""
        return self._store.name(int(self._rows[index]))

    def is_outlier(self, index: int) -> bool:
        """Return whether an image is out-of-distribution; it has no labels."""
        return bool(self._rows[index] >= self._first_outlier)

    @property
    def num_outliers(self) -> int:
        """Number of out-of-distribution images."""
        return int((self._rows >= self._first_outlier).sum())

    @property
    def num_unlabeled(self) -> int:
        """Number of images whose label is not known; 0 where an image may have any number of labels."""
        if self.is_multi_label:
            return 0
        return sum(not self._store.labels(int(row)) for row in self._rows if row < self._first_outlier)

    def with_unlabeled(self, unlabeled: ImageStore) -> IndexedImages:
        """Return these images, which contain no outliers, followed by others without labels."""
        return self._followed_by(unlabeled, first_outlier=None)

    def with_outliers(self, outliers: ImageStore) -> IndexedImages:
        """Return these images, which contain no outliers, followed by out-of-distribution images."""
        return self._followed_by(outliers, first_outlier=len(self._store))

    def select(self, indices: NDArray[np.int64]) -> IndexedImages:
        """Return the images of these indices, int64 [images], which get the indices from 0."""
        return IndexedImages(
            self._store,
            self.class_indices,
            classes=self.classes,
            is_multi_label=self.is_multi_label,
            rows=self._rows[indices],
            first_outlier=self._first_outlier,
        )

    def _followed_by(self, others: ImageStore, *, first_outlier: int | None) -> IndexedImages:
        store = _JoinedStore(self._store, others)
        return IndexedImages(
            store, self.class_indices, classes=self.classes, is_multi_label=self.is_multi_label,
            rows=np.concatenate([self._rows, np.arange(len(self._store), len(store))]), first_outlier=first_outlier,
        )  # fmt: skip


class _FileStore:
    """Image files that are read in place."""

    def __init__(self, files: FileList) -> None:
        self._files = files

    def __len__(self) -> int:
        return len(self._files)

    def image(self, index: int) -> ImageSource:
        return self.view(index)

    def view(self, index: int) -> Path | memoryview:
        return self._files.folder / self._files.name(index)

    def labels(self, index: int) -> tuple[int, ...]:
        return self._files.labels(index)

    def name(self, index: int) -> str:
        return self._files.name(index)


def index_images(
    data: LabeledDataset,
    copy: Path,
    *,
    classes: tuple[str, ...],
    class_indices: Sequence[int],
    writes: bool = True,
    keeps_unlabeled: bool = False,
) -> IndexedImages:
    """Index labeled images.

    Images without a label are left out, with a warning, unless the data is multi-label or `keeps_unlabeled` is set.

    Images in files of their own are read in place. Those of parquet files or tar shards are copied into one file,
    because training reads them in another order in each epoch.

    Args:
        data: the images.
        copy: path of the copy.
        classes: labels of the network.
        class_indices: for each class of the data set, the index of the network's label of the same name.
        writes: whether this process writes the copy; the others read it, after it was written.
        keeps_unlabeled: whether images without a label are kept, because a teacher has a prediction for them.

    Raises:
        DataError: a label is out of range, an image file cannot be read, or no image has a label.
        LevitError: the disk is full.
    """
    store: ImageStore
    if isinstance(data, FileListDataset):
        store = _FileStore(data.files)
        for number in range(len(store)):
            _check_labels(store.labels(number), store.name(number), data)
    else:
        store = pack_images(_with_checked_labels(data), copy) if writes else PackedImages(copy)
    rows = [number for number in range(len(store)) if data.is_multi_label or store.labels(number)]
    if rows and keeps_unlabeled:
        rows = [*range(len(store))]
    if not rows:
        raise no_label_error(data)
    if len(rows) < len(store):
        text = f"{data.name}: left out without a label: {len(store) - len(rows):,} of {len(store):,} images"
        warnings.warn(text, LevitWarning, stacklevel=2)
    return IndexedImages(
        store, class_indices, classes=classes, is_multi_label=data.is_multi_label, rows=np.array(rows, np.int64)
    )


def index_unlabeled_images(data: LabeledDataset, copy: Path, *, writes: bool = True) -> ImageStore:
    """Index images whose labels, if they have any, are ignored.

    Args:
        data: the images.
        copy: path of the copy of images that are not in files of their own.
        writes: whether this process writes the copy; the others read it, after it was written.

    Raises:
        DataError: an image file cannot be read.
        LevitError: the disk is full.
    """
    if isinstance(data, FileListDataset):
        return _FileStore(data.files)
    return pack_images((item._replace(labels=()) for item in data), copy) if writes else PackedImages(copy)


def no_label_error(data: LabeledDataset) -> DataError:
    """Create the error for data without any label."""
    return DataError("no image has a label", source=data.name, hint="`levit data` shows what it contains")


class _JoinedStore:
    """Images of a store, followed by those of another one without their labels."""

    def __init__(self, labeled: ImageStore, unlabeled: ImageStore) -> None:
        self._labeled, self._unlabeled = labeled, unlabeled

    def __len__(self) -> int:
        return len(self._labeled) + len(self._unlabeled)

    def image(self, index: int) -> ImageSource:
        first = len(self._labeled)
        return self._labeled.image(index) if index < first else self._unlabeled.image(index - first)

    def view(self, index: int) -> Path | memoryview:
        first = len(self._labeled)
        return self._labeled.view(index) if index < first else self._unlabeled.view(index - first)

    def labels(self, index: int) -> tuple[int, ...]:
        return self._labeled.labels(index) if index < len(self._labeled) else ()

    def name(self, index: int) -> str:
        first = len(self._labeled)
        return self._labeled.name(index) if index < first else self._unlabeled.name(index - first)


def needs_copy(data: LabeledDataset) -> bool:
    """Return whether `index_images` copies the images, which takes minutes for large data sets."""
    return not isinstance(data, FileListDataset)


def estimate_copy_size(data: LabeledDataset) -> int:
    """Estimate the size in bytes of the copy that `index_images` makes; 0 where it makes none."""
    return estimate_packed_size(data) if needs_copy(data) else 0


def _with_checked_labels(data: LabeledDataset) -> Iterator[LabeledImage]:
    for item in data:
        _check_labels(item.labels, item.name, data)
        yield item


def _check_labels(labels: Sequence[int], name: str, data: LabeledDataset) -> None:
    """Raise `DataError` for a label that is not the index of a class."""
    invalid = [label for label in labels if not 0 <= label < len(data.classes)]
    if invalid:
        raise DataError(
            f"{name}: label {invalid[0]} is out of range for {len(data.classes)} classes",
            source=data.name,
            hint="`levit data` shows what it contains",
        )
