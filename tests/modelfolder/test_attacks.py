"""Folders made with malice: what opens, extends or copies one touches nothing outside it, and says so in a line."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import mdhr_sdk
from conftest import made_once
from run_attacks import ATTACKS
from sound import make_sound

HOSTILE = Path(__file__).parents[1] / "hostile"


@pytest.fixture(scope="session")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, object]]:
    """Name -> what became of the attack. One process tries all of them, since it takes seconds to begin."""

    def make(folder: Path) -> None:
        folder.mkdir()
        make_sound(folder / "sound")
        command = [sys.executable, str(HOSTILE / "run_attacks.py"), str(folder / "sound"), "--torch"]
        environment = {**os.environ, "PYTHONPATH": str(Path(mdhr_sdk.__file__).parents[1])}
        told = subprocess.run(command, env=environment, cwd=folder, capture_output=True, text=True, check=False)
        assert told.returncode == 0, told.stderr[-2000:]
        (folder / "told.jsonl").write_text(told.stdout)

    told = made_once(tmp_path_factory, "attacks", make) / "told.jsonl"
    return {one["name"]: one for one in map(json.loads, told.read_text().splitlines())}


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="needs fork and /proc")
@pytest.mark.parametrize("name", [attack.name for attack in ATTACKS])
def test_it_does_no_harm(name: str, found: dict[str, dict[str, object]]) -> None:
    assert found[name]["wrong"] == "", found[name]
