"""What every graph and every step around it answers, in files that any language can read: `mdhr export --golden`.

docs/graphs.md says what each array is. Nothing here needs PyTorch.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import asdict
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ... import __version__
from ...atomic import scratch, told
from ...errors import ExportError
from ...modelfolder.artefacts import GRAPHS, artefact, export_command, no_artefact
from ...modelfolder.folder import WEIGHTS, ModelFolder
from ...ops import fuse_dynamics
from ...pipeline.clips import Clip, ClipScoring
from ...pipeline.clock import StageClock
from ...pipeline.scores.geometry import GeometryModel, read_geometry
from ...pipeline.scores.intensity import IntensityModel, read_intensity
from ...pipeline.scoring import Cut
from ...runtime import Session, SessionOptions, open_session, open_streams
from ...runtime.stream.clip_of_parts import ClipOfParts
from ...runtime.stream.scorer import StreamScorer, default_lookahead
from ...runtime.stream.stream_graphs import StreamGraphs
from ...vision import align, prepare
from .golden_faces import VIEWS, Seen, bundled_faces, viewed
from .golden_geometry import geometry_arrays

MOST = 20
FORMAT = 1
CPU = SessionOptions("cpu", threads=1, precision="fp32")  # with more threads sums are of another order
STREAM = ("encoder", "relations", "temporal")
WHOLE = "clip of parts"  # a session, where the folder has no graph of whole clips
APART = 37  # frames from the beginning of a sequence to that of the next
Array = NDArray[Any]


def write_golden(folder: str | Path, sequences: int, out: str | Path) -> Iterator[str]:
    """Write golden arrays of a model folder's fp32 ONNX graphs to a new folder; yields what is done, line by line.

    The same folder, versions and processor give the same bytes.

    Args:
        sequences: of the rendered face in the bundled video, each of one and a half clips.
        out: must not exist.

    Raises:
        ExportError: a number out of range, `out` is there, or the folder has no graph to run.
        ModelFolderError, SourceError: the folder or the bundled video cannot be read.
    """
    source, target = ModelFolder.open(folder), Path(out)
    if not 1 <= sequences <= MOST:
        raise ExportError(f"expected --golden from 1 to {MOST} sequences; got {sequences}")
    if target.exists() or target.is_symlink():
        raise ExportError(f"expected a new folder for the golden arrays; '{target}' is there; name another with --out")
    left_out = {graph: why for graph in GRAPHS if (why := _missing(source, graph))}
    if len(left_out) == len(GRAPHS):
        raise ExportError(f"'{source.path}' has no graph to run; make them: mdhr export {source.path}")
    yield from (f"left out: {why}" for why in left_out.values())
    with told(target, ExportError):
        target.parent.mkdir(parents=True, exist_ok=True)
        with scratch(target.parent) as part:
            made = part / "golden"
            arrays = dict(_arrays(source, sequences, set(GRAPHS) - set(left_out)))
            _write(made, arrays, _about(source, left_out))
            made.rename(target)
    size = sum(array.nbytes for array in arrays.values()) / 1e6
    yield f"{target}: {len(arrays)} arrays of {sequences} sequences, {size:.1f} MB as npz and as much raw"


def _missing(folder: ModelFolder, graph: str) -> str | None:
    name = artefact(graph, "fp32", "onnx")
    return no_artefact(folder, name, export_command(folder, "onnx", graph, "fp32"))


def _arrays(folder: ModelFolder, sequences: int, graphs: set[str]) -> Iterator[tuple[str, Array]]:
    length = folder.config.clip_length
    frames = length + length // 2 + 1
    faces = bundled_faces(APART * (sequences - 1) + frames)
    there_and_back = [*faces, *faces[-2:0:-1]]  # so that it never jumps
    with ExitStack() as opened:
        sessions: dict[str, Session] = {}
        for graph in sorted(graphs):
            sessions[graph], _ = open_session(folder, "onnxruntime", CPU, graph)
            opened.callback(sessions[graph].close)
        streams = None
        if graphs.issuperset(STREAM) and folder.config.model.fusion == "adaptive":
            streams = open_streams(folder, "onnxruntime", CPU)
            opened.callback(streams.close)
            sessions.setdefault(WHOLE, ClipOfParts(streams))
        if streams and streams.parameters is not None:
            yield from ((f"parameters/{name}", array) for name, array in streams.parameters.arrays().items())
        mesh_models = read_geometry(folder), read_intensity(folder)
        for number in range(sequences):
            part = [there_and_back[(APART * number + i) % len(there_and_back)] for i in range(frames)]
            for name, array in _sequence(folder, part, sessions, streams, mesh_models):
                yield f"sequence_{number}/{name}", array


def _sequence(
    folder: ModelFolder,
    faces: list[Seen],
    sessions: dict[str, Session],
    streams: StreamGraphs | None,
    mesh_models: tuple[GeometryModel | None, IntensityModel | None],
) -> Iterator[tuple[str, Array]]:
    pre = folder.config.preprocessing
    for number, view in enumerate(VIEWS):
        picture, mesh, _ = viewed(faces[0], *view)
        yield f"view_{number}/picture", picture
        yield f"view_{number}/mesh", mesh
        yield f"view_{number}/crop", align(picture, mesh, pre.template, pre.size_px)
    crops = np.stack([align(face.picture, face.mesh, pre.template, pre.size_px) for face in faces])
    yield "frames", np.stack([face.picture for face in faces])
    yield "meshes", np.stack([face.mesh for face in faces])
    yield "crops", crops
    inputs = prepare(crops, pre.mean, pre.std)
    answers = dict(_of_frames(folder, crops, inputs, sessions))
    if streams is not None:
        answers |= _of_streams(streams, inputs)
    yield from answers.items()
    geometry, intensity = mesh_models
    if geometry is not None:
        whole = {name: rows for name, rows in answers.items() if name.startswith(("clip_scores", "stream_scores_"))}
        yield from geometry_arrays(geometry, intensity, faces, whole)


def _of_frames(
    folder: ModelFolder, crops: Array, inputs: Array, sessions: dict[str, Session]
) -> Iterator[tuple[str, Array]]:
    """Graphs that read pictures, the head, and the scores of clip mode."""
    length = folder.config.clip_length
    numbers = [list(range(start, min(start + length, len(crops)))) for start in range(0, len(crops), length)]
    clips = [Clip(0, own, [crops[number] for number in own]) for own in numbers]
    padded = np.stack([clip.padded(length) for clip in clips])
    floats = np.stack([prepare(clip, *_normalisation(folder)) for clip in padded])
    given: dict[str, Array] = {"clip": floats, "clip_u8": padded, "encoder": inputs, "encoder_u8": crops}
    for graph, array in given.items():
        if graph in sessions:
            yield from _answers(graph, sessions[graph], {sessions[graph].inputs[0].name: array})
    if whole := sessions.get("clip", sessions.get(WHOLE)):
        scoring = ClipScoring(whole, folder.config, StageClock())
        scored = [one for number, crop in enumerate(crops) for one in scoring.push({0: Cut(number, {0: crop})})[0]]
        yield "clip_scores", np.stack([one.probabilities for one in scored + scoring.flush(0)])
    if "head" in sessions and "encoder" in sessions:
        features = sessions["encoder"].run({"frames": inputs[:length]})
        yield from _answers("head", sessions["head"], {name: array[None] for name, array in features.items()})


def _of_streams(streams: StreamGraphs, inputs: Array) -> Iterator[tuple[str, Array]]:
    """The motion of the whole sequence as one clip, the small graphs on it, and the scores of stream mode."""
    model, length = streams.config.model, streams.config.clip_length
    static, *maps = streams.encoder.run({"frames": inputs}).values()
    related = {"static": static}
    if streams.parameters is not None:
        related["motion"] = fuse_dynamics([level[None] for level in maps], streams.parameters, model.k, threads=1)[0]
    yield from _answers("relations", streams.relations, related)
    nodes = np.pad(streams.relations.run(related)["nodes"], [(model.temporal_reach,) * 2, (0, 0), (0, 0)])
    around = np.stack([nodes[t : t + 2 * model.temporal_reach + 1] for t in range(len(inputs))])
    yield from _answers("temporal", streams.temporal, {"nodes": around})
    for lookahead in sorted({0, default_lookahead(streams.config), length - 1}):
        yield f"stream_scores_{lookahead}", _streamed(streams, lookahead, inputs)
        for short in sorted({1, max(1, model.k), max(1, length - 4)}):
            yield f"short_{short}_scores_{lookahead}", _streamed(streams, lookahead, inputs[:short])


def _streamed(streams: StreamGraphs, lookahead: int, inputs: Array) -> Array:
    scorer = StreamScorer(streams, lookahead)
    scores = [score for frame in inputs for score in scorer.push({"face": frame})] + scorer.finish()
    return np.stack([score.scores for score in scores])


def _answers(graph: str, session: Session, inputs: dict[str, Array]) -> Iterator[tuple[str, Array]]:
    for kind, arrays in (("inputs", inputs), ("outputs", session.run(inputs))):
        for name, array in arrays.items():
            yield f"{graph}/{kind}/{name}", array


def _normalisation(folder: ModelFolder) -> tuple[Any, Any]:
    return folder.config.preprocessing.mean, folder.config.preprocessing.std


def _about(folder: ModelFolder, left_out: dict[str, str]) -> dict[str, Any]:
    modules = ("numpy", "onnxruntime", "cv2", "mediapipe")
    return {
        "format": FORMAT,
        "weights_sha256": folder.manifest[WEIGHTS]["sha256"],
        "config": asdict(folder.config),
        "left_out": left_out,
        "versions": {"mdhr_sdk": __version__, **{name: import_module(name).__version__ for name in modules}},
    }


def _write(folder: Path, arrays: dict[str, Array], about: dict[str, Any]) -> None:
    """golden.npz, raw/NAME.bin in C order and little-endian, and index.json, which says what is in them."""
    told_of = {}
    for name, array in arrays.items():
        little = np.ascontiguousarray(array, array.dtype.newbyteorder("<"))
        path = folder / "raw" / f"{name}.bin"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(little.tobytes())
        file = path.relative_to(folder).as_posix()
        told_of[name] = {"file": file, "dtype": array.dtype.name, "shape": list(array.shape)}
    np.savez(folder / "golden.npz", **arrays)
    (folder / "index.json").write_text(json.dumps({**about, "arrays": told_of}, indent=1) + "\n", encoding="utf-8")
