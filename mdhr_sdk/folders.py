"""Where the user's own files lie: the cache and the configuration."""

from __future__ import annotations

import os
from pathlib import Path

from .errors import MDHRError


def user_folder(variable: str, bases: tuple[str, ...], below_home: str, what: str, failure: type[MDHRError]) -> Path:
    """The folder that an environment variable names, else `mdhr_sdk` in a base folder, else below the home.

    Args:
        variable: its name; the folder itself, an absolute path.
        bases: variables that may name a base folder; the first that is set counts, if it is an absolute path.
        below_home: the base folder in the user's home.
        what: is kept there, for messages.
        failure: kind of the error.

    Raises:
        MDHRError: of kind `failure`: `variable` is no absolute path, or there is no home.
    """
    if given := os.environ.get(variable):
        if not Path(given).is_absolute():
            raise failure(f"{variable} must be an absolute path; got '{given}'")
        return Path(given)
    base = Path(next(filter(None, map(os.environ.get, bases)), ""))
    try:
        return (base if base.is_absolute() else Path.home() / below_home) / "mdhr_sdk"
    except RuntimeError as error:
        raise failure(f"there is no home to keep {what} in ({error}); set {variable} to a folder") from None
