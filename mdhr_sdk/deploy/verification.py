"""Holds every artefact of a folder against the folder's weights, on this machine."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import BackendError, ExportError, MissingDependencyError, ModelFolderError
from ..folder import ModelFolder
from ..model import load_model
from ..runtime import BACKENDS, Session, SessionOptions
from ..runtime.base import artefact, no_artefact, parity_entry
from ..runtime.cuda import cuda_device_count
from ..runtime.stream_graphs import BESIDE, StreamGraphs
from .calibration import calibration_clips, demo_clips
from .parity import Judge
from .report import ParityReport
from .stream_parity import compare_streams
from .view import export_view

UNFIT = (BackendError, ExportError, MissingDependencyError, ModelFolderError)


def verify(
    folder: str | Path, on: object = None, backends: Sequence[str] = ()
) -> Iterator[tuple[str, ParityReport | str]]:
    """Run every exported graph and compare it with the weights; then streams of every encoder whose other graphs are
    there. The manifest keeps what comes out.

    Each file is run by the backend that it was exported for, and by the others that take it, in every precision that
    they make of it: a bf16 that only the backend's arithmetic knows is judged like one that stands in a file. What
    fails stays where it is and is not used any more, until it is exported or verified again.

    Args:
        on: footage with faces to compare on. Without it random pictures in motion are taken, for int8, whose ranges
            were measured on faces, the bundled video.
        backends: some of `mdhr_sdk.runtime.BACKENDS`; empty for those that 'auto' would take.

    Yields:
        File name, for another backend than the export's followed by ', BACKEND PRECISION', for streams by ', stream at
        lookahead L'; and its report or why it cannot run here. Of backends that were not named, those that cannot run
        are left out. Streams are run by the backend that the encoder was exported for.

    Raises:
        BackendError: an unknown backend.
        ModelFolderError: the folder or its weights cannot be used.
        SourceError: `on` cannot be read, or shows too few faces.
    """
    if unknown := [name for name in backends if name not in BACKENDS]:
        raise BackendError(f"unknown backend '{unknown[0]}'; expected some of {', '.join(BACKENDS)}")
    target = ModelFolder.open(folder)
    target.check_own()
    model = load_model(target)
    view = export_view(model, target.config.clip_length)
    judge = Judge(target.config, model, view, None if on is None else calibration_clips(on, target.config))
    of_int8 = judge
    made = [one for one in target.manifest.items() if "graph" in one[1].get("options", {})]
    if judge.clips is None and any(entry["options"]["precision"] == "int8" for _, entry in made):
        of_int8 = Judge(target.config, model, view, demo_clips(target.config))
    streamed: list[tuple[str, _Run, Judge]] = []
    for name, entry in made:
        options, digest = entry["options"], entry["sha256"]
        one = of_int8 if options["precision"] == "int8" else judge
        for run in _runs(name, options["graph"], options["precision"], backends):
            try:
                yield run.label, _compare(target, digest, run, one)
            except UNFIT as error:
                if run.own or backends or not isinstance(error, BackendError | MissingDependencyError):
                    yield run.label, str(error)
            if run.own and run.graph == "encoder":
                streamed.append((digest, run, one))
    for digest, run, one in streamed:
        yield from _compare_streams(target, digest, run, one)


@dataclass(frozen=True)
class _Run:
    """A file in a backend, which computes it in `precision`; `own` for the one that its export was judged in."""

    name: str
    graph: str
    precision: str
    backend: Any
    own: bool

    @property
    def label(self) -> str:
        return self.name if self.own else f"{self.name}, {self.backend.NAME} {self.precision}"

    @property
    def entry(self) -> str:
        return "parity" if self.own else parity_entry(self.backend.NAME, self.precision)


def _runs(name: str, graph: str, precision: str, backends: Sequence[str]) -> Iterator[_Run]:
    """The backend that a file was exported for first; it is missing in the run of a file that none knows."""
    suffix = _suffix(name, graph, precision)
    takers = [module for module in BACKENDS.values() if getattr(module, "SUFFIX", None) == suffix]
    if not takers:
        yield _Run(name, graph, precision, None, own=True)
    for module in takers:
        for computed in module.PRECISIONS:
            own = module is takers[0] and computed == precision
            wanted = module.NAME in backends if backends else module.AUTO
            if wanted and artefact(graph, computed, suffix) == name:
                yield _Run(name, graph, computed, module, own)


def _compare(folder: ModelFolder, digest: str, run: _Run, judge: Judge) -> ParityReport:
    session = _open(folder, run)
    try:
        report = judge.compare(session, run.graph)
    except ExportError as error:  # an output of another shape
        folder.note(run.name, digest, **{run.entry: {"failure": str(error)}})
        raise
    finally:
        session.close()
    folder.note(run.name, digest, **{run.entry: report.to_dict()})
    return report


def _compare_streams(
    folder: ModelFolder, digest: str, run: _Run, judge: Judge
) -> Iterator[tuple[str, ParityReport | str]]:
    suffix, small = _suffix(run.name, run.graph, run.precision), "fp32" if run.precision == "int8" else run.precision
    others = [artefact(graph, small, suffix) for graph in BESIDE]
    if not all(map(folder.has, (run.name, *others))):
        return
    try:
        obstacles = (no_artefact(folder, one, "export it again") for one in (run.name, *others))
        if reason := next(filter(None, obstacles), None):
            raise BackendError(reason)
        encoder = _open(folder, run)
        graphs = StreamGraphs.beside(folder, encoder, SessionOptions(encoder.device, precision=run.precision))
        try:
            reports = compare_streams(judge, graphs)
        finally:
            graphs.close()
        told = {str(lookahead): report.to_dict() for lookahead, report in reports.items()}
        folder.note(run.name, digest, streams=told)
    except UNFIT as error:
        yield f"{run.name}, stream", str(error)
        return
    for lookahead, report in reports.items():
        yield f"{run.name}, stream at lookahead {lookahead}", report


def _suffix(name: str, graph: str, precision: str) -> str:
    return name.removeprefix(f"{graph}.").removeprefix(f"{precision}.")


def _open(folder: ModelFolder, run: _Run) -> Session:
    """A session, on CUDA where it can, whatever an earlier comparison said."""
    if run.backend is None:
        raise BackendError(f"no backend of this version runs {run.name}; remove it or export it again")
    here = ["cuda"] * bool(cuda_device_count()) + ["cpu"]
    reasons = []
    for device in [device for device in here if device in run.backend.DEVICES] or run.backend.DEVICES[:1]:
        try:
            options = SessionOptions(device, precision=run.precision)
            session: Session = run.backend.open_graph(folder, run.graph, options)
            return session
        except BackendError as error:
            reasons.append(error)
    raise reasons[0]
