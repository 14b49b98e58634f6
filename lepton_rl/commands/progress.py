"""Progress bars on stderr; quiet where stderr is not a terminal."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

__all__ = ["log", "progress_bar"]

_CONSOLE = Console(stderr=True)


def log(message: str) -> None:
    """One line on stderr."""
    _CONSOLE.print(message, highlight=False, markup=False, soft_wrap=True)


@contextmanager
def progress_bar(title: str, total: int | None) -> Iterator[Callable[[int, int | None, str], None]]:
    """A bar with elapsed and remaining time.

    Yields:
        A function of (done, total or None for unchanged, what is going on).
    """
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[what]}"),
    )
    bar = Progress(*columns, console=_CONSOLE, transient=True, disable=not _CONSOLE.is_terminal)
    with bar:
        task = bar.add_task(title, total=total, what="")

        def report(done: int, new_total: int | None = None, what: str = "") -> None:
            bar.update(task, completed=done, what=what)
            if new_total is not None:
                bar.update(task, total=new_total)

        yield report
