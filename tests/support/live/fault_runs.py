"""Faults by the hundred thousand: everything from the supervisor to the sinks, in one process and in virtual time.

    python tests/support/live/fault_runs.py --faults 100000 --seed 1

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
import math
import os
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

if __name__ == "__main__":
    ROOT = Path(__file__).resolve().parents[3]
    SUPPORT = ROOT / "tests" / "support"
    sys.path[:0] = map(str, (ROOT, ROOT / "tests", SUPPORT, *SUPPORT.glob("*/")))


from fake_streams import streaming
from fakes import CODES, SLOT
from fault_parts import (
    LoopError,
    Oracle,
    QuickMesher,
    RunsReport,
    Taken,
    Trouble,
    TroubledTables,
    captures_of,
    check_table,
    fail_once,
    not_finite,
)
from mdhr_sdk.errors import BackendError, NotFiniteError
from mdhr_sdk.outputs.live.queued import QueuedSink
from mdhr_sdk.outputs.live.tables import LiveTables
from mdhr_sdk.pipeline.crops import Found
from mdhr_sdk.pipeline.scores.decide import Waiting
from mdhr_sdk.results import FrameResult, SourceStatus
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
    "pipeline.ahead", "pipeline.clock", "pipeline.reader", "pipeline.readers", "pipeline.run", "pipeline.scores.decide",
    "outputs.live.append", "outputs.live.queued", "vision.sources.source", "vision.sources.live.supervisor",
    "vision.sources.live.health", "vision.sources.live.timing", "vision.sources.live.streams",
)  # fmt: skip
THREADED = (
    "pipeline.ahead", "pipeline.reader", "pipeline.readers", "outputs.live.queued", "vision.sources.live.supervisor"
)  # fmt: skip


class Harness:
    """Runs of one detector, with faults at random."""

    def __init__(self, seed: int, folder: Path) -> None:
        self.world = World(seed)
        self.random = self.world.random
        self.report = RunsReport()
        self.folder = folder
        self.trouble = Trouble(self.world)
        self.cameras = [Camera(self.world, person, FPS) for person in (0, 1)]
        self._wanted = 0
        self._taken: dict[tuple[str, int], Taken] = {}
        self._unencoded: list[tuple[str, int]] = []
        self._results: list[FrameResult] = []
        self._taken_s = math.inf  # by the model, when it had a frame or 'stale' last
        self._quiet = 0  # results until the next fault

    def run(self, faults: int) -> RunsReport:
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
            check_table(self.report, folder / name.replace(" ", ""), tables[name], sinks[name], given[name])
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
        if kind == "worker" and not (living := [one for one in captures_of(readers) if not one.dead]):
            return False  # there is nobody to kill
        self.report.faults[kind] += 1
        long = self.random.random() < 0.15
        seconds = self.random.uniform(GAP_S, 8.0) if long else self.random.uniform(0.0, 0.6)
        if kind in FAULTS:
            self.random.choice(self.cameras).faults.append((kind, seconds))  # type: ignore[arg-type]
        elif kind == "worker":
            self.random.choice(living).kill()
        elif kind == "no_worker":
            fail_once(self.captures)
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
            self.graphs.temporal.run = not_finite
        else:
            self._broken.add(LoopError.__name__)
            raise LoopError
        return long

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
            self.report.add(one)

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
        oracle = Oracle(self.oracle, levels, LOOKAHEAD)
        for result in self._results:
            for face in result.faces:
                key = result.source, face.track_id, first[result.source, face.track_id, result.index]
                told = [face[code].probability for code in CODES]
                wanted = oracle.scores(key, result.index - key[2], result.delay_frames)
                assert told == wanted, (key, result.index, result.delay_frames, self._broken)
                self.report.scores += 1
                self.report.early += result.delay_frames < LOOKAHEAD
        self.report.tracks += len(owners)


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
