"""Events and smoothing from sources to results, with a face finder and a model whose numbers are known."""

from __future__ import annotations

import pickle
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from fake_streams import camera, streaming
from fakes import CODES, CONFIG, INFO, PATTERN, FakeSession, expected, video
from mdhr_sdk import AUDetector, AUEvent, ConfigError, CsvSink, EventRule, EventsSink
from mdhr_sdk.cli.scoring import detect
from mdhr_sdk.outputs.files import Files
from mdhr_sdk.vision import list_sources

FPS = 10
RULE = EventRule(low=0.5, shortest_s=0.0, gap_s=0.15)  # none of a face that misses a frame


def events_of(pattern: list[set[int]]) -> set[tuple[int, str, int, int]]:
    return cut_out(expected(pattern, memory=FPS))


def cut_out(frames: list[dict[int, Any]]) -> set[tuple[int, str, int, int]]:
    """(track, AU, onset, offset) of each event, from the scores of the whole: runs of a face that stay above 0.25."""
    wanted = set()
    for track in {track for faces in frames for track in faces}:
        for place, code in enumerate(CODES):
            run: list[int] = []
            for index in range(len(frames) + 1):
                p = float(frames[index][track][place]) if index < len(frames) and track in frames[index] else 0.0
                if p >= 0.25:
                    run.append(index)
                    continue
                if occurs := [one for one in run if frames[one][track][place] >= 0.5]:
                    wanted.add((track, code, occurs[0], occurs[-1]))
                run = []
    return wanted


def told(events: tuple[AUEvent, ...]) -> set[tuple[int, str, int, int]]:
    return {(one.track_id, one.au, one.onset_frame, one.offset_frame) for one in events}


@pytest.fixture
def detector(session: FakeSession, meshers: list, no_cuts: None) -> AUDetector:
    return AUDetector(replace(CONFIG, events=RULE), session, INFO)


def test_results_and_streams_have_the_events_of_the_scores(detector: AUDetector, tmp_path: Path) -> None:
    results = detector.predict(video(PATTERN), fps=FPS)
    assert told(results.events) == events_of(PATTERN) and len(told(results.events)) == len(results.events) > 20
    assert pickle.loads(pickle.dumps(results)).events == results.events
    with EventsSink(tmp_path / "stream.csv") as sink:
        for frame in detector.predict(video(PATTERN), stream=True, fps=FPS):
            sink.write(frame)
            assert all(one.offset_frame < frame.index for one in frame.events)
    whole = results.events_to_csv(tmp_path / "whole.csv").read_text()
    assert (tmp_path / "stream.csv").read_text() == whole and whole.count("\n") == len(results.events) + 1


@pytest.mark.parametrize("last", [4, 7, 12])
def test_a_stream_that_is_left_tells_what_was_open(detector: AUDetector, tmp_path: Path, last: int) -> None:
    with EventsSink(tmp_path / "left.csv") as sink:
        for frame in detector.predict(video(PATTERN), stream=True, fps=FPS):
            sink.write(frame)
            if frame.index == last:
                break
    rows = pd.read_csv(tmp_path / "left.csv")
    seen = detector.predict(video(PATTERN), fps=FPS)[: last + 1]
    scores = [{face.track_id: [face[c].probability for c in CODES] for face in one.faces} for one in seen]
    assert set(zip(rows.track_id, rows.au, rows.onset_frame, rows.offset_frame, strict=True)) == cut_out(scores)


def test_each_source_has_its_own(detector: AUDetector) -> None:
    both = detector.predict([video(PATTERN), video(PATTERN[::-1])], fps=FPS)
    for name, pattern in zip(both.sources, (PATTERN, PATTERN[::-1]), strict=True):
        assert told(both.for_source(name).events) == events_of(pattern)
        assert {one.source for one in both.for_source(name).events} == {name}


def test_the_neutral_seconds_have_no_events(detector: AUDetector) -> None:
    results = detector.predict(video(PATTERN), fps=FPS, calibrate_neutral_s=0.5)
    assert results.events and min(one.onset_frame for one in results.events) == 5
    assert all(one.onset_cut == (one.onset_frame == 5) for one in results.events if one.track_id == 0)


def test_detect_writes_them_also_of_what_broke_off(monkeypatch: pytest.MonkeyPatch, meshers: list, tmp_path: Path):
    monkeypatch.setattr("mdhr_sdk.pipeline.crops.CutDetector.is_cut", lambda *_: False)
    sources = [camera(video([{0}] * 9), "a"), camera(video([{0}] * 5), "b", breaks=True)]
    detect.run_detect(streaming(), sources, tmp_path, Files(overlay=False, timeline=False), policy="complete")
    names = {"a_aus.csv", "a_events.csv", "b_aus.incomplete.csv", "b_events.incomplete.csv"}
    assert {path.name for path in tmp_path.iterdir()} == names


def test_smoothed_scores_are_told_and_decided_on(session: FakeSession, detector: AUDetector) -> None:
    plain = detector.predict(video(PATTERN), fps=FPS)
    smooth = AUDetector(CONFIG, FakeSession(), INFO, smoothing=0.5).predict(video(PATTERN), fps=FPS)
    rows = [np.array([[face[c].probability for c in CODES] for face in r[1].faces]) for r in (plain, smooth)]
    assert (np.abs(rows[0] - rows[1]) > 0).any() and plain[0].faces[0].aus == smooth[0].faces[0].aus
    assert all(s.occurrence == (s.probability >= 0.5) for frame in smooth for face in frame.faces
               for s in face.aus.values())  # fmt: skip
    assert smooth.model.tag == "disfa none (smoothed from 0.5 Hz)" and "smoothed" not in plain.model.details
    assert all("smoothed from 0.5 Hz" in str(row["model"]) for frame in smooth for row in frame.rows())
    with pytest.raises(ConfigError, match="cutoff in Hz"):
        AUDetector(CONFIG, session, INFO, smoothing=0)


def test_the_table_is_as_it_was_without_events(detector: AUDetector, tmp_path: Path) -> None:
    """Columns and bytes of the main table do not change with the rule, nor with what is found."""
    texts = []
    for rule in (RULE, EventRule(), EventRule(shortest_s=60)):
        results = AUDetector(replace(CONFIG, events=rule), FakeSession(), INFO).predict(video(PATTERN), fps=FPS)
        with CsvSink(tmp_path / "table.csv", CODES) as sink:
            for frame in results:
                sink.write(replace(frame, events=()) if rule is RULE else frame)
        texts.append((tmp_path / "table.csv").read_bytes())
    assert len(set(texts)) == 1 and b"event" not in texts[0]


def test_a_still_has_no_file_of_events(detector: AUDetector, tmp_path: Path) -> None:
    detect.run_detect(detector, list_sources(video([{0}])[0]), tmp_path, Files(overlay=False, timeline=False))
    assert {path.name for path in tmp_path.iterdir()} == {"array_aus.csv"}
