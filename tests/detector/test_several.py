"""Several sources at once: each is scored as if it were alone, and all that is due is encoded in one batch."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fake_streams import STREAMING, camera, of_each, streaming
from fakes import FakeMesher, picture, values, video
from mdhr_sdk import AUDetector
from mdhr_sdk.errors import BackendError, ConfigError, InputError, NotFiniteError, SourceError
from mdhr_sdk.pipeline.run import MAX_SOURCES
from mdhr_sdk.results import FrameResult
from mdhr_sdk.runtime.stream.scorer import MAX_BATCH, StreamScorer
from mdhr_sdk.vision import Source
from mdhr_sdk.vision.sources.source import Opened

WAIT_S = 30  # beyond which something hangs
PATTERNS = st.lists(st.frozensets(st.integers(0, 2)), min_size=1, max_size=12)


@pytest.fixture
def detector(meshers: list[FakeMesher], no_cuts: None) -> AUDetector:
    return streaming()


def encoder_of(detector: AUDetector) -> Any:
    return detector._opened["stream"][0].encoder


def lengths(results: list[FrameResult]) -> dict[str, int]:
    return {name: len(own) for name, own in of_each(results).items()}


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(patterns=st.lists(PATTERNS, min_size=1, max_size=3), lookahead=st.sampled_from([0, 3, 6]))
def test_no_source_changes_what_another_gives(
    detector: AUDetector, patterns: list[list[frozenset[int]]], lookahead: int
) -> None:
    videos = [video(pattern) for pattern in patterns]
    alone = [list(detector.stream(one, lookahead)) for one in videos]
    encoder = encoder_of(detector)
    encoder.batches.clear()
    together = of_each(list(detector.stream(videos, lookahead)))
    assert set(together) == {f"array[{i}]" for i in range(len(videos))}
    for i, wanted in enumerate(alone):
        own = together[f"array[{i}]"]
        assert [frame.index for frame in own] == list(range(len(wanted)))
        assert values(own) == values(wanted)
        assert [frame.delay_frames for frame in own] == [frame.delay_frames for frame in wanted]
    steps = [sum(len(p[t]) for p in patterns if t < len(p)) for t in range(max(map(len, patterns)))]
    assert encoder.batches == [n for n in steps if n], "all faces of a step at once"
    assert max(steps) <= MAX_BATCH


def test_tiers_and_the_neutral_seconds_of_each_source_count_as_alone(meshers: list[FakeMesher], no_cuts: None) -> None:
    detector = streaming(dataclasses.replace(STREAMING, reliability=("A", "C", "B", "A", "B", "A", "C", "A")))
    videos = [video([{0}] * 9), video([{1, 2}] * 3 + [{1}] * 9)]
    wanted = [list(detector.stream(one, 3, calibrate_neutral_s=0.12)) for one in videos]
    together = of_each(list(detector.stream(videos, 3, calibrate_neutral_s=0.12)))
    found = [frame for i in range(len(videos)) for frame in together[f"array[{i}]"]]
    for frame, alone in zip(found, [frame for own in wanted for frame in own], strict=True):
        assert [(face.aus, face.baseline) for face in frame.faces] == [(f.aus, f.baseline) for f in alone.faces]
        assert frame.model == alone.model and frame.model.off == ("AU02", "AU25") and frame.model.neutral_s == 0.12
        assert all(tuple(face.aus) == detector.codes for face in frame.faces)
    assert {face.baseline for own in wanted for frame in own for face in frame.faces} == {"neutral", "applied"}


def test_a_still_has_no_neutral_seconds_and_the_others_go_on(detector: AUDetector) -> None:
    results = []
    with pytest.raises(InputError, match=r"needs a video, and 'array\[0\]' is a still"):
        results.extend(detector.stream([picture(0, {0}), video([{1}] * 3)], 0, calibrate_neutral_s=1))
    assert [(frame.source, frame.index) for frame in results] == [("array[1]", index) for index in range(3)]
    with pytest.raises(ConfigError, match="neutral seconds must be a number above 0"):
        detector.stream([video([{0}])], calibrate_neutral_s=0)


def test_a_model_that_fails_gives_the_frames_before_it(detector: AUDetector) -> None:
    encoder = encoder_of(detector)
    results: list[FrameResult] = []
    with pytest.raises(BackendError, match="out of memory"):
        for frame in detector.stream([video([{0}] * 5), video([{1}] * 5)], 1):
            results.append(frame)
            encoder.fails = len(results) == 4
    assert [frame.index for frame in results] == [0, 0, 1, 1, 2, 2]


@pytest.mark.parametrize("together", [True, False])
def test_what_was_scored_before_a_failure_is_given_also_of_a_face_that_left_then(
    detector: AUDetector, together: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    pattern = [{0, 1}] * 6 + [{0}] * 3
    wanted = values(detector.stream(video(pattern[:6]), 3))
    encoder = encoder_of(detector)
    encoder.batches.clear()
    run, results = encoder.run, []

    def fails_at_the_seventh(inputs: Any) -> Any:
        encoder.fails = len(encoder.batches) == 6
        return run(inputs)

    monkeypatch.setattr(encoder, "run", fails_at_the_seventh)
    with pytest.raises(BackendError, match="out of memory"):
        results.extend(detector.stream([video(pattern)] if together else video(pattern), 3))
    assert values(results) == wanted


def test_where_the_end_of_one_source_fails_the_others_lose_nothing_that_was_scored(
    detector: AUDetector, monkeypatch: pytest.MonkeyPatch
) -> None:
    finish, results = StreamScorer.finish, []

    def fails(self: Any, keys: Any = None) -> Any:
        if keys:  # the first source's, at its end
            raise BackendError("out of memory")
        return finish(self, keys)

    monkeypatch.setattr(StreamScorer, "finish", fails)
    with pytest.raises(BackendError, match="out of memory"):
        results.extend(detector.stream([video([{0}] * 4), video([{1}] * 9)], 2))
    assert lengths(results) == {"array[0]": 2, "array[1]": 3}


def test_where_the_model_fails_and_then_an_end_too_the_first_error_is_told_and_the_others_end(
    detector: AUDetector, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoder, finish, results = encoder_of(detector), StreamScorer.finish, []
    run = encoder.run

    def fails_at_the_third(inputs: Any) -> Any:
        if len(encoder.batches) == 2:
            raise BackendError("out of memory")
        return run(inputs)

    def fails_for_the_first(self: Any, keys: Any = None) -> Any:
        if any(source == 0 for source, _ in keys):
            raise BackendError("out of memory again")
        return finish(self, keys)

    monkeypatch.setattr(encoder, "run", fails_at_the_third)
    monkeypatch.setattr(StreamScorer, "finish", fails_for_the_first)
    with pytest.raises(BackendError, match=r"out of memory$"):
        results.extend(detector.stream([video([{0}] * 4), video([{1}] * 4)], 2))
    assert lengths(results) == {"array[1]": 2}


def test_a_face_that_is_no_number_ends_the_run_after_what_was_scored(
    detector: AUDetector, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoder = encoder_of(detector)
    run, results = encoder.run, []

    def broken(inputs: Any) -> Any:
        features = run(inputs)
        if len(encoder.batches) == 3:
            features["static"][1] = np.nan  # the second source's face
        return features

    monkeypatch.setattr(encoder, "run", broken)
    monkeypatch.setattr(encoder, "_filled", lambda name, levels: np.array(type(encoder)._filled(encoder, name, levels)))
    with pytest.raises(NotFiniteError, match=r"stream \(1, 0\): .* NaN or infinity"):
        results.extend(detector.stream([video([{0}] * 6), video([{1}] * 6)], 0))
    assert lengths(results) == {"array[0]": 3, "array[1]": 2}


def test_a_source_that_still_opens_blocks_no_camera(detector: AUDetector) -> None:
    enough = threading.Event()

    def unreachable() -> Any:
        assert enough.wait(WAIT_S), "the camera had to wait for a source that never opened"
        return nullcontext(Opened(25.0, None, True, iter([(picture(0, {1}), 0.0)])))

    results = []
    for frame in detector.stream([Source("stream", "stream", unreachable), camera(video([{0}] * 3))], 0):
        results.append(frame)
        if len(results) == 3:
            enough.set()
    assert lengths(results) == {"camera": 3, "stream": 1}


def test_one_face_finder_of_a_kind_is_kept_and_the_others_close_with_their_sources(
    detector: AUDetector, meshers: list[FakeMesher]
) -> None:
    for _ in range(2):
        assert len(list(detector.stream([video([{0}] * 2), video([{1}] * 6), picture(0, {0})], 0))) == 9
        assert sorted((mesher.given[1], mesher.closed) for mesher in meshers if not mesher.closed) == [
            (False, False), (True, False),
        ]  # fmt: skip
    assert len(meshers) == 4, "three, and one for the second video of the second run"
    detector.close()
    assert all(mesher.closed for mesher in meshers)


def test_so_many_sources_at_once_and_no_more(detector: AUDetector, tmp_path: Path) -> None:
    still = picture(0, {0})
    paths = [tmp_path / f"{number}.png" for number in range(MAX_SOURCES + 1)]
    for path in paths:
        path.touch()
    for many in ([still] * len(paths), pd.Series(paths), np.array(paths), iter(paths), tmp_path.glob("*.png")):
        with pytest.raises(InputError, match=r"most 64 sources at once; got 65; give files to predict\(\)"):
            detector.stream(many, 0, sequence=False)
    assert len(list(detector.stream([still] * MAX_SOURCES, 0))) == MAX_SOURCES


@pytest.mark.parametrize("on_error", ["raise", "skip"])
def test_an_exception_of_the_callers_iterator_ends_that_source_only(detector: AUDetector, on_error: Any) -> None:
    def broken() -> Iterator[np.ndarray]:
        yield from video([{0}] * 2)
        raise ValueError("of the caller")

    stream, results = detector.stream([broken(), video([{1}] * 8)], 2, on_error=on_error), []
    with pytest.raises(SourceError, match="ValueError: of the caller") if on_error == "raise" else nullcontext():
        results.extend(stream)
    assert lengths(results) == {"array[0]": 2, "array[1]": 8}
    ((name, error),) = stream.errors
    assert name == "array[0]" and isinstance(error.__cause__, ValueError)


def test_only_frames_that_were_given_count_as_scored(detector: AUDetector) -> None:
    stream = detector.stream([video([{0}] * 9)], 3)
    next(stream)
    stream.close()
    status = stream.status["array[0]"]
    assert status.scored == 1 and status.captured == status.scored + status.dropped >= 4


def test_finish_gives_what_waits_and_names_who_never_answered(detector: AUDetector) -> None:
    answers, go_on = threading.Event(), threading.Event()

    def silent() -> Any:
        answers.wait(30)
        raise SourceError("gone")

    def lively() -> Iterator[np.ndarray]:
        yield from video([{0}] * 5)
        go_on.wait(30)

    stream = detector.stream([camera(lively(), "lively"), Source("silent", "stream", silent)], 3, on_error="skip")
    results = [next(stream), next(stream)]
    stream.finish()
    threading.Timer(0.2, go_on.set).start()
    results += stream
    answers.set()
    assert [frame.index for frame in results] == list(range(5))
    assert [(name, str(error)) for name, error in stream.errors] == [("silent", "silent never answered")]
    status = stream.status["lively"]
    assert status.captured == status.scored + status.dropped and status.scored == 5
