"""The folder that attacks change: the bundled model with a graph of whole clips too, which a user's folder may hold."""

from __future__ import annotations

import sys
from pathlib import Path


def make_sound(folder: Path) -> None:
    """Copy the bundled model, and export that graph."""
    from mdhr_sdk import ModelFolder
    from mdhr_sdk.deploy import export_graphs

    ModelFolder.open("edge").copy(folder)
    export_graphs(folder, graphs=["clip"])


if __name__ == "__main__":
    make_sound(Path(sys.argv[1]))
