"""What every benchmark ends in: a table on the terminal and a JSON file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console

from mdhr_sdk.errors import OutputError

console = Console(width=150, highlight=False, markup=False)  # reasons hold brackets: [torch]


def check_json(path: Path | None) -> None:
    """Refuse a file that cannot be written, before anything is measured.

    Raises:
        OutputError: its folder does not exist, or it is a folder itself.
    """
    if path is not None and (path.is_dir() or not path.absolute().parent.is_dir()):
        raise OutputError(f"--json needs a file in a folder that exists; got '{path}'")


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write `content`; units stand in the names.

    Raises:
        OutputError: the file cannot be written.
    """
    try:
        path.write_text(json.dumps(content, indent=2, allow_nan=False) + "\n", encoding="utf-8")
    except OSError as error:
        raise OutputError(f"'{path}' cannot be written: {error.strerror or error}") from None
