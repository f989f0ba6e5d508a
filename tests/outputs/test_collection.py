"""Results: a sequence, a table, a plot."""

from __future__ import annotations

import dataclasses
from datetime import datetime, timezone

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mdhr_sdk.errors import InputError, OutputError
from mdhr_sdk.outputs import Results


@pytest.fixture
def results(frames, codes) -> Results:
    return Results(frames, frames[0].model, fps=25, codes=codes, timings_s={"read": 0.5})


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(part=st.slices(60))
def test_it_is_the_sequence_of_its_frames(results, frames, part):
    assert list(results[part]) == frames[part]
    assert isinstance(results[part], Results) and results[part].codes == results.codes
    assert len(results) == 60 and results[-1] is frames[-1] and frames[7] in results


def test_a_frame_that_is_not_there_is_said(results):
    with pytest.raises(IndexError, match=f"no place 1000 in results of {len(results)} frames"):
        results[1000]


def test_it_cannot_be_changed_and_timings_belong_to_the_whole_run(results):
    with pytest.raises(dataclasses.FrozenInstanceError):
        results.fps = 30
    assert isinstance(results.frames, tuple)
    assert (results.timings_s, results[:5].timings_s) == ({"read": 0.5}, {})


def test_sources_and_tracks(frame, codes):
    frames = [frame(0, 2, "a.mp4"), frame(0, 0, "b.mp4"), frame(1, 1, "a.mp4")]
    results = Results(frames, frames[0].model, fps=25, codes=codes)
    assert results.sources == ("a.mp4", "b.mp4")
    assert results.for_source("a.mp4").tracks == (0, 1)
    assert results.for_source("b.mp4").tracks == results[:0].tracks == ()
    with pytest.raises(InputError, match=r"have 2; select one with results\.for_source"):
        _ = results.tracks
    assert list(results.for_source("a.mp4")) == [frames[0], frames[2]]
    with pytest.raises(InputError, match=r"choose one of: 'a.mp4', 'b.mp4'"):
        results.for_source("c.mp4")


def test_repr_is_one_line_that_names_the_model(frame, codes):
    frames = [frame(index, 2, trained=False) for index in range(3)]
    results = Results(frames, frames[0].model, fps=25, codes=codes)
    assert repr(results) == "Results(3 frames, 6 faces, 'clip.mp4', bp4d resnet18 (untrained))"


def test_dataframe_values_and_types(results, frames):
    table = results.to_dataframe()
    assert len(table) == 60
    assert table.attrs["model"] == "bp4d resnet18"
    assert (table["status"] == "no_face").sum() == 10
    assert table["track_id"].dtype == "Int64" and table["track_id"].isna().sum() == 10
    assert table["AU12_probability"].dtype == "float64" and table["AU12_occurrence"].dtype == "Int64"
    assert table["AU12_probability"][0] == pytest.approx(frames[0].faces[0]["AU12"].probability, abs=1e-6)


def test_a_dataframe_carries_tiers_and_what_the_model_was_trained_on(rated, results, codes):
    table = Results([rated(0)], rated(0).model, fps=25, codes=codes).to_dataframe()
    assert table.attrs["model"] == "bp4d resnet18 (trained on synthetic faces only)"
    assert table.attrs["reliability"]["AU12"] == "A" and list(table.attrs["reliability"]) == list(codes)
    assert table["model"][0].startswith(
        "demo: bp4d resnet18 (trained on synthetic faces only; reliability A: AU01 AU02 "
    )
    assert list(table.columns) == list(results.to_dataframe().columns)
    assert set(results.to_dataframe().attrs["reliability"].values()) == {""}


def test_a_csv_file_holds_the_dataframe_whose_columns_do_not_depend_on_faces(tmp_path, results, frame, codes):
    path = results.to_csv(tmp_path / "out" / "scores.csv")
    assert path == tmp_path / "out" / "scores.csv"
    whole, read = results.to_dataframe(), pd.read_csv(path)
    numbers = whole.select_dtypes("number").astype("float64")
    np.testing.assert_allclose(read[numbers.columns].astype("float64"), numbers)
    for frames in ([], [frame(0, faces=0)]):
        table = Results(frames, results.model, fps=25, codes=codes).to_dataframe()
        assert list(table.columns) == list(whole.columns) == list(read.columns) and len(table) == len(frames)
        assert (table.dtypes == whole.dtypes)[["frame", "timestamp_s"]].all()


def test_codes_of_another_model_are_refused(frames):
    with pytest.raises(InputError, match="AU05"):
        Results(frames, frames[0].model, fps=25, codes=("AU05",)).to_dataframe()


def test_nothing_to_write_is_an_error(tmp_path, results):
    for write in (lambda: results[:0].to_csv(tmp_path / "scores.csv"), results[:0].plot):
        with pytest.raises(InputError, match="at least one frame"):
            write()


@pytest.mark.parametrize(("suffix", "magic"), [(".png", b"\x89PNG"), (".pdf", b"%PDF"), (".svg", b"<?xml")])
def test_plot_is_saved_whole(tmp_path, results, suffix, magic):
    path = tmp_path / "new" / f"plot{suffix}"
    figure = results.plot(path)
    assert path.read_bytes().startswith(magic)
    assert [file.name for file in path.parent.iterdir()] == [path.name]
    (axes,) = figure.axes
    assert len(axes.containers[0]) == 12


def test_plot_that_cannot_be_saved(tmp_path, results):
    with pytest.raises(OutputError, match="change the suffix"):
        results.plot(tmp_path / "plot.doc")
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OutputError, match="cannot be written"):
        results.plot(tmp_path / "file" / "plot.png")


def test_a_table_made_of_blocks_is_the_table(tmp_path, frames, codes, monkeypatch):
    """Of files and of live sources, whose columns are empty in the other's rows."""
    at = datetime(2026, 11, 30, tzinfo=timezone.utc)
    live = [dataclasses.replace(one, source="camera 0", captured_at=at, dropped=2) for one in frames]
    results = Results([*frames, *live], frames[0].model, fps=25.0, codes=codes)
    path = Results(live, frames[0].model, fps=25, codes=codes).to_csv(tmp_path / "a.csv")
    whole, back = results.to_dataframe(), Results.from_file(path)
    monkeypatch.setattr("mdhr_sdk.outputs.collection.BLOCK", 7)
    monkeypatch.setattr("mdhr_sdk.outputs.tables.reading.BLOCK", 7)
    pd.testing.assert_frame_equal(results.to_dataframe(), whole)
    assert whole.attrs == results.to_dataframe().attrs and whole["dropped"].sum() == 2 * len(live)
    again = Results.from_file(tmp_path / "a.csv")
    pd.testing.assert_frame_equal(again.to_dataframe(), back.to_dataframe())
