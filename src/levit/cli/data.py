"""`levit data`: what is in labeled images?"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from levit.data.inspection import SplitSummary

_SHOWN = 5


def data(
    source: Annotated[str, typer.Argument(metavar="DATA", help="A folder, a file, or a name on the hub.")],
    split: Annotated[str | None, typer.Option(help="Only this part; default: train, validation and test.")] = None,
    contact_sheet: Annotated[
        str | None, typer.Option(metavar="FILE.jpg", help="Also draw images from all over the data.")
    ] = None,
    threads: Annotated[
        int | None, typer.Option(min=1, help="How many threads to use; default: the cores that this process may use.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Everything as one JSON object.")] = False,
) -> None:
    """Show what labeled images hold: counts, sizes, modes, bad files, duplicates.

    The exit code is 1 when some images cannot be read.
    """
    from levit.cli.output import print_json
    from levit.cli.progress_bar import track
    from levit.data.inspection import draw_contact_sheet, inspect
    from levit.data.open_data import open_data, open_splits
    from levit.runtime.cpu_count import usable_cores

    parts = open_splits(source) if split is None else {split: open_data(source, split=split)}
    if contact_sheet is not None:  # first, so that a name that cannot be is found out before everything is read
        draw_contact_sheet([*parts.values()], Path(contact_sheet))
    summaries = inspect(parts, threads=threads or usable_cores(), watch=lambda looked: track(looked, "reading"))
    if as_json:
        print_json([_values(one) for one in summaries])
    else:
        _print(summaries)
    if any(one.bad for one in summaries):
        raise typer.Exit(1)


def _values(one: SplitSummary) -> dict[str, Any]:
    return {
        "split": one.name,
        "images": one.images,
        "classes": dict(zip(one.classes, one.per_class, strict=True)),
        "unlabeled": one.unlabeled,
        "out_of_range": one.out_of_range,
        "bad": one.bad,
        "bad_named": [{"name": name, "reason": reason} for name, reason in one.bad_named],
        "duplicates": one.duplicates,
        "duplicates_named": [{"name": name, "first": first} for name, first in one.duplicates_named],
        "modes": dict(one.modes),
        "sizes": one.size_quantiles(),
    }


def _print(summaries: list[SplitSummary]) -> None:
    from rich.console import Console

    from levit.cli.output import print_fields

    for number, one in enumerate(summaries):
        if number:
            Console().print()
        print_fields(_fields(one))


def _fields(one: SplitSummary) -> dict[str, str]:
    sizes = ", ".join(f"{name} {low} to {high}, median {middle}" for name, (low, middle, high) in
                      one.size_quantiles().items())  # fmt: skip
    fields = {
        "split": one.name,
        "images": f"{one.images:,}, {one.unlabeled:,} without a label, {one.bad:,} that cannot be read, "
        f"{one.duplicates:,} that are there twice",
        "classes": _classes(one),
        "pixels": sizes or "none",
        "modes": ", ".join(f"{mode} {count:,}" for mode, count in one.modes.most_common()) or "none",
    }
    if one.out_of_range:
        fields["out of range"] = f"{one.out_of_range:,} labels are no class"
    if one.empty_classes:
        fields["empty classes"] = _first([*one.empty_classes], len(one.empty_classes))
    if one.bad:
        fields["bad"] = _first([f"{name} ({reason})" for name, reason in one.bad_named], one.bad)
    if one.duplicates:
        fields["duplicates"] = _first([f"{name} is {first}" for name, first in one.duplicates_named], one.duplicates)
    return fields


def _classes(one: SplitSummary) -> str:
    if not one.classes:
        return "none"
    order = sorted(zip(one.per_class, one.classes, strict=True), key=lambda pair: -pair[0])
    (most, largest), (fewest, smallest) = order[0], order[-1]
    if most == fewest:
        return f"{len(one.classes):,}, of {most:,} images each"
    return f"{len(one.classes):,}, of {fewest:,} ({smallest}) to {most:,} images ({largest})"


def _first(names: list[str], count: int) -> str:
    more = f", and {count - _SHOWN:,} more" if count > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more
