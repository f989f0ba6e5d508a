"""Tables of other tools, Parquet, and ours read back."""

from __future__ import annotations

import importlib.util
import json
import math
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from mdhr_sdk.errors import ConfigError, InputError
from mdhr_sdk.measures import FaceMeasures, ibug_landmarks, rotation_of
from mdhr_sdk.outputs import CsvSink, EventsSink, JsonlSink, OpenFaceSink, ParquetSink, PyFeatSink, Results
from mdhr_sdk.outputs.tables.modelinfo import model_of_text
from mdhr_sdk.outputs.tables.openface import angles_rad, openface_columns
from mdhr_sdk.outputs.tables.pyfeat import pyfeat_columns
from mdhr_sdk.results import AUEvent, Ending, FaceResult, FrameResult, ModelInfo
from tables import csv_rows, write

PLACES = [folder / "shared/media/OpenFace_Test.csv" for folder in Path(__file__).parents]  # beside the checkout
OPENFACE = next((path for path in PLACES if path.is_file()), None)
EYES = ((0.6, 0.0, 0.8), (0.0, math.nan, 0.0))
MEASURES = FaceMeasures(10.0, 20.0, -5.0, 7.5, 3.0, -4.0, 80.0, 0.3, 1.0, 0.9, "", EYES)


@pytest.fixture
def measured(frame):
    def make(index: int = 0, faces: int = 1, reason: str = "") -> FrameResult:
        result = frame(index, faces=faces)
        mesh = np.random.default_rng(index).uniform(0, 300, (478, 3)).astype(np.float32)
        found = replace(MEASURES, reason=reason, quality=0.2 if reason else 0.9)
        return replace(result, faces=tuple(replace(f, measures=found, landmarks_px=mesh) for f in result.faces))

    return make


def test_openface_columns_are_those_of_a_real_file():
    names = openface_columns()
    assert len(names) == len(set(names)) == 432 and names[:3] == ["frame", "face_id", "timestamp"]
    if OPENFACE is not None:
        with OPENFACE.open() as file:
            theirs = [name.strip() for name in file.readline().split(",")]
        assert [name for name in names if name != "face_id"] == theirs


def test_openface_rows_worked_out_by_hand(tmp_path, measured):
    result = measured(3)
    sink = OpenFaceSink(tmp_path / "a.csv", tuple(result.faces[0].aus), measures=True)
    path = write(sink, result, measured(4, faces=0))
    seen, empty = csv_rows(path)
    assert (seen["frame"], seen["face_id"], seen["timestamp"], seen["success"]) == ("4", "0", "0.12", "1")
    assert seen["confidence"] == "0.9"
    points = ibug_landmarks(result.faces[0].landmarks_px)
    assert float(seen["x_36"]) == pytest.approx(points[36, 0], abs=0.006)
    assert float(seen["y_67"]) == pytest.approx(points[67, 1], abs=0.006)
    assert [float(seen[f"gaze_0_{axis}"]) for axis in "xyz"] == [0.6, 0, -0.8], "y down, z away from the camera"
    assert seen["gaze_1_x"] == "", "a closed eye"
    assert seen["AU12_c"] == str(int(result.faces[0]["AU12"].occurrence)) and seen["AU12_r"] == ""
    assert all(seen[name] == "" for name in ("pose_Tx", "X_0", "p_scale", "AU45_c", "AU05_c"))
    assert "AU24_c" not in seen
    filled = {name for name in seen if seen[name]} | {f"gaze_1_{axis}" for axis in "xyz"}
    assert {name for name in empty if empty[name]} == filled, "0 in what faces fill, as OpenFace"
    assert (empty["frame"], empty["success"], empty["confidence"], empty["x_0"]) == ("5", "0", "0", "0")


def test_openface_angles_are_positive_down_left_and_clockwise():
    for angle in (0.3, -0.2):
        degrees = math.degrees(angle)
        assert angles_rad(rotation_of(-degrees, 0, 0)) == pytest.approx((angle, 0, 0))
        assert angles_rad(rotation_of(0, -degrees, 0)) == pytest.approx((0, angle, 0))
        assert angles_rad(rotation_of(0, 0, -degrees)) == pytest.approx((0, 0, angle))
    rx, ry, rz = angles_rad(rotation_of(12, 25, -8))
    (cx, cy, cz), (sx, sy, sz) = np.cos((rx, ry, rz)), np.sin((rx, ry, rz))
    about = [np.array(m) for m in (((1, 0, 0), (0, cx, -sx), (0, sx, cx)), ((cy, 0, sy), (0, 1, 0), (-sy, 0, cy)),
                                   ((cz, -sz, 0), (sz, cz, 0), (0, 0, 1)))]  # fmt: skip
    flip = np.diag((1, -1, -1))
    assert about[0] @ about[1] @ about[2] == pytest.approx(flip @ rotation_of(12, 25, -8) @ flip)


@pytest.mark.skipif(OPENFACE is None, reason="no file of OpenFace beside the checkout")
def test_a_real_file_of_openface_has_that_convention():
    """Its own 3D landmarks turn from frame to frame as its angles do."""
    table = pd.read_csv(OPENFACE, skipinitialspace=True)
    rigid = (27, 28, 29, 30, 31, 35, 36, 39, 42, 45, 0, 16)
    points = np.stack([table[[f"{axis}_{i}" for i in rigid]].to_numpy() for axis in "XYZ"], axis=2)
    first, last = 0, 20
    turns = []
    for row in (first, last):
        rx, ry, rz = (float(table[f"pose_R{axis}"][row]) for axis in "xyz")
        (cx, cy, cz), (sx, sy, sz) = np.cos((rx, ry, rz)), np.sin((rx, ry, rz))
        turns.append(np.array(((1, 0, 0), (0, cx, -sx), (0, sx, cx))) @ np.array(((cy, 0, sy), (0, 1, 0), (-sy, 0, cy)))
                     @ np.array(((cz, -sz, 0), (sz, cz, 0), (0, 0, 1))))  # fmt: skip
    a, b = (points[row] - points[row].mean(axis=0) for row in (first, last))
    u, _, vt = np.linalg.svd(b.T @ a)
    assert u @ vt == pytest.approx(turns[1] @ turns[0].T, abs=0.01)


def test_pyfeat_rows_worked_out_by_hand(tmp_path, measured, codes):
    result = measured(30, faces=2)
    path = write(PyFeatSink(tmp_path / "a.csv", codes), result, measured(31, faces=0))
    one, two, empty = csv_rows(path)
    assert list(one) == pyfeat_columns(codes) and set(codes) <= set(one)
    sides = ("FaceRectX", "FaceRectY", "FaceRectWidth", "FaceRectHeight")
    assert [float(one[name]) for name in sides] == [30, 20, 50, 70]
    assert float(one["Yaw"]) == pytest.approx(-math.radians(20), abs=1e-6), "to the subject's right is positive"
    assert float(one["Pitch"]) == pytest.approx(math.radians(10), abs=1e-6)
    assert float(one["gaze_angle"]) == pytest.approx(math.acos(math.cos(float(one["gaze_pitch"])) *
                                                               math.cos(float(one["gaze_yaw"]))), abs=1e-5)  # fmt: skip
    assert float(one["AU12"]) == pytest.approx(result.faces[0]["AU12"].probability, abs=1e-6) and one["AU43"] == ""
    assert (one["frame"], one["approx_time"], one["Identity"], two["Identity"]) == (
        "30",
        "00:01",
        "Person_0",
        "Person_1",
    )
    assert (empty["frame"], empty["FaceRectX"], empty["AU12"], empty["anger"]) == ("31", "", "", "")


def real_boxes(result: FrameResult) -> FrameResult:
    """Boxes of real faces are no whole numbers."""
    return replace(result, faces=tuple(replace(face, box_px=(30.5, 20.25, 80.0, 90.75)) for face in result.faces))


def test_csv_comes_back_byte_for_byte(tmp_path, frames, measured, codes):
    hostile = replace(measured(61, faces=2), source='a, "b"\n\u00e9.mp4', note="damaged")
    for name, results in (("plain", frames), ("measured", [measured(i, i % 3, "blurred" * (i == 4)) for i in range(9)]),
                          ("hostile", [hostile])):  # fmt: skip
        own = Results(tuple(map(real_boxes, results)), results[0].model, fps=25.0, codes=codes)
        path = own.to_csv(tmp_path / f"{name}.csv")
        back = Results.from_file(path)
        assert back.to_csv(tmp_path / "again.csv").read_bytes() == path.read_bytes(), name
        assert back.codes == codes and back.sources == own.sources


@pytest.mark.parametrize(
    ("cell", "value"), [("AU12_occurrence", ""), ("AU12_occurrence", "2"), ("AU12_probability", "")]
)
def test_a_cell_that_somebody_emptied_is_no_decision(tmp_path, measured, codes, cell, value):
    path = write(CsvSink(tmp_path / "a.csv", codes), measured(0, faces=0), measured(1))
    table = pd.read_csv(path, dtype=str, keep_default_na=False)
    table.loc[1, cell] = value
    table.to_csv(path, index=False)
    with pytest.raises(InputError, match=r"of AU12 in frame 1 of 'clip.mp4'; got .*" + (value or "empty")):
        Results.from_file(path)


def test_every_kind_of_model_comes_back_from_its_text():
    plain = ModelInfo("edge", "bp4d", "resnet18", "torch", "cpu", True)
    rated = {"tiers": {"AU01": "A", "AU04": "B", "AU07": "C"}, "off": ("AU07",)}
    for info in (
        plain, replace(plain, trained=False), replace(plain, trained_on="synthetic faces only", lookahead=7),
        replace(plain, neutral_s=2.0, smooth_hz=1.5, replaced={"AU01": 0.4, "AU04": 0.25}),
        replace(plain, trained_on="rendered people (MIT); see card", **rated),
        replace(plain, name="a: b", lookahead=0, **rated),
    ):  # fmt: skip
        back = model_of_text(info.details)
        assert back.details == info.details and back.trained == info.trained and back.off == info.off
        assert model_of_text(info.tag).tag == info.tag
    with pytest.raises(InputError, match="as our tables tell it"):
        model_of_text("whatever")


def test_parquet_tells_units_model_and_thresholds_and_comes_back(tmp_path, measured, codes):
    pq = pytest.importorskip("pyarrow.parquet")
    results = [measured(index, faces=index % 3) for index in range(7)]
    thresholds = dict.fromkeys(codes, 0.5) | {"AU12": 0.4}
    path = write(ParquetSink(tmp_path / "a.parquet", thresholds, measures=True, landmarks="mesh"), *results)
    schema = pq.read_schema(path)
    assert schema.field("timestamp_s").metadata == {b"unit": b"s"} and "model" not in schema.names
    assert schema.field("yaw_deg").metadata == {b"unit": b"degrees"}
    about = json.loads(schema.metadata[b"mdhr_sdk"])
    assert about["thresholds"]["AU12"] == 0.4 and about["model"]["name"] == "demo" and "mdhr_sdk" in about["versions"]
    back = Results.from_file(path)
    assert back.model == results[0].model and len(back) == 7
    mesh = back.frames[1].faces[0].landmarks_px
    assert mesh == pytest.approx(results[1].faces[0].landmarks_px)
    own = Results(tuple(results), results[0].model, fps=25.0, codes=codes)
    pd.testing.assert_frame_equal(back.to_dataframe(), own.to_dataframe())
    frame = pd.read_parquet(path)
    assert str(frame["track_id"].dtype) in ("float64", "Int64") and frame["AU12_probability"].notna().sum() == 6


def test_parquet_of_an_interrupted_run_is_readable(tmp_path, measured, codes):
    pytest.importorskip("pyarrow")
    with pytest.raises(KeyboardInterrupt), ParquetSink(tmp_path / "a.parquet", codes) as sink:
        sink.write(measured(0))
        raise KeyboardInterrupt
    assert len(Results.from_file(tmp_path / "a.incomplete.parquet")) == 1


def test_parquet_refuses_a_second_model_and_unknown_landmarks(tmp_path, measured, codes):
    pytest.importorskip("pyarrow")
    other = replace(measured(1), model=replace(measured(1).model, name="other"))
    with pytest.raises(InputError, match="write a file for each"):
        write(ParquetSink(tmp_path / "a.parquet", codes), measured(0), other)
    with pytest.raises(ConfigError, match="none, 68, mesh"):
        ParquetSink(tmp_path / "b.parquet", codes, landmarks="all")


def test_json_lines_come_back_with_events_and_measures(tmp_path, measured):
    event = AUEvent("clip.mp4", 0, "AU12", 0, 1, 2, 0.0, 0.04, 0.08, 0.9)
    ending = Ending(events=(event,))
    results = [replace(measured(index), ending=ending) for index in range(3)]
    back = Results.from_file(write(JsonlSink(tmp_path / "a.jsonl"), *results))
    assert back.events == (event,) and back.frames[1].faces[0].measures.yaw_deg == 20
    assert back.frames[2].faces[0]["AU12"].probability == pytest.approx(
        results[2].faces[0]["AU12"].probability, abs=1e-6
    )


def test_what_was_read_back_without_meshes_is_saved_again(tmp_path, measured, codes):
    pytest.importorskip("pyarrow")
    own = Results((measured(0),), measured(0).model, fps=25.0, codes=codes)
    (table, *_) = own.save(tmp_path / "a", timeline=False)
    files = Results.from_file(table).save(tmp_path / "b", timeline=False, formats=("parquet", "openface", "pyfeat"))
    back = Results.from_file(next(path for path in files if path.suffix == ".parquet"))
    pd.testing.assert_frame_equal(back.to_dataframe(), Results.from_file(table).to_dataframe())


def test_events_beside_a_table_come_with_it(tmp_path, frames, codes):
    event = AUEvent("clip.mp4", 0, "AU12", 3, 4, 8, 0.12, 0.16, 0.32, 0.91, onset_cut=True)
    told = [replace(frames[0], events=(event,)), *frames[1:]]
    write(CsvSink(tmp_path / "clip_aus.csv", codes), *told)
    write(EventsSink(tmp_path / "clip_events.csv"), *told)
    assert Results.from_file(tmp_path / "clip_aus.csv").events == (event,)
    (tmp_path / "clip_aus.csv").rename(tmp_path / "clip_aus.incomplete.csv")
    assert Results.from_file(tmp_path / "clip_aus.incomplete.csv").events == (), "those of another run"
    (tmp_path / "clip_events.csv").rename(tmp_path / "clip_events.incomplete.csv")
    assert Results.from_file(tmp_path / "clip_aus.incomplete.csv").events == (event,)
    pytest.importorskip("pyarrow")
    write(ParquetSink(tmp_path / "clip_aus.parquet", codes), *told)
    assert Results.from_file(tmp_path / "clip_aus.parquet").events == ()
    write(EventsSink(tmp_path / "clip_events.csv"), *told)
    assert Results.from_file(tmp_path / "clip_aus.parquet").events == (event,)


def test_saving_writes_the_formats_that_are_asked_for(tmp_path, measured, codes):
    pytest.importorskip("pyarrow")
    own = Results((measured(0), measured(1)), measured(0).model, fps=25.0, codes=codes)
    files = own.save(tmp_path, timeline=False, formats=("openface", "parquet", "jsonl", "pyfeat"))
    assert {path.name for path in files} == {
        "clip_openface.csv", "clip_pyfeat.csv", "clip_aus.parquet", "clip_aus.jsonl", "clip_events.csv"
    }  # fmt: skip
    with pytest.raises(ConfigError, match="native, openface, pyfeat, parquet, jsonl; got 'excel'"):
        own.save(tmp_path, formats=("excel",))


def test_a_face_that_is_not_to_be_trusted_says_why(tmp_path, measured, codes):
    path = write(CsvSink(tmp_path / "a.csv", codes, measures=True), measured(0, reason="turned_away"), measured(1))
    first, second = csv_rows(path)
    assert (first["status"], second["status"], first["yaw_deg"], first["quality"]) == (
        "turned_away",
        "ok",
        "20.0",
        "0.2",
    )
    neutral = replace(measured(0, reason="blurred").faces[0], baseline="neutral")
    assert isinstance(neutral, FaceResult) and neutral.status == "neutral"


def test_a_table_without_measures_leaves_them_out(tmp_path, measured, codes):
    path = write(CsvSink(tmp_path / "a.csv", codes), measured(0))
    assert "yaw_deg" not in csv_rows(path)[0]


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("feat") is None, reason="py-feat is not installed; pip install py-feat")
def test_pyfeat_reads_both_with_its_own_readers(tmp_path, measured, codes):
    """In a process of its own: it brings PyTorch and XGBoost."""
    results = [measured(index, faces=1 + index % 2) for index in range(6)] + [measured(6, faces=0)]
    ours, openface = tmp_path / "clip_pyfeat.csv", tmp_path / "clip_openface.csv"
    write(PyFeatSink(ours, codes), *results)
    write(OpenFaceSink(openface), *results)
    code = f"""
from feat.utils.io import read_feat, read_openface
fex = read_feat({str(ours)!r})
assert fex.shape[0] == 10 and fex.landmarks.shape == (10, 136) and fex.emotions.isna().all().all()
assert abs(fex.aus["AU12"].iloc[0] - {results[0].faces[0]["AU12"].probability}) < 1e-6
assert abs(fex.poses["Yaw"].iloc[0] + 0.349066) < 1e-5 and fex.faceboxes["FaceRectWidth"].iloc[0] == 50
assert list(fex.identities.dropna().unique()) == ["Person_0", "Person_1"] and fex.inputs.iloc[0] == "clip.mp4"
fex = read_openface({str(openface)!r})
assert fex.aus.shape == (10, 35) and fex.poses["pose_Ry"].notna().sum() == 9 and fex.landmarks.shape == (10, 136)
"""
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
