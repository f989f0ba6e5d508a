"""Results as JSON: every line parses, and holds what the frame holds."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from mdhr_sdk.errors import OutputError
from mdhr_sdk.outputs import JsonlSink, as_json
from mdhr_sdk.outputs.jsonl import json_line
from mdhr_sdk.results import AUEvent, AUScore, Ending, FrameResult

EVENT = AUEvent("clip.mp4", 0, "AU12", 3, 5, 8, 0.12, 0.2, 0.32, 0.91)


def test_a_frame_is_plain_values(rated: Callable[..., FrameResult]) -> None:
    frame = replace(rated(7, faces=2), events=(EVENT,), dropped=3, delay_ms=12.34567)
    told = json.loads(json_line(as_json(frame)))
    assert (told["source"], told["frame"], told["timestamp_s"], told["dropped"]) == ("clip.mp4", 7, 0.28, 3)
    assert told["captured_at"] is None and told["delay_ms"] == 12.346 and told["status"] == "ok"
    assert [face["track_id"] for face in told["faces"]] == [0, 1]
    face = frame.faces[0]
    assert told["faces"][0]["box_px"] == list(face.box_px) and told["faces"][0]["baseline"] == "off"
    for code, score in face.aus.items():
        tier = frame.model.tiers[code]
        expected = {"probability": round(score.probability, 6), "occurrence": score.occurrence, "tier": tier}
        expected["intensity"] = None
        assert told["faces"][0]["aus"][code] == expected
    assert told["events"] == [EVENT.row()]


def test_what_json_cannot_hold_is_none_or_escaped(frame: Callable[..., FrameResult]) -> None:
    bad = frame(0)
    aus = {**bad.faces[0].aus, "AU12": AUScore("AU12", float("nan"), False)}
    bad = replace(bad, source="a\udcff\nb", faces=(replace(bad.faces[0], aus=aus),), fps=float("inf"))
    line = json_line(as_json(bad))
    told = json.loads(line)
    assert line.count(b"\n") == 1 and told["source"] == "a\udcff\nb"
    assert told["fps"] is None and told["faces"][0]["aus"]["AU12"]["probability"] is None


def test_a_file_has_a_line_a_frame_and_the_end(frame: Callable[..., FrameResult], tmp_path: Path) -> None:
    ending = Ending()
    with JsonlSink(tmp_path / "a.jsonl") as sink:
        for index in range(5):
            sink.write(replace(frame(index, faces=index % 2), ending=ending))
        ending.events = (EVENT,)
    lines = [json.loads(line) for line in (tmp_path / "a.jsonl").read_text().splitlines()]
    assert [line["frame"] for line in lines] == [0, 1, 2, 3, 4, None]
    assert [line["status"] for line in lines] == ["no_face", "ok", "no_face", "ok", "no_face", "ended"]
    assert lines[-1]["events"] == [EVENT.row()] and lines[-1].keys() == lines[0].keys()


def test_a_run_that_broke_off_is_named_so(frame: Callable[..., FrameResult], tmp_path: Path) -> None:
    ending = Ending(broken_off=True)
    with JsonlSink(tmp_path / "a.jsonl") as sink:
        sink.write(replace(frame(0), ending=ending))
    assert sink.final_path == tmp_path / "a.incomplete.jsonl"
    assert json.loads(sink.final_path.read_text().splitlines()[-1])["note"] == "broken off"
    with pytest.raises(OutputError, match="folder"):
        JsonlSink(tmp_path)
