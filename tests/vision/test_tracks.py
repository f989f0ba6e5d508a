"""Track ids: unique in a frame, kept over gaps, never used twice."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mdhr_sdk.errors import ConfigError, InputError
from mdhr_sdk.vision import Tracker
from mdhr_sdk.vision.boxes import iou
from mdhr_sdk.vision.looks import Look


@dataclass(frozen=True)
class Boxed:
    box_px: tuple[float, float, float, float]


def box(x: float, y: float = 0.0, side: float = 10.0) -> Boxed:
    return Boxed((x, y, x + side, y + side))


boxes = st.builds(box, st.integers(0, 60), st.integers(0, 20), st.integers(1, 30))
frames = st.lists(st.lists(boxes, max_size=6), max_size=8)
periods = st.sampled_from([0.04, 1.0, 10.0])


@given(frames, periods, st.floats(0, 2), st.data())
@settings(max_examples=100, deadline=None)
def test_ids_are_unique_in_a_frame_and_follow_the_faces_in_any_order(clip, period_s, gap_s, data):
    straight, shuffled = Tracker(gap_s), Tracker(gap_s)
    for index, faces in enumerate(clip):
        order = data.draw(st.permutations(range(len(faces))))
        ids = straight.update(faces, index * period_s)
        mixed = shuffled.update([faces[i] for i in order], index * period_s)
        assert len(set(ids)) == len(ids) == len(faces)
        # Faces with the very same box cannot be told apart, so compare what each box got.
        wanted = Counter((face.box_px, track) for face, track in zip(faces, ids, strict=True))
        assert wanted == Counter((faces[i].box_px, track) for i, track in zip(order, mixed, strict=True))


@given(frames, periods, st.floats(0, 2), st.integers(0, 7))
@settings(max_examples=100, deadline=None)
def test_ids_count_up_and_never_come_back_once_forgotten(clip, period_s, gap_s, reset_at):
    tracker = Tracker(gap_s)
    last_seen: dict[int, int] = {}
    before_reset: set[int] = set()
    for index, faces in enumerate(clip):
        if index == reset_at:
            tracker.reset()
            before_reset = set(last_seen)
        ids = tracker.update(faces, index * period_s)
        fresh = sorted(set(ids) - last_seen.keys())
        assert fresh == list(range(len(last_seen), len(last_seen) + len(fresh)))
        for missed in (index - last_seen[track] - 1 for track in ids if track in last_seen):
            assert missed == 0 or (missed + 1) * period_s <= gap_s + 1e-9
        assert not before_reset & set(ids)
        last_seen.update(dict.fromkeys(ids, index))


def test_new_faces_are_numbered_from_left_to_right():
    assert Tracker().update([box(50), box(0), box(25)], 0.0) == [2, 0, 1]


def test_a_face_keeps_its_id_while_it_moves_and_over_a_gap():
    tracker = Tracker(max_gap_s=1.0)
    assert tracker.update([box(0), box(40)], 0.0) == [0, 1]
    assert tracker.update([box(43), box(3)], 0.1) == [1, 0]
    assert tracker.update([box(46)], 0.2) == [1]
    assert tracker.update([], 0.5) == []
    assert tracker.update([box(4)], 1.1) == [0], "unseen for exactly 1 s"
    assert tracker.update([box(46)], 1.3) == [2], "unseen for longer than 1 s"


@given(st.lists(st.floats(0, 10), min_size=1, max_size=8), st.floats(0, 2))
@settings(max_examples=100, deadline=None)
def test_a_face_of_every_frame_is_one_track_between_gaps(steps_s, gap_s):
    tracker, now_s, times_s = Tracker(gap_s), 0.0, [0.0]
    for step_s in steps_s:
        now_s += step_s
        times_s.append(now_s)
    ids = [tracker.update([box(0), box(40)], at_s) for at_s in times_s]
    taken = [after - before for before, after in pairwise(times_s)]
    first = 0
    for index, (step_s, before_s) in enumerate(zip(taken, [float("inf"), *taken[:-1]], strict=True)):
        if step_s > gap_s and step_s > 2 * before_s:
            first += 2
        assert ids[index + 1] == [first, first + 1]


def test_a_face_beyond_a_gap_of_time_is_a_new_track_though_no_frame_lacked_it():
    tracker = Tracker(max_gap_s=1.0)
    times_s = [0.0, 0.04, 0.08, 1.08, 2.5, 2.54, 60.0, 60.04]
    assert [tracker.update([box(0)], at_s) for at_s in times_s] == [[0], [0], [0], [0], [0], [0], [1], [1]], (
        "1 s is none, nor is 1.4 s after a step of 1 s"
    )


def test_at_a_tenth_of_a_frame_a_second_a_face_keeps_its_id_until_a_frame_misses_it():
    tracker = Tracker(max_gap_s=1.0)
    clip = [[box(0), box(40)], [box(1), box(41)], [box(42)], [box(2), box(43)], [], [box(43)]]
    ids = [tracker.update(faces, 10.0 * index) for index, faces in enumerate(clip)]
    assert ids == [[0, 1], [0, 1], [1], [2, 1], [], [3]]


def test_a_camera_that_stalls_begins_new_tracks_and_a_new_source_has_a_pace_of_its_own():
    tracker = Tracker(max_gap_s=1.0)
    times_s = [0.0, 0.1, 0.2, 30.0, 30.0]
    clip = [[box(0)], [], [box(0)], [box(0)], []]
    assert [tracker.update(faces, at) for faces, at in zip(clip, times_s, strict=True)] == [[0], [], [0], [1], []]
    assert tracker.update([box(0)], 60.0) == [2]
    tracker.reset()
    assert [tracker.update([box(0)], 10.0 * index) for index in range(3)] == [[3]] * 3


def test_the_best_overlap_wins():
    tracker = Tracker()
    tracker.update([box(0), box(6)], 0.0)
    assert tracker.update([box(4), box(7)], 0.1) == [0, 1]
    assert tracker.update([box(6)], 0.2) == [1], "the nearer of two tracks that fit"


def test_overlap_below_the_least_iou_is_another_face():
    assert iou((0, 0, 10, 10), (5, 0, 15, 10)) == pytest.approx(1 / 3)
    for least, expected in ((0.3, [0]), (0.4, [1])):
        tracker = Tracker(min_iou=least)
        tracker.update([box(0)], 0.0)
        assert tracker.update([box(5)], 0.1) == expected


def test_iou_of_empty_and_distant_boxes_is_zero():
    assert iou((0, 0, 0, 0), (0, 0, 0, 0)) == 0
    assert iou((0, 0, 1, 1), (2, 2, 3, 3)) == 0
    assert iou((0, 0, 2, 2), (0, 0, 2, 2)) == 1


def test_time_must_not_run_backwards():
    tracker = Tracker()
    tracker.update([box(0)], 5.0)
    assert tracker.update([box(0)], 5.0) == [0]
    for bad in (4.9, float("nan"), float("inf")):
        with pytest.raises(InputError, match="reset"):
            tracker.update([box(0)], bad)
    tracker.reset()
    assert tracker.update([box(0)], 0.0) == [1]


@pytest.mark.parametrize("bad", [{"max_gap_s": -1}, {"max_gap_s": float("nan")}, {"min_iou": 0}, {"min_iou": 1.1}])
def test_settings_out_of_range_are_refused(bad):
    with pytest.raises(ConfigError, match=next(iter(bad))):
        Tracker(**bad)


def person(number: int, gain: float = 1.0) -> Look:
    cells = np.random.default_rng(number).uniform(40, 160, (12, 10, 3)) * (1 + number * np.array([0.2, 0.0, 0.3]))
    return Look((gain * cells).astype(np.float32))


def test_looks_tell_who_is_in_a_place():
    tracker = Tracker()
    told = [
        (0.0, person(1)),
        (0.04, person(1, 0.6)),
        (0.08, person(2)),
        (0.12, person(2)),
        (0.16, person(1)),
        (0.2, None),
    ]
    ids = [tracker.update([box(0)], at_s, lambda _, look=look: look) for at_s, look in told]
    assert ids == [[0], [0], [1], [1], [0], [0]], "who is back within a second has the old id"


def test_a_face_that_moved_farther_than_its_box_is_known_by_its_looks():
    tracker = Tracker()
    told = [(0, person(1)), (14, person(1)), (28, person(2)), (28 + 16, person(2))]
    assert [tracker.update([box(x)], 0.2 * i, lambda _, look=look: look) for i, (x, look) in enumerate(told)] == [
        [0],
        [0],
        [1],
        [2],
    ], "up to one and a half times its side"


def test_after_a_cut_only_a_face_that_was_away_and_looks_the_same_has_its_old_id():
    tracker = Tracker()
    one, other = (lambda _: person(1)), (lambda _: person(2))
    assert tracker.update([box(0)], 0.0, one) == [0]
    tracker.cut()
    assert tracker.update([], 0.04, one) == []
    tracker.cut()
    assert tracker.update([box(1)], 0.5, one) == [0], "hidden by something large"
    tracker.cut()
    assert tracker.update([box(1)], 0.54, one) == [1], "another scene"
    tracker.cut()
    assert tracker.update([], 0.58, one) == []
    assert tracker.update([box(1)], 0.62, other) == [2]
