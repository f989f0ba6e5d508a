"""What a frame costs beside decoding, the face mesh and the network: milliseconds of each step, one face in 640x360.

    python -m benchmarks.speed.own --frames 400 --rounds 3

Faces are found, followed, cropped, scored and named in one thread, as a live source's are in stream mode, by the
parts of the pipeline itself. Each step is timed without the steps inside of it; decoding, the face engine and graphs
are left out of the sum. Python's garbage collector and OpenCV's threads are set as commands set them.
"""

from __future__ import annotations

import argparse
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.machine import describe_machine
from benchmarks.speed.endtoend.scenes import Scene, pictures
from mdhr_sdk import AUDetector
from mdhr_sdk.pipeline import crops, streams
from mdhr_sdk.pipeline.clock import StageClock
from mdhr_sdk.pipeline.crops import CropFinder
from mdhr_sdk.pipeline.run import Plan
from mdhr_sdk.pipeline.scores.decide import Naming, Waiting
from mdhr_sdk.pipeline.scores.geometry import OwnNeutral
from mdhr_sdk.pipeline.scoring import Cut
from mdhr_sdk.pipeline.tuned import tuned_process
from mdhr_sdk.runtime.session import Session
from mdhr_sdk.runtime.stream import rings
from mdhr_sdk.vision import CutDetector, FaceMesher, Frame, Tracker

OTHERS = ("face engine", "network")  # not ours
WARM_UP = 60  # frames, in which the network's nodes begin to come
PERCENTS = (50, 90, 99)


class Steps:
    """Seconds of each step of each frame, without the steps inside of it."""

    def __init__(self) -> None:
        self.frames: list[dict[str, float]] = []
        self._inside_s = [0.0]  # of the steps inside of those that run

    def begin(self) -> None:
        """The next frame."""
        self.frames.append(defaultdict(float))

    def timed(self, step: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """A function whose time counts as the step's."""

        def call(*given: Any, **named: Any) -> Any:
            self._inside_s.append(0.0)
            begin_s = time.perf_counter()
            try:
                return function(*given, **named)
            finally:
                spent_s = time.perf_counter() - begin_s
                inside_s = self._inside_s.pop()
                self._inside_s[-1] += spent_s
                if self.frames:
                    self.frames[-1][step] += spent_s - inside_s

        return call


def places(engine: type, sessions: set[type]) -> list[tuple[Any, str, str]]:
    """Where the steps are: owner, name of the function, name of the step."""
    return [
        (engine, "find", "face engine"),
        *((session, "run", "network") for session in sessions),
        (CutDetector, "is_cut", "cuts of the scene"),
        (FaceMesher, "find", "conversion to RGB, faces in order"),
        (Tracker, "update", "tracks and looks"),
        (crops, "align", "aligned crop"),
        (streams, "prepare", "input planes"),
        (rings, "fuse_dynamics_step", "motion"),
        (streams.StreamScoring, "push", "rings and batches"),
        (OwnNeutral, "take", "geometry of the mesh"),
        (OwnNeutral, "combine", "geometry of the mesh"),
        (Waiting, "_strengths", "intensities"),
        (Naming, "face", "scores by name"),
        (Waiting, "take", "results and events"),
        (Waiting, "give", "results and events"),
    ]


@contextmanager
def patched(steps: Steps, where: list[tuple[Any, str, str]]) -> Iterator[None]:
    """Time the functions; they are as before after the block."""
    olds = [(owner, name, getattr(owner, name)) for owner, name, _ in where]
    for (owner, name, step), (*_, old) in zip(where, olds, strict=True):
        # Results come from a generator, which is worked off here: its time is that of the steps inside.
        whole = (lambda *given, old=old: list(old(*given))) if name == "give" else old
        setattr(owner, name, steps.timed(step, whole))
    try:
        yield
    finally:
        for owner, name, old in olds:
            setattr(owner, name, old)


def measure(images: list[NDArray[np.uint8]], model: str, rounds: int) -> list[dict[str, float]]:
    """The steps of each frame in seconds; 'all of ours' is their sum, with what is between them."""
    steps, kept = Steps(), list[dict[str, float]]()
    with ExitStack() as stack:
        stack.enter_context(tuned_process())
        detector = stack.enter_context(AUDetector.from_pretrained(model, mode="stream", threads=1))
        plan: Plan = detector._plan("stream", None, None, False, None, "raise")
        mesher = plan.meshers.lend(False, StageClock())
        engine, sessions = type(mesher._engine), {type(one) for one in detector_sessions(plan)}
        stack.enter_context(patched(steps, places(engine, sessions)))
        for _ in range(rounds):
            mesher.reset()
            steps.frames.clear()
            _one_round(images, plan, mesher, steps)
            kept += steps.frames[WARM_UP:]
    return kept


def detector_sessions(plan: Plan) -> list[Session]:
    """The graphs that a run of the plan uses."""
    graphs = plan.begin()._scorer.graphs  # type: ignore[attr-defined]
    return [graphs.encoder, graphs.relations, graphs.temporal]


def _one_round(images: list[NDArray[np.uint8]], plan: Plan, mesher: FaceMesher, steps: Steps) -> None:
    finder, scoring = CropFinder(mesher, plan.naming.preprocessing, plan.clock), plan.begin()
    waiting = Waiting(plan.naming, False, 25.0)
    for index, image in enumerate(images):
        frame = Frame(image.copy(), index, index / 25, "clip", time.perf_counter())  # as near as after decoding
        steps.begin()
        begin_s = time.perf_counter()
        found = finder.find(frame)
        cut = finder.crops(found)
        waiting.take(found, cut)
        scores = scoring.push({0: Cut(index, cut, 0, frame.timestamp_s)})
        waiting.give(scores[0])
        spent_s = time.perf_counter() - begin_s
        now = steps.frames[-1]
        others_s = sum(now[step] for step in OTHERS)
        now["between"] = spent_s - sum(now.values())
        now["all of ours"] = spent_s - others_s


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="edge")
    parser.add_argument("--frames", type=int, default=400, help=f"of a round, of which {WARM_UP} are not counted")
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    images = list(pictures(Scene(1, 640, 360, given.frames)))
    print(describe_machine().header())
    frames = measure(images, given.model, given.rounds)
    print(f"{len(frames)} frames, milliseconds\n  {'':36}" + "".join(f"{f'p{percent}':>8}" for percent in PERCENTS))
    last = (*OTHERS, "all of ours")
    for step in sorted({step for one in frames for step in one}, key=lambda step: (step in last, step)):
        values = np.percentile([1e3 * one.get(step, 0.0) for one in frames], PERCENTS)
        print(f"  {step:36}" + "".join(f"{value:8.3f}" for value in values))


if __name__ == "__main__":
    main()
