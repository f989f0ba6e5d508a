"""Faults at random in real live sources, read by real processes; the model is a fake whose every number is known.

    python tests/support/live/live_faults.py --faults 1000 --seed 1

Servers stall, end, freeze, change size, send rubbish and cut pictures, or are killed and started again; the processes
that read them are killed; the model fails; the loop over the results is slow, or raises. Each picture carries the
number of its take, which changes with every gap. Asserted: nothing hangs; each track holds pictures of one take and
person, and scores like these pictures alone; captured = scored + dropped for every source.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import sys
import time
from collections import Counter
from contextlib import ExitStack
from pathlib import Path

if __name__ == "__main__":
    ROOT = Path(__file__).resolve().parents[3]
    SUPPORT = ROOT / "tests" / "support"
    sys.path[:0] = map(str, (ROOT, ROOT / "tests", SUPPORT, *SUPPORT.glob("*/")))

import numpy as np

from benchmarks.live.server import FAULTS, GAP_S, LiveServer, read_stamp
from fake_streams import streaming
from fakes import CODES, SLOT, FakeMesher, picture
from fault_report import Report
from mdhr_sdk import AUDetector
from mdhr_sdk.errors import BackendError
from mdhr_sdk.results import FaceResult, FrameResult, SourceStatus
from mdhr_sdk.vision.sources.live.address import live_source

OURS = ("restart", "worker", "model", "sink", "slow")
TIMEOUT_S = 1.0  # of the sources
HANG_S = 20.0  # a wait that is no longer a busy machine
LOOKAHEAD = 3


class SinkError(Exception):
    """What a sink may raise in the loop over results."""


class Harness:
    """Two cameras with a person each, and one detector."""

    def __init__(self, seed: int, fps: float = 100.0) -> None:
        self.random = random.Random(seed)
        self.report = Report()
        self.servers = [
            LiveServer(lambda i: picture(i % 25, {0}), fps, quality=100),
            LiveServer(lambda i: picture(i % 25, {1}), fps, quality=100),
        ]
        self.detector = streaming()
        self.kept: dict[tuple[str, int], list[FrameResult]] = {}
        self.latest: dict[str, int] = {}
        self._indices: set[tuple[str, int]] = set()  # source, index of each result of the run at hand
        self._broken = ""  # what the run at hand is ended by

    def run(self, faults: int) -> Report:
        with ExitStack() as stack:
            for server in self.servers:
                stack.enter_context(server)
            while self.report.faults.total() < faults:
                self._stream(faults)
        return self.report

    def _stream(self, faults: int) -> None:
        """One run of the detector, until the faults are done or one of them ends it."""
        sources = [
            live_source(server.url, name=f"camera {number}", timeout_s=TIMEOUT_S)
            for number, server in enumerate(self.servers)
        ]
        self.kept.clear()
        self._indices.clear()
        self._broken = ""
        given: Counter[str] = Counter()
        stream = self.detector.stream(sources, LOOKAHEAD, images=True)
        try:
            with stream:
                while self.report.faults.total() < faults:
                    began_s = time.monotonic()
                    result = next(stream)
                    self.report.worst_s = max(self.report.worst_s, time.monotonic() - began_s)
                    assert time.monotonic() - began_s < HANG_S, "it hung"
                    given[result.source] += self._take(result)
                    if self.random.random() < 0.1:
                        self._fail(stream._run._readers)
        except (SinkError, BackendError) as error:
            assert self._broken == type(error).__name__, "an error that nobody asked for"
        graph = _encoder(self.detector)
        graph.fails = False
        self._check(dict(stream.status), given)
        self._compare()

    def _take(self, result: FrameResult) -> int:
        self.report.results += 1
        self.report.stale += result.stale
        self.latest[result.source] = result.index
        self._indices.add((result.source, result.index))
        if result.stale:
            assert result.faces == () and result.status == "stale"
            return 0
        assert result.image is not None and result.captured_at is not None
        for face in result.faces:
            self.kept.setdefault((result.source, face.track_id), []).append(result)
        return 1

    def _fail(self, readers: object) -> None:
        """Let one thing go wrong."""
        kind = self.random.choice(FAULTS + OURS)
        self.report.faults[kind] += 1
        server = self.random.choice(self.servers)
        if kind in FAULTS:
            lasts_s = GAP_S + 0.2 if self.random.random() < 0.1 else self.random.uniform(0.0, 0.3)
            server.fault(kind, lasts_s)  # type: ignore[arg-type]
        elif kind == "restart":
            server.stop()
            server.start()
        elif kind == "slow":
            time.sleep(self.random.uniform(0.0, 0.1))
        elif kind == "worker":
            for reader in readers.all[:1]:  # type: ignore[attr-defined]
                if (capture := reader._supervisor._capture) is not None:
                    os.kill(capture.pid, signal.SIGKILL)
        elif kind == "model":
            self._broken = BackendError.__name__
            _encoder(self.detector).fails = True
        else:
            self._broken = SinkError.__name__
            raise SinkError

    def _check(self, status: dict[str, SourceStatus], given: Counter[str]) -> None:
        """Every frame that was captured is accounted for."""
        for name, one in status.items():
            assert one.captured == one.scored + one.dropped, (name, one)
            assert one.dropped == sum(one.dropped_by.values()), (name, one)
            assert one.scored >= given[name] if self._broken else one.scored == given[name], (name, one, given)
            self.report.add(one)

    def _compare(self) -> None:
        """Each track is of one take, and scores as its pictures do when they are all there is."""
        for (source, track), results in self.kept.items():
            takes = set(filter(None, map(_take_of, results)))
            indices = [one.index for one in results]
            assert len(takes) < 2, (takes, indices)
            if indices != list(range(indices[0], indices[-1] + 1)):
                continue  # a damaged picture hid the face
            if self._unread(source, indices):
                continue
            alone = _alone(results)
            cut_off = results[-1].index == self.latest[source]  # later frames count for the last scores
            last = max(0, len(results) - LOOKAHEAD) if cut_off else len(results)
            slot = _slot(next(face for face in results[0].faces if face.track_id == track))
            own, wanted = _scores(results[:last], slot), _scores(alone[:last], slot)
            assert own == wanted, (source, track, len(results), self._broken)
            self.report.tracks += 1

    def _unread(self, source: str, indices: list[int]) -> bool:
        """Whether results that nobody took may belong to a track: those of the frames before and after it."""
        before = indices[0] == 0 or (source, indices[0] - 1) in self._indices
        return not before or (indices[-1] != self.latest[source] and (source, indices[-1] + 1) not in self._indices)


def _alone(results: list[FrameResult]) -> list[FrameResult]:
    """What the pictures of a track score alone, each in the window that ended when its result came."""
    images, streams, found = np.stack([one.image for one in results]), dict[int, list[FrameResult]](), []
    for number, one in enumerate(results):
        whole = one.delay_frames >= LOOKAHEAD or number + one.delay_frames >= len(results) - 1
        end = len(results) if whole else number + one.delay_frames + 1
        if end not in streams:
            streams[end] = list(streaming().stream(images[:end], LOOKAHEAD))
        found.append(streams[end][number])
    return found


def _take_of(result: FrameResult) -> int | None:
    """The take that a picture shows; None where damage has spoilt the stamp, and so its time."""
    assert result.image is not None and result.captured_at is not None
    stamp_ms, take = read_stamp(result.image)
    off_ms = (result.captured_at.timestamp() * 1000 - stamp_ms) % (1 << 40)
    return take + 1 if off_ms < 60_000 else None


def _slot(face: FaceResult) -> int:
    """Which of the picture's places a face is in: damage can make faces of the empty ones."""
    return int(face.box_px[0] + face.box_px[2]) // 2 // SLOT


def _scores(results: list[FrameResult], slot: int) -> list[list[float]]:
    faces = [next(face for face in one.faces if _slot(face) == slot) for one in results]
    return [[face[code].probability for code in CODES] for face in faces]


def _encoder(detector: AUDetector) -> object:
    model, _, _ = detector._opened["stream"]
    return model.encoder  # type: ignore[union-attr]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--faults", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    import logging

    import mdhr_sdk.detector
    import mdhr_sdk.vision.cuts

    logging.getLogger("mdhr_sdk").setLevel(logging.ERROR)
    mdhr_sdk.detector.FaceMesher = FakeMesher  # type: ignore[misc,assignment]
    mdhr_sdk.vision.cuts.THRESHOLD = 256.0
    harness = Harness(given.seed)
    try:
        print(harness.run(given.faults))
    except BaseException:
        print(f"seed {given.seed}, so far: {harness.report}", file=sys.stderr)
        raise


if __name__ == "__main__":
    main()
