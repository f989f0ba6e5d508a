"""What every backend is to `open_session`: one small class that says whether it can run a graph here, and opens it."""

from __future__ import annotations

from typing import Protocol

from ...modelfolder.folder import ModelFolder
from ..session import Session, SessionOptions


class Backend(Protocol):
    """One module (or object) a backend: it says whether it can run a folder here, and opens it.

    Attributes:
        NAME: what `backend=` calls it.
        AUTO: whether 'auto' considers it.
        DEVICES: 'cuda', 'cpu' or both; the best first.
        PRECISIONS: some of `PRECISIONS`. `open_session` calls the functions with nothing but these.
    """

    NAME: str
    AUTO: bool
    DEVICES: tuple[str, ...]
    PRECISIONS: tuple[str, ...]

    def obstacle(self, folder: ModelFolder, graph: str, options: SessionOptions) -> str | None:
        """Why this backend cannot run a graph of the folder on this machine, with the remedy; None if it can."""
        ...

    def open_graph(self, folder: ModelFolder, graph: str, options: SessionOptions) -> Session:
        """Open one of `GRAPHS`.

        Raises:
            BackendError: the device or precision turns out not to work here.
            ModelFolderError: the file is damaged, foreign or stale.
        """
        ...
