"""Tables that somebody edited, cut or mistook for ours: one line says what is wrong."""

from __future__ import annotations

import math

import pandas as pd
import pytest

from mdhr_sdk.errors import InputError
from mdhr_sdk.outputs import CsvSink, JsonlSink, Results
from tables import write


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda text: text + text, "line [45] of .*frame 0 of 'clip.mp4' comes after frame 1"),
        (lambda text: text.replace('"track_id":1', '"track_id":0'), "tells of a face a second time"),
        (lambda text: text.replace('"probability":0', '"probability":7'), "7.* for the probability"),
        (lambda text: text.replace('"occurrence":', '"occurrence":null,"was":'), "None.* for the probability"),
    ],
)
def test_json_lines_that_somebody_changed_are_refused(tmp_path, frame, change, words):
    path = write(JsonlSink(tmp_path / "a.jsonl"), *(frame(index, faces=2) for index in range(2)))
    text = path.read_text()
    path.write_text("\ufeff" + text.replace("\n", "\r\n") + "\n", encoding="utf-8")  # as editors save it
    assert len(Results.from_file(path)) == 2
    path.write_text(change(text))
    with pytest.raises(InputError, match=words):
        Results.from_file(path)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.csv", b"x,y\n1,2\n", "no model is told"),
        ("a.csv", b"source;frame;model\nclip;0;edge\n", "its cells are parted by ';'"),
        ("a.csv", b"", "is no table of results"),
        ("a.csv", b"\xff\xfe\x00binary", "is no table of results"),
        ("a.csv", b"model\nedge: bp4d resnet18\n", "it lacks source"),
        ("a.jsonl", b'{"source": 1}\n', "line 1 of"),
        ("a.parquet", b"PAR1 cut off", "cannot be read"),
    ],
)
def test_what_is_no_table_of_ours_is_one_line(tmp_path, name, content, words):
    if name.endswith("parquet"):
        pytest.importorskip("pyarrow")
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=words) as error:
        Results.from_file(tmp_path / name)
    assert "\n" not in str(error.value)
    with pytest.raises(InputError, match="there is no file"):
        Results.from_file(tmp_path / "missing.csv")
    with pytest.raises(InputError, match="there is no file"):
        Results.from_file(tmp_path / f"{'long' * 99}.csv")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda table: table[::-1], "comes after a later frame: sort by frame"),
        (lambda table: table.sort_values("track_id"), "comes after a later frame"),
        (lambda table: pd.concat([table, table[-1:]]), "tells of a face a second time"),
        (lambda table: table.assign(status="splendid"), "'splendid', is a status that this version does not know"),
        (lambda table: table.assign(status="no_face"), "does not go with its track_id"),
        (lambda table: table.assign(track_id=table.track_id.where(table.frame != 1)), "does not go with its track_id"),
        (lambda table: table.assign(track_id=-3 - table.track_id), "at least 0"),
        (lambda table: table.assign(model=["other: " + one[6:] if i else one for i, one in enumerate(table.model)]),
         "rows are of several models, 'demo: .*' and 'other: "),
        (lambda table: table.replace({"model": {table.model[0]: None}}), "model"),
        (lambda table: table.assign(timestamp_s=range(len(table))), "has another time than the rows of its frame"),
        (lambda table: table.assign(AU12_intensity="high"), "0 to 5 for the intensity of AU12 .* got .* and 'high'"),
        (lambda table: table.assign(AU12_intensity=9.0), "0 to 5 for the intensity of AU12"),
        (lambda table: table.assign(x0_px=math.nan), "a finite number belongs"),
        (lambda table: table.assign(quality=7.0), "0 to 1 for the quality"),
        (lambda table: pd.concat([table, table.columns.to_frame().T]), "header again in row 9"),
        (lambda table: table[:0], "it has no row"),
    ],
)  # fmt: skip
def test_rows_that_somebody_changed_are_refused(tmp_path, frame, codes, change, words):
    path = write(CsvSink(tmp_path / "a.csv", codes), *(frame(index, faces=2) for index in range(3)), frame(3, faces=0))
    change(pd.read_csv(path, keep_default_na=False, na_values=[""])).to_csv(path, index=False)
    with pytest.raises(InputError, match=words):
        Results.from_file(path)
