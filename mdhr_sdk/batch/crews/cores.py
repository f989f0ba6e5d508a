"""Cores of a worker's own: as many workers as cores then share a machine evenly, and disturb each other less."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path


def take_cores(count: int, folder: Path | None = None) -> bool:
    """Keep this process, and the threads it starts later, on `count` cores that no other worker of this user has.

    The cores are its own until it ends, however it ends. Call it in the main thread, before there are others.

    Args:
        count: 1 or more.
        folder: of the locks, one a core; by default in the folder for temporary files.

    Returns:
        Whether there were so many. If not, or where the system cannot do it, the process may use all cores as before.
    """
    if not hasattr(os, "sched_setaffinity"):
        return False
    held: dict[int, int] = {}
    try:
        folder = _own(folder or Path(tempfile.gettempdir()) / f"mdhr-cores-{os.getuid()}")
        for core in sorted(os.sched_getaffinity(0)):
            if len(held) < count and (lock := _locked(folder / str(core))) is not None:
                held[core] = lock
        if len(held) == count:
            os.sched_setaffinity(0, held)
            return True
    except OSError:
        pass
    for lock in held.values():
        os.close(lock)
    return False


def _own(folder: Path) -> Path:
    """The folder, made if need be; PermissionError if it is somebody else's."""
    folder.mkdir(mode=0o700, exist_ok=True)
    if folder.is_symlink() or folder.stat().st_uid != os.getuid():
        raise PermissionError
    return folder


def _locked(path: Path) -> int | None:
    """The open file, locked for as long as this process runs; None if another one has it."""
    import fcntl  # there is none on Windows

    lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(lock)
        return None
    return lock
