"""How several processes write into one folder: each in a place of its own, and one at a time where files change."""

from __future__ import annotations

import contextlib
import errno
import glob
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

LOCK = ".lock"  # stays in the folder: removing a lock file that others wait for would split them
PREFIX = ".writing-"
WAIT_S = 60.0


@contextlib.contextmanager
def locked(folder: Path, wait_s: float = WAIT_S) -> Iterator[None]:
    """Be the only one in `folder` that holds this. The system frees it with the process that does; readers need none.

    Raises:
        OSError: the folder cannot be written, or another process held the lock for `wait_s` seconds.
    """
    from filelock import FileLock, Timeout

    lock = FileLock(folder / LOCK)
    try:
        lock.acquire(timeout=wait_s)
    except Timeout:
        reason = f"another process has been changing the folder for {wait_s:g} s; wait for it, or end it"
        raise OSError(errno.EAGAIN, reason) from None
    try:
        yield
    finally:
        lock.release()


@contextlib.contextmanager
def scratch(folder: Path, prefix: str = PREFIX, shared: bool = True) -> Iterator[Path]:
    """A folder inside `folder` for this writer alone, removed at the end; those of killed writers are removed first.

    Args:
        prefix: of its name, and of the names of those.
        shared: `folder` is one that several processes write into, and is locked meanwhile.

    Raises:
        OSError: as `locked`.
    """
    from filelock import FileLock

    with locked(folder) if shared else contextlib.nullcontext():
        for left in folder.glob(f"{glob.escape(prefix)}*"):
            with contextlib.suppress(OSError):  # its writer lives and holds the lock in it, or it is another user's
                with FileLock(left / LOCK, timeout=0):
                    pass
                shutil.rmtree(left)
        own = Path(tempfile.mkdtemp(prefix=prefix, dir=folder))
        alive = FileLock(own / LOCK)
        alive.acquire()
    try:
        yield own
    finally:
        alive.release()
        shutil.rmtree(own, ignore_errors=True)


def settle(path: Path) -> None:
    """Wait until a file is on the disk: renamed before that, it can be empty after a loss of power."""
    with path.open("rb+") as file:
        os.fsync(file.fileno())


def part(path: Path) -> Path:
    """Where `written` puts what is to become `path`; a writer that is killed leaves it there."""
    return path.with_name(f".{path.name}.part")


@contextlib.contextmanager
def written(path: Path, text: str) -> Iterator[Path]:
    """A file beside `path` that holds `text`, on the disk, for the block to move there; nothing of it stays behind."""
    temporary = part(path)
    try:
        temporary.write_text(text, encoding="utf-8")
        settle(temporary)
        yield temporary
    finally:
        temporary.unlink(missing_ok=True)
