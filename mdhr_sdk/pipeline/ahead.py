"""Make the next items while the last ones are used."""

from __future__ import annotations

import atexit
import threading
from collections import deque
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from typing_extensions import Self

Item = TypeVar("Item")


class Ahead(Generic[Item]):
    """Iterates over `items` in a thread of its own, some items ahead of who takes them.

    What the iterator raises is raised after the items before it. `close`, also at the end of a `with` block and of the
    process, lets the thread finish the item that it is at; after it nothing of `items` runs any more, and no item
    comes.

    Args:
        items: what to iterate over.
        depth: how many items may lie ready when this one is added; at least 1.
    """

    def __init__(self, items: Iterator[Item], depth: Callable[[Item], int]) -> None:
        self._items = items
        self._depth = depth
        self._ready: deque[Item] = deque()
        self._error: BaseException | None = None
        self._left = self._ended = False
        self._changed = threading.Condition()  # reentrant: garbage may be collected, and this closed, anywhere
        self._thread = threading.Thread(target=self._make, name="mdhr ahead", daemon=True)
        atexit.register(self.close)  # a native library in a thread does not outlive the interpreter
        self._thread.start()

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Item:
        with self._changed:
            self._changed.wait_for(lambda: self._ready or self._ended or self._left)
            if self._ready:
                self._changed.notify_all()
                return self._ready.popleft()
            error, self._error = None if self._left else self._error, None
        self.close()
        raise StopIteration if error is None else error

    def close(self) -> None:
        """End the thread; may be called twice and from anywhere."""
        with self._changed:
            self._left = True
            self._ready.clear()
            self._changed.notify_all()
        atexit.unregister(self.close)
        if threading.current_thread() is self._thread:  # its own garbage collection: it ends after this item
            return
        try:
            self._thread.join()
        except KeyboardInterrupt:
            self._thread.join()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _make(self) -> None:
        try:
            for item in self._items:
                self._give(item)
                del item
                if self._left:
                    break
        except BaseException as error:  # raised again by who takes the items
            self._error = error
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def _give(self, item: Item) -> None:
        depth = max(1, self._depth(item))
        with self._changed:
            self._changed.wait_for(lambda: self._left or len(self._ready) < depth)
            if not self._left:
                self._ready.append(item)
                self._changed.notify_all()
