"""Where sources lie and results go: folders of this machine, or any file system that fsspec knows."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, Any, Protocol

from ..atomic import place, scratch, sweep, told, write_whole
from ..errors import OutputError, SourceError, require

_URL = re.compile(r"([a-z][a-z0-9+.-]+)://", re.IGNORECASE)


class Place(Protocol):
    """Where results go. Names are relative, with '/' between folders."""

    def size(self, name: str) -> int | None: ...
    def read(self, name: str) -> bytes | None: ...
    def put(self, file: Path, name: str) -> str: ...
    def write(self, name: str, content: str) -> None: ...
    def drop(self, name: str) -> None: ...
    def staging(self) -> contextlib.AbstractContextManager[Path]: ...
    def tidy(self, folders: Iterable[str]) -> None: ...
    def remove(self, folder: str) -> None: ...


class Folder:
    """A folder of this machine; files appear whole, by renaming."""

    def __init__(self, root: Path) -> None:
        if root.exists() and not root.is_dir():
            raise OutputError(f"the results go into a folder, and '{root}' is a file; choose another one")
        self.root = root

    def size(self, name: str) -> int | None:
        """Bytes of a file; None if it is not there."""
        path = self.root / name
        return path.stat().st_size if path.is_file() else None

    def read(self, name: str) -> bytes | None:
        """A file's content; None if it is not there."""
        path = self.root / name
        with told(path):
            return path.read_bytes() if path.is_file() else None

    def put(self, file: Path, name: str) -> str:
        """Move a file out of the staging folder to its name; returns what to call it."""
        target = self.root / name
        with told(target):
            self._make_folder(target.parent)
            place(file, target)
        return str(target)

    def write(self, name: str, content: str) -> None:
        with told(self.root / name):
            self._make_folder((self.root / name).parent)
        write_whole(self.root / name, content)

    def drop(self, name: str) -> None:
        """Remove a file, if it is there."""
        with told(self.root / name):
            (self.root / name).unlink(missing_ok=True)

    def _make_folder(self, folder: Path) -> None:
        """Make a folder of results; no link that somebody put there leads out of the root."""
        if not folder.resolve().is_relative_to(self.root.resolve()):
            raise OutputError(
                f"'{folder}' leads out of the folder of results, '{self.root}', by a link; remove it, or give another "
                "--out"
            )
        folder.mkdir(parents=True, exist_ok=True)

    @contextlib.contextmanager
    def staging(self) -> Iterator[Path]:
        """A folder of this worker's own for files in the making; what a killed worker leaves there is removed."""
        stack = contextlib.ExitStack()
        with told(self.root):
            self.root.mkdir(parents=True, exist_ok=True)
            own = stack.enter_context(scratch(self.root))
        with stack:
            yield own

    def tidy(self, folders: Iterable[str]) -> None:
        """Remove what killed workers left, here and in these folders."""
        for folder in {"", *folders}:
            sweep(self.root / folder)

    def remove(self, folder: str) -> None:
        """Remove a folder and all that is in it, if it is there, and no link leads to it from elsewhere."""
        if (self.root / folder).resolve().is_relative_to(self.root.resolve()):
            shutil.rmtree(self.root / folder, ignore_errors=True)


class Remote:
    """A place that fsspec reaches. A file appears when it is there as a whole, as object stores do it."""

    def __init__(self, url: str) -> None:
        self._system, self._root = _opened(url, OutputError)
        self._shown = public_url(url).rstrip("/")

    def size(self, name: str) -> int | None:
        path = self._path(name)
        with self._told(name):
            return int(self._system.info(path)["size"]) if self._system.isfile(path) else None

    def read(self, name: str) -> bytes | None:
        path = self._path(name)
        with self._told(name):
            return bytes(self._system.cat_file(path)) if self._system.isfile(path) else None

    def put(self, file: Path, name: str) -> str:
        with self._told(name):
            self._system.makedirs(self._path(name).rpartition("/")[0], exist_ok=True)
            self._system.put_file(str(file), self._path(name))
        return f"{self._shown}/{name}"

    def write(self, name: str, content: str) -> None:
        with self._told(name):
            self._system.makedirs(self._path(name).rpartition("/")[0], exist_ok=True)
            self._system.pipe_file(self._path(name), content.encode())

    def drop(self, name: str) -> None:
        with self._told(name):
            if self._system.isfile(self._path(name)):
                self._system.rm_file(self._path(name))

    @contextlib.contextmanager
    def staging(self) -> Iterator[Path]:
        with tempfile.TemporaryDirectory(prefix="mdhr-") as own:
            yield Path(own)

    def tidy(self, folders: Iterable[str]) -> None:
        """Nothing is left there by killed workers: files of this machine's temporary folder are."""

    def remove(self, folder: str) -> None:
        with self._told(folder):
            if self._system.exists(self._path(folder)):
                self._system.rm(self._path(folder), recursive=True)

    def _path(self, name: str) -> str:
        return f"{self._root.rstrip('/')}/{name}"

    @contextlib.contextmanager
    def _told(self, name: str) -> Iterator[None]:
        try:
            yield
        except Exception as error:  # each file system has its own kinds
            raise OutputError(
                f"'{self._shown}/{name}' cannot be written or read: {_reason(error)}; check the address and the rights"
            ) from error


def destination(text: str | Path) -> Place:
    """The place that a path or URL means.

    Raises:
        OutputError: a file, or an address that fsspec cannot open.
        MissingDependencyError: a URL, and fsspec or the package for its file system is not installed.
    """
    if is_remote(text):
        return Remote(str(text))
    return Folder(Path(local_path(str(text))))


def is_remote(text: str | Path) -> bool:
    """Whether a text is the URL of another file system than this machine's."""
    found = _URL.match(str(text))
    return bool(found and found[1].lower() not in ("file", "local"))


@contextlib.contextmanager
def fetched(url: str, folder: Path) -> Iterator[Path]:
    """A copy of a remote file in `folder`, under its own suffix, for as long as the block runs.

    Raises:
        SourceError: it cannot be read.
    """
    system, path = _opened(url, SourceError)
    copy = folder / f"source{Path(path).suffix}"
    try:
        with _readable(url):
            system.get_file(path, str(copy))
        yield copy
    finally:
        copy.unlink(missing_ok=True)


@contextlib.contextmanager
def opened(path: str | Path) -> Iterator[IO[bytes]]:
    """A file of any place, open for reading; SourceError if it cannot be read."""
    if is_remote(path):
        system, inside = _opened(str(path), SourceError)
        with _readable(str(path)), system.open(inside, "rb") as file:
            yield file
        return
    try:
        with Path(path).open("rb") as file:
            yield file
    except (OSError, ValueError) as error:  # ValueError: a name with a zero byte
        reason = getattr(error, "strerror", None) or error
        raise SourceError(f"cannot read {path}: {reason}; check the path and its permissions") from None


def public_url(url: str) -> str:
    """A URL as results and messages show it: without login, and over HTTP without query and fragment."""
    scheme, mark, rest = url.partition("://")
    if scheme.lower() in ("http", "https"):
        rest = re.split("[?#]", rest, maxsplit=1)[0]
    host, slash, path = rest.partition("/")
    return f"{scheme}{mark}{host.rpartition('@')[2]}{slash}{path}"


@contextlib.contextmanager
def _readable(url: str) -> Iterator[None]:
    try:
        yield
    except SourceError:
        raise
    except Exception as error:
        raise SourceError(
            f"cannot read {public_url(url)}: {_reason(error)}; check the address and the rights"
        ) from error


def _opened(url: str, failure: type[OutputError] | type[SourceError]) -> tuple[Any, str]:
    """The file system of a URL, and the path in it."""
    fsspec = require("fsspec", "cluster")
    try:
        system, path = fsspec.core.url_to_fs(url)
    except Exception as error:  # an unknown protocol, or a package that it needs
        raise failure(
            f"cannot open '{public_url(url)}': {_reason(error)}; give a path, or the URL of a file system that fsspec "
            "knows here"
        ) from None
    return system, str(path)


def _reason(error: Exception) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())[:300]


def local_path(text: str) -> str:
    """'file:///a/b' or '~/b' -> the path that it means."""
    found = _URL.match(text)
    return os.path.expanduser(text[found.end() :] if found else text)  # noqa: PTH111 (a text)
