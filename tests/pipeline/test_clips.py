"""Windows of the clip model, against a slow version that looks at a whole video at once."""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mdhr_sdk.pipeline.clips import Clip, ClipAssembler

# Which tracks have a face, frame by frame.
patterns = st.lists(st.frozensets(st.integers(0, 3)), max_size=40)


class Window(NamedTuple):
    track_id: int
    indices: tuple[int, ...]


def crop(index: int, track_id: int) -> np.ndarray:
    return np.full((2, 2, 3), (index, track_id, 7), np.uint8)


def slow_windows(present: list[frozenset[int]], length: int) -> set[Window]:
    """Split each track into runs of frames that follow each other, and each run into windows from its start."""
    windows = set()
    for track_id in set().union(*present):
        frames = [index for index, tracks in enumerate(present) if track_id in tracks]
        starts = [index for index in frames if index - 1 not in frames]
        for start in starts:
            run = [index for index in frames if index >= start and set(range(start, index)) <= set(frames)]
            windows |= {Window(track_id, tuple(run[i : i + length])) for i in range(0, len(run), length)}
    return windows


def feed(present: list[frozenset[int]], length: int) -> list[tuple[int, Clip]]:
    """Every clip with the number of frames that were pushed when it came out."""
    assembler = ClipAssembler(length)
    clips = []
    for index, tracks in enumerate(present):
        clips += [(index + 1, clip) for clip in assembler.push(index, {t: crop(index, t) for t in sorted(tracks)})]
    clips += [(len(present), clip) for clip in assembler.flush()]
    assert assembler.flush() == []
    return clips


@settings(max_examples=200, deadline=None)
@given(present=patterns, length=st.integers(1, 6))
def test_windows_are_those_of_the_slow_version(present: list[frozenset[int]], length: int):
    clips = [clip for _, clip in feed(present, length)]
    windows = [Window(clip.track_id, tuple(clip.indices)) for clip in clips]
    assert len(windows) == len(set(windows))
    assert set(windows) == slow_windows(present, length)


@settings(max_examples=200, deadline=None)
@given(present=patterns, length=st.integers(1, 6))
def test_what_holds_for_every_clip(present: list[frozenset[int]], length: int):
    clips = feed(present, length)
    for pushed, clip in clips:
        first, last = clip.indices[0], clip.indices[-1]
        assert clip.indices == list(range(first, last + 1)), "consecutive frames only"
        assert 1 <= len(clip.indices) == len(clip.crops) <= length
        assert pushed - first <= length, "a frame is complete at most length - 1 frames later"
        padded = clip.padded(length)
        assert padded.shape == (length, 2, 2, 3) and padded.dtype == np.uint8
        assert np.array_equal(padded, [crop(min(first + i, last), clip.track_id) for i in range(length)])
    scored = Counter((index, clip.track_id) for _, clip in clips for index in clip.indices)
    assert scored == Counter((index, track_id) for index, tracks in enumerate(present) for track_id in tracks)


def test_a_run_worked_out_by_hand():
    present = [frozenset(tracks) for tracks in ([0], [0], [0, 1], [0, 1], [1], [], [1], [0, 1])]
    expected = [
        (3, Window(0, (0, 1, 2))),
        (5, Window(0, (3,))),
        (5, Window(1, (2, 3, 4))),
        (8, Window(0, (7,))),
        (8, Window(1, (6, 7))),
    ]
    found = [(pushed, Window(clip.track_id, tuple(clip.indices))) for pushed, clip in feed(present, 3)]
    assert sorted(found) == expected


def test_a_full_clip_is_not_padded():
    clip = Clip(0, [3, 4], [crop(3, 0), crop(4, 0)])
    assert np.array_equal(clip.padded(2), np.stack(clip.crops))


def test_an_empty_video_has_no_clips():
    assert feed([], 4) == [] and feed([frozenset()] * 5, 4) == []


@pytest.mark.parametrize("length", [1, 16])
def test_a_still_is_one_clip(length: int):
    ((_, clip),) = feed([frozenset([0])], length)
    assert clip.indices == [0] and (clip.padded(length) == crop(0, 0)).all()
