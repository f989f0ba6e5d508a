"""benchmarks/speed/streaming.py on a small model: real workers, real figures."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks.speed.candidates import BASELINE, Candidate
from benchmarks.speed.streaming import row, streaming


@pytest.mark.slow
def test_a_step_is_measured_beside_its_window(tiny_onnx_folder: Path, tmp_path: Path, capsys) -> None:
    out = tmp_path / "streaming.json"
    streaming(tiny_onnx_folder, ["onnxruntime"], ["fp32"], 1, faces=2, threads=1, rounds=1, seconds=0, json=out)
    content = json.loads(out.read_text())
    (found,) = content["rows"]
    assert (found["backend"], found["precision"]) == ("onnxruntime", "fp32")
    assert (content["lookahead"], content["faces"]) == (1, 2)
    assert found["encoder_ms"] > 0 and 0 < found["step_ms"] < 1e4 and found["stream_mb"] > 0
    assert "onnxruntime" in capsys.readouterr().out


def test_ratios_are_of_one_face_and_of_the_same_round() -> None:
    one = Candidate("onnxruntime")
    turns = {
        (BASELINE, "clip"): [[100.0], [200.0]],
        (one, "clip"): [[50.0], [100.0]],
        (one, "stream"): [[10.0, 10.0], [20.0]],
        (one, "encoder"): [[8.0], [8.0]],
    }
    found = row(one, {(one, "stream"): {"stream_bytes": 2_000_000}}, turns, faces=2)
    assert (found.x_released, found.x_clip, found.step_ms, found.stream_mb) == (20.0, 10.0, 10.0, 2.0)
    assert found.after_share == pytest.approx(0.2)
