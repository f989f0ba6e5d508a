"""What `mdhr faces` does: convert MediaPipe's networks to graphs that other runtimes take."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import ExitStack
from importlib.resources import as_file, files
from pathlib import Path
from typing import Annotated, Optional

import numpy as np
import typer
from numpy.typing import NDArray

from ...errors import ExportError, check_imaging
from ...vision import Source, list_sources
from ..parts.options import command_app, say

app = command_app(no_args_is_help=True)


@app.callback()
def faces() -> None:
    """Convert MediaPipe's networks to graphs for other runtimes."""


@app.command()
def export(
    face_model: Annotated[
        Optional[Path], typer.Option(help="A face_landmarker.task; by default the models in MediaPipe's wheel, if any.")
    ] = None,
    on: Annotated[
        Optional[list[str]], typer.Option(help="Videos with faces to compare on; the bundled one if not given.")
    ] = None,
    max_faces: Annotated[int, typer.Option(help="Most faces per frame that are compared.")] = 1,
    frames: Annotated[int, typer.Option(min=1, help="Most frames of each video that are compared.")] = 300,
) -> None:
    """Convert the face detector and the mesh into the cache, and compare them with MediaPipe frame by frame.

    `--faces onnx` uses them then, in OpenVINO if it is installed, else in ONNX Runtime. Graphs that do not come near
    enough are not kept. They are made for this machine: the networks are MediaPipe's, under the Apache License 2.0.
    """
    check_imaging()
    from ...vision.faces.onnx.export import export_graphs, find_networks
    from ...vision.faces.onnx.record import graphs_folder

    networks = find_networks(face_model)
    with ExitStack() as stack:
        demo = stack.enter_context(as_file(files("mdhr_sdk") / "assets" / "demo.mp4"))
        sources = [source for one in on or [str(demo)] for source in list_sources(one)]
        record = export_graphs(networks, (_frames(source, frames) for source in sources), max_faces)
    if not record.passed:
        raise ExportError(f"the graphs are not near enough to MediaPipe, and are not kept: {record}")
    say(f"{graphs_folder()}: {record}")
    say("use them with: mdhr detect --faces onnx")


def _frames(source: Source, most: int) -> Iterator[NDArray[np.uint8]]:
    with source:
        for frame in itertools.islice(source, most):
            yield frame.image
