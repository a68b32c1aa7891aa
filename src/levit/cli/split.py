"""The command `levit split`: a folder of images divided into training, validation and test images."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Annotated, Any

import typer

from levit.cli.shared_options import AllowOutsideOption, JsonOption
from levit.errors import printable

if TYPE_CHECKING:
    from levit.evaluation.split_data import SplitReport

_MAX_NAMES = 5

DataArgument = Annotated[
    str, typer.Argument(metavar="DATA", help="Labeled images, stored as separate files: a folder, a table or a list.")
]
OutOption = Annotated[str, typer.Option("--out", "-o", metavar="DIR", help="Folder to create.")]
TestOption = Annotated[
    float | None, typer.Option(help="Fraction of the images of each class for test/; default: 0.2, or 0 with a list.")
]
ValOption = Annotated[
    float | None, typer.Option(help="Fraction of the images of each class for val/; default: 0.1, or 0 with a list.")
]
TestFilesOption = Annotated[
    str | None,
    typer.Option(metavar="FILE", help="The files for test/: a text file with a name in each line, or a CSV table."),
]
ValFilesOption = Annotated[
    str | None, typer.Option(metavar="FILE", help="The files for val/, such as val_files.csv of a run.")
]
SimilarityOption = Annotated[
    float | None,
    typer.Option(
        help="Cosine similarity at or above which images count as near-duplicates and stay together; default: 0.98."
    ),
]
NoSimilarOption = Annotated[
    bool, typer.Option("--no-similar", help="Keep only files of the same content together, which is faster.")
]
LinkOption = Annotated[bool, typer.Option("--link", help="Symbolic links instead of copies.")]


def split(
    data: DataArgument,
    out: OutOption,
    test: TestOption = None,
    val: ValOption = None,
    test_files: TestFilesOption = None,
    val_files: ValFilesOption = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the random choice.")] = 0,
    similarity: SimilarityOption = None,
    no_similar: NoSimilarOption = False,
    link: LinkOption = False,
    split: Annotated[str | None, typer.Option(help="The only split to divide, where the data has several.")] = None,
    allow_outside: AllowOutsideOption = False,
    as_json: JsonOption = False,
) -> None:
    """Divide labeled images into training, validation and test images, in a new folder.

    Duplicates and near-duplicates stay in the same part. The data are not changed; the files are copied, or linked.
    """
    from levit.cli.json_output import print_json
    from levit.cli.progress_bar import track
    from levit.evaluation.near_duplicates import THRESHOLD
    from levit.evaluation.split_data import split_data

    if no_similar and similarity is not None:
        raise typer.BadParameter("--similarity and --no-similar exclude each other: give one of them")
    threshold = THRESHOLD if similarity is None else similarity
    report = split_data(
        data, out, test=test, val=val, test_files=test_files, val_files=val_files, seed=seed,
        similarity=None if no_similar else threshold, link=link, split=split, allow_outside=allow_outside,
        progress=lambda embeddings: track(embeddings, "looking for near-duplicates"),
    )  # fmt: skip
    if as_json:
        print_json(_values(report))
    else:
        _print(report)


def _values(report: SplitReport) -> dict[str, Any]:
    return {
        "folder": str(report.folder),
        "list": str(report.list_file),
        "images": dict(report.num_images),
        "classes": report.num_classes,
        "copies": report.num_copies,
        "similar": report.num_similar,
        "missing_classes": {part: list(names) for part, names in report.missing_classes.items()},
    }


def _print(report: SplitReport) -> None:
    from levit.cli.output import print_fields

    images = ", ".join(f"{count:,} {part}" for part, count in report.num_images.items())
    fields = {"written": f"{report.folder}: {images}", "classes": f"{report.num_classes:,}"}
    if report.num_copies or report.num_similar:
        fields["kept together"] = f"{report.num_copies:,} copies and {report.num_similar:,} near-duplicates of others"
    for part, missing in report.missing_classes.items():
        names = "; ".join(missing[:_MAX_NAMES])
        more = f"; and {len(missing) - _MAX_NAMES:,} more" if missing[_MAX_NAMES:] else ""
        fields[f"not in {part}"] = f"{names}{more}: too few images that are not duplicates"
    fields["list"] = str(report.list_file)
    fields["then"] = f"levit train {printable(shlex.quote(str(report.folder)))}"
    print_fields(fields)
