"""What must hold after a run with faults: every frame is counted, no score mixes pictures, no row is lost."""

from __future__ import annotations

import csv
import itertools
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fake_streams import FakeGraph
from fakes import CODES
from faults.report import Report
from faults.trouble import TroubledTables
from mdhr_sdk.outputs.live.queued import QueuedSink
from mdhr_sdk.results import FrameResult, SourceStatus
from mdhr_sdk.runtime.stream.scorer import StreamScorer
from mdhr_sdk.runtime.stream.stream_graphs import StreamGraphs

LOOKAHEAD = 3
MOST_LEFT = LOOKAHEAD + 5  # frames without a result at the end of a run


@dataclass
class Taken:
    """What the model was given of a frame: track -> slot and grey level."""

    take: int | None
    faces: dict[int, tuple[int, int]]


def check_counts(
    report: Report, status: dict[str, SourceStatus], results: list[FrameResult], given: Counter[str]
) -> None:
    """Every frame that was captured is accounted for."""
    stale = Counter(one.source for one in results if one.stale)
    for name, one in status.items():
        assert one.captured == one.scored + one.dropped, (name, one)
        assert one.dropped == sum(one.dropped_by.values()) and min(one.dropped_by.values(), default=0) >= 0
        left = one.dropped_by.get("left", 0)  # one that is shown, one that is captured, and what waits for scores
        assert left <= MOST_LEFT, f"{name}: {left} frames are counted as left"
        assert one.scored == given[name] - stale[name], (name, one, given)
        assert one.dropped >= sum(result.dropped for result in results if result.source == name)
        report.captured += one.captured
        report.scored += one.scored
        report.dropped.update(one.dropped_by)
        report.reconnects += one.reconnects


def check_scores(
    report: Report, all_taken: dict[tuple[str, int], Taken], results: list[FrameResult], oracle: StreamGraphs
) -> None:
    """Each track is of one take and one person, and scores as its pictures do when they are all there is."""
    levels: dict[tuple[str, int, int], list[int]] = {}  # source, track, first frame of its stream
    first: dict[tuple[str, int, int], int] = {}  # source, track, frame -> that first frame
    owners: dict[tuple[str, int], tuple[set[int], set[int]]] = {}
    for (source, index), taken in sorted(all_taken.items()):
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
    alone = _alone(oracle, levels)
    for result in results:
        for face in result.faces:
            key = result.source, face.track_id, first[result.source, face.track_id, result.index]
            told = [face[code].probability for code in CODES]
            assert told == alone[key][result.index - key[2]], (key, result.index)
            report.scores += 1
    report.tracks += len(owners)


def _alone(oracle: StreamGraphs, levels: dict[Any, list[int]]) -> dict[Any, list[list[float]]]:
    """What each list of grey levels scores, as a stream of its own."""
    scorer, scores = StreamScorer(oracle, LOOKAHEAD), {key: list[list[float]]() for key in levels}
    encoder: FakeGraph = oracle.encoder  # type: ignore[assignment]
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
