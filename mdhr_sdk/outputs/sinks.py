"""Where results go: a sink is a context manager with `write(result)`, and its file is whole or says that it is not."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

from ..errors import OutputError
from ..results import FrameResult

if TYPE_CHECKING:
    from typing_extensions import Self

Item = TypeVar("Item")


class Sink(Protocol):
    """Anything that takes results one frame at a time, inside a `with` block."""

    def write(self, result: FrameResult) -> None: ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


class FileSink(ABC, Generic[Item]):
    """A sink for one file, which appears under its name only when it is complete.

    Frames go to a hidden file beside `path`. A clean end of the `with` block gives it its name. A block that ends
    by an exception leaves what was written as `STEM.incomplete.SUFFIX`, and an earlier `path` as it was. Without
    a single frame nothing is left, not even the folder.

    A subclass says how to turn a result into an item, and how to open, extend and finish the file.

    Raises:
        OutputError: on construction when `path` is a folder, on writing or closing when the file cannot be written.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self._part = part_of(self.path)
        self._final: Path | None = None
        self._replaced = False
        self._opened = self._closed = False
        self._written = 0

    @property
    def final_path(self) -> Path | None:
        """The file that is there after the block: `path`, its `.incomplete` name, or None when nothing is."""
        return self._final

    @property
    def replaced(self) -> bool:
        """Whether `final_path` was there before and is another one now."""
        return self._replaced

    def write(self, result: FrameResult) -> None:
        """Add one frame.

        Raises:
            OutputError: the file cannot be written, or the sink is closed.
        """
        if self._closed:
            raise OutputError(f"'{self.path.name}' takes frames until it is closed, and it is; open a new sink")
        item = self._render(result)
        with writing(self.path):
            if not self._opened:
                self.path.parent.mkdir(parents=True, exist_ok=True)
                self._open(self._part, item)
                self._opened = True
            self._put(item)
        self._written += 1

    def close(self, complete: bool = True) -> None:
        """Finish the file, under its own name or, when not `complete`, under its `.incomplete` name.

        Raises:
            OutputError: the file cannot be finished or renamed; what there is of it is kept as incomplete.
        """
        if self._closed:
            return
        self._closed = True
        try:
            with writing(self.path):
                if self._opened:
                    self._finish()
                if self._written and complete:
                    self._final = self._put_at(self.path)
        finally:
            if self._final is None:
                self._keep_incomplete()

    def _keep_incomplete(self) -> None:
        with suppress(OSError):
            if self._written:
                incomplete = self.path.with_name(f"{self.path.stem}.incomplete{self.path.suffix}")
                self._final = self._put_at(incomplete)
            else:
                self._part.unlink(missing_ok=True)

    def _put_at(self, path: Path) -> Path:
        replaces = os.path.lexists(path)
        placed = self._part.replace(path)
        self._replaced = replaces
        return placed

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()
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


def part_of(path: Path) -> Path:
    """'out/clip.mp4' -> 'out/.clip.part.mp4'; the suffix stays last because encoders read the format from it.

    Raises:
        OutputError: `path` is a folder.
    """
    if path.is_dir() or not path.name:
        raise OutputError(f"a result needs a file's name, and '{path}' is a folder; add a name, as in 'results.csv'")
    return path.with_name(f".{path.stem}.part{path.suffix}")


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn the operating system's refusals into one line about `path`.

    Raises:
        OutputError: the block raised an OSError.
    """
    try:
        yield
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise OutputError(
            f"cannot write '{path}': {reason}; choose a folder with write access and free space"
        ) from error


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A hidden file to write; it takes the place of `path` when the block ends well, and goes when it does not.

    Raises:
        OutputError: the file cannot be written.
    """
    part = part_of(path)
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield part
            part.replace(path)
        finally:
            with suppress(OSError):
                part.unlink(missing_ok=True)
