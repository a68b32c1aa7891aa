"""Progress bar on standard error, for terminals, and for work that takes longer than two seconds."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

Item = TypeVar("Item")

DELAY = 2.0  # seconds before the bar appears


def track(items: Iterable[Item], description: str, *, is_printed: bool = False, delay: float = DELAY) -> Iterator[Item]:
    """Yield the items, and show their number and the elapsed time in a progress bar.

    Args:
        items: any iterable.
        description: text before the numbers.
        is_printed: True if each item is printed; a bar is then shown only if standard output is not a terminal.
        delay: seconds before the bar appears.
    """
    from levit.logs import is_quiet

    if not sys.stderr.isatty() or is_quiet() or (is_printed and sys.stdout.isatty()):
        yield from items
        return
    from rich.console import Console
    from rich.progress import MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = (SpinnerColumn(), TextColumn(description), MofNCompleteColumn(), TimeElapsedColumn())
    progress = Progress(
        *columns,
        console=Console(stderr=True),
        transient=True,
        redirect_stdout=False,  # predictions are written to the standard output that the user chose
        redirect_stderr=False,
    )
    task = progress.add_task(description, total=None)
    start, is_shown = time.monotonic(), False
    try:
        for item in items:
            if not is_shown and time.monotonic() - start >= delay:
                progress.start()
                is_shown = True
            yield item
            progress.advance(task)
    finally:
        if is_shown:
            progress.stop()
