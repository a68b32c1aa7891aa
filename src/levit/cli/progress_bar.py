"""A progress bar on standard error, for what takes longer than two seconds, on a terminal only."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

Item = TypeVar("Item")

PATIENCE = 2.0  # seconds before a bar is worth showing


def track(items: Iterable[Item], description: str, *, is_printed: bool = False) -> Iterator[Item]:
    """Pass the items on, and show how many there were and how fast they come.

    Args:
        items: what is passed on.
        description: of it, before the numbers.
        is_printed: whether each is printed; on the terminal they are progress enough.
    """
    if not sys.stderr.isatty() or (is_printed and sys.stdout.isatty()):
        yield from items
        return
    from rich.console import Console
    from rich.progress import MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = (SpinnerColumn(), TextColumn(description), MofNCompleteColumn(), TimeElapsedColumn())
    progress = Progress(
        *columns,
        console=Console(stderr=True),
        transient=True,
        redirect_stdout=False,  # the answers go where the user sent them
        redirect_stderr=False,
    )
    task = progress.add_task(description, total=None)
    started, shown = time.monotonic(), False
    try:
        for item in items:
            if not shown and time.monotonic() - started > PATIENCE:
                progress.start()
                shown = True
            yield item
            progress.advance(task)
    finally:
        if shown:
            progress.stop()
