"""Holds every artefact of a folder against the folder's weights, on this machine."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from ..errors import BackendError, ExportError, ModelFolderError
from ..folder import ModelFolder
from ..model import load_model
from ..runtime import BACKENDS, Session, SessionOptions
from ..runtime.cuda import cuda_device_count
from .calibration import calibration_clips, demo_clips
from .parity import Judge
from .report import ParityReport
from .view import export_view


def verify(folder: str | Path, on: object = None) -> Iterator[tuple[str, ParityReport | str]]:
    """Run every exported graph and compare it with the weights; the manifest keeps what comes out.

    An artefact that fails stays where it is and is not used any more, until it is exported or verified again.

    Args:
        on: footage with faces to compare on. Without it random pictures in motion are taken, for int8, whose ranges
            were measured on faces, the bundled video.

    Yields:
        File name, and its report or why it cannot run here.

    Raises:
        ModelFolderError: the folder or its weights cannot be used.
        SourceError: `on` cannot be read, or shows too few faces.
    """
    target = ModelFolder.open(folder)
    target.check_own()
    model = load_model(target)
    view = export_view(model, target.config.clip_length)
    judge = Judge(target.config, model, view, None if on is None else calibration_clips(on, target.config))
    of_int8 = judge
    for name, entry in target.manifest.items():
        options = entry.get("options", {})
        if "graph" not in options:
            continue
        if options["precision"] == "int8" and of_int8.clips is None:
            of_int8 = Judge(target.config, model, view, demo_clips(target.config))
        one = of_int8 if options["precision"] == "int8" else judge
        try:
            found: ParityReport | str = _compare(target, name, options["graph"], options["precision"], one)
        except (BackendError, ExportError, ModelFolderError) as error:
            found = str(error)
        yield name, found


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


def _open(folder: ModelFolder, name: str, graph: str, precision: str) -> Session:
    """The session of the backend that a file is for, on CUDA where it can, whatever an earlier comparison said."""
    suffix = name.removeprefix(f"{graph}.").removeprefix(f"{precision}.")
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
