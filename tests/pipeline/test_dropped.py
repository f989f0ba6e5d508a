"""The lookahead of a live source whose frames are not all scored: it lasts no longer for that."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fake_streams import streaming
from fakes import CONFIG, level
from fault_parts import Oracle
from mdhr_sdk.pipeline.clock import StageClock
from mdhr_sdk.pipeline.scoring import Crop, Cut, Scored
from mdhr_sdk.pipeline.streams import StreamScoring
from mdhr_sdk.runtime.stream.scorer import StreamScorer

LOOKAHEAD = 3
SIZE = CONFIG.preprocessing.size_px


def crop(index: int) -> Crop:
    return np.full((SIZE, SIZE, 3), level(index, 0), np.uint8)


def scored(dropped: list[int], fps: float, lookahead: int = LOOKAHEAD) -> list[tuple[int, Scored]]:
    """Each score of a face, and the frame at which it came; so many frames are dropped before each."""
    graphs = streaming()._opened["stream"][0]
    scoring = StreamScoring(StreamScorer(graphs, lookahead), CONFIG, StageClock())
    found, place = [], -1
    for index, more in enumerate(dropped):
        place += 1 + more
        found += [(index, one) for one in scoring.push({0: Cut(index, {5: crop(index)}, more, place / fps)})[0]]
    return found + [(len(dropped) - 1, one) for one in scoring.flush(0)]


@pytest.mark.parametrize(
    ("dropped", "fps", "delays"),
    [
        ([0] * 8, 25, [3, 3, 3, 3, 3, 2, 1, 0]),
        ([1] * 8, 25, [2, 2, 2, 2, 2, 2, 1, 0]),  # every second one is scored: four of the source have come
        ([3] * 5, 25, [1, 1, 1, 1, 0]),
        ([0, 0, 0, 0, 5, 0, 0, 0], 25, [3, 3, 2, 1, 3, 2, 1, 0]),
        ([1] * 6, 50, [3, 3, 3, 2, 1, 0]),  # three frames of it take half of the time
        ([1] * 6, 10, [2, 2, 2, 2, 1, 0]),
    ],
)
def test_dropped_frames_count_as_frames_of_the_lookahead(dropped: list[int], fps: float, delays: list[int]) -> None:
    assert [at - one.index for at, one in scored(dropped, fps)] == delays


def test_a_frame_that_came_after_the_next_one_is_not_scored_before_its_time() -> None:
    """B frames come after the picture that is shown behind them, so times go back."""
    graphs = streaming()._opened["stream"][0]
    scoring, found = StreamScoring(StreamScorer(graphs, LOOKAHEAD), CONFIG, StageClock()), []
    for index, (more, time_s) in enumerate([(0, 0.0), (0, 0.3), (0, 0.1), (3, 0.32)]):
        cut = Cut(index, {5: crop(index)}, more, time_s)
        found += [(index, one.index) for one in scoring.push({0: cut})[0]]
    assert found == [(3, 0)], "the second one has waited for 0.02 s, the third for 0.22 s"


@settings(max_examples=60, deadline=None)
@given(dropped=st.lists(st.sampled_from([0, 0, 0, 1, 2, 7]), min_size=1, max_size=20), lookahead=st.integers(0, 6))
def test_every_frame_is_scored_once_as_the_frames_until_then_score(dropped: list[int], lookahead: int) -> None:
    found = scored(dropped, 25, lookahead)
    assert [one.index for _, one in found] == list(range(len(dropped)))
    assert [at for at, _ in found] == sorted(at for at, _ in found)
    graphs = streaming()._opened["stream"][0]
    oracle = Oracle(graphs, {0: [level(index, 0) for index in range(len(dropped))]}, lookahead)
    for at, one in found:
        assert one.probabilities.tolist() == oracle.scores(0, one.index, at - one.index)
