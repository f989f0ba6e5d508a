"""From a list of files to jobs."""

from __future__ import annotations

import itertools
import logging
import os
import re
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

from ..errors import ConfigError, SourceError, number_of
from ..outputs.naming import bases, is_below, labels, whole_path
from ..vision import Scope, Source, list_sources
from ..vision.sources.source import Opened
from .places import is_remote, local_path, opened, public_url
from .worker import Job

LIVE_SCHEMES = ("rtsp", "rtsps", "rtmp", "rtmps", "udp", "tcp", "srt")
MOST_BYTES = 256 << 20  # of a list: a million long paths
NAMED = 10  # files that a warning names
_LINE_END = re.compile(r"\r\n|\n|\r")  # str.splitlines would break names at other letters too
FILES = ("video", "image", "sequence")  # kinds of source
log = logging.getLogger("mdhr_sdk")


def read_list(path: str) -> list[str]:
    """The lines of a list, a path or URL each, without blank ones, comments ('# ...') and repetitions.

    Raises:
        SourceError: it cannot be read, is no text, or names nothing.
    """
    with opened(path) as file:
        try:
            if len(content := file.read(MOST_BYTES + 1)) > MOST_BYTES:
                raise SourceError(f"'{path}' has more than {MOST_BYTES:,} bytes; expected a list of files")
            text = content.decode("utf-8-sig")
        except UnicodeDecodeError:
            raise SourceError(f"expected a text with a path or URL on each line in {path}; it is no UTF-8") from None
    lines = [line.strip() for line in _LINE_END.split(text)]
    named = [line for line in lines if line and not line.startswith("#")]
    if not named:
        raise SourceError(f"expected a path or URL on each line of {path}; it has none")
    return list(dict.fromkeys(named))


def jobs_of_list(named: Sequence[str], scope: Scope, root: str | None = None) -> list[Job]:
    """A job for each file that is named.

    A path that leads to nothing is a job that fails, so that it is listed with the others.

    Args:
        root: folder or URL; results keep the folders below it. None for the folder that holds all files, and of the
            URLs for the one that holds all of a kind ('s3://').

    Raises:
        ConfigError: an address that is live, or a file that is not below the root.
    """
    schemes = tuple(f"{scheme}://" for scheme in LIVE_SCHEMES)
    if live := next((text for text in named if text.lower().startswith(schemes)), ""):
        raise ConfigError(f"a batch reads files, and '{public_url(live)}' is live; give it to mdhr detect")
    urls = _by_public_name(text for text in named if is_remote(text))
    paths = [local_path(text) if "://" in text else text for text in named if not is_remote(text)]
    sources = once(list_sources(paths, on_error="skip")) if paths else []
    root = root if root is None or is_remote(root) else local_path(root)
    roots = _roots([source.name for source in sources]) + _roots(list(urls)) if root is None else [root]
    sources += [Source(url, "video", _not_fetched) for url in urls]
    if root is not None and (out := next((one.name for one in sources if not is_below(one.name, root)), "")):
        raise ConfigError(
            f"expected files below --root '{public_url(root)}'; '{out}' is not; give a folder that holds all"
        )
    return jobs_of([source.scoped(scope) for source in sources], roots, urls)


def once(sources: Sequence[Source]) -> list[Source]:
    """The sources, each file once: './a.mp4' and 'x/../a.mp4' are one file, and a link under another name is another.

    Those that are left out are counted and named in the log.
    """
    folders: dict[Path, str] = {}
    found: dict[object, Source] = {}
    again: list[str] = []
    for number, source in enumerate(sources):
        for folder in {path.parent for path in source.paths} - folders.keys():
            folders[folder] = os.path.realpath(folder)
        files = tuple((folders[path.parent], path.name) for path in source.paths)
        key = (source.kind, files) if files and source.kind in FILES else number
        if found.setdefault(key, source) is not source:
            again.append(source.paths[0].name)
    if again:
        names = ", ".join(dict.fromkeys(again[:NAMED])) + (", ..." if len(again) > NAMED else "")
        log.warning("%s named more than once, and read once: %s", number_of(len(again), "source"), names)
    return list(found.values())


def _by_public_name(urls: Iterable[str]) -> dict[str, str]:
    """Name -> URL. Two addresses that look alike without login and query have a number behind the second one."""
    named: dict[str, str] = {}
    for url in dict.fromkeys(urls):
        public = public_url(url)
        names = itertools.chain((public,), (f"{public} ({count})" for count in itertools.count(2)))
        named[next(name for name in names if name not in named)] = url
    return named


def jobs_of(
    sources: Sequence[Source], below: Sequence[str | Path] = (), urls: dict[str, str] | None = None
) -> list[Job]:
    """What is to be done with each source; those in the folders `below` keep their subfolders.

    Args:
        urls: name -> address of the sources that fsspec fetches.
    """
    stems = bases([(source.name, source.kind) for source in sources], below)
    names = labels([source.name for source in sources])
    return [
        Job(number, source, label, stem, _bytes_of(source.paths), (urls or {}).get(source.name, ""))
        for number, (source, label, stem) in enumerate(zip(sources, names, stems, strict=True))
    ]


def _roots(names: Sequence[str]) -> list[Path]:
    """The folder that holds all of these files; of URLs, or of drives of Windows, one each kind."""
    kinds: dict[str, list[str]] = {}
    for name in names:
        folder = whole_path(name).parent
        kinds.setdefault(folder.parts[0] if folder.parts else "", []).append(str(folder))
    return [Path(os.path.commonpath(folders)) for folders in kinds.values()]


def _not_fetched() -> AbstractContextManager[Opened]:
    raise SourceError("a remote file is fetched before it is opened")


def _bytes_of(paths: Sequence[Path]) -> int:
    total = 0
    for path in paths:
        try:
            total += path.stat().st_size
        except OSError:  # the worker says what is wrong with it
            continue
    return total
