"""A new model folder: it appears whole under its name, or not at all."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from ..atomic import LOCK, place, scratch, settle
from ..errors import ModelFolderError


def check_free(path: str | Path) -> None:
    """Check that a new folder can be made there, before the work of filling it.

    Raises:
        ModelFolderError: the path holds something already.
    """
    path = Path(path)
    if path.is_symlink() and not path.exists():
        raise ModelFolderError(f"'{path}' is a link that leads nowhere; name a new folder or remove it")
    if path.exists() and (not path.is_dir() or any(inside.name != LOCK for inside in path.iterdir())):
        raise ModelFolderError(f"'{path}' exists and is not an empty folder; name a new folder or remove it")


@contextlib.contextmanager
def new_folder(path: str | Path) -> Iterator[Path]:
    """A folder to fill, which takes the name `path` if the block ends well, and is removed if not.

    An empty folder of the user's that stands there is filled. Of what it holds nothing is touched.

    Raises:
        ModelFolderError: the path holds something already, or cannot be written.
    """
    check_free(path)
    target = Path(path).resolve()
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with scratch(target.parent) as own:
            building = own / target.name
            building.mkdir()
            yield building
            if target.exists():
                check_free(target)
                _fill(target, building)
            else:
                building.replace(target)
    except OSError as error:
        raise ModelFolderError(f"model folder '{path}' cannot be made: {error.strerror or error}") from None


def _fill(target: Path, building: Path) -> None:
    """Move all files; those that were moved are removed again if one cannot be."""
    moved = []
    try:
        for part in sorted(building.iterdir()):
            if part.name != LOCK:
                settle(part)
                place(part, target / part.name)
                moved.append(target / part.name)
    except BaseException:
        for path in moved:
            path.unlink(missing_ok=True)
        raise
