"""The README as a newcomer reads it: every snippet, in order, in a fresh folder."""

from __future__ import annotations

import itertools
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from fakes import write_video
from mdhr_sdk.vision import list_sources

ROOT = Path(__file__).resolve().parents[1]
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)


def commands() -> list[list[str]]:
    """Every shell command of the README, comments dropped."""
    lines = (line for language, text in BLOCKS if language == "bash" for line in text.splitlines())
    return [shlex.split(line, comments=True) for line in lines if line.strip()]


def test_make_targets_exist() -> None:
    targets = set(re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    named = {words[1] for words in commands() if words[0] == "make"}
    assert named == {"demo", "test"} <= targets


def test_pictures_and_extras_exist() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    for path in re.findall(r"!\[.*?\]\((.*?)\)", readme, re.DOTALL):
        assert (ROOT / path).is_file()
    declared = set(re.findall(r"^(\w+) = \[", (ROOT / "pyproject.toml").read_text(encoding="utf-8"), re.MULTILINE))
    used = {extra for words in commands() if words[0] == "pip" for extra in re.findall(r"\[(\w+)\]", " ".join(words))}
    assert used and used <= declared


def test_the_snippet_of_the_graphs_runs(tmp_path: Path) -> None:
    text = (ROOT / "docs" / "graphs.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"^```python\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0 and done.stdout.startswith("(1, 2, 4, 6"), done.stderr


@pytest.mark.slow
def test_every_snippet_runs_in_order(tmp_path: Path, demo_path: Path) -> None:
    assets = tmp_path / "mdhr_sdk" / "assets"
    assets.mkdir(parents=True)
    (source,) = list_sources(demo_path)
    with source:  # seven windows: the snippets look at frame 100
        write_video(assets / demo_path.name, [frame.image for frame in itertools.islice(source, 112)])
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    python = [sys.executable]
    for language, text in BLOCKS:
        calls = []
        if language == "python":
            calls = [[*python, "-c", text]]
        elif language == "bash":
            parsed = [shlex.split(line, comments=True) for line in text.splitlines()]
            calls = [
                [*python, "-m", "mdhr_sdk.cli.app", *words[1:]] for words in parsed if words and words[0] == "mdhr"
            ]
        for call in calls:
            done = subprocess.run(call, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
            assert done.returncode == 0, f"{call[-1]}\n{done.stdout}\n{done.stderr}"
    assert {"demo.csv", "timeline.png"} <= {path.name for path in tmp_path.iterdir()}
    wanted = {"demo_aus.csv", "demo_timeline.png", "demo_overlay.mp4"}
    assert wanted == {path.name for path in (tmp_path / "results").iterdir()}
