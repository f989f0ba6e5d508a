"""Track ids: unique in a frame, kept over gaps, never used twice."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mdhr_sdk.errors import ConfigError, InputError
from mdhr_sdk.vision import Tracker, iou


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


@given(st.lists(st.floats(0, 1e6), max_size=8), st.floats(0, 2))
@settings(max_examples=50, deadline=None)
def test_a_face_of_every_frame_is_one_track_whatever_the_times(times_s, gap_s):
    tracker = Tracker(gap_s)
    assert all(tracker.update([box(0), box(40)], at_s) == [0, 1] for at_s in sorted(times_s))


def test_at_a_tenth_of_a_frame_a_second_a_face_keeps_its_id_until_a_frame_misses_it():
    tracker = Tracker(max_gap_s=1.0)
    clip = [[box(0), box(40)], [box(1), box(41)], [box(42)], [box(2), box(43)], [], [box(43)]]
    ids = [tracker.update(faces, 10.0 * index) for index, faces in enumerate(clip)]
    assert ids == [[0, 1], [0, 1], [1], [2, 1], [], [3]]


def test_a_camera_that_stalls_keeps_ids_also_after_an_earlier_gap():
    tracker = Tracker(max_gap_s=1.0)
    times_s = [0.0, 0.1, 0.2, 30.0, 30.0]
    clip = [[box(0)], [], [box(0)], [box(0)], []]
    assert [tracker.update(faces, at) for faces, at in zip(clip, times_s, strict=True)] == [[0], [], [0], [0], []]
    assert tracker.update([box(0)], 60.0) == [1], "missed in the frame before, though that had the same time"


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
