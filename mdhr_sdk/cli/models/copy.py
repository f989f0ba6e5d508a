"""What `mdhr copy` does."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ...modelfolder.folder import ModelFolder
from ..parts.options import MODEL, command_app, say

app = command_app()


@app.command()
def copy(
    model: Annotated[str, typer.Argument(help=MODEL)],
    folder: Annotated[Path, typer.Argument(help="New folder for the copy.")],
) -> None:
    """Copy a model, for example the bundled one, to export it or build engines."""
    say(f"{ModelFolder.open(model).copy(folder).path}: a copy of {model}")
