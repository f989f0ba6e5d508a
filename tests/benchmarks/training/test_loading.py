"""The benchmark of loading: what it measures and what it refuses."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from benchmarks.training import loading
from commands import Command


@pytest.mark.slow
def test_every_loader_is_a_row(command: Command, tmp_path: Path) -> None:
    code, out, _ = command(
        loading.app, "--videos", 8, "--workers", 0, "--rounds", 1, "--json", tmp_path / "loading.json"
    )
    assert code == 0 and "CPU ms/frame" in re.sub(r"\s+", " ", out)
    content = json.loads((tmp_path / "loading.json").read_text())
    rows = content["rows"]
    assert [(row["pictures"], row["kind"]) for row in rows] == [
        (pictures, kind) for pictures in ("JPEG", "PNG") for kind in ("train", "train, bytes", "test")
    ]
    assert all(row["workers"] == 0 and len(row["frames_s"]) == 1 and row["frames_s"][0] > 0 for row in rows)
    assert content["machine"]["cores"] >= 1


@pytest.mark.parametrize("words", [("--videos", 9), ("--videos", 0), ("--rounds", 0), ("--workers", -1)])
def test_wrong_options_are_one_line(command: Command, words: tuple[object, ...]) -> None:
    code, out, err = command(loading.app, *words)
    assert (code, out) == (2, "") and "multiple of 8" in err
