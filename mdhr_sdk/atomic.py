"""The one way to write a file: whole or not at all, in a place that no two writers share.

A writer works in a hidden folder of its own, beside the file that it makes. The folder has a random name and only its
user may enter it, so no other writer has the same part file, and nobody can put a link in its way. A finished file is
renamed to its name. A link that stands there is replaced; the file that it points to stays as it was.

A writer holds a lock in its folder as long as it lives. So the next writer knows the folders of killed ones: it
removes them, and keeps results that they hold. What the lock says, no other machine can have written: a folder that was
only made to look like a writer's, as in what somebody downloaded, stays as it is.
"""

from __future__ import annotations

import contextlib
import errno
import itertools
import logging
import os
import re
import shutil
import stat
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from .errors import MDHRError, OutputError

try:
    import fcntl
except ModuleNotFoundError:  # Windows: folders of killed writers stay there
    import msvcrt

    fcntl = None  # type: ignore[assignment]

LOCK = ".lock"  # stays in the folder: removing a lock file that others wait for would split them
PREFIX = ".mdhr-writing-"
RESULTS = ".mdhr-results-"  # what is in it is of use even when its writer was killed
WAIT_S = 60.0
TURN_S = 0.02  # between two looks at a lock that somebody holds
NAME_BYTES = 255  # most of a file's name
MOST_LEFT = 1000  # folders that one sweep clears: who was killed leaves one; a stranger's folder may bring many

_OURS = re.compile(rf"(?:{re.escape(PREFIX)}|{re.escape(RESULTS)})[a-z0-9_]{{8}}")
_NO_LINK = getattr(os, "O_NOFOLLOW", 0)
_OPEN_LOCK = os.O_RDWR | _NO_LINK | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0)
_swept: set[Path] = set()  # looking through a large folder before each of its files would take too long
log = logging.getLogger("mdhr_sdk")


@contextlib.contextmanager
def locked(folder: Path, wait_s: float = WAIT_S) -> Iterator[None]:
    """Be the only one in `folder` that holds this. The system frees it with the process that does; readers need none.

    Raises:
        OSError: the folder cannot be written, or another process held the lock for `wait_s` seconds.
    """
    lock = _lock_of(folder)
    try:
        until = time.monotonic() + wait_s
        while not _hold(lock):
            if time.monotonic() >= until:
                reason = f"another process has been changing the folder for {wait_s:g} s; wait for it, or end it"
                raise OSError(errno.EAGAIN, reason)
            time.sleep(TURN_S)
        yield
    finally:
        os.close(lock)


@contextlib.contextmanager
def alone(folder: Path, others: str, failure: type[MDHRError] = OutputError) -> Iterator[None]:
    """Make `folder` and be the only one in it that holds this, or fail at once.

    Args:
        others: what is said if somebody else holds it.

    Raises:
        OutputError: somebody does, or the folder cannot be written; or `failure`.
    """
    with contextlib.ExitStack() as stack:
        with told(folder, failure):
            folder.mkdir(parents=True, exist_ok=True)
            try:
                stack.enter_context(locked(folder, wait_s=0.0))
            except BlockingIOError:
                raise failure(others) from None
        yield


def _lock_of(folder: Path) -> int:
    """The folder's lock file, open; it is made if it is missing, and nothing is ever written to it.

    Raises:
        OSError: it cannot be opened, or is a link or something else than a file, which no writer of ours makes.
    """
    path = folder / LOCK
    strange = OSError(errno.EINVAL, f"'{LOCK}' in it is no plain file; remove that")
    with contextlib.suppress(FileNotFoundError):
        if not stat.S_ISREG(path.lstat().st_mode):  # opening a device or a pipe does something already
            raise strange
    lock = os.open(path, _OPEN_LOCK | os.O_CREAT, 0o644)
    if not stat.S_ISREG(os.fstat(lock).st_mode):
        os.close(lock)
        raise strange
    return lock


@contextlib.contextmanager
def scratch(folder: Path, prefix: str = PREFIX, sweeps: bool = True) -> Iterator[Path]:
    """A folder inside `folder` for this writer alone; it is removed at the end.

    Args:
        prefix: `PREFIX`, or `RESULTS` for one that stays if a file is still in it.
        sweeps: call `sweep` first.

    Raises:
        OSError: the folder cannot be written.
    """
    if sweeps:
        sweep(folder)
    own, lock = _made(folder, prefix)
    try:
        yield own
    finally:
        try:
            if prefix == PREFIX or all(path.name == LOCK for path in own.glob("*")):
                _remove(own)
        finally:
            os.close(lock)


@contextlib.contextmanager
def whole(path: Path, failure: type[MDHRError] = OutputError, settled: bool = False) -> Iterator[Path]:
    """A path to write to; the file takes the place of `path` if the block ends well, and is removed if not.

    Makes the folder of `path`. Two writers of one `path` do not meet: each file is whole, and the last one stays.

    Args:
        path: the file's final name. A link there is replaced, not followed.
        failure: the error to raise when something cannot be written.
        settled: wait some milliseconds until the content is on the disk; else a loss of power can leave the file empty.

    Raises:
        OutputError: something cannot be written; or `failure`.
    """
    target = path.absolute()
    with told(path, failure):
        target.parent.mkdir(parents=True, exist_ok=True)
        with scratch(target.parent, sweeps=first_time(target.parent)) as own:
            part = own / target.name
            yield part
            if settled:
                settle(part)
            place(part, target)


def write_whole(
    path: Path, content: bytes | str, failure: type[MDHRError] = OutputError, settled: bool = False
) -> None:
    """Write bytes, or text as UTF-8, as `whole` does."""
    with whole(path, failure, settled) as part:
        part.write_bytes(content.encode() if isinstance(content, str) else content)


@contextlib.contextmanager
def told(path: Path, failure: type[MDHRError] = OutputError) -> Iterator[None]:
    """Turn the operating system's refusals into one line about `path`.

    Raises:
        OutputError: the block raised an OSError; or `failure`.
    """
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error) or type(error).__name__
        raise failure(
            f"'{path}' cannot be written: {reason}; choose a folder with write access and free space"
        ) from error


def place(part: Path, path: Path) -> None:
    """Rename a finished file; of what stands at `path` only a file or a link to one is replaced.

    Raises:
        OSError: a folder, a device or a pipe stands there, or the folder cannot be written.
    """
    if path.exists() and not path.is_file():
        raise OSError(errno.EEXIST, "something that is no file has this name")
    part.replace(path)


def settle(path: Path) -> None:
    """Wait until a file is on the disk: renamed before that, it can be empty after a loss of power."""
    with path.open("rb+") as file:
        os.fsync(file.fileno())


def first_time(folder: Path) -> bool:
    """True the first time that this process writes into a folder; leftovers are swept then."""
    new = folder not in _swept
    _swept.add(folder)
    return new


def sweep(folder: Path, below: bool = False) -> list[Path]:
    """Remove the folders of killed writers in `folder`, and with `below` also further down.

    Results in them are kept: 'clip_aus.csv' becomes 'clip_aus.incomplete.csv' in `folder`, and a warning is logged.
    Folders of living writers, of other users and of other programs stay as they are.

    Returns:
        The results that were kept.
    """
    kept: list[Path] = []
    if fcntl is not None:
        folders = [Path(at) for at, _, _ in os.walk(folder)] if below else [folder]
        for one in folders:
            found = _left_in(one)
            if len(found) > MOST_LEFT:
                log.warning(f"'{one}' has {len(found):,} folders of killed writers; {MOST_LEFT:,} are cleared now")
            for left in found[:MOST_LEFT]:
                with contextlib.suppress(OSError):
                    kept += _cleared(left)
    for path in kept:
        log.warning(f"'{path}' is what a run that was killed had written")
    return kept


def incomplete(path: Path, count: int = 1) -> Path:
    """'out/clip_aus.csv' -> 'out/clip_aus.incomplete.csv', or '...incomplete-2.csv'; cut to the bytes of a name."""
    end = f".incomplete{'' if count == 1 else f'-{count}'}{path.suffix}"
    stem = path.stem.encode(errors="surrogateescape")[: NAME_BYTES - len(os.fsencode(end))]
    return path.with_name(stem.decode(errors="ignore") + end)


def _made(folder: Path, prefix: str) -> tuple[Path, int]:
    """A new folder with a random name, and the open lock in it."""
    while True:
        own = Path(tempfile.mkdtemp(prefix=prefix, dir=folder))
        with contextlib.suppress(FileNotFoundError):  # it was swept: without a lock it looks like a killed writer's
            lock = os.open(own / LOCK, _OPEN_LOCK | os.O_CREAT | os.O_EXCL, 0o600)
            try:
                held = _hold(lock)
            except OSError:  # a file system without locks; nobody sweeps there
                held = True
            if held and os.fstat(lock).st_nlink:
                try:
                    os.write(lock, _mark(own))
                except OSError:  # the disk is full
                    os.close(lock)
                    _remove(own)
                    raise
                return own, lock
            os.close(lock)


def _remove(own: Path, ignore_errors: bool = True) -> None:
    """Remove a folder. An interrupt while this runs stays an interrupt.

    If Ctrl-C comes just after rmtree has closed a descriptor, rmtree closes it once more, and only that error is seen.
    """
    try:
        shutil.rmtree(own, ignore_errors=ignore_errors)
    except OSError as error:
        if isinstance(error.__context__, KeyboardInterrupt):
            raise error.__context__ from None
        raise


def _mark(own: Path) -> bytes:
    """What the lock in a writer's folder says: which folder that is, in the file system's own numbers.

    A copy of the folder has others, and so has one that came out of an archive.
    """
    state = own.lstat()
    return f"mdhr_sdk {state.st_dev} {state.st_ino}\n".encode()


def _hold(lock: int) -> bool:
    """Lock an open file if nobody else does; it is free again when the last process that has it open ends."""
    try:
        if fcntl is not None:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        else:
            msvcrt.locking(lock, msvcrt.LK_NBLCK, 1)
    except (BlockingIOError, PermissionError):
        return False
    return True


def _left_in(folder: Path) -> list[Path]:
    """Folders that may be those of killed writers of this user."""
    try:
        with os.scandir(folder) as inside:
            return [
                Path(one.path)
                for one in inside
                if _OURS.fullmatch(one.name)
                and one.is_dir(follow_symlinks=False)
                and one.stat(follow_symlinks=False).st_uid == os.geteuid()
            ]
    except OSError:  # it is not there, or may not be read
        return []


def _cleared(left: Path) -> list[Path]:
    """Remove a folder whose writer is dead; returns the results that were kept of it."""
    try:
        plain = stat.S_ISREG((left / LOCK).lstat().st_mode)
        lock = os.open(left / LOCK, _OPEN_LOCK) if plain else None
    except FileNotFoundError:
        left.rmdir()  # killed before it had a lock; a folder that holds anything is not ours, and stays
        return []
    if lock is None:
        return []
    try:
        ours = _hold(lock) and os.fstat(lock).st_nlink and os.read(lock, NAME_BYTES) == _mark(left)
        if not ours:
            return []
        kept = []
        if left.name.startswith(RESULTS):
            kept = [_rescued(path, left.parent) for path in left.iterdir() if _is_result(path)]
        _remove(left, ignore_errors=False)
        return kept
    finally:
        os.close(lock)


def _is_result(path: Path) -> bool:
    return path.name != LOCK and path.is_file() and not path.is_symlink() and path.stat().st_size > 0


def _rescued(part: Path, folder: Path) -> Path:
    """Move a killed writer's file to the first incomplete name that is free."""
    names = (incomplete(folder / part.name, count) for count in itertools.count(1))
    return part.replace(next(name for name in names if not os.path.lexists(name)))
