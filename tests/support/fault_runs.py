"""Faults by the hundred thousand: everything from the supervisor to the sinks, in one process and in virtual time.

    python tests/support/fault_runs.py --faults 100000 --seed 1

Two cameras with faces that come and go, the process that reads each, supervisor, reader, face tracks, stream scoring,
results ahead of the loop, and tables behind queues: all are the product's code, as threads of a `World`. Scripted are
what a decoder gives, the pipes between processes, the face finder and the model (whose every number is known).
`live_faults.py` does the same slowly, with real servers and processes. Asserted, for every run:

- captured = scored + dropped for each source, and scored is what the loop got;
- once a source is open, no more than a second and 0.2 s pass without a frame or a word that none came, and no process
  that does not answer lives longer than its deadline and 0.2 s;
- every track is of one take and one person, and scores as its pictures do alone: to the last bit;
- a table holds exactly the rows that were taken, in order, and what it does not hold is counted.
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import errno
import itertools
import math
import os
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

if __name__ == "__main__":
    ROOT = Path(__file__).resolve().parents[2]
    sys.path[:0] = [str(ROOT), str(ROOT / "tests"), str(ROOT / "tests/support")]

import numpy as np

from fake_streams import STREAMING, FakeGraph, streaming
from fakes import CODES, SLOT, mesh
from mdhr_sdk.errors import BackendError, NotFiniteError, SourceError
from mdhr_sdk.outputs.live.queued import QueuedSink
from mdhr_sdk.outputs.live.tables import LiveTables
from mdhr_sdk.pipeline.crops import Found
from mdhr_sdk.pipeline.scores.decide import Waiting
from mdhr_sdk.results import FrameResult, SourceStatus
from mdhr_sdk.runtime.stream.scorer import StreamScorer
from mdhr_sdk.vision import Face
from mdhr_sdk.vision.sources.live.address import live_source
from mdhr_sdk.vision.sources.live.supervisor import STALE_S
from scripted_camera import FAULTS, GAP_S, SLACK_S, Camera, ScriptedCapture, take_of
from virtual_time import Clock, Threads, World

OURS = ("worker", "no_worker", "slow", "disk", "sink", "slow_sink")
ENDING = ("model", "nan", "loop")  # which end a run
TIMEOUT_S = 1.0  # of the sources
LOOKAHEAD = 3
FPS = 12.5
MOST_LEFT = LOOKAHEAD + 5
MOST_RESULTS = 400  # of a run
STEP_S = 0.02  # a turn of the model takes at most
PACKAGE = "mdhr_sdk."
TIMED = (
    "pipeline.ahead", "pipeline.reader", "pipeline.readers", "pipeline.run", "pipeline.scores.decide",
    "outputs.live.append", "outputs.live.queued", "vision.sources.source", "vision.sources.live.supervisor",
    "vision.sources.live.health", "vision.sources.live.timing", "vision.sources.live.streams",
)  # fmt: skip
THREADED = (
    "pipeline.ahead", "pipeline.reader", "pipeline.readers", "outputs.live.queued", "vision.sources.live.supervisor"
)  # fmt: skip
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
class Report:
    """What happened; `worst_s` is the longest time without a word of a source that was open."""

    faults: Counter[str] = field(default_factory=Counter)
    runs: int = 0
    results: int = 0
    stale: int = 0
    captured: int = 0
    scored: int = 0
    dropped: Counter[str] = field(default_factory=Counter)
    reconnects: int = 0
    worst_s: float = 0.0
    tracks: int = 0
    scores: int = 0
    rows: int = 0
    lost: Counter[str] = field(default_factory=Counter)

    def __str__(self) -> str:
        told, dropped, lost = (
            ", ".join(f"{count:,} {kind}" for kind, count in counts.most_common())
            for counts in (self.faults, self.dropped, self.lost)
        )
        return (
            f"{self.faults.total():,} faults ({told}) in {self.runs:,} runs\n{self.results:,} results, {self.stale:,} "
            f"of them stale; captured {self.captured:,} = scored {self.scored:,} + dropped {self.dropped.total():,} "
            f"({dropped})\n{self.reconnects:,} reconnects; longest silence of an open source {self.worst_s:.2f} s\n"
            f"{self.tracks:,} tracks of one take and person, {self.scores:,} scores of frames as of these alone\n"
            f"tables: {self.rows:,} frames written, counted as dropped: {lost or 'none'}"
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


class Harness:
    """Runs of one detector, with faults at random."""

    def __init__(self, seed: int, folder: Path) -> None:
        self.world = World(seed)
        self.random = self.world.random
        self.report = Report()
        self.folder = folder
        self.trouble = Trouble(self.world)
        self.cameras = [Camera(self.world, person, FPS) for person in (0, 1)]
        self._wanted = 0
        self._taken: dict[tuple[str, int], Taken] = {}
        self._unencoded: list[tuple[str, int]] = []
        self._results: list[FrameResult] = []
        self._taken_s = math.inf  # by the model, when it had a frame or 'stale' last
        self._quiet = 0  # results until the next fault

    def run(self, faults: int) -> Report:
        """Do so many faults."""
        self._wanted = faults
        with self._patched():
            self.detector = streaming()
            self.graphs = self.detector._opened["stream"][0]
            self.graphs.encoder.run = self._encoded(self.graphs.encoder.run)
            self.oracle = streaming()._opened["stream"][0]
            self.world.run(self._main)
        return self.report

    @contextlib.contextmanager
    def _patched(self) -> Iterator[None]:
        """The product's modules in this world."""
        world, names = self.world, [f"camera {number}" for number in range(len(self.cameras))]
        capture = type(
            "Capture", (ScriptedCapture,), {"world": world, "cameras": dict(zip(names, self.cameras, strict=True))}
        )
        self.captures: Any = mock.Mock(side_effect=capture)
        clock, threads = Clock(world), Threads(world)
        disk = SimpleNamespace(**{**vars(os), "write": self.trouble.write, "fsync": lambda _: None})
        live = f"{PACKAGE}vision.sources.live"
        with contextlib.ExitStack() as stack:
            for module in TIMED:
                stack.enter_context(mock.patch(f"{PACKAGE}{module}.time", clock))
            for module in THREADED:
                stack.enter_context(mock.patch(f"{PACKAGE}{module}.threading", threads))
            for place, new in (
                (f"{live}.supervisor.Capture", self.captures), (f"{live}.health.random", self.random),
                (f"{live}.worker.source_of", lambda spec, name: self.cameras[names.index(name)].open(spec, name)),
                (f"{PACKAGE}outputs.live.append.os", disk), (f"{PACKAGE}detector.FaceMesher", QuickMesher),
                (f"{PACKAGE}vision.cuts.THRESHOLD", 256.0),
                (f"{PACKAGE}pipeline.scores.decide.Waiting.take", self._watched()),
            ):  # fmt: skip
                stack.enter_context(mock.patch(place, new))
            yield

    def _watched(self) -> Any:
        """`Waiting.take`, and what it was given is noted."""
        old = Waiting.take

        def take(waiting: Waiting, found: Found, crops: Any) -> None:
            old(waiting, found, crops)
            self.world.sleep(self.random.uniform(0.0, STEP_S / 2))
            image, faces = found.frame.image, dict[int, tuple[int, int]]()
            for track in crops:
                left, _, right, _ = found.faces[track].box_px
                slot = int(left + right) // 2 // SLOT
                faces[track] = slot, int(image[SLOT // 2, SLOT * slot + SLOT // 2, 0])
            key = found.frame.source, found.frame.index
            waited_s, self._taken_s = max(0.0, self.world.now_s - self._taken_s), self.world.now_s
            assert waited_s <= STALE_S + SLACK_S, f"no source gave anything for {waited_s:.2f} s"
            self.report.worst_s = max(self.report.worst_s, waited_s)
            self._taken[key] = Taken(take_of(image), faces)
            self._unencoded.append(key)

        return take

    def _encoded(self, old: Any) -> Any:
        """`run` of the encoder; frames at which it fails belong to no stream."""

        def run(inputs: Any) -> Any:
            found = old(inputs)
            self._unencoded.clear()
            return found

        return run

    def _main(self) -> None:
        while self.report.faults.total() < self._wanted:
            self._stream()
            self.report.runs += 1
            if self.report.runs % 500 == 0:
                print(f"{self.report.faults.total():,} faults so far", file=sys.stderr, flush=True)

    def _stream(self) -> None:
        """One run of the detector, until a fault ends it or it is left."""
        self._taken_s = math.inf
        for kept in (self._taken, self._results, self._unencoded):
            kept.clear()
        names = [f"camera {number}" for number in range(len(self.cameras))]
        sources = [live_source("http://127.0.0.1:9/live", name=name, timeout_s=TIMEOUT_S) for name in names]
        folder = self.folder / str(self.report.runs)
        tables = {
            name: TroubledTables(LiveTables(folder / name.replace(" ", ""), CODES), self.trouble) for name in names
        }
        self.trouble.full_until_s = 0.0  # a disk that is full when a run begins is an error at once
        sinks = {name: QueuedSink(one, name, most=50).__enter__() for name, one in tables.items()}
        given: Counter[str] = Counter()
        ending = ""
        stream = self.detector.stream(sources, LOOKAHEAD)
        try:
            with stream:
                ending = self._loop(stream, sinks, given)
                if ending == "finish":
                    stream.finish()
                    for result in stream:
                        self._count(result, sinks, given)
        except (LoopError, BackendError, NotFiniteError) as error:
            ending = ending or type(error).__name__
            assert type(error).__name__ in self._broken, "an error that nobody asked for"
            for key in self._unencoded:
                del self._taken[key]
        finally:
            self._mend()
        for sink in sinks.values():
            sink.close()
        self.world.sleep(1.0)  # one that was slow at its end is left behind, and ends by itself
        left = [one.name for one in self.world.tasks if not one.over and one.name != "main"]
        assert not left, f"these are left: {left}"
        self._check_counts(dict(stream.status), given)
        self._check_scores()
        for name in names:
            self._check_table(folder / name.replace(" ", ""), tables[name], sinks[name], name, given)
        shutil.rmtree(folder)

    def _loop(self, stream: Any, sinks: dict[str, QueuedSink], given: Counter[str]) -> str:
        """Take results and let things go wrong; returns how the run is left."""
        self._broken = set[str]()  # the errors that were asked for
        while len(self._results) < MOST_RESULTS and self.report.faults.total() < self._wanted:
            asked_s = self.world.now_s
            result = next(stream)
            now_s = self.world.now_s
            late = result.stale and now_s > asked_s and result.delay_ms > 1e3 * SLACK_S
            assert not late, f"a result that was ready was held back for {result.delay_ms:.0f} ms"
            self._count(result, sinks, given)
            self._quiet -= 1
            while self._quiet < 0 and self.report.faults.total() < self._wanted:
                long = self._fail(stream._run._readers) and self.random.random() < 0.5
                self._quiet = 15 if long else self.random.choice((-1, 0, 0, 0, 1, 2, 8))
        return self.random.choice(("finish", "close"))

    def _count(self, result: FrameResult, sinks: dict[str, QueuedSink], given: Counter[str]) -> None:
        self.report.results += 1
        self.report.stale += result.stale
        self._results.append(result)
        given[result.source] += 1
        assert result.delay_ms >= 0 and (not result.stale or result.faces == ())
        for event in result.events:
            takes = {self._take_at(result.source, index) for index in (event.onset_frame, event.offset_frame)}
            assert len(takes - {None}) < 2, "an event of two takes"
        sinks[result.source].write(result)

    def _take_at(self, source: str, index: int) -> int | None:
        return self._taken[source, index].take

    def _fail(self, readers: Any) -> bool:
        """Let one thing go wrong; whether it lasts."""
        kinds = FAULTS + OURS
        kind: str = self.random.choice(ENDING) if self.random.random() < 0.01 else self.random.choice(kinds)
        if kind == "worker" and not (living := [one for one in _captures(readers) if not one.dead]):
            return False  # there is nobody to kill
        self.report.faults[kind] += 1
        long = self.random.random() < 0.15
        seconds = self.random.uniform(GAP_S, 8.0) if long else self.random.uniform(0.0, 0.6)
        if kind in FAULTS:
            self.random.choice(self.cameras).faults.append((kind, seconds))  # type: ignore[arg-type]
        elif kind == "worker":
            self.random.choice(living).kill()
        elif kind == "no_worker":
            self._fail_once(self.captures)
        elif kind == "slow":
            self.world.sleep(min(seconds, 2.0))
        elif kind == "disk":
            self.trouble.full_until_s = self.world.now_s + seconds
        elif kind == "slow_sink":
            self.trouble.slow_until_s = self.world.now_s + seconds
        elif kind == "sink":
            self.trouble.failures += 1
        elif kind == "model":
            self._broken.add(BackendError.__name__)
            self.graphs.encoder.fails = True
        elif kind == "nan":
            self._broken.add(NotFiniteError.__name__)
            self.graphs.temporal.run = _not_finite
        else:
            self._broken.add(LoopError.__name__)
            raise LoopError
        return long

    def _fail_once(self, captures: Any) -> None:
        """The next process cannot be started."""
        start = captures.side_effect

        def refuse(stdin: int | None = None) -> Any:
            captures.side_effect = start
            raise SourceError("cannot start the process that reads live sources")

        if start is not refuse and getattr(start, "__name__", "") != "refuse":
            captures.side_effect = refuse

    def _mend(self) -> None:
        self.graphs.encoder.fails = False
        self.graphs.temporal.__dict__.pop("run", None)
        self.trouble.failures = 0

    def _check_counts(self, status: dict[str, SourceStatus], given: Counter[str]) -> None:
        """Every frame that was captured is accounted for."""
        stale = Counter(one.source for one in self._results if one.stale)
        for name, one in status.items():
            assert one.captured == one.scored + one.dropped, (name, one)
            assert one.dropped == sum(one.dropped_by.values()) and min(one.dropped_by.values(), default=0) >= 0
            left = one.dropped_by.get("left", 0)  # one that is shown, one that is captured, and what waits for scores
            assert left <= MOST_LEFT, f"{name}: {left} frames are counted as left"
            assert one.scored == given[name] - stale[name], (name, one, given)
            assert one.dropped >= sum(result.dropped for result in self._results if result.source == name)
            self.report.captured += one.captured
            self.report.scored += one.scored
            self.report.dropped.update(one.dropped_by)
            self.report.reconnects += one.reconnects

    def _check_scores(self) -> None:
        """Each track is of one take and one person, and scores as its pictures do when they are all there is."""
        levels: dict[tuple[str, int, int], list[int]] = {}  # source, track, first frame of its stream
        first: dict[tuple[str, int, int], int] = {}  # source, track, frame -> that first frame
        owners: dict[tuple[str, int], tuple[set[int], set[int]]] = {}
        for (source, index), taken in sorted(self._taken.items()):
            for track, (slot, level) in taken.faces.items():
                start = first.get((source, track, index - 1), index)
                first[source, track, index] = start
                levels.setdefault((source, track, start), []).append(level)
                takes, slots = owners.setdefault((source, track), (set(), set()))
                takes.update([] if taken.take is None else [taken.take])
                slots.add(slot)
        for track_of, (takes, slots) in owners.items():
            assert len(takes) < 2, f"{track_of} is of the takes {takes}"
            assert len(slots) == 1, f"{track_of} is of the people {slots}"
        alone = self._alone(levels)
        for result in self._results:
            for face in result.faces:
                key = result.source, face.track_id, first[result.source, face.track_id, result.index]
                told = [face[code].probability for code in CODES]
                assert told == alone[key][result.index - key[2]], (key, result.index, self._broken)
                self.report.scores += 1
        self.report.tracks += len(owners)

    def _alone(self, levels: dict[Any, list[int]]) -> dict[Any, list[list[float]]]:
        """What each list of grey levels scores, as a stream of its own."""
        scorer, scores = StreamScorer(self.oracle, LOOKAHEAD), {key: list[list[float]]() for key in levels}
        encoder: FakeGraph = self.oracle.encoder  # type: ignore[assignment]
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

    def _check_table(
        self, base: Path, tables: TroubledTables, sink: QueuedSink, name: str, given: Counter[str]
    ) -> None:
        """The file holds what was taken, in whole lines, and the rest is counted."""
        data = (base.parent / f"{base.name}_aus.csv").read_bytes()
        assert data.endswith(b"\n"), "a line is cut off"
        frames = [int(row["frame"]) for row in csv.DictReader(data.decode().splitlines())]
        written = [index for index, _ in itertools.groupby(frames)]
        status = sink.status
        assert written == tables.taken == sorted(written), "a row is lost, or comes twice"
        late = len(written) - status.written  # one in hand, at which waiting ended, counts as dropped
        assert late == 0 or (late == 1 and status.dropped_by.get("end")), (status, written)
        assert status.written + status.dropped == given[name], (status, given)
        self.report.rows += len(written)
        self.report.lost.update(status.dropped_by)


def _captures(readers: Any) -> list[ScriptedCapture]:
    """The processes that read now."""
    return [one._supervisor._capture for one in readers.all if one._supervisor._capture is not None]


def _not_finite(inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    rows = len(inputs["nodes"])
    return {"scores": np.full((rows, len(STREAMING.model.label_set.aus)), np.nan, np.float32)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--faults", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    import logging

    logging.getLogger("mdhr_sdk").setLevel(logging.CRITICAL)
    began_s = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        harness = Harness(given.seed, Path(folder))
        try:
            print(harness.run(given.faults))
        except BaseException:
            print(f"seed {given.seed}, so far: {harness.report}", file=sys.stderr)
            raise
    virtual_s = harness.world.now_s - 1000.0
    print(f"{virtual_s / 3600:.1f} virtual hours in {time.perf_counter() - began_s:.0f} s")


if __name__ == "__main__":
    main()
