"""What `mdhr doctor` does: show what this installation has, and what can run a model folder here."""

from __future__ import annotations

import platform
from collections.abc import Iterator
from importlib import metadata
from typing import Annotated, Optional

import typer
from rich.table import Table

from ... import __version__
from ...deploy.export.layers import kept_lines
from ...errors import MDHRError, check_imaging
from ...modelfolder.bundled import bundled_models
from ...modelfolder.folder import ModelFolder
from ...ops import extension_status
from ...runtime import BACKENDS, open_session, open_streams
from ...runtime.cuda.devices import cuda_device, cuda_device_count
from ...vision.faces.engine import choose_engine, open_engine
from ...vision.faces.fetch import FACE_LANDMARKER, cached
from ..parts.options import MODEL, Console, TrustCode, command_app, say, trust

PACKAGES = {  # distributions -> purpose; the first that is installed counts
    ("opencv-contrib-python", "opencv-contrib-python-headless", "opencv-python", "opencv-python-headless"): "pictures",
    ("av",): "video",
    ("mediapipe",): "faces",
    ("onnxruntime-gpu", "onnxruntime"): "backend onnxruntime",
    ("openvino",): "backend openvino",
    ("tensorrt", "tensorrt-cu13", "tensorrt-cu12"): "backend tensorrt",
    ("tensorrt-rtx-cu13-bindings", "tensorrt-rtx"): "backend tensorrt-rtx",
    ("torch",): "backend torch, training, export",
    ("onnx",): "export",
    ("pytorch-lightning",): "training",
}
app = command_app()


def _installation() -> Iterator[tuple[str, str]]:
    yield "mdhr-sdk", f"{__version__}, Python {platform.python_version()}, {platform.system()} {platform.machine()}"
    yield "compiled kernels", extension_status()
    devices = [cuda_device(index) for index in range(cuda_device_count())]
    names = [f"{one.name} (compute capability {one.compute_capability})" for one in devices if one is not None]
    yield "CUDA devices", ", ".join(names) or "none"
    yield "bundled models", ", ".join(bundled_models()) or "none in this copy"
    for names_of, purpose in PACKAGES.items():
        found = next((f"{name} {version}" for name in names_of if (version := _version(name))), "not installed")
        yield purpose, found
    yield "faces by auto", _faces()


def _faces() -> str:
    """What finds faces here, or why nothing does; the models are opened, and never fetched."""
    try:
        check_imaging()
        choice = choose_engine()
        if choice.name != "tasks" or cached(FACE_LANDMARKER):
            open_engine(choice, max_faces=1, still=True).close()
        return str(choice)
    except MDHRError as error:
        return str(error)


def _runs(folder: ModelFolder) -> Table:
    """Whether each backend opens the graphs of each mode here."""
    title = f"{folder.path}: {folder.config.model.label_set.name} {folder.config.model.backbone}"
    title += f", thresholds set with faces by {folder.config.faces}" if folder.config.faces else ""
    table = Table("mode", "backend", "state", title=title, title_justify="left")
    for mode in ("clip", "stream"):
        for backend in ("auto", *BACKENDS):
            table.add_row(mode, backend, _state(folder, backend, mode))
    return table


def _state(folder: ModelFolder, backend: str, mode: str) -> str:
    try:
        if mode == "stream":
            graphs = open_streams(folder, backend)
            graphs.close()
            return f"runs: {graphs.choice}"
        session, choice = open_session(folder, backend)
        session.close()
        return f"runs: {choice}"
    except MDHRError as error:
        reason = str(error).partition(" here: ")[2] or str(error)
        return reason if backend == "auto" else reason.replace(f"not {backend}: ", "")


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


@app.command()
def doctor(
    model: Annotated[Optional[str], typer.Argument(help=f"{MODEL}: shows what can run it here.")] = None,
    trust_code: TrustCode = False,
) -> None:
    """Show kernels, CUDA devices and backends of this installation, and what can run a model."""
    folder = None if model is None else ModelFolder.open(model, trust=trust(trust_code))
    console, table = Console(markup=False), Table("part", "state", title="mdhr doctor", title_justify="left")
    for part, state in _installation():
        table.add_row(part, state)
    console.print(table)
    if folder is not None:
        console.print(_runs(folder))
        for line in kept_lines(folder):
            say(line)
