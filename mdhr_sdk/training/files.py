"""Files that are never seen half-written."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from ..errors import DataError


def write_whole(path: Path, content: bytes) -> None:
    """Write a file whole or not at all, whenever the process is killed; makes its folder.

    Raises:
        DataError: it cannot be written.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_bytes(content)
        temporary.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        reason = error.strerror or error
        raise DataError(f"'{path}' cannot be written: {reason}; check the folder and its free space") from None


def remove_leftovers(folder: Path) -> None:
    """Remove what a killed `write_whole` left in a folder or below."""
    for path in folder.rglob(".*.part"):
        with contextlib.suppress(OSError):
            path.unlink()
