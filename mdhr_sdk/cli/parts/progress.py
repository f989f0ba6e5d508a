"""What commands that work for long show and share: a bar on standard error, and as many workers as there are cores."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from .options import Console

if TYPE_CHECKING:
    from rich.progress import Progress


def progress_bar(quiet: bool = False) -> Progress:
    """A bar on standard error; nothing is drawn where that is no terminal."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeRemainingColumn

    console, told = Console(stderr=True), TextColumn("{task.description}", markup=False)
    columns = (SpinnerColumn(), told, BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    return Progress(*columns, console=console, transient=True, disable=quiet or not console.is_terminal)


@contextmanager
def counted(what: str) -> Iterator[Callable[[int, int], None]]:
    """A bar of `what`, moved by (done, total)."""
    with progress_bar() as bar:
        task = bar.add_task(what, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


@contextmanager
def interruptible(again: str) -> Iterator[None]:
    """Say on Ctrl-C how to go on."""
    try:
        yield
    except KeyboardInterrupt:
        Console(markup=False, highlight=False).print(f"interrupted; go on with: {again}", soft_wrap=True)
        raise
