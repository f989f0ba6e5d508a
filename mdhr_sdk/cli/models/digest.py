"""What `mdhr digest` does."""

from __future__ import annotations

from typing import Annotated

import typer

from ...errors import ModelFolderError
from ...modelfolder import inside
from ...modelfolder.folder import ModelFolder
from ...modelfolder.manifest import folder_digest
from ..parts.options import MODEL, command_app, say

app = command_app()


def run_digest(model: str) -> str:
    """The digest of a folder whose files are all those of its manifest.

    Raises:
        ModelFolderError: a file is missing, or has other bytes.
    """
    folder = ModelFolder.open(model)
    files = folder.manifest  # read once: what is proved is what the digest is of
    for name, entry in files.items():
        if not folder.has(name) or inside.digest(folder.path, name, entry.get("bytes", 0)) != entry.get("sha256"):
            what = "has other bytes than the manifest says" if folder.has(name) else "is missing"
            raise ModelFolderError(f"'{folder.path / name}' {what}; take the folder anew, or make the file again")
    return folder_digest(files)


@app.command()
def digest(model: Annotated[str, typer.Argument(help=MODEL)]) -> None:
    """Print the digest that pins a model folder, once every file is proved to be the manifest's.

    With AUDetector.from_pretrained(folder, digest=...) or mdhr detect --digest, no other files are taken.
    """
    say(run_digest(model))
