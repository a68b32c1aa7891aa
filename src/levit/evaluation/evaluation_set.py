"""Images to evaluate a model on, opened by their path, with the other splits of their data."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from os import PathLike

from levit.data.duplicates import Duplicates, HashedImage, find_duplicates
from levit.data.labeled_images import LabeledDataset
from levit.data.open_data import open_with_other_splits
from levit.data.read_once import ReadOnceDataset
from levit.data.subsets import without_quantization_images
from levit.runtime.cpu_count import usable_cores

HashProgress = Callable[[Iterator[HashedImage]], Iterable[HashedImage]]


def without_hash_progress(hashed: Iterator[HashedImage]) -> Iterator[HashedImage]:
    """Pass images on unchanged: the default of `duplicates_progress` arguments."""
    return hashed


class EvaluationSet(ReadOnceDataset):
    """One split of a data set, each file of which is read once, with its other splits.

    Args:
        data: the images.
        other_splits: the other splits, by name, which are searched for duplicates.
        split: name of the split of the images; None where the data has none, or it is not known.
        threads: number of files that are read at once.

    Attributes:
        split: as given.
    """

    def __init__(
        self, data: LabeledDataset, other_splits: Mapping[str, LabeledDataset], split: str | None, *, threads: int
    ) -> None:
        super().__init__(data, threads=threads)
        self.split, self._other_splits = split, other_splits

    def find_duplicates(self, num_excluded: int, progress: HashProgress = without_hash_progress) -> Duplicates:
        """Find images that occur more than once, or also in another split; after a pass, no image is read again.

        Args:
            num_excluded: number of quantization images that are left out of the evaluation.
            progress: wraps the iterator over the hashed images of each split, for example in a progress bar.
        """
        images = without_quantization_images(self.hashes(), num_excluded)
        return find_duplicates(images, self._other_splits, threads=self._threads, progress=progress)


def split_of(data: LabeledDataset) -> str | None:
    """Name of the split of an `EvaluationSet`; None of another data set."""
    return data.split if isinstance(data, EvaluationSet) else None


def duplicates_of(data: LabeledDataset, num_excluded: int, progress: HashProgress) -> Duplicates | None:
    """Duplicates of an `EvaluationSet`; None of another data set, whose other splits are not known."""
    return data.find_duplicates(num_excluded, progress) if isinstance(data, EvaluationSet) else None


def open_evaluation_set(
    path: str | PathLike[str], *, split: str | None = None, allow_outside: bool = False, threads: int | None = None
) -> EvaluationSet:
    """Open images with `levit.open_data`, and the other splits of their data.

    Args:
        path: as for `levit.open_data`.
        split: as for `levit.open_data`.
        allow_outside: as for `levit.open_data`.
        threads: number of files that are read at once; None for the number of cores that this process may use.

    Raises:
        DataError, ImportError: as for `levit.open_data`.

    Examples:
        >>> photos = open_evaluation_set("examples")
        >>> photos.name, photos.split, photos.find_duplicates(0).num_within
        ('examples', None, 0)
    """
    images, other_splits, name = open_with_other_splits(path, split=split, allow_outside=allow_outside)
    return EvaluationSet(images, other_splits, name, threads=threads or usable_cores())
