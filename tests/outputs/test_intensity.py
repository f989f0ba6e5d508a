"""Intensities in everything that is written: filled where an AU has one, empty or absent where not."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from mdhr_sdk import summary
from mdhr_sdk.outputs import CsvSink, EventsSink, JsonlSink, OpenFaceSink, ParquetSink, Results, as_json, draw_timeline
from mdhr_sdk.outputs.live.tables import LiveTables
from mdhr_sdk.outputs.pictures.timeline import PITCH
from mdhr_sdk.outputs.report.page import render_page, summarise
from mdhr_sdk.outputs.serve.board import Board
from mdhr_sdk.results import AUEvent, Ending, FrameResult
from tables import csv_rows

STRONG = ("AU06", "AU12", "AU24")  # AU24 has no column in OpenFace
EVENTS = (
    AUEvent("clip.mp4", 0, "AU12", 3, 4, 8, 0.12, 0.16, 0.32, 0.91, peak_intensity=3.25),
    AUEvent("clip.mp4", 0, "AU01", 3, 4, 8, 0.12, 0.16, 0.32, 0.8),
)


def strength(index: int, code: str) -> float:
    return round(2.5 + 2.5 * np.sin(0.2 * index + STRONG.index(code)), 3)


@pytest.fixture
def strong(frames) -> list[FrameResult]:
    """The 60 frames, of a model that tells the intensities of three AUs; the last ends two events."""
    model, told = replace(frames[0].model, intensities=STRONG), []
    for frame in frames:
        faces = []
        for face in frame.faces:
            own = {code: replace(face.aus[code], intensity=strength(frame.index, code)) for code in STRONG}
            faces.append(replace(face, aus={**face.aus, **own}))
        told.append(replace(frame, faces=tuple(faces), model=model, ending=Ending()))
    return [*told[:-1], replace(told[-1], events=EVENTS)]


@pytest.fixture
def results(strong, codes) -> Results:
    return Results(tuple(strong), strong[0].model, fps=25.0, codes=codes)


def write(sink, frames) -> Path:
    with sink:
        for frame in frames:
            sink.write(frame)
    return sink.path


def test_the_table_has_a_column_for_each_beside_its_au(tmp_path, strong, frames, codes):
    rows = csv_rows(write(CsvSink(tmp_path / "a.csv", codes), strong))
    names = list(rows[0])
    assert [name for name in names if name.endswith("_intensity")] == [f"{code}_intensity" for code in STRONG]
    assert names.index("AU12_intensity") == names.index("AU12_occurrence") + 1
    for frame, row in zip(strong, rows, strict=True):
        wanted = str(frame.faces[0]["AU12"].intensity) if frame.faces else ""
        assert row["AU12_intensity"] == wanted
    assert "AU12_intensity" not in csv_rows(write(CsvSink(tmp_path / "b.csv", codes), frames))[0], (
        "as without intensities"
    )
    mixed = csv_rows(write(CsvSink(tmp_path / "c.csv", codes), [*frames[:2], strong[2]]))
    assert "AU12_intensity" not in mixed[0] and mixed[2]["AU12_probability"], "the first frame's model decides"


@pytest.mark.parametrize("kind", ["csv", "parquet", "jsonl"])
def test_tables_come_back_with_them_and_their_events(tmp_path, strong, results, codes, kind):
    if kind == "parquet":
        pytest.importorskip("pyarrow")
    sinks = {
        "csv": lambda path: CsvSink(path, codes),
        "parquet": lambda path: ParquetSink(path, codes),
        "jsonl": JsonlSink,
    }
    path = write(sinks[kind](tmp_path / f"clip_aus.{kind}"), strong)
    if kind != "jsonl":
        write(EventsSink(tmp_path / "clip_events.csv"), strong)
    back = Results.from_file(path)
    assert back.model.intensities == STRONG and set(back.events) == set(EVENTS)
    pd.testing.assert_frame_equal(
        back.to_dataframe().drop(columns="model"), results.to_dataframe().drop(columns="model"), check_exact=False
    )
    assert back.frames[5].faces[0]["AU12"].intensity == pytest.approx(strength(5, "AU12"))
    assert back.frames[5].faces[0]["AU01"].intensity is None
    if kind == "parquet":
        schema = pytest.importorskip("pyarrow.parquet").read_schema(path)
        assert schema.field("AU12_intensity").metadata == {b"unit": b"0 to 5"} and "AU01_intensity" not in schema.names


def test_tables_of_events_without_intensities_are_read_as_before(tmp_path, frames):
    told = [replace(frames[0], events=(EVENTS[1],)), *frames[1:]]
    path = write(EventsSink(tmp_path / "clip_events.csv"), told)
    assert "peak_intensity" not in csv_rows(path)[0]
    write(CsvSink(tmp_path / "clip_aus.csv", tuple(frames[0].faces[0].aus)), told)
    assert Results.from_file(tmp_path / "clip_aus.csv").events == (EVENTS[1],)


def test_live_tables_have_the_columns_from_the_beginning(tmp_path, strong, codes):
    with LiveTables(tmp_path / "door", codes, intensities=STRONG) as sink:
        for frame in strong:
            sink.write(frame)
    rows, events = csv_rows(tmp_path / "door_aus.csv"), csv_rows(tmp_path / "door_events.csv")
    assert float(rows[7]["AU06_intensity"]) == strength(7, "AU06") and "AU01_intensity" not in rows[0]
    assert [row["peak_intensity"] for row in events] == ["3.25", ""]


def test_openface_gets_those_that_it_has_columns_for(tmp_path, strong, frames):
    rows = csv_rows(write(OpenFaceSink(tmp_path / "a.csv"), strong))
    row, away = rows[5], rows[25]
    assert (away["success"], away["AU12_r"], away["AU01_r"]) == ("0", "0", "")
    assert float(row["AU12_r"]) == pytest.approx(strength(5, "AU12"), abs=0.006)
    assert row["AU01_r"] == "" and row["AU01_c"] != "" and "AU24_r" not in row
    assert csv_rows(write(OpenFaceSink(tmp_path / "b.csv"), frames))[5]["AU12_r"] == ""


def test_json_and_the_page_tell_them(strong):
    told = as_json(strong[5])["faces"][0]["aus"]
    assert told["AU12"]["intensity"] == strength(5, "AU12") and told["AU01"]["intensity"] is None
    board = Board()
    message = json.loads(board.add(strong[5]))
    assert message["faces"][0]["aus"]["AU06"]["intensity"] == strength(5, "AU06")
    ((_, moment),) = json.loads(board.hello())["history"]["clip.mp4"]
    assert moment["0"]["AU12"][2] == pytest.approx(strength(5, "AU12"), abs=0.051) and moment["0"]["AU01"][2] is None
    assert [event.get("peak_intensity") for event in as_json(strong[-1])["events"]] == [3.25, None]


def test_the_timeline_draws_them_as_a_line(strong, frames, codes):
    figure = draw_timeline(strong)
    _, line = figure.axes[0].lines
    bases = PITCH * np.arange(len(codes))[::-1]
    parts = dict(zip(codes, np.split(line.get_ydata(), len(codes)), strict=True))
    wanted = [strength(frame.index, "AU12") / 5 if frame.faces else np.nan for frame in strong]
    np.testing.assert_allclose(parts["AU12"][:-1][1::2] - bases[codes.index("AU12")], wanted, atol=1e-12)
    assert np.isnan(parts["AU01"]).all()
    assert "intensity, 0 to 5" in [text.get_text() for text in figure.subfigs[0].legends[0].get_texts()]
    assert len(draw_timeline(frames).axes[0].lines) == 1


def test_summary_and_report_have_their_means(strong, frames, results, codes):
    table = results.to_dataframe()
    means = summary.mean_intensity(table)
    own = np.mean([frame.faces[0]["AU12"].intensity for frame in strong if frame.faces])
    assert means.loc[("clip.mp4", 0), "AU12"] == pytest.approx(own, abs=1e-4) and "AU01" not in means.columns
    pytest.importorskip("jinja2")
    about = summarise(results, "clip.html", False, True)
    assert about.faces[0].intensity == pytest.approx(means.loc[("clip.mp4", 0), list(STRONG)].to_dict())
    page = render_page(results, about, Path("none.mp4"), "index.html")
    assert f"<td>{own:.1f}</td>" in page and "mean intensity" in page and 'class="intensity"' in page
    assert "<td>3.2</td>" in page or "<td>3.3</td>" in page
    plain = Results(tuple(frames), frames[0].model, fps=25.0, codes=codes)
    page = render_page(plain, summarise(plain, "clip.html", False, True), Path("none.mp4"), "index.html")
    assert "intensity" not in page.split("</style>")[1]
