"""Where results may go, and which folders of the sources they keep."""

from __future__ import annotations

import glob
import itertools
import os
from collections.abc import Sequence
from pathlib import Path

from ...errors import OutputError
from ...vision.sources.resolve import matching


def named_folder(text: str | Path) -> Path:
    """The folder that `--out` names; OutputError for an empty text, which an unset variable of a shell gives."""
    if not str(text).strip():
        raise OutputError("--out expects a folder; got an empty text")
    return Path(text)


def fixed_part(pattern: Path) -> Path:
    """The folders of a pattern before its first sign: 'study/**/*.mp4' -> 'study'."""
    return Path(*itertools.takewhile(lambda part: not glob.has_magic(part), pattern.parts))


def roots(given: Sequence[str]) -> list[Path]:
    """The folders that patterns with `**` look through: what is found there keeps its subfolders in the results."""
    paths = [Path(text).expanduser() for text in given if "**" in text and not Path(text).exists()]
    return [fixed_part(path) for path in paths]


def check_out(given: Sequence[str], out: Path) -> None:
    """Keep results out of the folders and globs that are read: the next run would take them for sources.

    Args:
        given: sources as typed. Files named one by one may lie anywhere.

    Raises:
        OutputError: `out` is a file, or results in it would be read the next time.
    """
    if out.exists() and not out.is_dir():
        raise OutputError(f"the results go into a folder, and '{out}' is a file; choose another --out")
    target = Path(os.path.realpath(out))
    for text in given:
        path = Path(text).expanduser()
        folders = {path} if path.is_dir() else set()
        if not path.exists() and glob.has_magic(text):
            folders = {match.parent for match in matching(path)}
            if "**" in text:
                folders.update({target} if target.is_relative_to(os.path.realpath(fixed_part(path))) else ())
        if any(target == Path(os.path.realpath(folder)) for folder in folders):
            raise OutputError(
                f"the results would lie among the sources in '{out}', and the next run would read them as sources; "
                "choose another folder with --out"
            )
