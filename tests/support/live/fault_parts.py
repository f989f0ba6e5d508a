"""What fault runs are made of: a face finder, sinks and a disk that fail, what a stream scores alone, and a report."""

from __future__ import annotations

import csv
import errno
import itertools
import os
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from fake_streams import STREAMING, FakeGraph
from fakes import SLOT, mesh
from fault_report import Report, listed
from mdhr_sdk.errors import SourceError
from mdhr_sdk.outputs.live.queued import QueuedSink
from mdhr_sdk.outputs.live.tables import LiveTables
from mdhr_sdk.results import FrameResult
from mdhr_sdk.runtime.stream.scorer import StreamScorer
from mdhr_sdk.runtime.stream.stream_graphs import StreamGraphs
from mdhr_sdk.vision import Face
from scripted_camera import ScriptedCapture
from virtual_time import World

MESHES = [mesh(slot) for slot in range(3)]


class LoopError(Exception):
    """What may be raised in the loop over results."""


class QuickMesher:
    """Stands for `FaceMesher`: finds a face in every slot that is not black."""

    seen = 0

    def __init__(self, *_: object) -> None:
        pass

    def find(self, image: np.ndarray) -> list[Face]:
        return [Face(MESHES[slot]) for slot in range(3) if image[SLOT // 2, SLOT * slot + SLOT // 2, 0]]

    def reset(self) -> None:
        pass

    close = reset


@dataclass
class Taken:
    """What the model was given of a frame: track -> slot and grey level."""

    take: int | None
    faces: dict[int, tuple[int, int]]


@dataclass
class RunsReport(Report):
    """What happened in many runs; `early` are scores with less than the lookahead, `rows` frames in tables."""

    runs: int = 0
    scores: int = 0
    early: int = 0
    rows: int = 0
    lost: Counter[str] = field(default_factory=Counter)

    def __str__(self) -> str:
        return (
            f"{super().__str__()}\n{self.runs:,} runs; {self.scores:,} scores of frames as of these alone, "
            f"{self.early:,} of them with less than the lookahead\n"
            f"tables: {self.rows:,} frames written, counted as dropped: {listed(self.lost) or 'none'}"
        )


class Trouble:
    """What is wrong with the disk and the sinks now."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.full_until_s = self.slow_until_s = 0.0
        self.failures = 0

    def write(self, file: int, data: bytes) -> int:
        """As `os.write`, on a disk that may be full."""
        if self.world.now_s < self.full_until_s:
            if len(data) > 1 and self.world.random.random() < 0.5:
                return os.write(file, data[: self.world.random.randrange(1, len(data))])
            raise OSError(errno.ENOSPC, "No space left on device")
        return os.write(file, data)


class TroubledTables:
    """`LiveTables` that is slow or fails now and then. `taken` lists the frames that it took."""

    def __init__(self, tables: LiveTables, trouble: Trouble) -> None:
        self._tables, self._trouble = tables, trouble
        self.taken: list[int] = []

    def __enter__(self) -> TroubledTables:
        self._tables.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self._tables.__exit__()

    def write(self, result: FrameResult) -> None:
        trouble = self._trouble
        if trouble.failures:
            trouble.failures -= 1
            raise ValueError("a sink of somebody else")
        if trouble.world.now_s < trouble.slow_until_s:
            trouble.world.sleep(trouble.world.random.uniform(0.0, 0.5))
        self._tables.write(result)
        self.taken.append(result.index)


def alone(graphs: StreamGraphs, levels: dict[Any, list[int]], lookahead: int) -> dict[Any, list[list[float]]]:
    """What each list of grey levels scores, as a stream of its own."""
    scorer, scores = StreamScorer(graphs, lookahead), {key: list[list[float]]() for key in levels}
    encoder: FakeGraph = graphs.encoder  # type: ignore[assignment]
    live = dict(levels)
    for position in itertools.count():
        ended = [key for key, own in live.items() if len(own) == position]
        for one in scorer.finish(ended):
            scores[one.key].append(one.scores.tolist())
        live = {key: own for key, own in live.items() if len(own) > position}
        if not live:
            return scores
        now = np.array([own[position] for own in live.values()], np.float32)
        features = {spec.name: encoder._filled(spec.name, now) for spec in encoder.outputs}
        for one in scorer.push_features(list(live), features):
            scores[one.key].append(one.scores.tolist())
    raise AssertionError


class Oracle:
    """What streams score alone, each frame in the window that ended when its result came."""

    def __init__(self, graphs: StreamGraphs, levels: dict[Any, list[int]], lookahead: int) -> None:
        self._graphs, self._levels, self._lookahead = graphs, levels, lookahead
        self._whole = alone(graphs, levels, lookahead)
        self._parts: dict[Any, list[list[float]]] = {}  # (key, newest frame) -> scores of a stream that ends there

    def scores(self, key: Any, frame: int, delay_frames: int) -> list[float]:
        """Of a frame of a stream, so many frames later."""
        newest = frame + delay_frames
        if delay_frames >= self._lookahead or newest >= len(self._levels[key]) - 1:
            return self._whole[key][frame]
        if (key, newest) not in self._parts:
            part = {0: self._levels[key][: newest + 1]}
            self._parts[key, newest] = alone(self._graphs, part, self._lookahead)[0]
        return self._parts[key, newest][frame]


def not_finite(inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    rows = len(inputs["nodes"])
    return {"scores": np.full((rows, len(STREAMING.model.label_set.aus)), np.nan, np.float32)}


def captures_of(readers: Any) -> list[ScriptedCapture]:
    """The processes that read now."""
    return [one._supervisor._capture for one in readers.all if one._supervisor._capture is not None]


def fail_once(captures: Any) -> None:
    """The next process cannot be started."""
    start = captures.side_effect

    def refuse(stdin: int | None = None) -> Any:
        captures.side_effect = start
        raise SourceError("cannot start the process that reads live sources")

    if start is not refuse and getattr(start, "__name__", "") != "refuse":
        captures.side_effect = refuse


def check_table(report: Report, base: Path, tables: TroubledTables, sink: QueuedSink, given: int) -> None:
    """The file holds what was taken, in whole lines, and the rest is counted."""
    data = (base.parent / f"{base.name}_aus.csv").read_bytes()
    assert data.endswith(b"\n"), "a line is cut off"
    frames = [int(row["frame"]) for row in csv.DictReader(data.decode().splitlines())]
    written = [index for index, _ in itertools.groupby(frames)]
    status = sink.status
    assert written == tables.taken == sorted(written), "a row is lost, or comes twice"
    late = len(written) - status.written  # one in hand, at which waiting ended, counts as dropped
    assert late == 0 or (late == 1 and status.dropped_by.get("end")), (status, written)
    assert status.written + status.dropped == given, (status, given)
    report.rows += len(written)
    report.lost.update(status.dropped_by)
