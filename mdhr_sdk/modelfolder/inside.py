"""The one way to open what lies in a model folder, whoever made it.

A folder is something that people download. So a name in it is a plain one, a link is followed only to a file of the
same folder, only regular files are opened, and no more is read than such a file can sensibly hold.
"""

from __future__ import annotations

import errno
import hashlib
import os
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from ..errors import ModelFolderError
from .bundled import is_bundled

MIB = 1 << 20
MOST_BYTES = {
    "config.json": MIB,
    "geometry.safetensors": 8 * MIB,
    "intensity.safetensors": 8 * MIB,
    ".json": 32 * MIB,
    ".md": 16 * MIB,
}
UNSEEN = MIB  # what is smaller is read whatever its size should be
MOST_OTHER = 2 << 30  # of weights and graphs; no ONNX file can be larger
# Also for Windows, where CON and NUL are devices in every folder, whatever follows their first point.
PLAIN = re.compile(
    r"(?!(?i:con|prn|aux|nul|com[0-9]|lpt[0-9])(?:\.|$))[A-Za-z0-9_](?:[A-Za-z0-9._+-]{0,126}[A-Za-z0-9_+-])?"
)

_READ = os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)
_FILE = _READ | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOCTTY", 0)
_FOLDER = _READ | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_DIRECTORY", 0)
_STEPS = os.open in os.supports_dir_fd


def is_plain(name: str) -> bool:
    """Whether a text can be the name of a file in a model folder: ASCII letters, digits and '._+-', at most 128."""
    return PLAIN.fullmatch(name) is not None


def check_plain(name: str) -> None:
    """A manifest is anybody's text, and its names become paths.

    Raises:
        ModelFolderError: the name is not `is_plain`.
    """
    if not is_plain(name):
        raise ModelFolderError(
            f"an artefact must have a plain file name (ASCII letters, digits, '._+-', at most 128); got '{name[:200]}'"
        )


def has(folder: Path, name: str) -> bool:
    """Whether a file of that name is there, or a link, which `read` may refuse."""
    try:
        mode = (folder / name).lstat().st_mode if is_plain(name) else 0
    except OSError:
        return False
    return stat.S_ISREG(mode) or stat.S_ISLNK(mode)


def read(folder: Path, name: str, size: int | None = None) -> bytes:
    """All bytes of a file.

    Args:
        size: how many there should be. A large file of another size is not even read.

    Raises:
        ModelFolderError: it is missing, cannot be read, is no regular file of the folder, or is too large.
    """
    with opened(folder, name) as file:
        length = _checked_size(file, folder / name, size)
        content = file.read(length + 1)
    if len(content) != length:
        raise ModelFolderError(f"'{folder / name}' was changed while it was read; try again")
    return content


def digest(folder: Path, name: str, size: int | None = None) -> str:
    """Hex SHA-256 of a file of the folder; arguments and errors as of `read`."""
    with opened(folder, name) as file:
        _checked_size(file, folder / name, size)
        return _sha256(file)


def _checked_size(file: BinaryIO, path: Path, size: int | None) -> int:
    length = os.fstat(file.fileno()).st_size
    if size is not None and length != size and length > UNSEEN:
        raise ModelFolderError(
            f"'{path}' has other bytes than manifest.json says ({length:,}, not {size:,}, so another SHA-256): damaged "
            "or replaced; take the folder anew, or make the file again"
        )
    return length


def sha256(path: Path) -> str:
    """Hex SHA-256 of any file that the user named, or that this process made."""
    with path.open("rb") as file:
        return _sha256(file)


def _sha256(file: BinaryIO) -> str:
    found = hashlib.sha256()
    while block := file.read(MIB):
        found.update(block)
    return found.hexdigest()


@contextmanager
def opened(folder: Path, name: str) -> Iterator[BinaryIO]:
    """A file of the folder, open for reading; raises as `read`."""
    path = folder / name
    try:
        if is_bundled(folder):  # as the package itself, which an installer may make of links
            file = os.open(path, _READ)
        else:
            parts = _parts(folder, name)
            file = _open(folder, parts) if _STEPS else os.open(folder.joinpath(*parts), _FILE)
        with os.fdopen(file, "rb") as stream:
            state, most = os.fstat(file), MOST_BYTES.get(name, MOST_BYTES.get(path.suffix, MOST_OTHER))
            if not stat.S_ISREG(state.st_mode):
                raise ModelFolderError(f"'{path}' is no regular file; take the folder from somebody you trust")
            if state.st_size > most:
                raise ModelFolderError(f"'{path}' has {state.st_size:,} bytes, and at most {most:,} are read of it")
            yield stream
    except OSError as error:
        raise ModelFolderError(f"'{path}' cannot be read: {_reason(error)}") from None


def _parts(folder: Path, name: str) -> tuple[str, ...]:
    """Where a name leads, step by step from the folder: the name itself, or what a link points to.

    Raises:
        ModelFolderError: out of the folder, or to what is no regular file.
        OSError: nowhere.
    """
    check_plain(name.removeprefix("."))
    path = folder / name
    parts: tuple[str, ...] = (name,)
    if path.is_symlink():
        root, target = Path(os.path.realpath(folder)), Path(os.path.realpath(path))
        if root not in target.parents:
            raise ModelFolderError(f"'{path}' is a link that leads out of the folder; put the file itself there")
        parts = target.relative_to(root).parts
    if not stat.S_ISREG(folder.joinpath(*parts).lstat().st_mode):  # opening a device does something already
        raise ModelFolderError(f"'{path}' is no regular file; take the folder from somebody you trust")
    return parts


def _open(folder: Path, parts: tuple[str, ...]) -> int:
    """Open step by step, so that no link which somebody puts there meanwhile is followed."""
    at = os.open(folder, _FOLDER & ~getattr(os, "O_NOFOLLOW", 0))  # the folder itself was named by the user
    try:
        for part in parts[:-1]:
            below = os.open(part, _FOLDER, dir_fd=at)
            os.close(at)
            at = below
        return os.open(parts[-1], _FILE, dir_fd=at)
    finally:
        os.close(at)


def _reason(error: OSError) -> str:
    return "it is a link" if error.errno == errno.ELOOP else error.strerror or str(error)
