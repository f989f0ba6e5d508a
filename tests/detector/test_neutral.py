"""Scores relative to a person's own neutral face, against a slow and plain recomputation."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from fakes import CODES, CONFIG, INFO, MAX_FRAMES, PATTERN, FakeMesher, FakeSession, expected, picture, video
from mdhr_sdk import AUDetector
from mdhr_sdk.cli.scoring import detect
from mdhr_sdk.errors import ConfigError, InputError
from mdhr_sdk.pipeline.scores.neutral import NEUTRAL, NeutralBaseline
from mdhr_sdk.results import FrameResult
from mdhr_sdk.vision import list_sources

FPS = 10
shares = st.floats(0, 1, width=32)


def logit(p: float) -> float:
    return math.log(p / (1 - p))


def plain(frames: list[dict[int, np.ndarray]], neutral: int) -> list[dict[int, tuple[list[float], str]]]:
    """What is to come out, face by face and AU by AU, when the first `neutral` frames are the reference."""
    told = []
    for index, faces in enumerate(frames):
        told.append({})
        for track, row in faces.items():
            reference = [faces[track] for faces in frames[:neutral] if track in faces]
            has_one = 2 * len(reference) >= neutral
            state = "neutral" if index < neutral else "applied" if has_one else "missing"
            scores = [float(p) for p in row]
            for au, p in enumerate(scores):
                middle = statistics.median(float(one[au]) for one in reference) if reference else 0.0
                if state == "applied" and middle > NEUTRAL and p > 0:
                    shift = logit(min(middle, 1 - 1e-6)) - logit(NEUTRAL)
                    scores[au] = 1 / (1 + math.exp(shift - logit(min(p, 1 - 1e-6))))
            told[-1][track] = (scores, state)
    return told


def same(frames: list[FrameResult], wanted: list[dict[int, tuple[list[float], str]]]) -> None:
    for frame, faces in zip(frames, wanted, strict=True):
        assert {face.track_id: face.baseline for face in frame.faces} == {i: state for i, (_, state) in faces.items()}
        for face in frame.faces:
            scores = [face[code].probability for code in CODES]
            assert scores == pytest.approx(faces[face.track_id][0], abs=2e-6)
            assert [face[code].occurrence for code in CODES] == [p >= 0.5 for p in scores]


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    pattern=st.lists(st.frozensets(st.integers(0, 2)), min_size=1, max_size=MAX_FRAMES), neutral=st.integers(1, 30),
    stream=st.booleans(),
)  # fmt: skip
@example(pattern=[{0}, *[set()] * 10, {0}], neutral=12, stream=False)
@example(pattern=[{0}, *[set()] * 9, {0}], neutral=12, stream=False)
def test_a_face_is_relative_to_its_own_first_seconds(pattern, neutral: int, stream: bool, no_cuts, meshers):
    detector = AUDetector(CONFIG, FakeSession(), INFO)
    seconds = neutral / FPS
    found = list(detector.predict(video(pattern), stream, fps=FPS, calibrate_neutral_s=seconds))  # type: ignore[call-overload]
    same(found, plain(expected(pattern, memory=FPS), neutral))  # away for more than a second: a new id
    assert all(frame.model.tag == f"disfa none (relative to the first {seconds:g} s)" for frame in found)


def test_it_is_off_unless_asked_for(detector: AUDetector):
    results = detector.predict(video(PATTERN), fps=FPS)
    assert {face.baseline for frame in results for face in frame.faces} == {"off"}
    assert results.model == INFO
    relative = detector.predict(video(PATTERN), fps=FPS, calibrate_neutral_s=0.4)
    assert relative.model == relative[0].model != INFO and detector.info == INFO
    same(list(detector.predict([video(PATTERN)] * 2, fps=FPS, calibrate_neutral_s=0.4)),
         plain(expected(PATTERN), 4) * 2)  # fmt: skip


def test_who_reads_high_at_rest_reads_quiet():
    """Frowns at 0.6 at rest: 0.2 then, and 0.95 where the model says 0.987; never above what the model says."""
    baseline = NeutralBaseline(1.0)
    row = np.array([0.6, 0.1, 0.0, 1.0], np.float32)
    for index in range(10):
        row_now, state = baseline.correct(index / FPS, {0: row})[0]
        assert state == "neutral" and row_now is row
    (quiet, state) = baseline.correct(1.0, {0: row})[0]
    assert state == "applied"
    np.testing.assert_allclose(quiet, [NEUTRAL, 0.1, 0.0, NEUTRAL], rtol=1e-4)
    high = 0.95 / 0.05 * 6  # odds of 0.6 are 6 times those of 0.2
    again, _ = baseline.correct(1.1, {0: np.array([high / (1 + high), 0.9, 0.0, 0.5], np.float32)})[0]
    np.testing.assert_allclose(again[:3], [0.95, 0.9, 0.0], rtol=1e-4)


@settings(max_examples=60, deadline=None)
@given(rest=st.lists(shares, min_size=1, max_size=8), scores=st.lists(shares, min_size=1, max_size=8))
def test_order_is_kept_and_nothing_is_raised(rest: list[float], scores: list[float]):
    baseline = NeutralBaseline(len(rest) / FPS)
    for index, value in enumerate(rest):
        baseline.correct(index / FPS, {0: np.array([value], np.float32)})
    row = np.sort(np.array(scores, np.float32))
    out = np.array([baseline.correct(10 + p, {0: np.array([p], np.float32)})[0][0][0] for p in row])
    assert np.isfinite(out).all() and (out >= 0).all() and (out <= row).all() and (np.diff(out) >= 0).all()
    at_rest = np.array([statistics.median(np.array(rest, np.float32).tolist())], np.float32)
    assert baseline.correct(30, {0: at_rest})[0][0][0] <= NEUTRAL + 1e-6


@pytest.mark.parametrize("seconds", [0, -1, math.nan, math.inf, "2", True])
def test_other_seconds_are_refused_before_anything_starts(detector: AUDetector, meshers: list, seconds: object):
    with pytest.raises(ConfigError, match="neutral seconds must be a number above 0"):
        detector.predict(video(PATTERN), calibrate_neutral_s=seconds)  # type: ignore[call-overload]
    assert meshers == []


def test_a_still_has_no_seconds(detector: AUDetector):
    with pytest.raises(InputError, match="needs a video, and 'array' is a still"):
        detector.predict(picture(0, {0}), calibrate_neutral_s=1)


@pytest.fixture
def told(
    detector: AUDetector, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., str]:
    """What `mdhr detect` says of these patterns, each a video, with the first half second neutral."""
    monkeypatch.setenv("COLUMNS", "200")

    def run(*patterns: list[set[int]], overlay: bool = False) -> str:
        videos = [iter(video(pattern)) for pattern in patterns]
        sources = list_sources(videos if len(videos) > 1 else videos[0], fps=FPS)
        files = detect.Files(overlay=overlay)
        assert detect.run_detect(detector, sources, tmp_path, files, calibrate_neutral_s=0.5) == []
        return capsys.readouterr().out

    return run


def test_the_command_names_all_faces_with_a_baseline(told: Callable[..., str]):
    out = told([{0, 1}] * 12)
    assert "faces 0, 1, each scored relative to its median in the neutral seconds" in out
    assert "no face was there" not in out and "share of its faces (14, after the neutral seconds, " in out


def test_the_command_tells_faces_that_left_with_the_neutral_seconds(told: Callable[..., str]):
    once = told([{0}] * 5 + [set()] * 30 + [{0}])
    assert "its face shows" not in once and "(1, after the neutral seconds, frame by frame)" in once
    out = told([{0}] * 5 + [set()] * 5)
    assert "no face was there after its neutral seconds" in out and "it ended within" not in out


def test_the_command_marks_rows_and_names_faces_without_a_baseline(told: Callable[..., str], tmp_path: Path):
    out = told(PATTERN, [{0}] * 5, overlay=True)
    table = pd.read_csv(tmp_path / "array_0__aus.csv")
    late = table.track_id == 1
    assert table.status.tolist() == ["neutral" if t < 0.5 else s for t, s in zip(
        table.timestamp_s, np.where(table.track_id.isna(), "no_face", np.where(late, "no_baseline", "ok")), strict=True
    )]  # fmt: skip
    assert table.model.eq(f"{INFO.name}: disfa none (relative to the first 0.5 s)").all()
    assert "array[0]: no baseline for face 1, not there for half of the neutral seconds" in out
    assert "array[0]: face 0 scored relative to its median in the neutral seconds; an AU of at most 0.2 there" in out
    assert "array[1]: it ended within its neutral seconds" in out and "array[1]: face 0 shows" not in out
    rest = table[(table.status == "neutral") & (table.track_id == 0)]
    acting = [code for code in CODES if rest[f"{code}_occurrence"].mean() > 0.5]
    assert 0 < len(acting) < len(CODES)
    assert f"array[0]: face 0 shows {', '.join(acting)} for most of its neutral seconds" in out
    assert FakeMesher.made and cv2.VideoCapture(str(tmp_path / "array_0__overlay.mp4")).isOpened()
