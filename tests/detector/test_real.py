"""With real faces and real models."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from mdhr_sdk import AUDetector, Results
from mdhr_sdk.errors import BackendError, ConfigError, ModelFolderError
from mdhr_sdk.results import FrameResult


@pytest.fixture(scope="module")
def by_hand(tiny_folder: Path, demo_frames: np.ndarray) -> np.ndarray:
    """(10, 12): meshes, crops, windows 4 + 4 + 2 padded, and the PyTorch model, one step after the other."""
    torch = pytest.importorskip("torch")
    from mdhr_sdk.model import load_model
    from mdhr_sdk.vision import FaceMesher, align, prepare

    crops = []
    with FaceMesher() as mesher:
        for image in demo_frames[:10]:
            (face,) = mesher.find(image)
            crops.append(align(image, face.landmarks_px, size_px=96))
    frames = prepare(np.stack([*crops, crops[-1], crops[-1]]), (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    model = load_model(tiny_folder)
    with torch.inference_mode():
        return model(torch.from_numpy(frames.reshape(3, 4, 3, 96, 96))).scores.numpy().reshape(12, 12)[:10]


@pytest.fixture(scope="module", params=["torch", "onnxruntime"])
def real(request: pytest.FixtureRequest, tiny_onnx_folder: Path) -> Iterator[AUDetector]:
    with AUDetector.from_pretrained(tiny_onnx_folder, request.param, "cpu", threads=1) as detector:
        yield detector


def table(results: Results | list[FrameResult]) -> np.ndarray:
    assert all([face.track_id for face in frame.faces] == [0] for frame in results)
    return np.array([[score.probability for score in frame.faces[0].aus.values()] for frame in results])


def test_scores_are_those_of_the_model_on_aligned_crops(real: AUDetector, demo_frames: np.ndarray, by_hand: np.ndarray):
    results = real.predict(demo_frames[:10])
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
    assert (info.name, info.label_set, info.backbone) == ("tiny-onnx", "bp4d", "test_resnet")
    assert info.backend in real.choice and (info.device, info.trained) == ("cpu", False)
    assert info.tag == "bp4d test_resnet (untrained)"
    assert len(real.codes) == 12 and real.config.clip_length == 4
    assert repr(real) == f"AUDetector(bp4d test_resnet (untrained), {info.backend} fp32 on cpu, 12 AUs)"


@pytest.mark.parametrize(
    ("call", "kind", "hint"),
    [
        (lambda folder: AUDetector.from_pretrained(folder / "none"), ModelFolderError, "does not exist"),
        (lambda folder: AUDetector.from_pretrained(folder, "onnxruntime"), BackendError, r"clip\.onnx"),
        (lambda folder: AUDetector.from_pretrained(folder, device="tpu"), BackendError, "unknown device"),
        (lambda folder: AUDetector.from_pretrained(folder, threads=0), BackendError, "threads"),
        (lambda folder: AUDetector.from_pretrained(folder, thresholds={"AU09": 0.5}), ConfigError, "AU09"),
    ],
)
def test_from_pretrained_refuses(tiny_folder: Path, call: Callable, kind: type[Exception], hint: str):
    with pytest.raises(kind, match=hint):
        call(tiny_folder)
