"""What a frame costs beside decoding, the face mesh and the network: milliseconds of each step, one face in 640x360.

    python -m benchmarks.speed.own --frames 400 --rounds 3

Faces are found, followed, cropped, scored and named in one thread, as a live source's are in stream mode, by the
parts of the pipeline itself. Each step is timed without the steps inside of it; decoding, the face engine and graphs
are left out of the sum. Python's garbage collector and OpenCV's threads are set as commands set them.

'In company' the face engine and the graphs run between the steps, and leave them cold caches. 'Alone' the same parts
get the meshes and the answers that were recorded before, so that nothing but our steps runs; it is checked that the
scores are the same to the bit. The last line is of rounds in which no step is timed.
"""

from __future__ import annotations

import argparse
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from benchmarks.machine import describe_machine
from benchmarks.speed.endtoend.scenes import Scene, pictures
from benchmarks.speed.heard import Heard
from mdhr_sdk import AUDetector
from mdhr_sdk.pipeline import crops, streams
from mdhr_sdk.pipeline.clock import StageClock
from mdhr_sdk.pipeline.crops import CropFinder
from mdhr_sdk.pipeline.run import Plan
from mdhr_sdk.pipeline.scores.decide import Naming, Waiting
from mdhr_sdk.pipeline.scores.geometry import OwnNeutral
from mdhr_sdk.pipeline.scoring import Cut
from mdhr_sdk.pipeline.tuned import tuned_process
from mdhr_sdk.results import FrameResult
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


class Measured(NamedTuple):
    """Seconds of the steps of each frame; 'all of ours' is their sum, with what is between them."""

    company: list[dict[str, float]]
    alone: list[dict[str, float]]
    whole: list[dict[str, float]]  # alone, and the steps not timed


def measure(images: list[NDArray[np.uint8]], model: str, rounds: int) -> Measured:
    """Each frame in company and alone."""
    found = Measured([], [], [])
    with ExitStack() as stack:
        stack.enter_context(tuned_process())
        detector = stack.enter_context(AUDetector.from_pretrained(model, mode="stream", threads=1))
        plan: Plan = detector._plan("stream", None, None, False, None, "raise")
        mesher = plan.meshers.lend(False, StageClock())
        engine, sessions = type(mesher._engine), {type(one) for one in detector_sessions(plan)}
        where = places(engine, sessions)
        uncounted = [one for one in where if one[2] in OTHERS]
        heard = Heard([(owner, name) for owner, name, _ in uncounted])
        with heard.recording():
            scores = _one_round(images, plan, mesher, Steps())
        for _ in range(rounds):
            found.company.extend(_timed_round(images, plan, mesher, where))
            with heard.replaying():
                found.alone.extend(_timed_round(images, plan, mesher, where, scores))
                found.whole.extend(_timed_round(images, plan, mesher, uncounted, scores))
    return found


def detector_sessions(plan: Plan) -> list[Session]:
    """The graphs that a run of the plan uses."""
    graphs = plan.begin()._scorer.graphs  # type: ignore[attr-defined]
    return [graphs.encoder, graphs.relations, graphs.temporal]


def _timed_round(
    images: list[NDArray[np.uint8]],
    plan: Plan,
    mesher: FaceMesher,
    where: list[tuple[Any, str, str]],
    scores: list[list[float]] | None = None,
) -> list[dict[str, float]]:
    """The steps of a round's frames; `scores` are those that it must give."""
    steps = Steps()
    with patched(steps, where):
        given = _one_round(images, plan, mesher, steps)
    if scores is not None and given != scores:
        raise SystemExit("the steps alone gave other scores than those recorded: what was replayed is not what ran")
    return steps.frames[WARM_UP:]


def _one_round(images: list[NDArray[np.uint8]], plan: Plan, mesher: FaceMesher, steps: Steps) -> list[list[float]]:
    """The probabilities of each face that was scored."""
    mesher.reset()
    finder, scoring = CropFinder(mesher, plan.naming.preprocessing, plan.clock), plan.begin()
    waiting = Waiting(plan.naming, False, 25.0)
    given: list[FrameResult] = []
    for index, image in enumerate(images):
        frame = Frame(image.copy(), index, index / 25, "clip", time.perf_counter())  # as near as after decoding
        steps.begin()
        begin_s = time.perf_counter()
        found = finder.find(frame)
        cut = finder.crops(found)
        waiting.take(found, cut)
        scores = scoring.push({0: Cut(index, cut, 0, frame.timestamp_s)})
        given += waiting.give(scores[0])
        spent_s = time.perf_counter() - begin_s
        now = steps.frames[-1]
        others_s = sum(now[step] for step in OTHERS)
        now["between"] = spent_s - sum(now.values())
        now["all of ours"] = spent_s - others_s
    return [[au.probability for au in face.aus.values()] for result in given for face in result.faces]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="edge")
    parser.add_argument("--frames", type=int, default=400, help=f"of a round, of which {WARM_UP} are not counted")
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    images = list(pictures(Scene(1, 640, 360, given.frames)))
    print(describe_machine().header())
    measured = measure(images, given.model, given.rounds)
    print(f"{len(measured.company)} frames, milliseconds\n  {'':34}{'in company':>24}{'alone':>24}")
    print(f"  {'':34}" + "".join(f"{f'p{percent}':>8}" for percent in 2 * PERCENTS))
    last = (*OTHERS, "all of ours")
    for step in sorted({step for one in measured.company for step in one}, key=lambda step: (step in last, step)):
        rows = [_percentiles(measured.company, step), "" if step in OTHERS else _percentiles(measured.alone, step)]
        print(f"  {step:34}" + "".join(rows))
    print(f"  {'all of ours, no step timed':58}" + _percentiles(measured.whole, "all of ours"))


def _percentiles(frames: list[dict[str, float]], step: str) -> str:
    values = np.percentile([1e3 * one.get(step, 0.0) for one in frames], PERCENTS)
    return "".join(f"{value:8.3f}" for value in values)


if __name__ == "__main__":
    main()
