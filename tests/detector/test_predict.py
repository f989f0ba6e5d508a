"""AUDetector: what may be given and what comes out."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from fakes import (
    CODES,
    CONFIG,
    INFO,
    LENGTH,
    PATTERN,
    FakeMesher,
    FakeSession,
    level,
    padded_levels,
    picture,
    values,
    video,
    wanted,
)
from mdhr_sdk import AUDetector, Results
from mdhr_sdk.errors import ConfigError, InputError, SourceError


def test_a_clip_array(detector: AUDetector, session: FakeSession):
    results = detector.predict(video(PATTERN), fps=10)
    assert isinstance(results, Results)
    assert values(results) == wanted(PATTERN)
    assert sorted(session.windows) == sorted(padded_levels(PATTERN))
    assert [frame.index for frame in results] == list(range(len(PATTERN)))
    assert [frame.timestamp_s for frame in results] == pytest.approx([i / 10 for i in range(len(PATTERN))])
    assert [frame.status for frame in results] == ["ok" if slots else "no_face" for slots in PATTERN]
    assert (results.fps, results.codes, results.model, results.sources) == (10, CODES, INFO, ("array",))
    assert set(results.timings_s) == {"start", "read", "faces", "align", "model"}
    assert results.timings_s == detector.timings_s and min(results.timings_s.values()) > 0


def test_a_single_image_is_a_clip_of_one_frame(detector: AUDetector, session: FakeSession):
    results = detector.predict(picture(3, {0, 2}))
    assert [sorted(frame) for frame in values(results)] == [[0, 1]]
    assert session.windows == [(level(3, 0),) * LENGTH, (level(3, 2),) * LENGTH]
    assert results.fps == 0


def test_a_list_is_a_batch_of_sources_that_know_nothing_of_each_other(detector: AUDetector, session: FakeSession):
    results = detector.predict([video([{0}] * 3), picture(7, {1}), iter(video([{1}] * 2))])
    assert results.sources == ("array[0]", "array[1]", "array[2]")
    assert [len(results.for_source(name)) for name in results.sources] == [3, 1, 2]
    assert session.windows == [
        tuple(level(i, 0) for i in (0, 1, 2, 2)),
        (level(7, 1),) * 4,
        tuple(level(i, 1) for i in (0, 1, 1, 1)),
    ]
    assert all(results.for_source(name).tracks == (0,) for name in results.sources), "ids are counted in each source"
    assert results.fps == 0, "several sources have no common rate"


def test_images_of_a_folder(detector: AUDetector, session: FakeSession, tmp_path: Path):
    for index in range(3):
        cv2.imwrite(str(tmp_path / f"frame_{index}.png"), picture(index, {0}))
    clip = detector.predict(tmp_path)
    assert session.windows == [tuple(level(i, 0) for i in (0, 1, 2, 2))]
    stills = detector.predict(tmp_path, sequence=False)
    assert session.windows[1:] == [(level(i, 0),) * 4 for i in range(3)]
    assert (len(clip.sources), len(stills.sources)) == (1, 3)


def test_stream_yields_the_same(detector: AUDetector):
    whole = detector.predict(video(PATTERN))
    stream = detector.predict(video(PATTERN), stream=True)
    assert isinstance(stream, Iterator)
    assert [list(frame.rows()) for frame in stream] == [list(frame.rows()) for frame in whole]


def test_stream_is_lazy_and_at_most_a_clip_behind(detector: AUDetector):
    read = 0

    def images() -> Iterator[np.ndarray]:
        nonlocal read
        for index, slots in enumerate(PATTERN):
            read += 1
            yield picture(index, slots)

    stream = detector.predict(images(), stream=True)
    assert read == 0, "nothing is read before it is asked for"
    for position, frame in enumerate(stream):
        assert frame.index == position
        assert read - 1 - position <= LENGTH - 1
    assert read == len(PATTERN)


def test_the_same_again(detector: AUDetector, meshers: list[FakeMesher]):
    assert values(detector.predict(video(PATTERN))) == values(detector.predict(video(PATTERN)))
    assert [(mesher.resets, mesher.found) for mesher in meshers] == [(2, 2 * len(PATTERN))]


def test_face_finders_for_stills_and_videos(session: FakeSession, meshers: list[FakeMesher], tmp_path: Path):
    model = tmp_path / "own.task"
    model.touch()
    detector = AUDetector(CONFIG, session, INFO, max_faces=2, face_model=model)
    assert meshers == [], "made with the first source"
    detector.predict([video([{0}]), picture(0, {0}), video([{0}]), picture(0, {0})])
    assert [mesher.given for mesher in meshers] == [(2, False, model), (2, True, model)]
    assert [mesher.resets for mesher in meshers] == [2, 2]


@pytest.mark.parametrize("images", [True, False])
def test_images_are_kept_only_when_asked(detector: AUDetector, images: bool):
    frames = video(PATTERN)
    for results in (detector.predict(frames, images=images), detector.predict(frames, stream=True, images=images)):
        for frame, image in zip(results, frames, strict=True):
            assert np.array_equal(frame.image, image) if images else frame.image is None


def test_thresholds_are_the_folders_unless_given(session: FakeSession, meshers: list[FakeMesher], no_cuts: None):
    assert AUDetector(CONFIG, session, INFO).thresholds == dict.fromkeys(CODES, 0.5)
    given = {"AU12": 0.0, "AU01": 1.0}
    detector = AUDetector(CONFIG, session, INFO, thresholds=given)
    assert list(detector.thresholds) == list(CODES)
    assert detector.thresholds == {**dict.fromkeys(CODES, 0.5), **given}
    frames = detector.predict(video(PATTERN))
    assert values(frames) == wanted(PATTERN), "they change no probability"
    for face in (face for frame in frames for face in frame.faces):
        for code, score in face.aus.items():
            assert score.occurrence == (score.probability >= {"AU12": 0.0, "AU01": 1.0}.get(code, 0.5))
    assert given == {"AU12": 0.0, "AU01": 1.0}


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        ({"thresholds": {"AU99": 0.5}}, r"no threshold for 'AU99': this model scores AU01, AU02"),
        ({"thresholds": {"12": 0.5}}, "'12'"),
        ({"thresholds": {"AU12": 1.1}}, r"AU12 must lie in \[0, 1\]; got 1.1"),
        ({"thresholds": {"AU12": -0.1}}, "AU12"),
        ({"thresholds": {"AU12": float("nan")}}, "AU12"),
        ({"thresholds": {"AU12": None}}, "AU12"),
        ({"thresholds": {"AU12": "0.5"}}, "AU12"),
        ({"thresholds": [0.5]}, "by code"),
        ({"thresholds": 0.3}, "by code"),
        ({"max_faces": 0}, "max_faces"),
        ({"max_faces": 2.0}, "max_faces"),
        ({"max_faces": True}, "max_faces must be an integer of at least 1; got True"),
        ({"face_model": "none.task"}, r"none\.task"),
    ],
)
def test_bad_arguments_show_when_the_detector_is_made(session: FakeSession, arguments: dict, hint: str):
    with pytest.raises((ConfigError, SourceError), match=hint):
        AUDetector(CONFIG, session, INFO, **arguments)


def test_close_frees_everything_and_may_come_twice(session: FakeSession, meshers: list[FakeMesher]):
    with AUDetector(CONFIG, session, INFO) as detector:
        detector.predict([video([{0}]), picture(0, {0})])
        detector.close()
    assert session.closed and [mesher.closed for mesher in meshers] == [True, True]


@pytest.mark.parametrize("source", [None, 1.5, np.zeros((4, 4), np.uint8), [], "no/such/file.mp4", "*.nothing"])
def test_bad_sources_are_refused_before_anything_starts(detector: AUDetector, meshers: list, source: object):
    for stream in (True, False):
        with pytest.raises((InputError, SourceError)):
            detector.predict(source, stream=stream)  # type: ignore[call-overload]
    assert meshers == []
