"""One measurement in a process of its own: `python child.py REQUEST`, both it and the last line out in JSON.

The request names a job of `JOBS`, and its arguments.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mdhr_sdk import AUDetector
from mdhr_sdk.cli.scoring.detect import model_threads
from mdhr_sdk.outputs.files import Files, SourceFiles
from mdhr_sdk.pipeline.tuned import tuned_process
from mdhr_sdk.results import FrameResult
from mdhr_sdk.vision import list_sources

Image = NDArray[np.uint8]
PERCENTS = (50, 90, 99, 99.9)
WARM_UP = 12  # frames that are not counted: the first ones load, and search every tile
LOOKAHEAD = 7  # so many last frames come all at once, and are not counted either


def case(video: str, engine: str, overlay: bool, began_s: float) -> dict[str, Any]:
    """One video by one engine, as `mdhr detect` reads it, and then frame by frame.

    Args:
        began_s: when this process was begun, by `time.monotonic`.
    """
    with tuned_process(), tempfile.TemporaryDirectory() as out:
        found = _whole(video, engine, overlay, Path(out) / "video", began_s)
        with _detector(video, engine, "stream") as detector:
            results = detector.predict(_pictures(video), stream=True, images=overlay, fps=25, lookahead=LOOKAHEAD)
            times_s = [at for _, at in _written(results, Path(out) / "frames", overlay, detector)]
    steps_ms = 1e3 * np.diff(times_s)[WARM_UP:-LOOKAHEAD]
    found["frame_ms"] = {f"p{percent:g}": float(np.percentile(steps_ms, percent)) for percent in PERCENTS}
    found["steps"] = len(steps_ms)
    found["peak_mib"] = peak_mib()
    return found


def whole(video: str, engine: str, overlay: bool, began_s: float) -> dict[str, Any]:
    """One video by one engine, as `mdhr detect` reads it."""
    with tuned_process(), tempfile.TemporaryDirectory() as out:
        return _whole(video, engine, overlay, Path(out) / "video", began_s)


def _whole(video: str, engine: str, overlay: bool, base: Path, began_s: float) -> dict[str, Any]:
    with _detector(video, engine) as detector, closing(_results(detector, video, overlay)) as results:
        next(results)
        first_result_s = time.monotonic() - began_s
        results.close()
        before_s, cpu_s = time.perf_counter(), _cpu_s()
        frames = _written(_results(detector, video, overlay), base, overlay, detector)
        spent_s, cpu_s = time.perf_counter() - before_s, _cpu_s() - cpu_s
    faces = float(np.mean([count for count, _ in frames]))
    return {"first_result_s": first_result_s, "frames": len(frames), "frames_per_s": len(frames) / spent_s,
            "cpu_ms_a_frame": 1e3 * cpu_s / len(frames), "faces": faces}  # fmt: skip


def alone(video: str, faces: int) -> dict[str, Any]:
    """MediaPipe's FaceMesh with irises, as its users call it, on one core, without decoding."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    import cv2
    import mediapipe

    cv2.setNumThreads(1)
    frames = [np.asarray(cv2.cvtColor(one, cv2.COLOR_BGR2RGB), np.uint8) for one in _pictures(video)]
    times_s, counts = [], []
    with mediapipe.solutions.face_mesh.FaceMesh(max_num_faces=faces, refine_landmarks=True) as mesh:
        for frame in frames:
            begin_s = time.perf_counter()
            counts.append(len(mesh.process(frame).multi_face_landmarks or ()))
            times_s.append(time.perf_counter() - begin_s)
    kept = times_s[WARM_UP:]
    return {"frames_per_s": len(kept) / sum(kept), "frame_ms_p50": 1e3 * float(np.median(kept)),
            "faces": float(np.mean(counts[WARM_UP:]))}  # fmt: skip


def profile(video: str, engine: str) -> dict[str, Any]:
    """Processor time of each step of a frame, one step after the other; see `steps.py`."""
    from steps import profiled  # beside this script

    return profiled(video, engine)


def _detector(video: str, engine: str, mode: Any = "clip") -> AUDetector:
    threads = model_threads(list_sources(video), True)
    return AUDetector.from_pretrained("edge", faces=engine, threads=threads, mode=mode)


def _results(detector: AUDetector, video: str, overlay: bool) -> Any:
    return detector.predict(video, stream=True, images=overlay)


def _pictures(video: str) -> Iterator[Image]:
    """The frames of a video, each decoded when it is asked for."""
    with list_sources(video)[0] as opened:
        for frame in opened:
            yield frame.image


def _written(results: Any, base: Path, overlay: bool, detector: AUDetector) -> list[tuple[int, float]]:
    """Write what `mdhr detect` writes; (faces, time in seconds) when each frame was written."""
    files, done = None, []
    for result in results:
        files = files or _files(result, base, overlay, detector)
        files.write(result)
        done.append((len(result.faces), time.perf_counter()))
    if files is not None:
        files.close(True)
    return done


def _files(result: FrameResult, base: Path, overlay: bool, detector: AUDetector) -> SourceFiles:
    return SourceFiles(base, detector.thresholds, Files(overlay=overlay, timeline=False), result.fps, False)


def _cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def peak_mib() -> float | None:
    """The most memory that this process held; None where the kernel does not say."""
    try:
        lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM:")), None)


JOBS: dict[str, Callable[..., dict[str, Any]]] = {"case": case, "whole": whole, "alone": alone, "profile": profile}

if __name__ == "__main__":
    request = json.loads(sys.argv[1])
    print(json.dumps(JOBS[request.pop("job")](**request)))
