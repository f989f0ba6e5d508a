"""Frames in, scored frames out: order, windows, padding, delay. A fake face finder and model, known numbers."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fakes import (
    CODES,
    CONFIG,
    INFO,
    LENGTH,
    MAX_FRAMES,
    FakeMesher,
    FakeSession,
    expected,
    level,
    padded_levels,
    picture,
)
from mdhr_sdk.pipeline.clips import MAX_BATCH, ClipScoring
from mdhr_sdk.pipeline.clock import StageClock
from mdhr_sdk.pipeline.crops import CropFinder, Found
from mdhr_sdk.pipeline.scores.decide import Naming, Waiting
from mdhr_sdk.pipeline.scoring import Cut
from mdhr_sdk.results import FrameResult
from mdhr_sdk.vision import Face, Frame

pytestmark = pytest.mark.usefixtures("no_cuts")
patterns = st.lists(st.frozensets(st.integers(0, 2)), max_size=MAX_FRAMES)


def naming(threshold: float = 0.5) -> Naming:
    return Naming(INFO, dict.fromkeys(CODES, threshold), CONFIG.preprocessing)


def run(pattern, session: Any, keep_images: bool = False, width: int = 3) -> list[tuple[int, FrameResult]]:
    """Every result with the number of frames that were pushed when it came out."""
    finder = CropFinder(FakeMesher(), CONFIG.preprocessing)  # type: ignore[arg-type]
    scoring, waiting = ClipScoring(session, CONFIG, StageClock()), Waiting(naming(), keep_images, 25.0)
    results = []
    for index, slots in enumerate(pattern):
        found = finder.find(Frame(picture(index, slots, width), index, index / 25, "made up"))
        crops = finder.crops(found)
        waiting.take(found, crops)
        results += [(index + 1, result) for result in waiting.give(scoring.push({0: Cut(index, crops)})[0])]
    return results + [(len(pattern), result) for result in waiting.give(scoring.flush(0))]


def probabilities(result: FrameResult) -> dict[int, list[float]]:
    return {face.track_id: [face[code].probability for code in CODES] for face in result.faces}


@settings(max_examples=60, deadline=None)
@given(pattern=patterns)
def test_every_frame_comes_out_once_in_order_with_its_scores(pattern: list[frozenset[int]]):
    session = FakeSession()
    out = run(pattern, session)
    assert [result.index for _, result in out] == list(range(len(pattern)))
    for (pushed, result), wanted, slots in zip(out, expected(pattern), pattern, strict=True):
        assert probabilities(result) == {i: row.tolist() for i, row in wanted.items()}
        assert [face.track_id for face in result.faces] == sorted(wanted)
        assert result.status == ("ok" if slots else "no_face")
        assert pushed - 1 - result.index <= LENGTH - 1, "at most T - 1 frames later"
        assert (result.source, result.timestamp_s, result.model, result.fps) == ("made up", result.index / 25, INFO, 25)
    assert sorted(session.windows) == sorted(padded_levels(pattern))


def test_windows_and_padding_worked_out_by_hand():
    session = FakeSession()
    run([{0}] * 6 + [set()] + [{0}], session)
    first, second, third = session.windows
    assert first == tuple(level(i, 0) for i in (0, 1, 2, 3))
    assert second == tuple(level(i, 0) for i in (4, 5, 5, 5)), "the face is lost: its last crop again"
    assert third == tuple(level(i, 0) for i in (7, 7, 7, 7)), "the face is back: a clip of its own"


def test_frames_without_faces_come_at_once():
    session = FakeSession()
    assert [pushed for pushed, _ in run([set()] * 3, session)] == [1, 2, 3] and session.batches == []


def test_a_frame_waits_for_all_its_faces_and_holds_back_those_after_it():
    out = run([{0}, {0, 1}, {0, 1}, {0, 1}, {1}, set()], FakeSession())
    assert [pushed for pushed, _ in out] == [4, 5, 5, 5, 5, 6]


def test_the_delay_is_counted_from_when_the_frame_was_read():
    waiting = Waiting(naming(), False)
    frame = Frame(picture(0, set()), 0, 0.0, "made up", read_s=time.perf_counter() - 100, note="damaged", dropped=3)
    waiting.take(Found(frame, {}, seen=12), {})
    (result,) = waiting.give([])
    assert result.delay_ms >= 100_000, "however long it waited for its turn"
    assert (result.note, result.dropped, result.faces_seen, result.fps) == ("damaged", 3, 12, 0.0)


def test_clips_of_several_sources_go_to_the_model_together_and_are_told_apart():
    session = FakeSession()
    scoring = ClipScoring(session, CONFIG, StageClock())
    for index in range(LENGTH):
        crops = {source: Cut(index, {0: picture(index, {source})[:, 64 * source :][:, :64]}) for source in (0, 1)}
        scored = scoring.push(crops)
    assert {source: [one.index for one in own] for source, own in scored.items()} == {0: [0, 1, 2, 3], 1: [0, 1, 2, 3]}
    assert [len(batch) for batch in session.batches] == [2]
    assert scoring.flush(0) == scoring.flush(1) == scoring.flush(2) == []


def test_boxes_and_meshes_are_those_found():
    ((_, result),) = run([{1, 2}], FakeSession())
    for face, slot in zip(result.faces, (1, 2), strict=True):
        assert face.landmarks_px.shape == (478, 3) and face.landmarks_px.dtype == np.float32
        assert 64 * slot < face.box_px[0] < face.box_px[2] < 64 * (slot + 1)


def test_faces_that_end_together_go_to_the_model_together_but_in_bounded_batches():
    session = FakeSession()
    pattern = [set(range(10))] * LENGTH + [set(range(10))]
    out = run(pattern, session, width=10)
    assert [len(batch) for batch in session.batches] == [MAX_BATCH, 2, MAX_BATCH, 2]
    assert [probabilities(r) for _, r in out] == [{i: row.tolist() for i, row in e.items()} for e in expected(pattern)]


class OutOfRange(FakeSession):
    def run(self, inputs: Any) -> dict[str, Any]:
        scores = super().run(inputs)["scores"]
        scores[..., 0], scores[..., 1] = 1 + 1e-6, -1e-6
        return {"scores": scores}


def test_rounding_never_leads_out_of_zero_to_one():
    ((_, result),) = run([{0}], OutOfRange())
    assert probabilities(result)[0][:2] == [1.0, 0.0]


@pytest.mark.parametrize(("threshold", "occurs"), [(0.25, True), (0.2501, False), (0.0, True), (1.0, False)])
def test_an_au_occurs_from_its_threshold_on(threshold: float, occurs: bool):
    mesh = Face(np.zeros((478, 3), np.float32))
    face = naming(threshold).face(0, mesh, np.full(8, 0.25, np.float32))
    assert [score.occurrence for score in face.aus.values()] == [occurs] * 8
    assert list(face.aus) == list(CODES) and all(score.code == code for code, score in face.aus.items())


def test_the_clock_adds_up_even_when_a_stage_fails():
    clock = StageClock()
    with pytest.raises(ZeroDivisionError), clock("model"):
        _ = 1 / 0
    first = clock.seconds["model"]
    with clock("model"):
        sum(range(10_000))
    assert 0 < first < clock.seconds["model"]
    assert list(clock.seconds) == ["model"]
