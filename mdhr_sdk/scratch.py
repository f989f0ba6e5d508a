"""How several processes write into one folder: each in a place of its own, and one at a time where files change."""

from __future__ import annotations

import contextlib
import errno
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
def scratch(folder: Path) -> Iterator[Path]:
    """A folder inside `folder` for this writer alone, removed at the end; those of killed writers are removed first.

    Raises:
        OSError: as `locked`.
    """
    from filelock import FileLock

    with locked(folder):
        for left in folder.glob(f"{PREFIX}*"):
            with contextlib.suppress(OSError):  # its writer lives and holds the lock in it, or it is another user's
                with FileLock(left / LOCK, timeout=0):
                    pass
                shutil.rmtree(left)
        own = Path(tempfile.mkdtemp(prefix=PREFIX, dir=folder))
        alive = FileLock(own / LOCK)
        alive.acquire()
    try:
        yield own
    finally:
        alive.release()
        shutil.rmtree(own, ignore_errors=True)


@contextlib.contextmanager
def written(path: Path, text: str) -> Iterator[Path]:
    """A file beside `path` that holds `text`, for the block to move there; nothing of it stays behind."""
    temporary = path.with_name(f".{path.name}.part")
    try:
        temporary.write_text(text, encoding="utf-8")
        yield temporary
    finally:
        temporary.unlink(missing_ok=True)
