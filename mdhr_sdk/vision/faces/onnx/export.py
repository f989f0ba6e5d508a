"""Convert MediaPipe's networks on the user's machine, and compare what they find with what MediaPipe finds.

The networks are read from the wheel or from a task file; neither they nor the graphs leave the machine.
"""

from __future__ import annotations

import hashlib
import importlib.util
import zipfile
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ....atomic import told, write_whole
from ....errors import SourceError, import_cv2
from ...boxes import box_around, iou
from ..engine import EngineChoice, choose_engine, installed_mediapipe, open_engine
from ..fetch import FACE_LANDMARKER, fetch
from .convert import detector_graph, mesh_graph
from .engine import OnnxEngine
from .record import DETECTOR, MESH, MOST_MEAN, RECORD, Record, graphs_folder, to_json
from .regions import EYE_CORNERS

MEMBERS = ("face_detector.tflite", "face_landmarks_detector.tflite")  # of a task file
IN_WHEEL = ("face_detection/face_detection_short_range.tflite", "face_landmark/face_landmark_with_attention.tflite")
MOST_BYTES = 1 << 26  # of a network
SAME_FACE_IOU = 0.5


@dataclass(frozen=True)
class Networks:
    """Two networks in TFLite, the file that they are from, and the engine that runs them otherwise."""

    source: Path
    contents: tuple[bytes, bytes]
    reference: EngineChoice


def find_networks(model_file: Path | None = None) -> Networks:
    """Those of the wheel, or of the task file that is given or in the cache, or fetched.

    Raises:
        SourceError: the file cannot be read, or is no such file.
        FetchError, MissingDependencyError: as `choose_engine` and `fetch`.
    """
    if model_file is None and installed_mediapipe()[1]:
        spec = importlib.util.find_spec("mediapipe")
        assert spec is not None and spec.origin is not None
        paths = [Path(spec.origin).parent / "modules" / name for name in IN_WHEEL]
        return Networks(paths[1], (paths[0].read_bytes(), paths[1].read_bytes()), choose_engine("solutions"))
    file = fetch(FACE_LANDMARKER) if model_file is None else model_file
    try:
        with zipfile.ZipFile(file) as archive:
            if any(archive.getinfo(name).file_size > MOST_BYTES for name in MEMBERS):
                raise SourceError(f"the networks in '{file}' are too large; give MediaPipe's own face_landmarker.task")
            detector, mesh = (archive.read(name) for name in MEMBERS)
    except (OSError, EOFError, KeyError, RuntimeError, zipfile.BadZipFile, zlib.error) as error:
        raise SourceError(f"expected a MediaPipe face_landmarker.task in '{file}'; {error}") from None
    return Networks(file, (detector, mesh), choose_engine("tasks", file))


def export_graphs(networks: Networks, videos: Iterable[Iterable[NDArray[np.uint8]]], max_faces: int = 1) -> Record:
    """Convert, compare, and put graphs that are near enough into the cache, with their record.

    Args:
        videos: frames (H, W, 3) uint8 BGR of videos that show faces; both engines follow the faces of each.

    Returns:
        what came out; `passed` says whether the graphs are in the cache now. If not, it is as it was.

    Raises:
        SourceError: a network that cannot be converted, or videos without a face.
        OutputError: the cache cannot be written.
        MissingDependencyError: onnx is not installed.
    """
    folder, name = graphs_folder(), networks.source.name
    graphs = {DETECTOR: detector_graph(networks.contents[0], name), MESH: mesh_graph(networks.contents[1], name)}
    size = graphs[MESH].graph.input[0].type.tensor_type.shape.dim[1].dim_value
    contents = {file: graph.SerializeToString() for file, graph in graphs.items()}
    with told(folder):
        folder.mkdir(parents=True, exist_ok=True)
    found = [compared(networks.reference, contents, size, video, max_faces) for video in videos]
    far, missed = [one for distances, _ in found for one in distances], sum(absent for _, absent in found)
    if not far:
        raise SourceError("the videos to compare on show no face that both find; give others with --on")
    record = Record(
        name, hashlib.sha256(networks.source.read_bytes()).hexdigest(), size, networks.reference.name,
        faces=len(far) + missed, missed=missed, mean=float(np.mean(far)),
        near=sum(one <= MOST_MEAN for one in far) / (len(far) + missed),
        sha256={file: hashlib.sha256(content).hexdigest() for file, content in contents.items()},
    )  # fmt: skip
    if record.passed:
        for file, content in contents.items():
            write_whole(folder / file, content)
        write_whole(folder / RECORD, to_json(record))  # last: until then the sums of the one before do not fit
    return record


def compared(
    reference: EngineChoice,
    graphs: Mapping[str, bytes],
    size_px: int,
    video: Iterable[NDArray[np.uint8]],
    max_faces: int,
) -> tuple[list[float], int]:
    """Mean distance of the landmarks of each face in outer eye distances, and how many faces only the reference has."""
    cv2 = import_cv2()
    theirs, ours = open_engine(reference, max_faces, False), OnnxEngine(graphs, size_px, max_faces, False)
    distances: list[float] = []
    missed = 0
    try:
        for frame in video:
            rgb = np.asarray(cv2.cvtColor(frame, cv2.COLOR_BGR2RGB), np.uint8)
            found = ours.find(rgb)[0]
            for mesh in theirs.find(rgb)[0]:
                box = box_around(mesh)
                near = max(found, key=lambda other: iou(box, box_around(other)), default=None)
                if near is None or iou(box, box_around(near)) < SAME_FACE_IOU:
                    missed += 1
                    continue
                eyes = np.linalg.norm(np.subtract(*mesh[list(EYE_CORNERS), :2]))
                distances.append(float(np.linalg.norm((mesh - near)[:, :2], axis=1).mean() / eyes))
    finally:
        theirs.close()
        ours.close()
    return distances, missed
