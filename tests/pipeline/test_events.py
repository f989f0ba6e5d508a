"""Events: what the finder tells frame by frame, against runs cut out of the whole track afterwards."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mdhr_sdk.modelfolder.config import EventRule
from mdhr_sdk.pipeline.scores.events import EventFinder
from mdhr_sdk.results import AUEvent, AUScore, Baseline, FaceResult
from mdhr_sdk.vision import Frame

CODES = {"AU01": 0.5, "AU12": 0.25}
IMAGE, MESH = np.zeros((1, 1, 3), np.uint8), np.zeros((0, 3), np.float32)
Row = tuple[float, ...]


@dataclass
class Shot:
    """A frame as the test makes it: its time, the scores of each track, and whether the source breaks before it."""

    time_s: float
    scores: dict[int, Row] = field(default_factory=dict)
    breaks: bool = False
    neutral: bool = False


def face(track: int, row: Row, baseline: Baseline = "off", codes: dict[str, float] = CODES) -> FaceResult:
    pairs = zip(codes.items(), row, strict=True)
    aus = {code: AUScore(code, p, p >= threshold) for (code, threshold), p in pairs}
    return FaceResult(track, (0, 0, 1, 1), MESH, aus, baseline)


def found(shots: list[Shot], rule: EventRule, codes: dict[str, float] = CODES) -> list[tuple[int, AUEvent]]:
    """Every event with the place of the frame in which it was told; those at the end with the number of frames."""
    finder, told = EventFinder(codes, rule), []
    for place, shot in enumerate(shots):
        state: Baseline = "neutral" if shot.neutral else "off"
        faces = [face(track, row, state, codes) for track, row in shot.scores.items()]
        frame = Frame(IMAGE, 10 * place, shot.time_s, "made up", breaks=shot.breaks)
        told += [(place, event) for event in finder.take(frame, faces)]
    return told + [(len(shots), event) for event in finder.end()]


def stretches(shots: list[Shot], track: int, gap_s: float) -> list[list[int]]:
    """Places in which a track is seen, cut where it was lost or the source breaks."""
    cut: list[list[int]] = []
    for place, shot in enumerate(shots):
        if track not in shot.scores or shot.neutral:
            continue
        before = cut[-1][-1] if cut else -1
        since = shots[before].time_s if cut else 0.0
        missed = place - before > 1
        broken = any(one.breaks for one in shots[before + 1 : place + 1])
        if (
            not cut
            or broken
            or (missed and any(one.time_s - since > gap_s + 1e-6 for one in shots[before + 1 : place + 1]))
        ):
            cut.append([])
        cut[-1].append(place)
    return cut


def reference(shots: list[Shot], rule: EventRule) -> list[tuple[int, AUEvent]]:
    """The same from the whole: stretches of a face, runs above the low level in them, and what of each occurs."""
    wanted = []
    tracks = {track for shot in shots for track in shot.scores}
    for track in tracks:
        for places in stretches(shots, track, rule.gap_s):
            for number, (code, threshold) in enumerate(CODES.items()):
                low, high = threshold * (1 - rule.low), threshold + rule.high * (1 - threshold)
                curve = [shots[place].scores[track][number] for place in places]
                fallen = [at for at, p in enumerate(curve) if p < low]
                for first, last in zip([-1, *fallen], [*fallen, len(curve)], strict=True):
                    occurs = [at for at in range(first + 1, last) if curve[at] >= threshold]
                    if not occurs:
                        continue
                    peak = max(curve[first + 1 : last])
                    apex = curve.index(peak, first + 1)
                    moments = [places[at] for at in (occurs[0], apex, occurs[-1])]
                    times = [shots[place].time_s for place in moments]
                    if peak < high or times[2] - times[0] < rule.shortest_s - 1e-6:
                        continue
                    event = AUEvent(
                        "made up", track, code, *(10 * place for place in moments), *times, peak,
                        onset_cut=occurs[0] == 0, offset_cut=occurs[-1] == len(curve) - 1,
                    )  # fmt: skip
                    told = places[last] if last < len(curve) else lost_at(shots, places[-1], rule.gap_s)
                    wanted.append((told, event))
    return wanted


def lost_at(shots: list[Shot], last: int, gap_s: float) -> int:
    """The place in which it is known that a face, or its source, did not go on after its last frame."""
    for place in range(last + 1, len(shots)):
        if shots[place].breaks or shots[place].time_s - shots[last].time_s > gap_s + 1e-6:
            return place
    return len(shots)


@st.composite
def films(draw: st.DrawFn) -> list[Shot]:
    """Tracks that come and go, at steps that are even or not; levels are met exactly."""
    levels = st.integers(0, 16).map(lambda sixteenths: sixteenths / 16)
    rows = st.dictionaries(st.integers(0, 2), st.tuples(levels, levels), max_size=3)
    shots, time_s = [], 0.0
    neutral = draw(st.integers(0, 4))
    for place in range(draw(st.integers(0, 40))):
        breaks = draw(st.integers(0, 15)) == 0
        time_s = 0.0 if breaks and draw(st.booleans()) else time_s
        shots.append(Shot(time_s, draw(rows), breaks, neutral=place < neutral))
        time_s += draw(st.sampled_from([0.04, 0.04, 0.04, 0.125, 0.0, 1.0]))
    return shots


shares = st.sampled_from([0.0, 0.25, 0.5, 1.0])
rules = st.builds(
    EventRule, high=shares, low=shares, shortest_s=st.sampled_from([0.0, 0.04, 0.08, 0.5]),
    gap_s=st.sampled_from([0.0, 0.125, 0.25, 1.0]),
)  # fmt: skip


@settings(max_examples=200, deadline=None)
@given(shots=films(), rule=rules)
def test_events_are_those_of_the_whole_track_and_told_as_soon_as_they_are_known(shots: list[Shot], rule: EventRule):
    told = found(shots, rule)
    assert [place for place, _ in told] == sorted(place for place, _ in told)
    assert sorted(told, key=repr) == sorted(reference(shots, rule), key=repr)


def smile(*scores: float, step_s: float = 0.04) -> list[Shot]:
    return [Shot(place * step_s, {0: (0.0, p)}) for place, p in enumerate(scores)]


def test_an_event_worked_out_by_hand():
    """Threshold 0.25, low level 0.15: a dip to 0.2 belongs to it, but neither its rise nor its fall below 0.25 does."""
    shots = smile(0.1, 0.2, 0.3, 0.2, 0.8, 0.9, 0.9, 0.4, 0.2, 0.2, 0.1, 0.2)
    (told, event), *more = found(shots, EventRule(low=0.4))
    assert not more and told == 10, "the first frame below 0.15"
    assert (event.onset_frame, event.apex_frame, event.offset_frame) == (20, 50, 70)
    assert (event.onset_s, event.apex_s, event.offset_s) == pytest.approx((0.08, 0.2, 0.28))
    assert (event.au, event.peak_probability, event.onset_cut, event.offset_cut) == ("AU12", 0.9, False, False)
    assert list(event.row().items())[-3:] == [("peak_probability", 0.9), ("onset_cut", 0), ("offset_cut", 0)]


def test_ends_that_are_not_seen_are_marked():
    shots = smile(*[0.9] * 5)
    ((told, event),) = found(shots, EventRule())
    assert told == 5 and event.onset_cut and event.offset_cut
    ((_, event),) = found(smile(0.0, *[0.9] * 5, 0.2), EventRule())
    assert not event.onset_cut and not event.offset_cut, "it was over, if not below the low level"


@pytest.mark.parametrize(("missing", "events"), [(1, 1), (5, 1), (6, 2)])
def test_a_face_that_is_missed_for_a_moment_goes_on_and_one_that_is_lost_does_not(missing: int, events: int):
    """At 25 frames a second five missed frames are 0.24 s from one sight to the next, six are more than 0.25 s."""
    shots = smile(*[0.9] * (10 + missing))
    for shot in shots[5 : 5 + missing]:
        shot.scores.clear()
    assert len(found(shots, EventRule())) == events


def test_never_over_two_people_nor_a_break():
    shots = smile(*[0.9] * 20)
    for shot in shots[10:]:
        shot.scores[1] = shot.scores.pop(0)
    assert [(event.track_id, event.onset_frame, event.offset_frame) for _, event in found(shots, EventRule())] == [
        (0, 0, 90), (1, 100, 190),
    ]  # fmt: skip
    shots = smile(*[0.9] * 20)
    shots[10].breaks = True
    assert [(told, event.offset_frame) for told, event in found(shots, EventRule())] == [(10, 90), (20, 190)]


def test_slow_sources_have_events_of_two_frames_and_more():
    assert [event.offset_frame for _, event in found(smile(0, 1, 0, 1, 1, 0, step_s=10.0), EventRule())] == [40]


def test_events_agree_with_decisions_where_thresholds_are_no_float32():
    """A score of float32(0.7) occurs at a threshold of 0.7, as NumPy compares them, and is less than it as a float."""
    p, finder = float(np.float32(0.7)), EventFinder({"AU12": 0.7}, EventRule(low=0.0, shortest_s=0.0))
    assert p < 0.7
    for place, (score, occurs) in enumerate([(0.1, False), (p, True), (p, True), (0.1, False)]):
        one = FaceResult(0, (0, 0, 1, 1), MESH, {"AU12": AUScore("AU12", score, occurs)})
        told = finder.take(Frame(IMAGE, place, place / 25, "made up"), [one])
    assert [(event.onset_frame, event.offset_frame, event.peak_probability) for event in told] == [(1, 2, p)]


def test_nothing_is_kept_of_faces_that_are_gone():
    finder = EventFinder(CODES, EventRule())
    for place in range(1000):
        finder.take(Frame(IMAGE, place, place / 25, "made up"), [face(place // 10, (0.9, 0.9))])
        assert len(finder._faces) <= 2
