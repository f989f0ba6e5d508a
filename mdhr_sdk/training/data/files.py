"""Files that are never seen half-written."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from ...atomic import settle
from ...errors import DataError, MDHRError, OutputError


@contextlib.contextmanager
def writing_whole(path: Path, failure: type[MDHRError] = OutputError, settled: bool = True) -> Iterator[Path]:
    """A path beside `path` to write to, this process's own; it takes its place if the block ends well.

    With `settled` that holds after a loss of power too, and takes some milliseconds.

    Raises:
        OutputError: something cannot be written; or `failure`.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        yield temporary
        if settled:
            settle(temporary)
        temporary.replace(path)
    except OSError as error:
        reason = error.strerror or error
        raise failure(f"'{path}' cannot be written: {reason}; check the folder and its free space") from None
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def write_whole(path: Path, content: bytes) -> None:
    """Write a file whole or not at all, whenever the process is killed; makes its folder.

    Raises:
        DataError: it cannot be written.
    """
    with writing_whole(path, DataError, settled=False) as temporary:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_bytes(content)


def remove_leftovers(folder: Path) -> None:
    """Remove what a killed `write_whole` or `writing_whole` left in a folder or below."""
    for path in folder.rglob(".*.part"):
        with contextlib.suppress(OSError):
            path.unlink()
