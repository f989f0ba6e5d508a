"""CSV files hold the rows of the results, no more and no less."""

from __future__ import annotations

import csv
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mdhr_sdk.errors import InputError, no_formula
from mdhr_sdk.outputs import CsvSink, EventsSink, PyFeatSink, Results
from mdhr_sdk.results import AUEvent, FrameResult
from mdhr_sdk.vision import list_sources


def read(path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_columns_follow_the_codes(tmp_path, frame, codes):
    with CsvSink(tmp_path / "a.csv", codes) as sink:
        sink.write(frame(0, faces=0))
    header = (tmp_path / "a.csv").read_text().splitlines()[0].split(",")
    before = ["source", "frame", "timestamp_s", "status", "note", "track_id", "x0_px", "y0_px", "x1_px", "y1_px"]
    assert header[:10] == before
    assert header[10:12] == ["AU01_probability", "AU01_occurrence"]
    assert header[-3:] == ["AU24_probability", "AU24_occurrence", "model"]
    assert len(header) == 10 + 2 * len(codes) + 1


def test_rows_read_back_equal(tmp_path, frames, codes):
    with CsvSink(tmp_path / "a.csv", codes) as sink:
        for result in frames:
            sink.write(result)
    expected = [row for result in frames for row in result.rows()]
    rows = read(tmp_path / "a.csv")
    assert len(rows) == len(frames)
    for got, want in zip(rows, expected, strict=True):
        assert got == {**dict.fromkeys(got, ""), **{key: str(value) for key, value in want.items()}}


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(source=st.text(min_size=1, max_size=20), scores=st.lists(st.floats(0, 1), min_size=12, max_size=12))
def test_any_name_and_score_survives(tmp_path, face, frame, codes, source, scores):
    model = frame(0).model
    result = FrameResult(source, 0, 0.0, (face(0, np.array(scores)),), model)
    with CsvSink(tmp_path / "a.csv", codes) as sink:
        sink.write(result)
    (row,) = read(tmp_path / "a.csv")
    if not any(0xD800 <= ord(letter) < 0xE000 for letter in source):
        assert row["source"] == no_formula(source)
    assert [float(row[f"{code}_probability"]) for code in codes] == pytest.approx(scores, abs=1e-6)
    assert [row[f"{code}_occurrence"] == "1" for code in codes] == [score >= 0.5 for score in scores]


FORMULAS = ("=1+1.mp4", "+a.mp4", "-a.mp4", "@SUM(A1).mp4", "\t=a.mp4", "\n=a.mp4", " =a.mp4", "\uff1da.mp4")


@pytest.mark.parametrize("name", FORMULAS)
def test_no_name_begins_a_cell_as_a_formula(tmp_path, frame, codes, monkeypatch, name):
    (tmp_path / name).write_bytes(b"no video")
    monkeypatch.chdir(tmp_path)
    (source,) = list_sources(name)
    assert source.name == f"./{name}" and (tmp_path / source.name).is_file()
    event = AUEvent(source.name, 0, "AU12", 0, 0, 0, 0.0, 0.0, 0.0, 0.9)
    own = replace(frame(0, source=source.name), events=(event,))
    made = replace(own, source=name, events=(replace(event, source=name),))  # by somebody's own program
    for number, result in enumerate((own, made)):
        files = [tmp_path / f"{number}{end}" for end in ("_aus.csv", "_events.csv", "_pyfeat.csv")]
        for sink in (CsvSink(files[0], codes), EventsSink(files[1]), PyFeatSink(files[2], codes)):
            with sink:
                sink.write(result)
        assert [read(file)[0]["input" if "feat" in file.name else "source"] for file in files] == [source.name] * 3
        back = Results.from_file(files[0])
        assert back.sources == (source.name,) and [one.source for one in back.events] == [source.name]
        assert len(back.for_source(name)) == 1, "the name as it was typed"


@pytest.mark.parametrize(
    "name", ["a-b.mp4", "1=2.mp4", "./-a.mp4", "/x/=a.mp4", "NA", "nan", "a\nb.mp4", 'a",b;c\r.mp4']
)
def test_other_names_stay_and_read_back_exactly(tmp_path, frame, codes, name):
    assert no_formula(name) == name
    with CsvSink(tmp_path / "a_aus.csv", codes) as sink:
        sink.write(frame(0, source=name))
    assert Results.from_file(tmp_path / "a_aus.csv").sources == (name,)


def test_a_file_name_that_is_not_utf8_is_written_escaped(tmp_path, frame, codes):
    with CsvSink(tmp_path / "a.csv", codes) as sink:
        sink.write(frame(0, source="caf\udce9.mp4"))
    assert read(tmp_path / "a.csv")[0]["source"] == "caf\\udce9.mp4"


def test_a_result_of_another_model_is_refused(tmp_path, frame):
    with pytest.raises(InputError, match="its model's codes"), CsvSink(tmp_path / "a.csv", ("AU01", "AU05")) as sink:
        sink.write(frame(0))
