"""Networks converted from MediaPipe's files: what they find, and when they are refused."""

from __future__ import annotations

import json
import math
import zipfile
from pathlib import Path

import flatbuffers
import numpy as np
import pytest
from flatbuffers import flexbuffers

from commands import command
from mdhr_sdk import AUDetector
from mdhr_sdk.cli.models.faces import app
from mdhr_sdk.errors import ConfigError, SourceError
from mdhr_sdk.vision import FaceMesher
from mdhr_sdk.vision.faces.engine import choose_engine, installed_mediapipe
from mdhr_sdk.vision.faces.onnx import session
from mdhr_sdk.vision.faces.onnx.attention import options_of
from mdhr_sdk.vision.faces.onnx.convert import detector_graph
from mdhr_sdk.vision.faces.onnx.engine import FaceMesh
from mdhr_sdk.vision.faces.onnx.export import MEMBERS, find_networks
from mdhr_sdk.vision.faces.onnx.face_detector import anchors, suppressed
from mdhr_sdk.vision.faces.onnx.record import usable_record
from mdhr_sdk.vision.faces.onnx.regions import Region
from mdhr_sdk.vision.faces.onnx.tflite import read_network
from processes import environment, run_python

__all__ = ["command"]
needs_wheel = pytest.mark.skipif(not installed_mediapipe()[1], reason="this MediaPipe has no models in its wheel")


@pytest.fixture
def folder(converted_faces: Path | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the converted graphs, in a cache to change."""
    if converted_faces is None:
        pytest.skip("MediaPipe has no models here")
    monkeypatch.setenv("MDHR_CACHE", str(tmp_path))
    (tmp_path / "faces").mkdir()
    for path in (converted_faces / "faces").iterdir():
        if path.is_file():
            (tmp_path / "faces" / path.name).write_bytes(path.read_bytes())
    return tmp_path / "faces"


@pytest.mark.slow
@needs_wheel
def test_a_still_has_the_mesh_of_mediapipe(folder: Path, demo_frames: np.ndarray) -> None:
    meshes = []
    for faces in ("solutions", "onnx"):
        with FaceMesher(1, still=True, faces=faces) as mesher:
            meshes.append(mesher.find(demo_frames[0])[0].landmarks_px)
    theirs, ours = meshes
    eyes = np.linalg.norm(theirs[33, :2] - theirs[263, :2])
    assert np.linalg.norm(theirs - ours, axis=1).max() < 0.002 * eyes, "depth and irises too"


@pytest.mark.slow
def test_runtimes_agree_and_so_do_batches(folder: Path, demo_frames: np.ndarray) -> None:
    rgb = np.ascontiguousarray(demo_frames[0][:, :, ::-1])
    regions = [Region(160, 170, 300), Region(150, 165, 280, 0.1)]
    kinds = [session._ONNXRuntime] + [session._OpenVINO] * (session.runtime_name() == "OpenVINO")
    answers = []
    for kind in kinds:
        mesh = FaceMesh(kind((folder / "mesh.onnx").read_bytes(), 1), usable_record().size_px)
        both = mesh.find(rgb, regions)
        np.testing.assert_allclose(both, [mesh.find(rgb, [one])[0] for one in regions], atol=0.01)
        answers.append(both)
    np.testing.assert_allclose(answers[0], answers[-1], atol=0.05)


SIGNAL = """
import signal
import numpy as np
from mdhr_sdk import AUDetector
from mdhr_sdk.vision import FaceMesher

detector = AUDetector.from_pretrained("edge", faces="onnx")
for _ in range(2):
    with FaceMesher(1, faces="onnx") as mesher:
        mesher.find(np.zeros((90, 90, 3), np.uint8))
detector.close()
try:
    signal.raise_signal(signal.SIGINT)
except KeyboardInterrupt:
    print("interrupted")
"""


@pytest.mark.slow
def test_ctrl_c_after_faces_were_found_is_handled(folder: Path) -> None:
    pytest.importorskip("openvino")
    done = run_python("-c", SIGNAL, env=environment(MDHR_CACHE=folder.parent))
    assert (done.returncode, done.stdout.strip()) == (0, "interrupted"), done.stderr


@pytest.mark.slow
def test_where_the_graphs_came_from_and_how_near_they_are_is_told(folder: Path) -> None:
    with AUDetector.from_pretrained("edge", faces="onnx") as detector:
        assert detector.info.faces == "onnx"
        assert "runs graphs made from face_landmark" in str(detector.face_choice)
        assert "of 30 faces 100.0 % within 1 % of the outer eye distance" in str(detector.face_choice)


@pytest.mark.slow
def test_graphs_that_were_changed_or_are_not_near_enough_are_refused(folder: Path) -> None:
    whole = json.loads((folder / "faces.json").read_text())
    (folder / "faces.json").write_text(json.dumps(whole | {"near": 0.98}))
    with pytest.raises(SourceError, match=r"not near enough to MediaPipe: .*98\.0 % within 1 %"):
        choose_engine("onnx")
    (folder / "faces.json").write_text(json.dumps(whole | {"format": 2}))
    with pytest.raises(SourceError, match="of format 2 and not 1; run: mdhr faces export"):
        choose_engine("onnx")
    for junk in ("", "[]", '{"made_from": 1}', json.dumps(whole | {"size_px": 10**9})):
        (folder / "faces.json").write_text(junk)
        with pytest.raises(
            SourceError, match=r"faces.json' cannot be read \(ValidationError\); run: mdhr faces export"
        ):
            choose_engine("onnx")
    (folder / "faces.json").write_text(json.dumps(whole))
    with (folder / "mesh.onnx").open("ab") as file:
        file.write(b"more")
    with pytest.raises(SourceError, match=r"mesh\.onnx changed; run: mdhr faces export"):
        AUDetector.from_pretrained("edge", faces="onnx")
    (folder / "mesh.onnx").unlink()
    with pytest.raises(SourceError, match="has none; run: mdhr faces export"):
        choose_engine("onnx")
    with pytest.raises(ConfigError, match="read by faces='tasks'"):
        choose_engine("onnx", "a.task")


@pytest.mark.parametrize("content", [b"", b"junk" * 10, b"\x1c\x00\x00\x00TFL3", b"\xff" * 4 + b"TFL3" + b"\xff" * 50])
def test_files_that_are_no_networks_are_refused_in_a_line(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(SourceError, match=r"^expected a network of MediaPipe in TFLite in a.task; [^\n]+$"):
        read_network(content, "a.task")
    (tmp_path / "a.task").write_bytes(content)
    with pytest.raises(SourceError, match=r"expected a MediaPipe face_landmarker.task in '.*a.task'"):
        find_networks(tmp_path / "a.task")


def test_a_cut_network_is_refused(tmp_path: Path) -> None:
    if not installed_mediapipe()[1]:
        pytest.skip("this MediaPipe has no models in its wheel")
    whole = find_networks().contents[0]
    for length in (9, 100, 5_000, len(whole) // 2):
        with pytest.raises(SourceError):
            read_network(whole[:length], "cut.tflite")
    with zipfile.ZipFile(tmp_path / "large.task", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(MEMBERS[0], bytes(100 << 20))
        archive.writestr(MEMBERS[1], b"")
    with pytest.raises(SourceError, match="too large"):
        find_networks(tmp_path / "large.task")


def test_a_network_that_says_the_same_part_for_ever_is_refused() -> None:
    builder = flatbuffers.Builder()
    builder.StartObject(1)
    code = builder.EndObject()
    builder.StartVector(4, 5000, 4)
    for _ in range(5000):
        builder.PrependUOffsetTRelative(code)
    codes = builder.EndVector()
    builder.StartObject(5)
    builder.PrependUOffsetTRelativeSlot(1, codes, 0)
    builder.Finish(builder.EndObject(), file_identifier=b"TFL3")
    with pytest.raises(SourceError, match="a list of 5,000 is longer than any"):
        read_network(bytes(builder.Output()), "a.task")


def test_options_are_read_without_following_lists_in_lists() -> None:
    said = {"left": 3, "points": [1, 2, 300], "scale": 1.5}
    assert options_of(memoryview(bytes(flexbuffers.Dumps(said)))) == said
    assert options_of(memoryview(bytes(flexbuffers.Dumps({"points": [[7, 8, 9], 4]})))) == {"points": [3, 4]}
    with pytest.raises(ValueError, match="5,"):
        options_of(memoryview(bytes(flexbuffers.Dumps({"name": "a" * 5000}))))


@needs_wheel
def test_a_network_that_contradicts_itself_is_refused_in_a_line() -> None:
    """The mesh has other outputs than a detector."""
    with pytest.raises(SourceError, match=r"^the network in mesh.tflite cannot be converted [^\n]+$"):
        detector_graph(find_networks().contents[1], "mesh.tflite")


def test_anchors_lie_in_the_middles_of_two_grids() -> None:
    found = anchors()
    assert found.shape == (896, 2) and len(np.unique(found, axis=0)) == 16**2 + 8**2
    np.testing.assert_allclose(found[[0, 2, 512, -1]], [[1 / 32] * 2, [3 / 32, 1 / 32], [1 / 16] * 2, [15 / 16] * 2])


def test_boxes_that_overlap_become_their_mean_by_score() -> None:
    rows = np.array([[0, 0, 10, 10], [2, 0, 12, 10], [50, 50, 60, 60.0]])
    found = suppressed(rows, np.array([0.6, 0.9, 0.7], np.float32))
    np.testing.assert_allclose([row for row, _ in found], [[1.2, 0, 11.2, 10], [50, 50, 60, 60]], rtol=1e-6)
    np.testing.assert_allclose([score for _, score in found], [0.9, 0.7], rtol=1e-6)


def test_a_turned_region_is_cut_out_and_its_points_put_back() -> None:
    picture = np.zeros((200, 300, 3), np.uint8)
    picture[118:123, 138:143] = 255
    region = Region(150, 100, 80, math.radians(30))
    crop = region.cut(picture, 160)
    y, x = np.argwhere(crop[:, :, 0] > 200).mean(axis=0)
    (back,) = region.back(np.array([[x, y, 2.0]], np.float32), 160)
    np.testing.assert_allclose(back, [140, 120, 1], atol=0.3)
    black, near = (Region(0, 0, 50).cut(picture + np.uint8(9), 50, beyond) for beyond in (True, False))
    assert black[0, 0].tolist() == [0] * 3 and near[0, 0].tolist() == [9] * 3


@pytest.mark.slow
@needs_wheel
def test_the_command_converts_compares_and_says_so(command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MDHR_CACHE", str(tmp_path))
    code, out, err = command(app, "export", "--frames", "20")
    assert (code, err) == (0, "") and "of 20 faces 100.0 % within 1 % of the outer eye distance of solutions" in out
    code, out, err = command(app, "export", "--on", tmp_path / "nothing.mp4")
    assert code == 2 and out == "" and err.startswith("error: ") and err.count("\n") == 1
    code, out, err = command(app, "export", "--on", "/dev/null")
    assert code == 2 and usable_record().faces == 20, "what there was stays"
    assert {path.name for path in (tmp_path / "faces").iterdir()} == {"detector.onnx", "mesh.onnx", "faces.json"}
