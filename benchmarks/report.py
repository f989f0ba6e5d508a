"""What every benchmark ends in: a table on the terminal and a JSON file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Optional

import typer
from rich.console import Console

from mdhr_sdk.errors import OutputError

console = Console(width=150, highlight=False, markup=False)  # reasons hold brackets: [torch]


def check_json(path: Path | None) -> Path | None:
    """Refuse a file that cannot be written, before anything is measured.

    Raises:
        OutputError: its folder does not exist, or it is a folder itself.
    """
    if path is not None and (path.is_dir() or not path.absolute().parent.is_dir()):
        raise OutputError(f"--json needs a file in a folder that exists; got '{path}'")
    return path


Json = Annotated[Optional[Path], typer.Option(callback=check_json, help="Write everything to this file.")]
Backends = Annotated[Optional[list[str]], typer.Option(help="May be given again; all that can run if not.")]
Precisions = Annotated[Optional[list[str]], typer.Option(help="May be given again; all there are if not.")]
Threads = Annotated[Optional[int], typer.Option(help="CPU threads; as many as usable cores if not given.")]


def write_json(path: Path | None, content: Mapping[str, Any]) -> None:
    """Write `content`, if it is wanted; units stand in the names.

    Raises:
        OutputError: the file cannot be written.
    """
    if path is None:
        return
    try:
        path.write_text(json.dumps(content, indent=2, allow_nan=False) + "\n", encoding="utf-8")
    except OSError as error:
        raise OutputError(f"'{path}' cannot be written: {error.strerror or error}") from None
