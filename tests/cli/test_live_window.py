"""The window of `mdhr live --show`, on a real X server without a screen, with real key presses."""

from __future__ import annotations

import csv
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from benchmarks.live.server import LiveServer
from mdhr_sdk.cli.parts.live.window import TITLE, check_display, tiled
from mdhr_sdk.errors import OutputError
from processes import environment, finished, started, until

needs_x = pytest.mark.skipif(not shutil.which("Xvfb") or not shutil.which("xdotool"), reason="needs Xvfb and xdotool")


@pytest.fixture
def display() -> Iterator[str]:
    """A screen of its own, as DISPLAY names it."""
    read, write = os.pipe()
    command = ["Xvfb", "-displayfd", write, "-screen", "0", "1024x768x24", "-nolisten", "tcp"]
    with started(command, pass_fds=(write,), stderr=subprocess.DEVNULL), os.fdopen(read) as number:
        os.close(write)
        yield f":{number.readline().strip()}"


@needs_x
@pytest.mark.slow
def test_keys_mark_record_pause_and_quit(display: str, demo_frames: np.ndarray, tmp_path: Path) -> None:
    def press(key: str) -> None:
        search = ["xdotool", "search", "--onlyvisible", "--name", "mdhr live"]
        until(lambda: subprocess.run(search, env=env, capture_output=True).stdout)
        window = subprocess.run(search, env=env, capture_output=True, text=True).stdout.split()[0]
        subprocess.run(["xdotool", "windowfocus", "--sync", window, "key", key], env=env, check=True, timeout=30)

    def rows() -> list[dict[str, str]]:
        with (tmp_path / "door_aus.csv").open(encoding="utf-8", newline="") as file:
            return list(csv.DictReader(file))

    def told(text: str) -> bool:
        return text in log.read_text(encoding="utf-8")

    env, log = environment(DISPLAY=display), tmp_path / "log.txt"
    with LiveServer(lambda number: demo_frames[number % len(demo_frames)].copy(), fps=10.0) as server:
        command = [sys.executable, "-m", "mdhr_sdk", "live", f"door={server.url}", "--csv", "--show", "--out", tmp_path]
        with log.open("w") as file, started(command, env=env, stdout=file, stderr=file) as process:
            press("m")
            until(lambda: any(row["note"] == "mark" for row in rows()))
            press("r")
            until(lambda: list(tmp_path.glob("*.open.mp4")))
            press("c")
            until(lambda: any(row["status"] == "neutral" for row in rows()))
            press("p")
            until(lambda: told("paused"))

            def no_more() -> bool:
                count = len(rows())
                time.sleep(1.0)
                return len(rows()) <= count + 1

            until(no_more)  # after what was on its way
            press("q")
            assert finished(process).returncode == 0, log.read_text()
    assert len(list(tmp_path.glob("door_2*Z.mp4"))) == 1 and not list(tmp_path.glob("*.open.mp4"))


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="X is Linux's")
@pytest.mark.parametrize("name", ["", ":4217", "nonsense"])
def test_without_a_screen_it_says_so(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv("DISPLAY", name)
    with pytest.raises(OutputError, match="--show needs a screen"):
        check_display()


def test_several_sources_are_tiled() -> None:
    assert "mdhr live" in TITLE
    one = np.full((32, 48, 3), 9, np.uint8)
    assert tiled([one]) is one
    assert tiled([one, one]).shape == (480, 1280, 3) and tiled([one] * 5).shape == (960, 1920, 3)
