"""The graphs that streams run, opened together."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass, replace

from ...modelfolder.config import FolderConfig
from ...modelfolder.folder import ModelFolder
from ...ops import DynamicsParameters
from ..backends import BACKENDS
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
    def beside(cls, folder: ModelFolder, encoder: Session, options: SessionOptions, choice: str = "") -> StreamGraphs:
        """Open the small graphs where and how an open encoder runs, which is closed with them, or if that fails.

        Beside an int8 encoder they are fp32.

        Raises:
            BackendError, ModelFolderError: as `open_session`; or the model has another fusion than the released one.
        """
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


def small_options(options: SessionOptions) -> SessionOptions:
    """How the small graphs run beside an encoder: as it does, but for int8, which they have no form of."""
    return replace(options, precision="fp32") if options.precision == "int8" else options


def open_beside(folder: ModelFolder, session: Session, options: SessionOptions, graph: str) -> Session:
    """Open a small graph where and how `session` runs, which `open_session` opened with `beside` holding it."""
    concrete = small_options(replace(options, device=session.device, precision=session.precision))
    return BACKENDS[session.backend].open_graph(folder, graph, concrete)
