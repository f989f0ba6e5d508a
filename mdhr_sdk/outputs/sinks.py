"""Where results go: a sink is a context manager with `write(result)`; its file is whole, or named incomplete."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from contextlib import ExitStack, suppress
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

from ..atomic import RESULTS, first_time, incomplete, place, scratch, told
from ..errors import OutputError
from ..results import Ending, FrameResult

if TYPE_CHECKING:
    from typing_extensions import Self

Item = TypeVar("Item")


class Sink(Protocol):
    """Anything that takes results one frame at a time, inside a `with` block."""

    def write(self, result: FrameResult) -> None: ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None: ...


class FileSink(ABC, Generic[Item]):
    """A sink for one file, which appears under its name only when it is complete.

    Frames go to a file in a hidden folder beside `path`, which no other sink shares. When the `with` block ends well,
    the file gets its name. If two sinks write one `path`, the file of the last to end stays. A link at `path` is
    replaced, not followed. If the block ends by an exception, or the source broke off, what was written becomes
    `STEM.incomplete.SUFFIX` and an earlier `path` stays as it was. The same happens to the file of a killed process, as
    soon as another one writes into that folder. Without any frame nothing is left.

    A subclass turns a result into an item, and opens, extends and finishes the file.

    Attributes:
        final_path: the file after the block: `path`, its `.incomplete` name, or None for none.
        replaced: whether `final_path` replaced an earlier file.

    Raises:
        OutputError: on construction when `path` is a folder, on writing or closing when the file cannot be written.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        if self.path.is_dir() or not self.path.name:
            raise OutputError(
                f"a result needs a file's name, and '{self.path}' is a folder; add a name, as in 'results.csv'"
            )
        self._target = self.path.absolute()
        self._place = ExitStack()  # of the part file
        self._part: Path | None = None
        self.final_path: Path | None = None
        self.replaced = False
        self._opened = self._closed = False
        self._written = 0
        self._endings: set[Ending] = set()

    def write(self, result: FrameResult) -> None:
        """Add one frame.

        Raises:
            OutputError: the file cannot be written, or the sink is closed.
        """
        if self._closed:
            raise OutputError(f"'{self.path.name}' takes frames until it is closed, and it is; open a new sink")
        item = self._render(result)
        with told(self.path):
            if not self._opened:
                self._open(self._new_part(), item)
                self._opened = True
            self._put(item)
        self._written += 1
        self._endings.add(result.ending)

    def _new_part(self) -> Path:
        folder = self._target.parent
        folder.mkdir(parents=True, exist_ok=True)
        self._part = self._place.enter_context(scratch(folder, RESULTS, first_time(folder))) / self._target.name
        return self._part

    def close(self, complete: bool = True) -> None:
        """Finish the file, under its own name or, when not `complete`, under its `.incomplete` name.

        Raises:
            OutputError: the file cannot be finished or renamed; what was written is kept as incomplete.
        """
        if self._closed:
            return
        self._closed = True
        with self._place:
            try:
                with told(self.path):
                    if self._opened:
                        self._finish()
                    if self._written and complete:
                        self.final_path = self._put_at(self.path)
            finally:
                if self._part is not None and self.final_path is None:
                    self._keep_incomplete(self._part)

    def _keep_incomplete(self, part: Path) -> None:
        if not self._written:
            part.unlink(missing_ok=True)
            return
        try:
            self.final_path = self._put_at(incomplete(self.path))
        except OSError:  # it stays where it was written
            self.final_path = part if part.exists() else None

    def _put_at(self, path: Path) -> Path:
        replaces, target = os.path.lexists(path), self._target.with_name(path.name)
        if self._part is not None:
            place(self._part, target)
        self.replaced = replaces
        return path

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self.close(complete=not any(ending.broken_off for ending in self._endings))
            return
        with suppress(OutputError):  # the error that ended the block is the one to show
            self.close(complete=False)

    @abstractmethod
    def _render(self, result: FrameResult) -> Item:
        """What this file holds of a result. Touches no file, so that a bad result leaves no trace."""

    @abstractmethod
    def _open(self, part: Path, first: Item) -> None:
        """Create the file; `first` is the item that will be put first."""

    @abstractmethod
    def _put(self, item: Item) -> None:
        """Append one item."""

    @abstractmethod
    def _finish(self) -> None:
        """Flush and close the file."""
