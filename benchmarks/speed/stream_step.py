"""What a step of a stream costs beside its encoder, and what of a frame is this package's own code.

    python -m benchmarks.speed.stream_step [--model edge] [--lookahead 7] [--frames 400]

Processor time of one thread, so that other work on the machine counts little. A step is one face's next frame: encoder,
motion kernel, head (two graphs), rings and Python. `ours` is all that happens to a frame but decoding, finding its mesh
and running the network: cuts, tracks, alignment, normalisation, rings, the kernel, geometry, events and results; the
meshes are found before. The bars: a step of at most 1.6 times its encoder; ours at most 1 ms at p99.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np

import mdhr_sdk
from mdhr_sdk import AUDetector
from mdhr_sdk.pipeline.clock import StageClock
from mdhr_sdk.pipeline.crops import CropFinder
from mdhr_sdk.pipeline.scores.decide import Waiting
from mdhr_sdk.pipeline.scoring import Cut
from mdhr_sdk.pipeline.streams import StreamScoring
from mdhr_sdk.runtime.stream.scorer import StreamScorer
from mdhr_sdk.runtime.stream.stream_graphs import StreamGraphs
from mdhr_sdk.vision import Face, FaceMesher, Frame, list_sources, prepare

WARM = 40  # frames that do not count
GRAPHS = ("encoder", "relations", "temporal")


class Spent:
    """Processor time in some functions, frame by frame."""

    def __init__(self) -> None:
        self.now_us: dict[str, float] = {}
        self.rows: list[dict[str, float]] = []

    def around(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """The function, timed."""

        def timed(*given: Any, **named: Any) -> Any:
            began_ns = time.thread_time_ns()
            try:
                return function(*given, **named)
            finally:
                self.now_us[name] = self.now_us.get(name, 0.0) + (time.thread_time_ns() - began_ns) / 1e3

        return timed

    def frame(self, step: Callable[[], object]) -> None:
        """One frame, timed as 'all'."""
        self.now_us = {}
        self.around("all", step)()
        self.rows.append(self.now_us)

    def of(self, name: str) -> np.ndarray:
        return np.array([row.get(name, 0.0) for row in self.rows[WARM:]])


class Known:
    """Stands for `FaceMesher`: meshes that were found before."""

    seen = 1

    def __init__(self, faces: list[list[Face]]) -> None:
        self._faces = iter(faces)

    def find(self, _: object) -> list[Face]:
        return next(self._faces)

    def reset(self) -> None:
        pass

    close = reset


def demo(count: int) -> tuple[list[Frame], list[list[Face]]]:
    """Frames of the demo, forwards and backwards, and their meshes."""
    (source,) = list_sources(str(Path(mdhr_sdk.__file__).parent / "assets" / "demo.mp4"))
    with source:
        some = [frame for frame, _ in zip(source, range(60), strict=False)]
    mesher = FaceMesher(max_faces=1)
    meshes = [mesher.find(frame.image) for frame in some]
    mesher.close()
    turn = [*range(len(some)), *range(len(some) - 2, 0, -1)]
    order = [turn[i % len(turn)] for i in range(count)]
    frames = [Frame(some[k].image, i, i / 25, "demo") for i, k in enumerate(order)]
    return frames, [meshes[k] for k in order]


def graphs_timed(stack: ExitStack, graphs: StreamGraphs, spent: Spent) -> None:
    for name in GRAPHS:
        session = getattr(graphs, name)
        stack.enter_context(mock.patch.object(session, "run", spent.around(name, session.run)))


def steps(graphs: StreamGraphs, crops: np.ndarray, lookahead: int) -> Spent:
    """The stream's steps alone."""
    spent, scorer = Spent(), StreamScorer(graphs, lookahead)
    with ExitStack() as stack:
        graphs_timed(stack, graphs, spent)
        if (dynamics := scorer.settings.dynamics) is not None:
            stack.enter_context(mock.patch.object(dynamics, "step", spent.around("motion", dynamics.step)))
        for crop in crops:
            spent.frame(lambda crop=crop: scorer.push({0: crop}))  # type: ignore[misc]
    return spent


def whole(detector: AUDetector, frames: list[Frame], meshes: list[list[Face]], lookahead: int) -> Spent:
    """Everything between a frame with its mesh and its result."""
    graphs = detector._opened["stream"][0]
    assert isinstance(graphs, StreamGraphs)
    spent, clock = Spent(), StageClock()
    plan = detector._plan("stream", lookahead, None, False, None, "raise")
    finder = CropFinder(Known(meshes), detector.config.preprocessing, clock)
    scoring, waiting = (
        StreamScoring(StreamScorer(graphs, lookahead), detector.config, clock),
        Waiting(plan.naming, False),
    )

    def step(frame: Frame) -> None:
        found = finder.find(frame)
        crops = finder.crops(found)
        waiting.take(found, crops)
        list(waiting.give(scoring.push({0: Cut(frame.index, crops)})[0]))

    with ExitStack() as stack:
        graphs_timed(stack, graphs, spent)
        for frame in frames:
            spent.frame(lambda frame=frame: step(frame))  # type: ignore[misc]
    return spent


def line(name: str, values: np.ndarray) -> None:
    print(f"  {name:34}{np.median(values):9.0f}{np.percentile(values, 99):9.0f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="edge")
    parser.add_argument("--backend", default="auto")
    parser.add_argument("--lookahead", type=int, default=7)
    parser.add_argument("--frames", type=int, default=400)
    given = parser.parse_args()
    with AUDetector.from_pretrained(given.model, given.backend, mode="stream", threads=1) as detector:
        frames, meshes = demo(given.frames)
        graphs = detector._opened["stream"][0]
        assert isinstance(graphs, StreamGraphs)
        preprocessing = detector.config.preprocessing
        finder = CropFinder(Known(meshes), preprocessing)
        cut = [next(iter(finder.cut(frame).values())) for frame in frames]
        spent = steps(graphs, prepare(np.stack(cut), preprocessing.mean, preprocessing.std), given.lookahead)
        print(f"{detector.info.tag}, {detector.choice}; one face, lookahead {given.lookahead}, {len(frames)} frames")
        print(f"  {'us of processor time':34}{'p50':>9}{'p99':>9}")
        parts = {name: spent.of(name) for name in (*GRAPHS, "motion")}
        for name, values in parts.items():
            line(name, values)
        line("rings and Python", spent.of("all") - sum(parts.values()))
        line("a step", spent.of("all"))
        ratio = np.median(spent.of("all")) / np.median(spent.of("encoder"))
        print(f"a step is {ratio:.2f} times its encoder (bar 1.60)")
        spent = whole(detector, frames, meshes, given.lookahead)
        ours = spent.of("all") - sum(spent.of(name) for name in GRAPHS)
        line("ours, of a frame", ours)
        print(f"ours at p99 {np.percentile(ours, 99) / 1e3:.2f} ms (bar 1.00)")


if __name__ == "__main__":
    main()
