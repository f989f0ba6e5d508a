"""What happens when a source breaks off, a stream is left, or an answer makes no sense."""

from __future__ import annotations

import itertools
import weakref
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from fakes import (
    CODES,
    LENGTH,
    PATTERN,
    FakeMesher,
    FakeSession,
    level,
    picture,
    readers,
    values,
    video,
    wanted,
    write_film,
)
from mdhr_sdk import AUDetector, CsvSink, Results
from mdhr_sdk.errors import BackendError, InputError, SourceError, SupersededError, TruncatedSourceError
from mdhr_sdk.vision import Face, Source


@pytest.fixture
def cut_video(tmp_path: Path) -> Path:
    """An AVI that declares 30 frames with a face each and breaks off after about two thirds."""
    noise = np.random.default_rng(0).integers(100, 200, (30, 64, 192, 3), dtype=np.uint8)
    path = write_film(tmp_path / "cut.avi", list(noise), "MJPG")  # every frame takes about as many bytes
    data = path.read_bytes()
    path.write_bytes(data[: len(data) * 2 // 3])
    return path


def test_a_source_that_breaks_off_gives_the_scores_of_all_its_frames(
    detector: AUDetector, cut_video: Path, tmp_path: Path
):
    with pytest.raises(TruncatedSourceError, match=r"of the 30 frames") as caught:
        detector.predict(cut_video)
    results = caught.value.results
    assert isinstance(results, Results)
    assert caught.value.declared == 30 and 15 <= caught.value.decoded < 25
    assert [frame.index for frame in results] == list(range(caught.value.decoded))
    assert all(frame.status == "ok" and len(frame.faces) == 3 for frame in results)
    assert (results.fps, results.sources) == (25, (str(cut_video),))
    skipped = detector.predict(cut_video, on_error="skip")
    for number, cut in enumerate((results, skipped, results.for_source(str(cut_video)), skipped[-3:])):
        assert [name for name, _ in cut.errors] == [str(cut_video)]
        saved = cut.save(tmp_path / str(number), timeline=False)
        assert [path.name for path in saved] == ["cut_aus.incomplete.csv", "cut_events.incomplete.csv"]


def test_a_stream_that_breaks_off_yields_all_its_frames_first(detector: AUDetector, cut_video: Path, tmp_path: Path):
    with CsvSink(tmp_path / "own.csv", CODES) as sink:
        for frame in detector.predict(cut_video, stream=True, on_error="skip"):
            sink.write(frame)
    assert sink.final_path == tmp_path / "own.incomplete.csv"
    stream, frames = detector.predict(cut_video, stream=True), []
    with pytest.raises(TruncatedSourceError) as caught:
        frames.extend(stream)
    assert len(frames) == caught.value.decoded
    with pytest.raises(TruncatedSourceError) as again:
        detector.predict(cut_video)
    assert values(frames) == values(again.value.results)


def test_a_bad_frame_of_an_iterator_ends_it_after_the_good_ones(detector: AUDetector):
    images = itertools.chain(video(PATTERN), [np.zeros((4, 4), np.float32)])
    with pytest.raises(InputError, match=f"frame {len(PATTERN)} of array") as caught:
        detector.predict(images)
    assert values(caught.value.results) == wanted(PATTERN)


def test_a_source_that_cannot_be_opened_has_no_results(detector: AUDetector, tmp_path: Path):
    (tmp_path / "broken.mp4").write_bytes(b"not a video")
    with pytest.raises(SourceError) as caught:
        detector.predict(tmp_path / "broken.mp4")
    assert len(caught.value.results) == 0


def test_kept_images_are_the_frames_even_if_the_producer_reuses_its_buffer(detector: AUDetector):
    buffer, frames = np.zeros_like(picture(0, {0})), video([{0}] * 9)

    def camera() -> Iterator[np.ndarray]:
        for frame in frames:
            buffer[:] = frame
            yield buffer

    results = detector.predict(camera(), images=True)
    assert all((result.image == frame).all() for result, frame in zip(results, frames, strict=True))
    assert not any(np.shares_memory(result.image, buffer) for result in results)


def test_frames_are_not_held_when_no_image_is_asked_for(detector: AUDetector):
    alive: list[weakref.ref] = []

    def camera() -> Iterator[np.ndarray]:
        for index in range(LENGTH * 2):
            frame = picture(index, {0})
            alive.append(weakref.ref(frame))
            yield frame
            del frame
            assert sum(ref() is not None for ref in alive) <= 2

    assert len(detector.predict(camera())) == LENGTH * 2


def test_a_stream_ends_when_its_detector_goes_on_to_another(detector: AUDetector):
    first = detector.predict(video([{0}] * 9), stream=True)
    next(first)
    assert values(detector.predict(video(PATTERN))) == wanted(PATTERN)
    with pytest.raises(SupersededError, match="began another predict"):
        list(first)
    late = detector.predict(video([{0}] * 9), stream=True)
    assert values(detector.predict(video(PATTERN))) == wanted(PATTERN)
    with pytest.raises(SupersededError):
        next(late)


def test_a_closed_detector_refuses_frames_without_faces_too(detector: AUDetector, meshers: list[FakeMesher]):
    stream = detector.predict(video([set()] * 3), stream=True)
    next(stream)
    detector.close()
    with pytest.raises(InputError, match="closed"):
        next(stream)
    with pytest.raises(InputError, match="closed"):
        detector.predict(video([set()] * 3))
    assert len(meshers) == 1


def test_a_face_that_cannot_be_aligned_counts_as_not_found(detector: AUDetector, monkeypatch: pytest.MonkeyPatch):
    find = FakeMesher.find

    def degenerate(mesher: FakeMesher, image: np.ndarray) -> list[Face]:
        faces = find(mesher, image)
        if image.max() == level(2, 0):  # the third frame
            return [Face(np.full((478, 3), 7, np.float32))]
        return faces

    monkeypatch.setattr(FakeMesher, "find", degenerate)
    results = detector.predict(video([{0}] * 5))
    assert [frame.status for frame in results] == ["ok", "ok", "no_face", "ok", "ok"]


def test_an_answer_that_is_not_finite_is_an_error(session: FakeSession, detector: AUDetector, monkeypatch):
    monkeypatch.setattr(session, "run", lambda inputs: {"scores": np.full((1, LENGTH, 8), np.nan, np.float32)})
    with pytest.raises(BackendError, match="NaN"):
        detector.predict(video([{0}] * 5))


def test_where_the_model_fails_only_the_sources_before_are_complete(
    session: FakeSession, detector: AUDetector, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    run = session.run

    def fails(inputs: dict) -> dict:
        if len(session.batches) == 3:
            raise BackendError("out of memory")
        return run(inputs)

    monkeypatch.setattr(session, "run", fails)
    with pytest.raises(BackendError, match="out of memory") as caught:
        detector.predict([video([{0}] * LENGTH), video([{0}] * 20)])
    results = caught.value.results
    assert [name for name, _ in results.errors] == ["array[1]"]
    assert [path.name for path in results.save(tmp_path, timeline=False)] == [
        "array_0__aus.csv", "array_0__events.csv", "array_1__aus.incomplete.csv", "array_1__events.incomplete.csv",
    ]  # fmt: skip


def test_a_slow_source_keeps_its_faces(detector: AUDetector):
    assert values(detector.predict(video(PATTERN), fps=0.1))[:5] == wanted(PATTERN)[:5]


def test_ctrl_c_on_a_camera_keeps_its_last_frames_too(detector: AUDetector, monkeypatch: pytest.MonkeyPatch):
    frames = video([{0}] * 11)

    def camera() -> Iterator[np.ndarray]:
        yield from frames
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        detector.predict(camera())
    monkeypatch.setattr(Source, "live", property(lambda source: True))
    assert values(detector.predict(camera())) == wanted([{0}] * 11)
    assert detector.predict(camera()).errors == ()
    stream, seen = detector.predict(camera(), stream=True), []
    with pytest.raises(KeyboardInterrupt):
        seen.extend(stream)
    assert len(seen) == 11


def test_ctrl_c_before_the_last_source_is_open(detector: AUDetector):
    def interrupted() -> Iterator[np.ndarray]:
        yield from video([{0}] * LENGTH)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        detector.predict([interrupted(), picture(0, {0})])


@pytest.fixture
def film(tmp_path: Path) -> Path:
    return write_film(tmp_path / "film.avi", [picture(index % 5, {0}) for index in range(60)], "MJPG")


def test_a_file_that_is_given_up_finds_no_faces_beside_the_next_source(detector: AUDetector, film: Path):
    given_up = detector.predict(film, stream=True)
    next(given_up)
    assert values(detector.predict(video(PATTERN))) == wanted(PATTERN)
    assert readers() == []
    with pytest.raises(SupersededError):
        list(given_up)
    left = detector.predict(film, stream=True)
    next(left)
    detector.close()
    assert readers() == []
    with pytest.raises(InputError, match="closed"):
        list(left)


def test_what_goes_wrong_while_faces_are_found_comes_after_the_frames_before(
    detector: AUDetector, film: Path, monkeypatch: pytest.MonkeyPatch
):
    find, calls = FakeMesher.find, itertools.count()

    def failing(mesher: FakeMesher, image: np.ndarray) -> list[Face]:
        if next(calls) == 21:
            raise InputError("frame 21 is none")
        return find(mesher, image)

    monkeypatch.setattr(FakeMesher, "find", failing)
    with pytest.raises(InputError, match="frame 21 is none") as caught:
        detector.predict(film)
    assert len(caught.value.results) == 21
