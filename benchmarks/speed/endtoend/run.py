"""Every engine on every video, each in a process of its own, and what is shown and written of it."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from statistics import median
from typing import Any

from rich.table import Table

from benchmarks.machine import Machine
from mdhr_sdk.errors import MDHRError, SourceError
from mdhr_sdk.vision.faces.engine import choose_engine, installed_mediapipe
from mdhr_sdk.vision.faces.fetch import FACE_LANDMARKER, cached

from .page import frame_times, share_told
from .scenes import Scene, scenes, write_scene

ENGINES = ("solutions", "tasks", "onnx")
CHILD = Path(__file__).with_name("child.py")
MOST_S = 300.0  # of one measurement
MIDDLE = ("frames_per_s", "cpu_ms_a_frame", "first_result_s")  # figures that are medians over the turns
Tell = Callable[[str], None]


def usable_engines(asked: Sequence[str]) -> dict[str, str]:
    """Engine -> why it cannot run here, '' if it can. Nothing is fetched for that."""
    found = {}
    for name in asked or ENGINES:
        try:
            choose_engine(name)
            missing = name == "tasks" and not cached(FACE_LANDMARKER)
            found[name] = "face_landmarker.task is not in the cache; run: mdhr fetch faces" if missing else ""
        except MDHRError as error:
            found[name] = str(error)
    return found


def measure(engines: Sequence[str], frames: int, rounds: int, tell: Tell) -> dict[str, Any]:
    """Measure all; see `child.py` for the figures.

    Each video is measured in turns: FaceMesh alone, one engine, FaceMesh alone, the next one, and so on. Speeds are
    medians over the rounds, and shares medians of each speed over that of FaceMesh just before: clocks change.

    Raises:
        SourceError: a measurement failed.
    """
    alone: dict[str, Any] = {}
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder:
        videos = {scene: Path(folder) / f"{scene.name.replace(', ', '-').replace(' ', '-')}.mp4"
                  for scene in scenes(frames)}  # fmt: skip
        for scene, video in videos.items():
            tell(f"encoding the video of {scene.name}")
            write_scene(scene, video)
            turns = _Turns(scene, str(video), [(engine, overlay) for engine in engines for overlay in (False, True)])
            for turn in range(rounds):
                turns.take(f"{turn + 1} of {rounds}", tell)
            rows += turns.rows()
            if turns.alone:
                alone[scene.name] = {"frames_per_s": median(turns.alone)}
        first = next(iter(videos.values()))
        profiles = {}
        for engine in engines:
            tell(f"profile of a frame: {engine}")
            profiles[engine] = ask("profile", video=str(first), engine=engine)
    return {"rounds": rounds, "scenes": [asdict(scene) for scene in videos], "facemesh_alone": alone, "rows": rows,
            "profiles": profiles}  # fmt: skip


class _Turns:
    """The turns of one video.

    Attributes:
        alone: frames/s of FaceMesh alone, of each of its turns; empty where MediaPipe has no models in its wheel.
    """

    def __init__(self, scene: Scene, video: str, cases: Sequence[tuple[str, bool]]) -> None:
        self.alone: list[float] = []
        self._scene, self._video = scene, video
        self._answers: dict[tuple[str, bool], list[dict[str, Any]]] = {case: [] for case in cases}
        self._shares: dict[tuple[str, bool], list[float]] = {case: [] for case in cases}

    def take(self, turn: str, tell: Tell) -> None:
        """One turn of each engine, with and without an overlay."""
        for (engine, overlay), answers in self._answers.items():
            tell(f"{self._scene.name}, {turn}: {engine} {'with' if overlay else 'without'} an overlay")
            if installed_mediapipe()[1]:
                self.alone.append(ask("alone", video=self._video, faces=self._scene.faces)["frames_per_s"])
            job, began_s = "whole" if answers else "case", time.monotonic()  # percentiles of frames by the first turn
            answers.append(ask(job, video=self._video, engine=engine, overlay=overlay, began_s=began_s))
            if self.alone:
                self._shares[engine, overlay].append(answers[-1]["frames_per_s"] / self.alone[-1])

    def rows(self) -> list[dict[str, Any]]:
        """The figures of each engine."""
        return [self._row(case) for case in self._answers]

    def _row(self, case: tuple[str, bool]) -> dict[str, Any]:
        answers, shares = self._answers[case], self._shares[case]
        middle = {
            name: median(one[name] for one in answers) for name in ("frames_per_s", "cpu_ms_a_frame", "first_result_s")
        }
        row = {"scene": self._scene.name, "engine": case[0], "overlay": case[1], **answers[0], **middle}
        if shares:
            row |= {"share_of_facemesh_alone": median(shares), "least_share": min(shares), "most_share": max(shares)}
        return row


def ask(job: str, **request: Any) -> dict[str, Any]:
    """The answer of a process of its own, or SourceError with the last line that it said."""
    command = [sys.executable, str(CHILD), json.dumps({"job": job, **request})]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=MOST_S)
    if done.returncode:
        said = (done.stderr.strip() or "nothing").splitlines()[-1]
        raise SourceError(f"the measurement '{job}' of {request} failed; it said: {said}")
    return dict(json.loads(done.stdout.strip().splitlines()[-1]))


def content(machine: Machine, measured: dict[str, Any], engines: dict[str, str]) -> dict[str, Any]:
    """Everything, for the JSON file."""
    whole = {"benchmark": "end-to-end", "machine": {**asdict(machine), "warning": machine.warning}}
    return {**whole, "engines": engines, **measured}


def tables(measured: dict[str, Any]) -> list[Table]:
    """What was measured, and the profile of a frame."""
    heads = (
        "frames/s",
        "of FaceMesh alone",
        "CPU ms a frame",
        "p50 ms",
        "p90",
        "p99",
        "p99.9",
        "first result s",
        "peak MiB",
    )
    speed = Table("video", "engine", "overlay")
    for head in heads:
        speed.add_column(head, justify="right")
    for row in measured["rows"]:
        speed.add_row(row["scene"], row["engine"], "yes" if row["overlay"] else "no", *cells(row))
    steps = Table("step (ms of processor time a frame)")
    names: dict[str, None] = {}
    for engine, one in measured["profiles"].items():
        steps.add_column(engine, justify="right")
        names |= dict.fromkeys(one["steps_ms"])
    for name in names:
        steps.add_row(name, *(f"{one['steps_ms'].get(name, 0.0):.2f}" for one in measured["profiles"].values()))
    return [speed, steps]


def cells(row: dict[str, Any]) -> list[str]:
    """The figures of a row, as tables have them."""
    peak = row["peak_mib"]
    return [
        f"{row['frames_per_s']:.0f}", share_told(row), f"{row['cpu_ms_a_frame']:.1f}",
        *frame_times(row),
        f"{row['first_result_s']:.1f}", "-" if peak is None else f"{peak:.0f}",
    ]  # fmt: skip


NOTES = """frames/s: a video from its file to its tables (and overlay), as mdhr detect reads it, once it is warm
of FaceMesh: to the frames/s of MediaPipe's FaceMesh with irises on one core, of decoded frames, just before; the \
median over the turns, and the least and the most
CPU ms: processor time of all threads, a frame
p50 to p99.9: from one written frame to the next in stream mode where each is decoded once the last one is done; of \
fewer than a thousand frames p99.9 is nearly the slowest
first s: the first result from the start of the process, with all imports, in clip mode"""
