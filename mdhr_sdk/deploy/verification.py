"""Holds every artefact of a folder against the folder's weights, on this machine."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from ..errors import BackendError, ExportError, ModelFolderError
from ..folder import ModelFolder
from ..model import load_model
from ..runtime import BACKENDS, Session, SessionOptions
from ..runtime.base import artefact, no_artefact
from ..runtime.cuda import cuda_device_count
from ..runtime.stream_graphs import BESIDE, StreamGraphs
from .calibration import calibration_clips, demo_clips
from .parity import Judge
from .report import ParityReport
from .stream_parity import compare_streams
from .view import export_view

UNFIT = (BackendError, ExportError, ModelFolderError)


def verify(folder: str | Path, on: object = None) -> Iterator[tuple[str, ParityReport | str]]:
    """Run every exported graph and compare it with the weights; then streams of every encoder whose other graphs are
    there. The manifest keeps what comes out.

    An artefact that fails stays where it is and is not used any more, until it is exported or verified again.

    Args:
        on: footage with faces to compare on. Without it random pictures in motion are taken, for int8, whose ranges
            were measured on faces, the bundled video.

    Yields:
        File name, or 'encoder.onnx, stream at lookahead L', and its report or why it cannot run here.

    Raises:
        ModelFolderError: the folder or its weights cannot be used.
        SourceError: `on` cannot be read, or shows too few faces.
    """
    target = ModelFolder.open(folder)
    model = load_model(target)
    view = export_view(model, target.config.clip_length)
    judge = Judge(target.config, model, view, None if on is None else calibration_clips(on, target.config))
    of_int8 = judge
    made = [(name, entry["options"]) for name, entry in target.manifest.items() if "graph" in entry.get("options", {})]
    if judge.clips is None and any(options["precision"] == "int8" for _, options in made):
        of_int8 = Judge(target.config, model, view, demo_clips(target.config))
    for name, options in made:
        one = of_int8 if options["precision"] == "int8" else judge
        try:
            yield name, _compare(target, name, options["graph"], options["precision"], one)
        except UNFIT as error:
            yield name, str(error)
    for name, options in made:
        one = of_int8 if options["precision"] == "int8" else judge
        if options["graph"] == "encoder":
            yield from _compare_streams(target, name, options["precision"], one)


def _compare(folder: ModelFolder, name: str, graph: str, precision: str, judge: Judge) -> ParityReport:
    session = _open(folder, name, graph, precision)
    try:
        report = judge.compare(session, graph)
    except ExportError as error:  # an output of another shape
        folder.note(name, parity={"failure": str(error)})
        raise
    finally:
        session.close()
    folder.note(name, parity=report.to_dict())
    return report


def _compare_streams(
    folder: ModelFolder, name: str, precision: str, judge: Judge
) -> Iterator[tuple[str, ParityReport | str]]:
    suffix, small = _suffix(name, "encoder", precision), "fp32" if precision == "int8" else precision
    others = [artefact(graph, small, suffix) for graph in BESIDE]
    if not all(map(folder.has, (name, *others))):
        return
    try:
        if reason := next(filter(None, (no_artefact(folder, one, "export it again") for one in (name, *others))), None):
            raise BackendError(reason)
        encoder = _open(folder, name, "encoder", precision)
        graphs = StreamGraphs.beside(folder, encoder, SessionOptions(encoder.device, precision=precision))
        try:
            reports = compare_streams(judge, graphs)
        finally:
            graphs.close()
    except UNFIT as error:
        yield f"{name}, stream", str(error)
        return
    folder.note(name, streams={str(lookahead): report.to_dict() for lookahead, report in reports.items()})
    for lookahead, report in reports.items():
        yield f"{name}, stream at lookahead {lookahead}", report


def _suffix(name: str, graph: str, precision: str) -> str:
    return name.removeprefix(f"{graph}.").removeprefix(f"{precision}.")


def _open(folder: ModelFolder, name: str, graph: str, precision: str) -> Session:
    """The session of the backend that a file is for, on CUDA where it can, whatever an earlier comparison said."""
    suffix = _suffix(name, graph, precision)
    module = next((m for m in BACKENDS.values() if getattr(m, "SUFFIX", None) == suffix), None)
    if module is None:
        raise BackendError(f"no backend of this version runs {name}; remove it or export it again")
    here = ["cuda"] * bool(cuda_device_count()) + ["cpu"]
    reasons = []
    for device in [device for device in here if device in module.DEVICES] or module.DEVICES[:1]:
        try:
            session: Session = module.open_graph(folder, graph, SessionOptions(device, precision=precision))
            return session
        except BackendError as error:
            reasons.append(error)
    raise reasons[0]
