"""`levit data`: inspection of labeled images."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from levit.cli.shared_options import AllowOutsideOption, ThreadsOption

if TYPE_CHECKING:
    from levit.data.inspection import SplitSummary
    from levit.data.labeled_images import LabeledDataset

_MAX_SHOWN = 5  # names in a field of the table
_MAX_CLASSES = 20  # of which each is listed with its number of images


SourceArgument = Annotated[
    str, typer.Argument(metavar="DATA", help="A folder, a file, or a data set of the Hugging Face Hub.")
]
SplitOption = Annotated[
    str | None, typer.Option(help="Only this split; default: the train, validation and test splits.")
]
ContactSheetOption = Annotated[
    str | None,
    typer.Option(metavar="FILE.jpg", help="Also draw thumbnails of images of every class into this file."),
]
SimilarOption = Annotated[
    bool, typer.Option("--similar", help="Also find near-duplicates, such as edited copies, by their features.")
]
SimilarityOption = Annotated[
    float | None, typer.Option(help="With --similar: smallest similarity, in (0, 1]; default: 0.98.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print a JSON list with one object for each split.")]


def data(
    source: SourceArgument,
    split: SplitOption = None,
    contact_sheet: ContactSheetOption = None,
    similar: SimilarOption = False,
    similarity: SimilarityOption = None,
    threads: ThreadsOption = None,
    allow_outside: AllowOutsideOption = False,
    as_json: JsonOption = False,
) -> None:
    """Count the images of each class, their sizes and modes, unreadable images and duplicates.

    The exit code is 1 if some images cannot be read.
    """
    if similarity is not None and not similar:
        raise typer.BadParameter("--similarity needs --similar")
    from levit.cli.json_output import print_json
    from levit.cli.progress_bar import track
    from levit.data.image_folder import describe_splits
    from levit.evaluation.inspect_data import inspect, open_inspected
    from levit.evaluation.near_duplicates import THRESHOLD
    from levit.reporting.contact_sheet import draw_contact_sheet

    splits = open_inspected(source, split, allow_outside=allow_outside)
    if contact_sheet is not None:  # first, so that an invalid file name is an error before all images are read
        _check_sheet(Path(contact_sheet), splits)
        draw_contact_sheet([*splits.values()], Path(contact_sheet))
    threshold = THRESHOLD if similarity is None else similarity
    summaries = inspect(
        splits,
        similarity=threshold if similar else None,
        threads=threads,
        progress=lambda images: track(images, "reading"),
        embedding_progress=lambda embeddings: track(embeddings, "looking for near-duplicates"),
    )
    if as_json:
        print_json([_json_object(summary) for summary in summaries])
    else:
        _print_tables(summaries, describe_splits(Path(source)) if Path(source).is_dir() else "")
    if any(summary.num_bad for summary in summaries):
        raise typer.Exit(1)


def _check_sheet(file: Path, splits: Mapping[str, LabeledDataset]) -> None:
    """Refuse a contact sheet in place of an image of the data."""
    from levit.data.file_list import FileListDataset
    from levit.errors import DataError
    from levit.files import is_same_file

    for data in splits.values() if file.exists() else ():
        if isinstance(data, FileListDataset):
            paths = (data.files.folder / item.name for item in data if Path(item.name).name == file.name)
            if any(is_same_file(path, file) for path in paths):
                raise DataError("is one of the images", source=file, hint="give another name to the contact sheet")


def _json_object(summary: SplitSummary) -> dict[str, Any]:
    from levit.data.imagenet_names import distinct_names

    return {
        "split": summary.name,
        "images": summary.num_images,
        "classes": dict(zip(distinct_names(summary.classes), summary.images_per_class, strict=True)),
        "unlabeled": summary.num_unlabeled,
        "out_of_range": summary.num_out_of_range,
        "bad": summary.num_bad,
        "bad_examples": [{"name": name, "reason": reason} for name, reason in summary.bad_examples],
        "duplicates": summary.num_duplicates,
        "duplicate_examples": [{"name": name, "first": first} for name, first in summary.duplicate_examples],
        "similar": summary.num_similar,
        "similar_examples": [
            {"name": name, "first": first, "similarity": similarity}
            for name, first, similarity in summary.similar_examples
        ],
        "modes": dict(summary.modes),
        "sizes": summary.size_quantiles(),
    }


def _print_tables(summaries: list[SplitSummary], folders: str) -> None:
    from rich.console import Console

    from levit.cli.output import print_fields

    if folders:
        print_fields({"folders": folders})
        Console().print()
    for number, summary in enumerate(summaries):
        if number:
            Console().print()
        print_fields(_fields(summary))


def _fields(summary: SplitSummary) -> dict[str, str]:
    sizes = [
        f"{name} {low} to {high}, median {median}" for name, (low, median, high) in summary.size_quantiles().items()
    ]
    fields = {
        "split": summary.name,
        "images": f"{summary.num_images:,}, {summary.num_unlabeled:,} without a label, {summary.num_bad:,} unreadable, "
        f"{summary.num_duplicates:,} duplicates",
        "classes": _class_sizes(summary),
        "pixels": ", ".join(sizes) or "none",
        "modes": ", ".join(f"{mode} {count:,}" for mode, count in summary.modes.most_common()) or "none",
    }
    if summary.num_out_of_range:
        fields["out of range"] = f"{summary.num_out_of_range:,} labels are not the number of a class"
    if summary.empty_classes:
        fields["empty classes"] = _first(summary.empty_classes, len(summary.empty_classes))
    if summary.num_bad:
        fields["unreadable"] = _first([f"{name} ({reason})" for name, reason in summary.bad_examples], summary.num_bad)
    if summary.num_duplicates:
        duplicates = [f"{name} is a copy of {_in_split(first)}" for name, first in summary.duplicate_examples]
        fields["duplicates"] = _first(duplicates, summary.num_duplicates)
    if summary.num_similar is not None:
        similar = [
            f"{name} is like {_in_split(first)} ({value:.3f})" for name, first, value in summary.similar_examples
        ]
        fields["near-duplicates"] = _first(similar, summary.num_similar) or "none"
    return fields


def _in_split(name: str) -> str:
    """Name of an image with that of its split, if the data has splits."""
    return name.removeprefix("all: ")


def _class_sizes(summary: SplitSummary) -> str:
    if not summary.classes:
        return "none"
    sizes = sorted(zip(summary.images_per_class, summary.classes, strict=True), key=lambda pair: -pair[0])
    (most, largest), (fewest, smallest) = sizes[0], sizes[-1]
    if most == fewest:
        return f"{len(sizes):,}, of {most:,} images each"
    if len(sizes) <= _MAX_CLASSES:
        return f"{len(sizes):,}: " + ", ".join(f"{name} {count:,}" for count, name in sizes)
    return f"{len(sizes):,}, of {fewest:,} ({smallest}) to {most:,} images ({largest})"


def _first(names: list[str], count: int) -> str:
    more = f", and {count - _MAX_SHOWN:,} more" if count > _MAX_SHOWN else ""
    return ", ".join(names[:_MAX_SHOWN]) + more
