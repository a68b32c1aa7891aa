"""`levit data`: inspection of labeled images."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from levit.data.inspection import SplitSummary
    from levit.data.labeled_images import LabeledDataset

_MAX_SHOWN = 5  # names in a field of the table


def data(
    source: Annotated[
        str, typer.Argument(metavar="DATA", help="A folder, a file, or a data set of the Hugging Face Hub.")
    ],
    split: Annotated[
        str | None, typer.Option(help="Only this split; default: the train, validation and test splits.")
    ] = None,
    contact_sheet: Annotated[
        str | None,
        typer.Option(metavar="FILE.jpg", help="Also draw thumbnails of evenly spaced images into this file."),
    ] = None,
    threads: Annotated[
        int | None, typer.Option(min=1, help="Number of threads; default: the cores that this process may use.")
    ] = None,
    allow_outside: Annotated[
        bool,
        typer.Option("--allow-outside", help="Read images outside the folder of the data, where a table names them."),
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON list with one object for each split.")] = False,
) -> None:
    """Count the images of each class, their sizes and modes, unreadable images and duplicates.

    The exit code is 1 if some images cannot be read.
    """
    from levit.cli.output import print_json
    from levit.cli.progress_bar import track
    from levit.data.image_folder import describe_splits
    from levit.data.inspection import inspect_splits
    from levit.reporting.contact_sheet import draw_contact_sheet
    from levit.runtime.cpu_count import usable_cores

    splits = _open(source, split, allow_outside=allow_outside)
    if contact_sheet is not None:  # first, so that an invalid file name is an error before all images are read
        draw_contact_sheet([*splits.values()], Path(contact_sheet))
    summaries = inspect_splits(
        splits, threads=threads or usable_cores(), progress=lambda images: track(images, "reading")
    )
    if as_json:
        print_json([_json_object(summary) for summary in summaries])
    else:
        _print_tables(summaries, describe_splits(Path(source)) if Path(source).is_dir() else "")
    if any(summary.num_bad for summary in summaries):
        raise typer.Exit(1)


def _open(source: str, split: str | None, *, allow_outside: bool) -> dict[str, LabeledDataset]:
    from levit.data.open_data import open_data, open_splits

    if split is None:
        return open_splits(source, allow_outside=allow_outside)
    return {split: open_data(source, split=split, allow_outside=allow_outside)}


def _json_object(summary: SplitSummary) -> dict[str, Any]:
    return {
        "split": summary.name,
        "images": summary.num_images,
        "classes": dict(zip(summary.classes, summary.images_per_class, strict=True)),
        "unlabeled": summary.num_unlabeled,
        "out_of_range": summary.num_out_of_range,
        "bad": summary.num_bad,
        "bad_examples": [{"name": name, "reason": reason} for name, reason in summary.bad_examples],
        "duplicates": summary.num_duplicates,
        "duplicate_examples": [{"name": name, "first": first} for name, first in summary.duplicate_examples],
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
        duplicates = [f"{name} is {first}" for name, first in summary.duplicate_examples]
        fields["duplicates"] = _first(duplicates, summary.num_duplicates)
    return fields


def _class_sizes(summary: SplitSummary) -> str:
    if not summary.classes:
        return "none"
    sizes = sorted(zip(summary.images_per_class, summary.classes, strict=True), key=lambda pair: -pair[0])
    (most, largest), (fewest, smallest) = sizes[0], sizes[-1]
    if most == fewest:
        return f"{len(sizes):,}, of {most:,} images each"
    return f"{len(sizes):,}, of {fewest:,} ({smallest}) to {most:,} images ({largest})"


def _first(names: list[str], count: int) -> str:
    more = f", and {count - _MAX_SHOWN:,} more" if count > _MAX_SHOWN else ""
    return ", ".join(names[:_MAX_SHOWN]) + more
