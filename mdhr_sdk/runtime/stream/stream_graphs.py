"""The graphs that streams run, opened together."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass

from ...modelfolder.config import FolderConfig
from ...modelfolder.folder import ModelFolder
from ...ops import DynamicsParameters
from ..select import open_beside, open_session
from ..session import Session, SessionOptions
from .parameters import read_parameters

BESIDE = ("relations", "temporal")


@dataclass(frozen=True, eq=False)
class StreamGraphs:
    """The graphs that streams run, and the weights of what lies between the first two.

    Attributes:
        encoder: runs once per frame; where and how precisely is where streams run.
        relations, temporal: the small ones after it, on the same device.
        parameters: of the motion path, for `mdhr_sdk.ops`; None without MFD.
        choice: which backend was chosen and why not those before it.
    """

    config: FolderConfig
    encoder: Session
    relations: Session
    temporal: Session
    parameters: DynamicsParameters | None
    choice: str
    threads: int | None

    @classmethod
    def open(cls, folder: ModelFolder, backend: str = "auto", options: SessionOptions | None = None) -> StreamGraphs:
        """Open 'encoder', 'relations' and 'temporal' of a folder; beside an int8 encoder the others are fp32.

        Raises:
            BackendError, ModelFolderError: as `open_session`; or the model has another fusion than the released one.
        """
        options = options or SessionOptions()
        encoder, choice = open_session(folder, backend, options, "encoder", BESIDE)
        return cls.beside(folder, encoder, options, choice)

    @classmethod
    def beside(cls, folder: ModelFolder, encoder: Session, options: SessionOptions, choice: str = "") -> StreamGraphs:
        """Open the small graphs where and how an open encoder runs, which is closed with them, or if that fails."""
        with ExitStack() as opened:
            opened.callback(encoder.close)
            relations = open_beside(folder, encoder, options, "relations")
            opened.callback(relations.close)
            temporal = open_beside(folder, encoder, options, "temporal")
            opened.callback(temporal.close)
            mfd = folder.config.model.mfd
            parameters = read_parameters(folder, scaled=encoder.backend != "torch") if mfd else None
            opened.pop_all()
        return cls(folder.config, encoder, relations, temporal, parameters, choice, options.threads)

    def close(self) -> None:
        """Free the sessions; may be called twice."""
        for session in (self.encoder, self.relations, self.temporal):
            session.close()
