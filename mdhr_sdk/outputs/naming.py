"""How sources and their files are called: with as much of the path as distinguishes them."""

from __future__ import annotations

import glob
import itertools
import os
import re
from collections.abc import Callable, Sequence
from pathlib import Path

from ..errors import plain

TABLE, EVENTS, TIMELINE = "_aus.csv", "_events.csv", "_timeline.png"
OVERLAY, STILL = "_overlay.mp4", "_overlay.jpg"
OPENFACE, PYFEAT, PARQUET, JSONL = "_openface.csv", "_pyfeat.csv", "_aus.parquet", "_aus.jsonl"
MAX_STEM_BYTES = 200  # file systems take names of 255, and ours add up to 40
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:/")
Named = tuple[str, str]  # a source's name, and its kind as in `SourceInfo`


def labels(names: Sequence[str]) -> list[str]:
    """The end of each source's name, with as many folders as distinguish it from the others, as it may be shown."""
    parts = [re.split(r"[\\/]+", name.rstrip("\\/")) for name in names]
    ends = _told_apart(parts, lambda parts: "/".join(parts))
    return [plain(end or name) for end, name in zip(ends, names, strict=True)]


def stems(sources: Sequence[Named]) -> list[str]:
    """What each source's file names begin with: its name, with folders if two are alike; unique even without case.

    Where folders do not tell them apart, the suffixes of the files do ('clip_mov', 'clip_mp4'), else a number.
    """
    return _unique(_told_apart([_path_parts(*source) for source in sources], _file_stem), sources)


def bases(sources: Sequence[Named], roots: Sequence[str | Path] = ()) -> list[str]:
    """As `stems`; but sources below one of the folders `roots` keep the folders between: 'P01/video'."""
    whole = [whole_path(root) for root in roots]
    below = [_folders_below(name, whole) for name, _ in sources]
    plain_stems = iter(stems([source for source, folders in zip(sources, below, strict=True) if folders is None]))
    found = [
        next(plain_stems)
        if folders is None
        else "/".join(_file_stem([part]) for part in (*folders, _path_parts(*source)[-1]))
        for source, folders in zip(sources, below, strict=True)
    ]
    return _unique(found, sources)


def _unique(found: Sequence[str], sources: Sequence[Named]) -> list[str]:
    """Tell alike ones apart by the suffixes of their files if these differ, so that names stay when files come."""
    suffixes = [_suffix(*source) for source in sources]
    alike: dict[str, set[str]] = {}
    for base, suffix in zip(found, suffixes, strict=True):
        alike.setdefault(base.casefold(), set()).add(suffix.casefold())
    used: set[str] = set()
    made: list[str] = []
    for base, suffix in zip(found, suffixes, strict=True):
        folder, slash, own = base.rpartition("/")
        told = f"{folder}{slash}{_file_stem([own, suffix])}" if suffix and len(alike[base.casefold()]) > 1 else base
        names = itertools.chain((told,), (f"{told}-{count}" for count in itertools.count(2)))
        made.append(next(name for name in names if name.casefold() not in used))
        used.add(made[-1].casefold())
    return made


def _suffix(name: str, kind: str) -> str:
    """A file's suffix in letters and digits, as 'mp4'."""
    found = re.match(r"\.(\w+)", Path(name).suffix) if kind in ("video", "image") else None
    return found[1] if found else ""


def whole_path(name: str | Path) -> Path:
    """A path from the top on, so that relative and absolute ones can be held against each other; a URL as it is."""
    return Path(name if _URL.match(str(name)) else os.path.abspath(name))  # noqa: PTH100 (without links followed)


def same_path(one: str, other: str) -> bool:
    """Whether two of `whole_path` lead to one place: '/tmp/a' and '/private/tmp/a' on macOS."""
    if one == other or _URL.match(one) or _URL.match(other):
        return one == other
    return os.path.realpath(one) == os.path.realpath(other)


def is_below(name: str, root: str | Path) -> bool:
    """Whether a file, or what a URL names, lies in a folder or below it."""
    return _folders_below(name, [whole_path(root)]) is not None


def _folders_below(name: str, roots: Sequence[Path]) -> tuple[str, ...] | None:
    """The folders between the first root that holds a file, and the file; None if none does."""
    folder = whole_path(name).parent
    for root in roots:
        if folder.is_relative_to(root):
            return folder.relative_to(root).parts
    if not roots or _URL.match(name):
        return None
    real = Path(os.path.realpath(folder))  # one may be named by way of a link, as the working directory never is
    for target in map(os.path.realpath, roots):
        if real.is_relative_to(target):
            return real.relative_to(target).parts
    return None


def _told_apart(names: Sequence[Sequence[str]], join: Callable[[Sequence[str]], str]) -> list[str]:
    """Join the last part of each name; names that are alike get one part more, until they differ or end.

    Those that all their parts together do not tell apart get none for each other's sake.
    """
    taken, whole = [1] * len(names), [join(parts).casefold() for parts in names]
    while True:
        joined = [join(parts[-count:]) for parts, count in zip(names, taken, strict=True)]
        same_text: dict[str, set[str]] = {}
        for text, full in zip(joined, whole, strict=True):
            same_text.setdefault(text.casefold(), set()).add(full)
        alike = [len(same_text[text.casefold()]) > 1 for text in joined]
        longer = [same and count < len(parts) for same, count, parts in zip(alike, taken, names, strict=True)]
        if not any(longer):
            return joined
        taken = [count + more for count, more in zip(taken, longer, strict=True)]


def _path_parts(name: str, kind: str) -> list[str]:
    """A name's folders and its own part: a file without its suffix, or the folder that a pattern looks into."""
    path = Path(name)
    if kind == "sequence":
        path = path.expanduser() if name.startswith("~") else path
        while glob.has_magic(path.name) and not path.exists():
            path = path.parent
        return [part for part in path.parts if part != path.anchor] or ["images"]
    own = path.stem if kind in ("video", "image") else path.name
    return [*(part for part in path.parent.parts if part != path.anchor), own]


def _file_stem(parts: Sequence[str]) -> str:
    """No separators, no dot in front, not too long."""
    stem = "".join(c if c.isalnum() or c in "-_." else "_" for c in "_".join(parts))
    return stem.encode(errors="ignore")[:MAX_STEM_BYTES].decode(errors="ignore").strip(".") or "source"
