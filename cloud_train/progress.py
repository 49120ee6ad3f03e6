"""Progress bars for long work."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

T = TypeVar("T")
console = Console(stderr=True)


_COLUMNS = (
    TextColumn("{task.description}"),
    BarColumn(),
    MofNCompleteColumn(),
    TimeElapsedColumn(),
    TimeRemainingColumn(),
    TextColumn("{task.fields[note]}"),
)


@contextmanager
def bar(what: str, total: int, *, done: int = 0) -> Iterator[Callable[[str], None]]:
    """Show a bar with count, elapsed time and ETA on stderr; call what it yields after each item, with a note.

    `done` items were finished earlier.

    Where stderr is no terminal, ten lines are printed over the whole instead.
    """
    if console.is_terminal:
        with Progress(*_COLUMNS, console=console) as progress:
            task = progress.add_task(what, total=total, completed=done, note="")
            yield lambda note: progress.update(task, advance=1, note=note)
        return

    def advance(note: str) -> None:
        nonlocal done
        done += 1
        if done * 10 // total > (done - 1) * 10 // total:
            console.print(f"{what}: {done}/{total} {note}".rstrip(), highlight=False, soft_wrap=True)

    yield advance


def track(items: Iterable[T], what: str, total: int) -> Iterator[T]:
    """Pass items on under a progress bar."""
    with bar(what, total) as advance:
        for item in items:
            yield item
            advance("")
