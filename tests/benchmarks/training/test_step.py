"""The benchmark of a training step, small."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from benchmarks.training import step
from commands import Command
from mdhr_sdk.training.fit.settings import read_settings

TINY = (
    "model.backbone=test_resnet", "model.input_size_px=64", "model.au_width=16", "model.projection_width=16",
    "data.dataset=disfa", "data.clip_length=4", "data.workers=1", "trainer.batch_size=2", "start.pretrained=false",
    "trainer.accelerator=cpu",
)  # fmt: skip


@pytest.mark.slow
def test_every_row_has_a_time_for_every_counted_step() -> None:
    rows = {name: read_settings(None, (*TINY, *step.ROWS[name])) for name in (step.RELEASED, "paper")}
    found = step.measure(rows, steps=2, warm_up=1, rounds=1)
    assert [row.name for row in found] == [step.RELEASED, "paper"]
    assert all(len(row.memory_s) == len(row.files_s) == 2 and min(row.memory_s + row.files_s) > 0 for row in found)
    assert all(2**26 < row.peak_bytes < 2**34 for row in found)
    assert step.speed_table(found, frames=8).row_count == 2


def test_the_command_says_what_was_measured(command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    speed = step.Speed("paper", (2.0, 1.0, 3.0), (4.0, 4.0, 4.0), 3 * 2**29)
    monkeypatch.setattr(step, "measure", lambda rows, *_: [speed])
    code, out, err = command(step.app, "--only", "paper", "--batch-size", 2, "--json", tmp_path / "step.json")
    words = re.sub(r"\s+", " ", out)
    assert (code, err) == (0, "") and "2 clips of 16 frames" in words
    assert "16.0" in words and "8.0" in words and "50 % │ 1.50" in words  # 32 frames in 2 s, fed in 4 s
    content = json.loads((tmp_path / "step.json").read_text())
    assert content["frames_a_step"] == 32 and content["rows"][0]["memory_s"] == [2.0, 1.0, 3.0]


def test_an_unknown_row_is_one_line(command: Command) -> None:
    code, out, err = command(step.app, "--only", "fast")
    assert (code, out) == (2, "") and "no row 'fast'" in err and "paper" in err


def test_too_few_steps_would_only_measure_what_was_loaded_before(command: Command) -> None:
    code, out, err = command(step.app, "--steps", 3, "--workers", 2)
    assert (code, out) == (2, "") and "take at least 4" in err
