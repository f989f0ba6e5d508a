"""Which engine is taken, and why."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from mdhr_sdk import AUDetector
from mdhr_sdk.errors import ConfigError, MissingDependencyError
from mdhr_sdk.vision.faces import engine
from mdhr_sdk.vision.faces.engine import choose_engine, installed_mediapipe
from mdhr_sdk.vision.faces.onnx.record import DETECTOR, MESH, RECORD, Record, graphs_folder, to_json


@pytest.fixture(autouse=True)
def empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MDHR_CACHE", str(tmp_path / "cache"))


@pytest.mark.parametrize(
    ("version", "in_wheel", "faces", "chosen"),
    [
        ("0.10.21", True, "auto", "solutions: MediaPipe 0.10.21 has face models in its wheel"),
        ("0.10.21", True, "tasks", "tasks: MediaPipe 0.10.21 reads face_landmarker.task, fetched at the first use"),
        (
            "1.2.3", False, "auto",
            "tasks: MediaPipe 1.2.3, which has no face models in its wheel, reads face_landmarker.task, "
            "fetched at the first use",
        ),
    ],
)  # fmt: skip
def test_auto_takes_what_the_wheel_has_and_says_why(monkeypatch, version, in_wheel, faces, chosen):
    monkeypatch.setattr(engine, "installed_mediapipe", lambda: (version, in_wheel))
    assert str(choose_engine(faces)) == chosen


def test_a_file_of_the_callers_is_read_by_tasks(tmp_path):
    for faces in ("auto", "tasks"):
        choice = choose_engine(faces, tmp_path / "own.task")
        assert (choice.name, choice.model_file) == ("tasks", tmp_path / "own.task") and "own.task" in choice.why
    with pytest.raises(ConfigError, match="read by faces='tasks'; got it with faces='solutions'"):
        choose_engine("solutions", tmp_path / "own.task")


def test_what_cannot_be_is_refused(monkeypatch):
    with pytest.raises(ConfigError, match="faces must be one of auto, solutions, tasks, onnx; got 'retina'"):
        AUDetector.from_pretrained("edge", faces="retina")
    with monkeypatch.context() as patch:
        patch.setattr(engine, "installed_mediapipe", lambda: ("1.2.3", False))
        with pytest.raises(MissingDependencyError, match=r"1\.2\.3 has none; take faces='tasks'.*<0\.10\.30"):
            choose_engine("solutions")
    monkeypatch.setattr(engine.importlib.util, "find_spec", lambda name: None)
    missing = "mediapipe, which is not installed; run: pip install mediapipe"
    for faces in ("solutions", "tasks"):
        with pytest.raises(MissingDependencyError, match=f"{missing}$"):
            choose_engine(faces)
    with pytest.raises(MissingDependencyError, match=f"{missing}; or run mdhr faces export where .*faces'$"):
        choose_engine()


def test_auto_takes_graphs_only_where_mediapipe_is_not_installed(monkeypatch):
    folder = graphs_folder()
    folder.mkdir(parents=True)
    sums = {name: hashlib.sha256(name.encode()).hexdigest() for name in (DETECTOR, MESH)}
    for name in sums:
        (folder / name).write_bytes(name.encode())
    record = Record("face.task", "", 256, "tasks", faces=10, mean=0.001, near=1.0, sha256=sums)
    (folder / RECORD).write_bytes(to_json(record))
    assert choose_engine().name != "onnx"
    monkeypatch.setattr(engine, "installed_mediapipe", not_installed)
    assert str(choose_engine()).startswith("onnx: MediaPipe is not installed, and O")
    (folder / MESH).write_bytes(b"other")
    with pytest.raises(MissingDependencyError, match=r"absent; or run mdhr faces export.*mesh\.onnx changed"):
        choose_engine()


def not_installed() -> tuple[str, bool]:
    raise MissingDependencyError("absent")


def test_what_is_installed_is_told_without_loading_it():
    import mediapipe

    version, in_wheel = installed_mediapipe()
    assert version == mediapipe.__version__ and in_wheel == hasattr(mediapipe, "solutions")


def test_a_detector_and_its_results_say_which_engine_it_is():
    with AUDetector.from_pretrained("edge", faces="tasks") as detector:
        assert detector.face_choice.name == detector.info.faces == "tasks"
