"""The profile of a frame: the processor time of each of its steps, of all threads together."""

from __future__ import annotations

import resource
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from mdhr_sdk import AUDetector
from mdhr_sdk.modelfolder.folder import ModelFolder
from mdhr_sdk.outputs.files import Files, SourceFiles
from mdhr_sdk.outputs.pictures.encoder import Encoder
from mdhr_sdk.pipeline.scores.geometry import OwnNeutral, read_geometry
from mdhr_sdk.pipeline.tuned import tuned_process
from mdhr_sdk.runtime import SessionOptions, open_session
from mdhr_sdk.vision import CutDetector, FaceMesher, Tracker, align, list_sources, look_at, prepare

CLIP = 16
WARM_UP = 12


class Spent:
    """Seconds of processor time, by step."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)

    @contextmanager
    def __call__(self, step: str) -> Iterator[None]:
        before_s = _cpu_s()
        try:
            yield
        finally:
            self.seconds[step] += _cpu_s() - before_s


def _cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def profiled(video: str, engine: str) -> dict[str, Any]:
    """Milliseconds of processor time a frame, by step, of a video with one face."""
    spent = Spent()
    with tuned_process():
        count, crops, landmarks = _until_crops(video, engine, spent)
        _model(crops, spent)
        _geometry(landmarks, spent)
        _written(video, engine, spent)
    steps = {step: 1e3 * seconds / count for step, seconds in spent.seconds.items()}
    return {"frames": count, "steps_ms": steps}


def _until_crops(video: str, engine: str, spent: Spent) -> tuple[int, list[Any], list[Any]]:
    cuts, tracker, crops, faces = CutDetector(), Tracker[Any](), [], []
    wanted = ModelFolder.open("edge").config.preprocessing
    with FaceMesher(faces=engine) as mesher, list_sources(video)[0] as opened:
        frames = iter(opened)
        for index in range(opened.info.frame_count or 0):
            if index == WARM_UP:
                spent.seconds.clear()
            with spent("decoding, and conversion to BGR"):
                frame = next(frames, None)
            if frame is None:
                break
            image = frame.image
            with spent("cuts of the scene"):
                cuts.is_cut(image)
            with spent("faces and meshes"):
                found = mesher.find(image)
            with spent("tracks and looks"):
                tracker.update(found, frame.timestamp_s, lambda face: look_at(image, face.landmarks_px))  # noqa: B023
            with spent("aligned crop"):
                crops += [align(image, face.landmarks_px, wanted.template, wanted.size_px) for face in found[:1]]
            faces += found[:1]
    return len(faces) - WARM_UP, crops[WARM_UP:], faces[WARM_UP:]


def _model(crops: list[Any], spent: Spent) -> None:
    folder = ModelFolder.open("edge")
    preprocessing = folder.config.preprocessing
    session, _ = open_session(folder, "auto", SessionOptions("cpu", 1, "fp32"))
    for start in range(-CLIP, len(crops), CLIP):
        clip = [*crops[max(0, start) : max(0, start) + CLIP], *crops[:CLIP]][:CLIP]
        if start == 0:
            spent.seconds.pop("input planes")
            spent.seconds.pop("the network")
        with spent("input planes"):
            planes = prepare(np.stack(clip), preprocessing.mean, preprocessing.std)
        with spent("the network"):
            session.run({"clip": planes[None]})


def _geometry(faces: list[Any], spent: Spent) -> None:
    folder = ModelFolder.open("edge")
    model = read_geometry(folder)
    if model is None:
        return
    own, scores = OwnNeutral(model), np.full(len(folder.config.model.label_set.aus), 0.3, np.float32)
    with spent("geometry of the mesh"):
        for index, face in enumerate(faces):
            own.combine(0, own.take(index / 25, {0: face})[0], scores)


def _written(video: str, engine: str, spent: Spent) -> None:
    with AUDetector.from_pretrained("edge", faces=engine, threads=1) as detector:
        results = list(detector.predict(video, stream=True, images=True))[WARM_UP:]
        thresholds = detector.thresholds
    height, width = (results[0].image if results[0].image is not None else np.empty((2, 2))).shape[:2]
    with tempfile.TemporaryDirectory() as out:
        files = SourceFiles(Path(out) / "video", thresholds, Files(overlay=False, timeline=False), 25.0, False)
        files.write(results[0])  # the first one opens the files, or loads a font
        results[0].annotate()
        with spent("tables"):
            for result in results[1:]:
                files.write(result)
            files.close(True)
        encoder = Encoder(Path(out) / "overlay.mp4", (width, height), 25.0, "h264")
        for result in results:
            with spent("overlay drawn"):
                drawn = result.annotate()
            with spent("overlay encoded"):
                encoder.write(drawn, result.timestamp_s)
        with spent("overlay encoded"):
            encoder.close()
