"""Holds every artefact of a folder against the folder's weights, on this machine."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import BackendError, ExportError, MissingDependencyError, ModelFolderError, NotFiniteError
from ..folder import ModelFolder
from ..model import load_model
from ..runtime import BACKENDS, Session, SessionOptions
from ..runtime.base import artefact, no_artefact, parity_entry, stream_entry
from ..runtime.cuda import cuda_device_count
from ..runtime.stream_graphs import BESIDE, StreamGraphs
from .calibration import calibration_clips, demo_clips
from .parity import Judge
from .report import Broken, ParityReport
from .stream_parity import compare_streams
from .view import export_view

BROKEN = (ExportError, ModelFolderError, NotFiniteError)
UNFIT = (BackendError, ExportError, MissingDependencyError, ModelFolderError)
Outcome = ParityReport | Broken | str


def verify(folder: str | Path, on: object = None, backends: Sequence[str] = ()) -> Iterator[tuple[str, Outcome]]:
    """Run every exported graph and compare it with the weights; then streams of every encoder whose other graphs are
    there. The manifest keeps what comes out.

    Each file is run by the backend that it was exported for, and by the others that take it, in every precision that
    they make of it: a bf16 that only the backend's arithmetic knows is judged like one that stands in a file. So are
    streams, in every backend and precision that the encoder could be compared in. What fails stays where it is and is
    not used any more so, until it is exported or verified again.

    Args:
        on: footage with faces to compare on. Without it random pictures in motion are taken, for int8, whose ranges
            were measured on faces, the bundled video.
        backends: some of `mdhr_sdk.runtime.BACKENDS`; empty for those that 'auto' would take.

    Yields:
        File name, for another backend than the export's followed by ', BACKEND PRECISION', for streams by ', stream at
        lookahead L'; and its report, what is broken about it, or as text why it cannot run here. Of backends that were
        not named, those that cannot run are left out.

    Raises:
        BackendError: an unknown backend.
        ModelFolderError: the folder or its weights cannot be used, or what came out cannot be noted.
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
        if wrong := _wrong(target, name):
            yield name, wrong
            continue
        one = of_int8 if options["precision"] == "int8" else judge
        for run in _runs(name, options["graph"], options["precision"], backends):
            outcome = _compare(target, digest, run, one)
            if run.own or backends or not isinstance(outcome, str):
                yield run.label, outcome
            if isinstance(outcome, ParityReport) and run.graph == "encoder":
                streamed.append((digest, run, one))
    for digest, run, one in streamed:
        yield from _compare_streams(target, digest, run, one)


def _wrong(folder: ModelFolder, name: str) -> Broken | str | None:
    """What is wrong with a file before anything runs it; as text that it is gone, which someone may have wanted."""
    try:
        folder.read(name)
    except ModelFolderError as error:
        return Broken(str(error)) if folder.has(name) else str(error)
    return None


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


def _compare(folder: ModelFolder, digest: str, run: _Run, judge: Judge) -> Outcome:
    """How a file answers, noted in the manifest; as text why this machine cannot tell."""
    outcome: ParityReport | Broken
    try:
        session = _open(folder, run)
        try:
            outcome = judge.compare(session, run.graph)
        finally:
            session.close()
    except BROKEN as error:  # no graph, or an output of another shape
        outcome = Broken(str(error))
    except (BackendError, MissingDependencyError) as error:
        return str(error)
    folder.note(run.name, digest, **{run.entry: outcome.to_dict()})
    return outcome


def _compare_streams(folder: ModelFolder, digest: str, run: _Run, judge: Judge) -> Iterator[tuple[str, Outcome]]:
    """As `_compare`, for streams of an encoder in one backend; nothing where a graph that they need is missing."""
    suffix, small = _suffix(run.name, run.graph, run.precision), "fp32" if run.precision == "int8" else run.precision
    backend = run.backend.NAME
    files = {run.name: run.precision, **{artefact(graph, small, suffix): small for graph in BESIDE}}
    if not all(map(folder.has, files)):
        return
    outcomes: dict[int, ParityReport | Broken]
    try:
        entries = {name: parity_entry(backend, precision) for name, precision in files.items()}
        obstacles = (no_artefact(folder, name, "export it again", entry) for name, entry in entries.items())
        if reason := next(filter(None, obstacles), None):
            raise BackendError(reason)
        encoder = _open(folder, run)
        graphs = StreamGraphs.beside(folder, encoder, SessionOptions(encoder.device, precision=run.precision))
        try:
            outcomes = compare_streams(judge, graphs)
        finally:
            graphs.close()
    except UNFIT as error:  # which the graph's own row tells
        yield f"{run.label}, stream", str(error)
        return
    told = {str(lookahead): outcome.to_dict() for lookahead, outcome in outcomes.items()}
    folder.note(run.name, digest, **{stream_entry(backend, run.precision): told})
    for lookahead, outcome in outcomes.items():
        yield f"{run.label}, stream at lookahead {lookahead}", outcome


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
