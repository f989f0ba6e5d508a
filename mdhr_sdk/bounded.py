"""Read files that may be anybody's: regular ones, and no more of them than such a file can sensibly hold."""

from __future__ import annotations

import errno
import os
import stat
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

MOST_ARRAYS = 1 << 30  # bytes of all arrays of an archive, as they are in memory
_OPEN = os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NONBLOCK", 0)
_DAMAGED = (OSError, EOFError, ValueError, KeyError, MemoryError, RuntimeError, zipfile.BadZipFile, zlib.error)


def read_bounded(path: Path, most: int) -> bytes:
    """All bytes of a file, read once. Links are followed.

    Raises:
        OSError: it cannot be read, is a pipe, a device or a folder, or has more than `most` bytes.
    """
    _check_regular(path.stat(), path)  # opening a device does something already, and a pipe waits
    with os.fdopen(os.open(path, _OPEN), "rb") as file:
        _check_regular(os.fstat(file.fileno()), path)
        content = file.read(most + 1) if os.fstat(file.fileno()).st_size <= most else None
    if content is None or len(content) > most:
        raise OSError(errno.EFBIG, f"it has more than {most:,} bytes", str(path))
    return content


def _check_regular(state: os.stat_result, path: Path) -> None:
    if not stat.S_ISREG(state.st_mode):
        raise OSError(errno.EINVAL, "it is no regular file", str(path))


def read_arrays(path: Path, names: Sequence[str], most: int = MOST_ARRAYS) -> dict[str, NDArray[Any]]:
    """Arrays of an .npz file by name; one that the file lacks is left out. Python's objects are not read.

    Raises:
        ValueError: it is no such file, damaged, or its arrays have more than `most` bytes together: a compressed file
            of a few megabytes can hold gigabytes. One line that says what is wrong.
    """
    try:
        _check_regular(path.stat(), path)
        if not zipfile.is_zipfile(path):
            raise ValueError("not an .npz file, or not a whole one")
        with zipfile.ZipFile(path) as archive:
            size = sum(member.file_size for member in archive.infolist())
        if size > most:
            raise ValueError(f"its arrays have {size:,} bytes, and at most {most:,} are read")
        with np.load(path, allow_pickle=False) as file:
            return {name: file[name] for name in names if name in file.files}
    except _DAMAGED as error:
        raise ValueError(" ".join(str(error).split()) or type(error).__name__) from None
