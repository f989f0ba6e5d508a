"""Events of results: which there are, and the file of them."""

from __future__ import annotations

import pickle
from dataclasses import asdict, replace

import pandas as pd
import pytest

from mdhr_sdk.errors import InputError, SourceError
from mdhr_sdk.outputs import EventsSink, Results
from mdhr_sdk.results import AUEvent, Ending


def event(first: int, last: int, source: str = "clip.mp4", **more) -> AUEvent:
    apex = (first + last) // 2
    return AUEvent(source, 0, "AU12", first, apex, last, first / 25, apex / 25, last / 25, 0.8765432198765, **more)


@pytest.fixture
def results(frame, codes) -> Results:
    """Two sources: events that end in frames 4 and 8 of each, and one that is open at its end."""
    frames = []
    for name in ("a.mp4", "b.mp4"):
        ending = Ending(events=(event(6, 9, name, offset_cut=True),))
        told = {4: (event(0, 2, name, onset_cut=True),), 8: (event(1, 3, name), event(4, 7, name))}
        frames += [replace(frame(at, source=name), events=told.get(at, ()), ending=ending) for at in range(10)]
    return Results(frames, frames[0].model, fps=25, codes=codes)


def places(results: Results) -> list[tuple[str, int, int]]:
    return [(one.source, one.onset_frame, one.offset_frame) for one in results.events]


def test_events_come_in_the_order_in_which_they_were_known_and_open_ones_last(results: Results):
    ended = [(name, *ends) for name in ("a.mp4", "b.mp4") for ends in ((0, 2), (1, 3), (4, 7))]
    assert places(results) == [*ended, ("a.mp4", 6, 9), ("b.mp4", 6, 9)]
    assert places(results.for_source("b.mp4")) == [*ended[3:], ("b.mp4", 6, 9)]
    assert places(results[:9]) == ended[:3] and places(results[9:10]) == [("a.mp4", 6, 9)]
    assert pickle.loads(pickle.dumps(results)).events == results.events


def test_the_file_has_a_row_an_event(results: Results, tmp_path):
    table = pd.read_csv(results.events_to_csv(tmp_path / "events.csv"))
    told = set(asdict(event(0, 1))) - {"peak_intensity"}  # which this model does not tell
    assert set(table.columns[:-1]) == told and table.columns[-1] == "model"
    for row, one in zip(table.itertuples(index=False), results.events, strict=True):
        assert row.model == results.model.details
        wanted = {name: value for name, value in asdict(one).items() if name in told} | {"peak_probability": 0.876543}
        assert {name: getattr(row, name) for name in wanted} == wanted


def test_without_events_there_is_a_header_and_without_frames_no_file(frame, codes, tmp_path):
    plain = Results([frame(0)], frame(0).model, fps=25, codes=codes)
    assert plain.events == () and pd.read_csv(plain.events_to_csv(tmp_path / "none.csv")).empty
    with pytest.raises(InputError, match="at least one frame"):
        plain[:0].events_to_csv(tmp_path / "new.csv")


def test_events_of_a_source_that_broke_off_are_a_file_that_says_so(frame, tmp_path):
    """The ones that were open are told after the last frame."""
    last = frame(5)
    with EventsSink(tmp_path / "events.csv") as sink:
        sink.write(last)
        last.ending.broken_off, last.ending.events = True, (event(3, 5),)
    assert sink.final_path == tmp_path / "events.incomplete.csv" and len(pd.read_csv(sink.final_path)) == 1


def test_saved_files_hold_each_sources_own_events(results: Results, tmp_path):
    results = replace(results, errors=(("b.mp4", SourceError("b.mp4 ended early")),))
    saved = {path.name: path for path in results.save(tmp_path, timeline=False)}
    assert set(pd.read_csv(saved["a_events.csv"]).source) == {"a.mp4"}
    assert set(pd.read_csv(saved["b_events.incomplete.csv"]).source) == {"b.mp4"}
