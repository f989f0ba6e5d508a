"""Holds every artefact of a folder against the folder's weights, or what stands for them, on this machine."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...errors import BackendError, ExportError, MissingDependencyError, ModelFolderError, NotFiniteError
from ...modelfolder.artefacts import GRAPHS, artefact, no_artefact, parity_entry, stream_entry
from ...modelfolder.entries import failed_on
from ...modelfolder.folder import ModelFolder, Trust
from ...runtime import BACKENDS, Session, SessionOptions
from ...runtime.backends import Backend
from ...runtime.backends.onnxruntime import overflowing
from ...runtime.cuda.devices import cuda_device_count
from ...runtime.stream.stream_graphs import BESIDE, StreamGraphs
from .footage import calibration_clips, demo_clips
from .judge import Judge
from .references import OnnxReference, Reference, open_reference
from .report import Broken, ParityReport
from .stream_parity import compare_streams

BROKEN = (ExportError, ModelFolderError, NotFiniteError)
UNFIT = (BackendError, ExportError, MissingDependencyError, ModelFolderError)
REFERENCE = "it is what the others are compared with here, since the weights cannot be run"
Outcome = ParityReport | Broken | str


def verify(
    folder: str | Path, on: object = None, backends: Sequence[str] = (), trust: Trust | None = None
) -> Iterator[tuple[str, Outcome]]:
    """Run every exported graph and compare it with the weights; then streams of every encoder whose other graphs are
    there. The manifest keeps what comes out, and what it was compared with.

    Where PyTorch or the weights are missing, the fp32 ONNX graphs that were compared with them elsewhere are the
    reference, in ONNX Runtime on the CPU.

    Each file is run by the backend that it was exported for, and by the others that take it, in every precision that
    they make of it: a bf16 that only the backend's arithmetic knows is judged like one that stands in a file. So are
    streams, in every backend and precision that the encoder could be compared in. What fails stays where it is and is
    not used any more so, until it is exported or verified again.

    Args:
        on: footage with faces to compare on. Without it random pictures in motion are taken, for int8, whose ranges
            were measured on faces, the bundled video.
        backends: some of `mdhr_sdk.runtime.BACKENDS`; empty for those that 'auto' would take.
        trust: 'code' runs TorchScript and engines, too, that were not made on this machine.

    Yields:
        File name, for another backend than the export's followed by ', BACKEND PRECISION', for streams by ', stream at
        lookahead L'; and its report, what is broken about it, or as text why it cannot run here. Of backends that were
        not named, those that cannot run are left out.

    Raises:
        BackendError: an unknown backend.
        MissingDependencyError: PyTorch is not installed, and there is no proven graph either.
        ModelFolderError: the folder or its weights cannot be used; or, after all was compared, something that came
            out could not be noted.
        SourceError: `on` cannot be read, or shows too few faces.
    """
    if unknown := [name for name in backends if name not in BACKENDS]:
        raise BackendError(f"unknown backend '{unknown[0]}'; expected some of {', '.join(BACKENDS)}")
    target = ModelFolder.open(folder, trust=trust)
    target.check_own()
    reference = open_reference(target)
    judge = Judge(target.config, reference, None if on is None else calibration_clips(on, target.config))
    of_int8 = judge
    made = exported(target)
    if judge.clips is None and any(entry["options"]["precision"] == "int8" for entry in made.values()):
        of_int8 = Judge(target.config, reference, demo_clips(target.config))
    streamed: list[tuple[_Run, Judge]] = []
    notes = _Notes(target, None if on is None else str(on))
    for name, entry in made.items():
        options = entry["options"]
        if wrong := _wrong(target, name):
            yield name, wrong
            continue
        one = of_int8 if options["precision"] == "int8" else judge
        for run in _runs(name, entry, backends):
            outcome = _compare(target, run, one, notes)
            if run.own or backends or not isinstance(outcome, str):
                yield run.label, outcome
            if (isinstance(outcome, ParityReport) or outcome == REFERENCE) and run.graph == "encoder":
                streamed.append((run, one))
    for run, one in streamed:
        yield from _compare_streams(target, run, one, notes)
    notes.check()


def exported(folder: ModelFolder) -> dict[str, dict[str, Any]]:
    """The manifest's entries of graphs, by file name."""
    return {name: entry for name, entry in folder.manifest.items() if "graph" in (entry.get("options") or {})}


def _wrong(folder: ModelFolder, name: str) -> Broken | str | None:
    """Why a file cannot be used; plain text if it is missing, or somebody's code, which may be intended."""
    if folder.has(name) and (reason := folder.untrusted(name)):
        known = any(backend.suffix and name.endswith(f".{backend.suffix}") for backend in BACKENDS.values())
        return reason if known else None
    try:
        folder.read(name)
    except ModelFolderError as error:
        return Broken(str(error)) if folder.has(name) else str(error)
    return None


@dataclass(frozen=True)
class _Run:
    """A file in a backend, which computes it in `precision`; `own` for the one that its export was judged in."""

    name: str
    digest: str
    graph: str
    precision: str
    backend: Backend | None
    own: bool

    @property
    def label(self) -> str:
        return self.name if self.own else f"{self.name}, {self.backend_name} {self.precision}"

    @property
    def entry(self) -> str:
        return "parity" if self.own else parity_entry(self.backend_name, self.precision)

    @property
    def backend_name(self) -> str:
        """Empty where no backend takes the file."""
        return self.backend.name if self.backend else ""


@dataclass
class _Notes:
    """Keeps results in the manifest. If that fails, they are still reported."""

    folder: ModelFolder
    on: str | None
    failure: str = ""

    def fact(self, outcome: ParityReport | Broken) -> dict[str, Any]:
        """What the manifest says of an outcome, and of which footage that is."""
        return outcome.to_dict() | ({} if self.on is None else {"on": self.on})

    @staticmethod
    def entry(run: _Run, reference: Reference) -> str:
        """Where a comparison is kept. One with graphs does not take the place of what proves those graphs."""
        proof = run.own and isinstance(reference, OnnxReference) and run.name in reference.files.values()
        return parity_entry(run.backend_name, run.precision) if proof else run.entry

    def keep(self, run: _Run, entry: str, fact: dict[str, Any]) -> None:
        """A pass on random pictures does not overwrite a failure on footage."""
        kept = self.folder.manifest.get(run.name, {})
        if self.on is None and failed_on(kept.get(entry)):
            return
        beside = parity_entry(run.backend_name, run.precision)  # where the same was noted without the weights
        facts = {entry: fact, beside: fact} if entry == "parity" and beside in kept else {entry: fact}
        try:
            self.folder.note(run.name, run.digest, **facts)
        except ModelFolderError as error:
            self.failure = self.failure or str(error)

    def check(self) -> None:
        if self.failure:
            raise ModelFolderError(f"not all that was compared could be noted: {self.failure}")


def _runs(name: str, entry: dict[str, Any], backends: Sequence[str]) -> list[_Run]:
    """The backend that a file was exported for first; it is missing in the run of a file that none knows."""
    graph, precision, digest = entry["options"]["graph"], entry["options"]["precision"], entry.get("sha256", "")
    suffix = _suffix(name, graph, precision)
    takers = [backend for backend in BACKENDS.values() if backend.suffix == suffix]
    found = [
        _Run(name, digest, graph, computed, backend, own=backend is takers[0] and computed == precision)
        for backend in takers
        for computed in backend.precisions
        if (backend.name in backends if backends else backend.auto)
        and graph in GRAPHS
        and artefact(graph, computed, suffix) == name
    ]
    return found or ([] if takers and backends else [_Run(name, digest, graph, precision, None, own=True)])


def _compare(folder: ModelFolder, run: _Run, judge: Judge, notes: _Notes) -> Outcome:
    """How a file answers, noted in the manifest; as text why this machine cannot tell."""
    outcome: ParityReport | Broken
    try:
        session = _open(folder, run)
        try:
            if judge.reference.is_it(session, run.graph):
                return REFERENCE
            if reason := judge.reference.lacks(run.graph):
                return reason
            outcome = judge.compare(session, run.graph)
        finally:
            session.close()
    except BROKEN as error:  # no graph, or an output of another shape
        outcome = Broken(str(error))
    except (BackendError, MissingDependencyError) as error:
        return str(error)
    notes.keep(run, notes.entry(run, judge.reference), notes.fact(outcome))
    return outcome


def _compare_streams(folder: ModelFolder, run: _Run, judge: Judge, notes: _Notes) -> Iterator[tuple[str, Outcome]]:
    """As `_compare`, for streams of an encoder in one backend; nothing where a graph that they need is missing."""
    suffix, small = _suffix(run.name, run.graph, run.precision), "fp32" if run.precision == "int8" else run.precision
    backend = run.backend_name
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
    told = {str(lookahead): notes.fact(outcome) for lookahead, outcome in outcomes.items()}
    notes.keep(run, stream_entry(backend, run.precision), told)
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
    for device in [device for device in here if device in run.backend.devices] or run.backend.devices[:1]:
        options = SessionOptions(device, precision=run.precision)
        try:
            # what is judged here would say nothing of other machines
            if reason := run.backend.unfit(options) or overflowing(folder, run.name, options):
                raise BackendError(reason)
            return run.backend.open_graph(folder, run.graph, options)
        except BackendError as error:
            reasons.append(error)
    raise reasons[0]
