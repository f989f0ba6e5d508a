"""Folders changed at random: a seeded sample, for half a minute. An hour of it: tests/hostile/fuzz_folders.py."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import mdhr_sdk

SCRIPT = Path(__file__).parents[1] / "hostile" / "fuzz_folders.py"


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="needs fork and /proc")
def test_no_folder_does_harm(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(Path(mdhr_sdk.__file__).parents[1])}
    command = [sys.executable, str(SCRIPT), "--cases", "100", "--seed", "23"]
    told = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert told.returncode == 0, told.stdout + told.stderr[-2000:]
    assert "100 cases of seed 23" in told.stdout
