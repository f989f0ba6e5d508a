"""A file that only grows, line by line, and is whole to its last line whenever its process ends."""

from __future__ import annotations

import itertools
import logging
import os
import time
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

from ...atomic import told
from ...errors import OutputError, number_of
from .queued import LostError

try:
    import fcntl
except ModuleNotFoundError:  # Windows, where a file that is open cannot be renamed anyway
    fcntl = None  # type: ignore[assignment]

SETTLE_S = 1.0  # a loss of power takes at most about so much
STAMP = "%Y%m%dT%H%M%SZ"
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
log = logging.getLogger("mdhr_sdk")


@dataclass(frozen=True)
class Found:
    """A file of an earlier run.

    Attributes:
        path: where it is now.
        size_bytes: how long it is.
        whole: it ends with a whole line.
    """

    path: Path
    size_bytes: int
    whole: bool

    def __str__(self) -> str:
        end = "whole to its last line" if self.whole else "its last line is cut off"
        return f"{self.size_bytes:,} bytes, {end}; it is now '{self.path.name}'"


def stamp(time: datetime) -> str:
    """A time as it stands in file names: '20261130T152400Z', in UTC."""
    return time.astimezone(timezone.utc).strftime(STAMP)


def free_name(folder: Path, stem: str, suffix: str) -> Path:
    """The first of STEM.SUFFIX, STEM-2.SUFFIX, ... that does not exist."""
    names = itertools.chain((stem,), (f"{stem}-{count}" for count in itertools.count(2)))
    return next(path for path in (folder / f"{name}{suffix}" for name in names) if not os.path.lexists(path))


def set_aside(path: Path) -> Found | None:
    """Give a file of an earlier run the time of its last change as part of its name, so that two runs never mix.

    Returns:
        What it is; None if there was none.

    Raises:
        OutputError: something that is no file has this name, another program writes it now, or it cannot be renamed.
    """
    if not os.path.lexists(path):
        return None
    if not path.is_file() and not path.is_symlink():
        raise OutputError(f"results go into a file, and '{path}' is none; choose another name")
    with told(path):
        state = path.lstat()
        whole = True
        if path.is_file() and not path.is_symlink():
            with path.open("rb") as file:
                if not _claimed(file.fileno()):
                    raise OutputError(f"another program writes '{path}' now; choose another name, or end it")
                file.seek(-min(1, state.st_size), os.SEEK_END)
                whole = file.read() in (b"\n", b"")
        changed = stamp(datetime.fromtimestamp(state.st_mtime, timezone.utc))
        aside = free_name(path.parent, f"{path.stem}.{changed}", path.suffix)
        path.rename(aside)
    return Found(aside, state.st_size, whole)


def _claimed(file: int) -> bool:
    """Mark an open file as ours; False if another run has. The system takes the mark away with the process."""
    if fcntl is None:
        return True
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # a file system without locks
        return True
    return True


class AppendFile:
    """A new file, to which whole lines are added. What is written stays, also if the process is killed.

    A file of an earlier run is set aside and named in the log. Every `add` is one write; if the disk is full, what was
    written of it is cut off again, so that the file ends with a whole line. About once a second the file is put onto
    the disk itself, for a loss of power, and looked for: if somebody has removed or renamed it, a new one begins.

    Args:
        path: the file; its folder is made.
        header: lines that come first, b'' for none.

    Raises:
        OutputError: it cannot be made or, on `add`, written.
        LostError: on `add` and `close`, it was removed, and what was in it is lost; on `add` a new one has begun.
    """

    def __init__(self, path: Path, header: bytes = b"") -> None:
        self.path = path
        self._header = header
        self._file = -1
        self._gone: LostError | None = None  # not told yet
        self._begin()

    def _begin(self) -> None:
        """Make the file."""
        with told(self.path):
            self.path.absolute().parent.mkdir(parents=True, exist_ok=True)
            if found := set_aside(self.path):
                log.warning("found '%s' of an earlier run: %s", self.path, found)
            self._file = os.open(self.path, _NEW, 0o644)
            _claimed(self._file)
        self._size = self._results = 0
        self._settled_s = time.monotonic()
        try:
            if self._header:
                self.add(self._header, 0)
        except OutputError:
            file, self._file = self._file, -1
            os.close(file)
            self.path.unlink(missing_ok=True)
            raise

    def add(self, lines: bytes, results: int = 1) -> None:
        """Append whole lines, of so many results."""
        due = time.monotonic() >= self._settled_s + SETTLE_S
        if self._file < 0 or (due and not self._is_there()):
            self._begin_anew()
        with told(self.path):
            try:
                done = os.write(self._file, lines)
                while done < len(lines):
                    done += os.write(self._file, lines[done:])
            except OSError:
                with suppress(OSError):
                    os.ftruncate(self._file, self._size)
                raise
            self._size += len(lines)
            self._results += results
            if due:
                self._settled_s = time.monotonic()
                os.fsync(self._file)

    def _is_there(self) -> bool:
        """Whether the path still leads to the file."""
        try:
            return os.path.samestat(self.path.stat(), os.fstat(self._file))
        except (FileNotFoundError, NotADirectoryError):
            return False
        except OSError:  # nobody can tell now
            return True

    def _begin_anew(self) -> None:
        """Go on in a new file of the same name; LostError if what stood in the old one is lost."""
        if self._file >= 0:
            self._gone, self._file, old = self._lost(), -1, self._file
            os.close(old)
            if self._gone is None:
                log.warning("'%s' was removed or renamed while it was written; a new one begins", self.path)
        self._begin()
        if (gone := self._gone) is not None:
            self._gone = None
            raise gone

    def _lost(self) -> LostError | None:
        """What is lost with a file that no path leads to any more."""
        if self._file < 0 or os.fstat(self._file).st_nlink or not self._results:
            return None
        told = f"'{self.path}' was removed while it was written, and {number_of(self._results, 'result')} with it"
        return LostError(told, self._results)

    def close(self) -> None:
        """Put it onto the disk and close it; may be called twice."""
        lost, self._file, file = self._gone or self._lost(), -1, self._file
        self._gone = None
        if file >= 0:
            try:
                with told(self.path):
                    os.fsync(file)
            finally:
                os.close(file)
        if lost is not None:
            raise lost
