"""benchmarks/live/serving.py: every row is measured, with clients that get what is served."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks.live.serving import FPS, app
from commands import Command


@pytest.mark.slow
def test_a_row_for_each_kind_of_client(tmp_path: Path, command: Command) -> None:
    path = tmp_path / "costs.json"
    code, out, error = command(app, "--many", 3, "--seconds", 1, "--json", path)
    assert code == 0, error
    costs = json.loads(path.read_text())["costs"]
    assert [one["name"] for one in costs] == ["no page", "nobody looks on", "one page", "3"] and "CPU ms a frame" in out
    assert all(one["frames"] == FPS and one["dropped"] == 0 and one["cpu_ms"] > 0 for one in costs)
    assert costs[0]["received"] == costs[1]["received"] == 0 and min(one["received"] for one in costs[2:]) > FPS
