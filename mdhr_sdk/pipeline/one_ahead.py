"""Does the next thing in a thread of its own, while the caller is at the one before."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from queue import SimpleQueue
from typing import TypeVar

T = TypeVar("T")


@contextmanager
def one_ahead(make: Callable[[], T | None]) -> Iterator[Callable[[], T | None]]:
    """Call `make` in a thread of its own, one call ahead of the function that is given; None is its last answer.

    Not by a `ThreadPoolExecutor`, whose threads Python waits for at its end: a read that hangs must not hold that up.
    Nor may one be used once the main thread has ended, and other threads of the caller's may read on.
    """
    wanted, done = SimpleQueue[bool](), SimpleQueue[T | BaseException | None]()

    def run() -> None:
        while wanted.get():
            try:
                done.put(make())
            except BaseException as error:  # raised where the items are taken
                done.put(error)

    def following() -> T | None:
        item = done.get()
        if isinstance(item, BaseException):
            raise item
        wanted.put(item is not None)
        return item

    thread = threading.Thread(target=run, name="mdhr decodes", daemon=True)
    wanted.put(True)
    thread.start()
    try:
        yield following
    finally:
        wanted.put(False)
        thread.join()
