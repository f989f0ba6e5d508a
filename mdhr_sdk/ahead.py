"""Make the next items while the last ones are used."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from typing_extensions import Self

Item = TypeVar("Item")
WAIT_S = 0.005  # between two looks whether the thread has ended


@dataclass(frozen=True)
class _End:
    error: BaseException | None


class Ahead(Generic[Item]):
    """Iterates over `items` in a thread of its own, at most `depth` items ahead of who takes them.

    What the iterator raises is raised after the items before it. `close`, also at the end of a `with` block, lets the
    thread finish the item that it is at; after it nothing of `items` runs any more, and no item comes.
    """

    def __init__(self, items: Iterator[Item], depth: int) -> None:
        self._items = items
        self._made: queue.Queue[Item | _End] = queue.Queue(depth)
        self._left = threading.Event()
        self._thread = threading.Thread(target=self._make, name="mdhr ahead", daemon=True)
        self._thread.start()

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Item:
        if self._left.is_set():
            raise StopIteration
        item = self._made.get()
        if not isinstance(item, _End):
            return item
        self.close()
        raise StopIteration if item.error is None else item.error

    def close(self) -> None:
        """End the thread; may be called twice, but not by the thread itself."""
        self._left.set()
        while self._thread.is_alive():
            while not self._made.empty():  # it may wait for room
                self._made.get_nowait()
            self._thread.join(WAIT_S)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _make(self) -> None:
        error: BaseException | None = None
        try:
            for item in self._items:
                self._made.put(item)
                if self._left.is_set():
                    return
        except BaseException as raised:  # raised again by who takes the items
            error = raised
        self._made.put(_End(error))
