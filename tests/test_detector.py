"""AUDetector: what may be given, what comes out, and what happens when a source breaks off."""

from __future__ import annotations

import itertools
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from fakes import CODES, CONFIG, INFO, LENGTH, FakeMesher, FakeSession, expected, level, padded_levels, picture, video
from mdhr_sdk import AUDetector, Results
from mdhr_sdk.detector import SupersededError
from mdhr_sdk.errors import BackendError, ConfigError, InputError, ModelFolderError, SourceError, TruncatedSourceError
from mdhr_sdk.results import FrameResult
from mdhr_sdk.vision import Face, Source

PATTERN = [{0}] * 5 + [{0, 1}] * 4 + [set()] * 2 + [{1}] * 3


@pytest.fixture
def session() -> FakeSession:
    return FakeSession()


@pytest.fixture
def meshers(monkeypatch: pytest.MonkeyPatch) -> list[FakeMesher]:
    """Every face finder that detectors make."""
    monkeypatch.setattr(FakeMesher, "made", [])
    monkeypatch.setattr("mdhr_sdk.detector.FaceMesher", FakeMesher)
    return FakeMesher.made


@pytest.fixture
def detector(session: FakeSession, meshers: list[FakeMesher]) -> AUDetector:
    return AUDetector(CONFIG, session, INFO)


def values(frames: Results | list[FrameResult]) -> list[dict[int, list[float]]]:
    return [{face.track_id: [face[code].probability for code in CODES] for face in frame.faces} for frame in frames]


def wanted(pattern) -> list[dict[int, list[float]]]:
    return [{track_id: row.tolist() for track_id, row in frame.items()} for frame in expected(pattern)]


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


def test_a_generator_of_frames(detector: AUDetector):
    assert values(detector.predict(image for image in video(PATTERN))) == wanted(PATTERN)


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


def test_a_stream_may_be_left_halfway(detector: AUDetector):
    stream = detector.predict(video(PATTERN), stream=True)
    assert [next(stream).index for _ in range(2)] == [0, 1]
    del stream
    assert values(detector.predict(video(PATTERN))) == wanted(PATTERN), "nothing of it is left"


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


def test_thresholds_are_the_folders_unless_given(session: FakeSession, meshers: list[FakeMesher]):
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
    ("thresholds", "hint"),
    [
        ({"AU99": 0.5}, r"no threshold for 'AU99': this model scores AU01, AU02"),
        ({"AU10": 0.5}, "AU10"),
        ({"12": 0.5}, "'12'"),
        ({"AU12": 1.1}, r"AU12 must lie in \[0, 1\]; got 1.1"),
        ({"AU12": -0.1}, "AU12"),
        ({"AU12": float("nan")}, "AU12"),
    ],
)
def test_bad_thresholds_are_refused(session: FakeSession, thresholds: dict, hint: str):
    with pytest.raises(ConfigError, match=hint):
        AUDetector(CONFIG, session, INFO, thresholds=thresholds)


def test_close_frees_everything_and_may_come_twice(session: FakeSession, meshers: list[FakeMesher]):
    with AUDetector(CONFIG, session, INFO) as detector:
        detector.predict([video([{0}]), picture(0, {0})])
        detector.close()
    assert session.closed and [mesher.closed for mesher in meshers] == [True, True]


def test_repr_names_model_and_backend(detector: AUDetector):
    assert repr(detector) == "AUDetector(disfa none, fake on cpu, 8 AUs)"
    assert detector.codes == CODES


@pytest.mark.parametrize("source", [None, 1.5, np.zeros((4, 4), np.uint8), [], "no/such/file.mp4", "*.nothing"])
def test_bad_sources_are_refused_before_anything_starts(detector: AUDetector, meshers: list, source: object):
    for stream in (True, False):
        with pytest.raises((InputError, SourceError)):
            detector.predict(source, stream=stream)  # type: ignore[call-overload]
    assert meshers == []


@pytest.fixture
def cut_video(tmp_path: Path) -> Path:
    """An AVI that declares 30 frames with a face each and breaks off after about two thirds."""
    path = tmp_path / "cut.avi"
    writer = cv2.VideoWriter(str(path), cv2.CAP_FFMPEG, cv2.VideoWriter_fourcc(*"MJPG"), 25.0, (192, 64))
    for index in range(30):
        noise = np.random.default_rng(index).integers(100, 200, (64, 192, 3), dtype=np.uint8)
        writer.write(noise)  # so that every frame takes about as many bytes
    writer.release()
    data = path.read_bytes()
    path.write_bytes(data[: len(data) * 2 // 3])
    return path


def test_a_source_that_breaks_off_gives_the_scores_of_all_its_frames(detector: AUDetector, cut_video: Path):
    with pytest.raises(TruncatedSourceError, match=r"of the 30 frames") as caught:
        detector.predict(cut_video)
    results = caught.value.results
    assert isinstance(results, Results)
    assert caught.value.declared == 30 and 15 <= caught.value.decoded < 25
    assert [frame.index for frame in results] == list(range(caught.value.decoded))
    assert all(frame.status == "ok" and len(frame.faces) == 3 for frame in results)
    assert (results.fps, results.sources, results.codes) == (25, (str(cut_video),), CODES)


def test_a_stream_that_breaks_off_yields_all_its_frames_first(detector: AUDetector, cut_video: Path):
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


def test_a_batch_that_breaks_off_keeps_the_sources_before(detector: AUDetector, tmp_path: Path):
    (tmp_path / "broken.mp4").write_bytes(b"not a video")
    with pytest.raises(SourceError, match=r"broken\.mp4") as caught:
        detector.predict([video([{0}] * 3), tmp_path / "broken.mp4", video([{0}])])
    assert values(caught.value.results) == wanted([{0}] * 3)
    assert len(detector.predict(video([{0}]))) == 1, "the detector goes on working"


def test_a_source_that_cannot_be_opened_has_no_results(detector: AUDetector, tmp_path: Path):
    (tmp_path / "broken.mp4").write_bytes(b"not a video")
    with pytest.raises(SourceError) as caught:
        detector.predict(tmp_path / "broken.mp4")
    assert len(caught.value.results) == 0


# From here on with real faces and real models.


@pytest.fixture(scope="module")
def demo_frames(demo_path: Path) -> np.ndarray:
    capture = cv2.VideoCapture(str(demo_path))
    frames = [capture.read()[1] for _ in range(10)]
    capture.release()
    return np.stack(frames)


@pytest.fixture(scope="module")
def by_hand(tiny_folder: Path, demo_frames: np.ndarray) -> np.ndarray:
    """(10, 12): meshes, crops, windows 4 + 4 + 2 padded, and the PyTorch model, one step after the other."""
    torch = pytest.importorskip("torch")
    from mdhr_sdk.model import load_model
    from mdhr_sdk.vision import FaceMesher, align, prepare

    crops = []
    with FaceMesher() as mesher:
        for image in demo_frames:
            (face,) = mesher.find(image)
            crops.append(align(image, face.landmarks_px))
    frames = prepare(np.stack([*crops, crops[-1], crops[-1]]), (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    model = load_model(tiny_folder)
    with torch.inference_mode():
        return model(torch.from_numpy(frames.reshape(3, 4, 3, 224, 224))).scores.numpy().reshape(12, 12)[:10]


@pytest.fixture(scope="module", params=["torch", "onnxruntime"])
def real(request: pytest.FixtureRequest, tiny_onnx_folder: Path) -> Iterator[AUDetector]:
    with AUDetector.from_pretrained(tiny_onnx_folder, request.param, "cpu", threads=2) as detector:
        yield detector


def table(results: Results | list[FrameResult]) -> np.ndarray:
    assert all([face.track_id for face in frame.faces] == [0] for frame in results)
    return np.array([[score.probability for score in frame.faces[0].aus.values()] for frame in results])


def test_scores_are_those_of_the_model_on_aligned_crops(real: AUDetector, demo_frames: np.ndarray, by_hand: np.ndarray):
    results = real.predict(demo_frames)
    np.testing.assert_allclose(table(results), by_hand, atol=1e-5)
    assert by_hand.std(axis=0).max() > 0.01, "scores that do not vary would show nothing"
    for frame in results:
        for code, score in frame.faces[0].aus.items():
            assert score.code == code and score.occurrence == (score.probability >= 0.5)


def test_the_same_video_from_its_file_and_again(real: AUDetector, demo_path: Path, by_hand: np.ndarray):
    for _ in range(2):
        frames = list(itertools.islice(real.predict(demo_path, stream=True), 8))
        np.testing.assert_allclose(table(frames), by_hand[:8], atol=1e-5)
        assert [frame.timestamp_s for frame in frames] == pytest.approx([i / 25 for i in range(8)], abs=1e-3)
        assert {frame.source for frame in frames} == {str(demo_path)}


def test_a_still_with_a_real_face_and_one_without(real: AUDetector, demo_frames: np.ndarray):
    face, nobody = real.predict([demo_frames[0], np.full((240, 320, 3), 90, np.uint8)])
    assert (face.status, nobody.status) == ("ok", "no_face")
    assert 0 <= min(score.probability for score in face.faces[0].aus.values()) <= 1


def test_from_pretrained_says_what_it_opened(real: AUDetector, tiny_onnx_folder: Path):
    info = real.info
    assert (info.name, info.label_set, info.backbone) == ("tiny-onnx", "bp4d", "resnet18")
    assert info.backend in real.choice and (info.device, info.trained) == ("cpu", False)
    assert info.tag == "bp4d resnet18 (untrained)"
    assert len(real.codes) == 12 and real.config.clip_length == 4
    assert repr(real) == f"AUDetector(bp4d resnet18 (untrained), {info.backend} on cpu, 12 AUs)"


def test_auto_says_why(tiny_folder: Path, tiny_onnx_folder: Path):
    with AUDetector.from_pretrained(tiny_onnx_folder) as detector:
        assert detector.choice.startswith("onnxruntime on ")
    with AUDetector.from_pretrained(tiny_folder) as detector:
        assert "torch on" in detector.choice and "not onnxruntime: the folder has no clip.onnx" in detector.choice


@pytest.mark.parametrize("backend", ["torch", "onnxruntime"])
def test_a_closed_detector_says_so(tiny_onnx_folder: Path, meshers: list, backend: str):
    detector = AUDetector.from_pretrained(tiny_onnx_folder, backend, threads=2)
    detector.close()
    detector.close()
    with pytest.raises(InputError, match="closed"):
        detector.predict(picture(0, {0}))


@pytest.mark.parametrize(
    ("call", "kind", "hint"),
    [
        (lambda folder: AUDetector.from_pretrained(folder / "none"), ModelFolderError, "does not exist"),
        (lambda folder: AUDetector.from_pretrained(folder, "onnxruntime"), BackendError, r"clip\.onnx"),
        (lambda folder: AUDetector.from_pretrained(folder, "tpu"), BackendError, "unknown backend"),
        (lambda folder: AUDetector.from_pretrained(folder, device="tpu"), BackendError, "unknown device"),
        (lambda folder: AUDetector.from_pretrained(folder, threads=0), BackendError, "threads"),
        (lambda folder: AUDetector.from_pretrained(folder, thresholds={"AU09": 0.5}), ConfigError, "AU09"),
    ],
)
def test_from_pretrained_refuses(tiny_folder: Path, call: Callable, kind: type[Exception], hint: str):
    with pytest.raises(kind, match=hint):
        call(tiny_folder)


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


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"max_faces": 0}, "max_faces"),
        ({"max_faces": 2.0}, "max_faces"),
        ({"face_model": "none.task"}, r"none\.task"),
        ({"thresholds": {"AU12": None}}, "AU12"),
        ({"thresholds": {"AU12": "0.5"}}, "AU12"),
        ({"thresholds": [0.5]}, "by code"),
        ({"thresholds": 0.3}, "by code"),
    ],
)
def test_bad_arguments_show_when_the_detector_is_made(session: FakeSession, arguments: dict, message: str):
    with pytest.raises((ConfigError, SourceError), match=message):
        AUDetector(CONFIG, session, INFO, **arguments)


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
