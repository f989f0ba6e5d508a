"""benchmarks/speed/detect.py on a small model and the bundled video."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks.speed.detect import app, detect, scores
from commands import Command
from mdhr_sdk import AUDetector
from mdhr_sdk.errors import InputError


@pytest.mark.slow
def test_a_video_is_read_and_judged(tiny_onnx_folder: Path, demo_path: Path, tmp_path: Path, capsys) -> None:
    out = tmp_path / "detect.json"
    detect(str(tiny_onnx_folder), demo_path, ["onnxruntime"], ["fp32"], "clip", threads=1, rounds=1, json=out)
    (found,) = json.loads(out.read_text())["rows"]
    assert (found["backend"], found["precision"]) == ("onnxruntime", "fp32")
    assert (found["decisions_kept"], found["score_difference"]) == (1.0, 0.0)
    assert 1e3 / found["frames_per_s"] >= 0.9 * max(found["stages_ms"]) > 0  # they go on side by side
    assert "onnxruntime" in capsys.readouterr().out


def test_scores_are_of_all_faces_in_the_detectors_order(tiny_onnx_folder: Path, demo_path: Path) -> None:
    with AUDetector.from_pretrained(tiny_onnx_folder, "onnxruntime") as detector:
        results = detector.predict(demo_path)
    probabilities, occurrences = scores(list(results.frames))
    columns = [f"{code}_probability" for code in detector.codes]
    expected = results.to_dataframe()[columns].dropna().to_numpy(float)
    np.testing.assert_allclose(probabilities, expected, atol=1e-6)
    np.testing.assert_array_equal(occurrences, expected >= 0.5)


def test_bad_input_is_an_error_that_says_why(tiny_onnx_folder: Path, demo_path: Path, command: Command) -> None:
    for words in (("--mode", "video"), ("--json", "no-such-folder/x.json"), ("--threads", 0)):
        code, _, err = command(app, tiny_onnx_folder, demo_path, *words)
        assert code == 2 and err.startswith("error: ") and err.count("\n") == 1 and words[0].strip("-") in err
    with pytest.raises(InputError, match="no face was found"):
        scores([])
