"""`scope`: a part of a source gives the results of that part, at its own times and numbers."""

from __future__ import annotations

import logging

import numpy as np
import pytest

from fake_streams import streaming
from fakes import FakeSession, level, video
from mdhr_sdk import AUDetector, Scope
from mdhr_sdk.pipeline import run


def test_numbers_and_times_are_those_of_the_source(detector: AUDetector, session: FakeSession) -> None:
    results = detector.predict(video([{0}] * 20), fps=10, scope=Scope(start_s=0.5, end_s=1.7, every=2))
    assert [frame.index for frame in results] == [5, 7, 9, 11, 13, 15]
    assert [frame.timestamp_s for frame in results] == pytest.approx([0.5, 0.7, 0.9, 1.1, 1.3, 1.5])
    assert session.windows == [tuple(level(i, 0) for i in (5, 7, 9, 11)), tuple(level(i, 0) for i in (13, 15, 15, 15))]
    assert results.fps == 5


def test_a_stream_scores_the_frames_that_are_left(meshers: list, no_cuts: None) -> None:
    clip = video([{0}] * 21)
    with streaming() as detector:
        whole = list(detector.stream(clip[::3], fps=10))
        thinned = list(detector.stream(clip, fps=30, scope=Scope(every=3)))
    assert [frame.index for frame in thinned] == list(range(0, 21, 3)) and len(whole) == 7
    for one, other in zip(thinned, whole, strict=True):
        assert one.timestamp_s == pytest.approx(other.timestamp_s)
        np.testing.assert_array_equal(
            [au.probability for au in one.faces[0].aus.values()], [au.probability for au in other.faces[0].aus.values()]
        )


def test_faces_outside_are_counted_and_not_scored(detector: AUDetector, session: FakeSession) -> None:
    results = detector.predict(video([{0, 1, 2}] * 4), scope=Scope(region=(64, 0, 128, 64), person=1))
    assert [[face.track_id for face in frame.faces] for frame in results] == [[1]] * 4
    assert [(frame.faces_seen, frame.faces_left_out) for frame in results] == [(3, 2)] * 4
    assert session.windows == [tuple(level(i, 2) for i in range(4))]


def test_thinning_is_warned_about_once(detector: AUDetector, caplog: pytest.LogCaptureFixture) -> None:
    run._warn_thinned.cache_clear()
    with caplog.at_level(logging.WARNING, "mdhr_sdk"):
        for _ in range(2):
            detector.predict(video([{0}] * 4), scope=Scope(sample_fps=10))
        detector.predict(video([{0}] * 4), scope=Scope(start_s=0.04))
    assert sum("takes those that are left for consecutive ones" in text for text in caplog.messages) == 1
