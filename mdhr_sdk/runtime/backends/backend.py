"""What every backend is to `open_session`: one small class that says whether it can run a graph here, and opens it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

from ...modelfolder.artefacts import artefact, export_command, no_artefact, parity_entry
from ...modelfolder.folder import ModelFolder
from ..session import Session, SessionOptions


@dataclass(frozen=True)
class Backend(ABC):
    """One way to run a graph.

    The methods are only called with a device and a precision from `devices` and `precisions`, never with 'auto'.

    Attributes:
        name: what `backend=` calls it.
        devices: 'cuda', 'cpu' or both; the best first.
        precisions: some of `mdhr_sdk.modelfolder.artefacts.PRECISIONS`.
        suffix: of the files that it runs, such as 'onnx'; None if it runs the weights themselves.
        auto: whether 'auto' considers it.
    """

    name: str
    devices: tuple[str, ...]
    precisions: tuple[str, ...]
    suffix: str | None
    auto: bool

    def obstacle(self, folder: ModelFolder, graph: str, options: SessionOptions) -> str | None:
        """Why this backend cannot run a graph of the folder on this machine, with the remedy; None if it can."""
        return self.no_file(folder, graph, options) or self.unfit(options)

    def no_file(self, folder: ModelFolder, graph: str, options: SessionOptions) -> str | None:
        """Why the folder has nothing that this backend may run, with the remedy; None if it has."""
        assert self.suffix is not None
        name, kind = artefact(graph, options.precision, self.suffix), self.suffix.partition(".")[0]
        remedy = export_command(folder, kind, graph, options.precision)
        return no_artefact(folder, name, remedy, parity_entry(self.name, options.precision))

    @abstractmethod
    def unfit(self, options: SessionOptions) -> str | None:
        """What this machine lacks for the device and the precision, with the remedy; None if nothing."""

    @abstractmethod
    def open_graph(self, folder: ModelFolder, graph: str, options: SessionOptions) -> Session:
        """Open one of `mdhr_sdk.modelfolder.artefacts.GRAPHS`.

        Raises:
            BackendError: the device or precision turns out not to work here.
            ModelFolderError: the file is damaged, foreign or stale.
        """
