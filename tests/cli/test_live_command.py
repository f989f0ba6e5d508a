"""`mdhr live` as a process of its own, on real loopback cameras: what is left after each kind of end."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import signal
import socket
import subprocess
import sys
import termios
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import av
import numpy as np
import pytest

from benchmarks.live.server import LiveServer
from commands import Command
from mdhr_sdk.cli.parts.live.watch import Watch
from mdhr_sdk.results import FrameResult
from processes import finished, run_python, started, until
from tables import csv_rows

LIVE = [sys.executable, "-m", "mdhr_sdk", "live"]
ENDS_S = 3.0  # of the command, after TERM
SLACK_S = 20.0  # for a busy machine

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def url(demo_frames: np.ndarray) -> Iterator[str]:
    with LiveServer(lambda number: demo_frames[number % len(demo_frames)].copy(), fps=10.0) as server:
        yield server.url


@contextmanager
def silent_server() -> Iterator[str]:
    """Accepts connections and says nothing; the address of an HTTP camera that hangs."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}/"


def started_live(stack: ExitStack, *words: object) -> subprocess.Popen[str]:
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return stack.enter_context(started([*LIVE, *words], **pipes))


def has_rows(path: Path, count: int) -> bool:
    with suppress(FileNotFoundError):  # also one that is just being set aside
        return path.read_bytes().count(b"\n") > count
    return False


def pictures(path: Path) -> int:
    """Those that play; 0 for a file that was cut off before its first second was whole."""
    try:
        with av.open(str(path)) as file:
            return sum(1 for _ in file.decode(video=0))
    except av.error.InvalidDataError:
        return 0


def differs(table: Path, text: str) -> bool:
    """Whether it holds something else; one that is just being set aside does not yet."""
    with suppress(FileNotFoundError):
        return table.read_text() != text
    return False


def test_killed_at_any_moment_it_leaves_whole_files_and_the_next_run_says_so(url: str, tmp_path: Path) -> None:
    table = tmp_path / "door_aus.csv"
    words = [f"door={url}", "--out", tmp_path, "--csv", "--record", "picture", "--segment", "1s",
             "--jsonl", tmp_path / "all.jsonl"]  # fmt: skip
    with ExitStack() as stack:
        process = started_live(stack, *words)
        until(lambda: has_rows(table, 35) and list(tmp_path.glob("door_2*.open.mp4")))  # not between two segments
        os.kill(process.pid, signal.SIGKILL)
        process.wait(30)
    text = table.read_text()
    assert text.endswith("\n") and len({line.count(",") for line in text.splitlines()}) <= 2, "the model's own commas"
    killed = csv_rows(table)
    assert {one["status"] for one in killed} <= {"ok", "no_face", "stale"} and killed[-1]["captured_at"].endswith("Z")
    lines = [json.loads(line) for line in (tmp_path / "all.jsonl").read_text().splitlines()]
    assert abs(len(lines) - len(killed)) <= 30
    segments = sorted(tmp_path.glob("door_2*.mp4"))
    closed = [path for path in segments if not path.name.endswith(".open.mp4")]
    assert len(closed) >= 2 and len(segments) == len(closed) + 1 and all(pictures(path) for path in closed)
    shown = sum(one["status"] != "stale" for one in killed)
    assert sum(map(pictures, segments)) >= shown - 10 * 2 - 5, "at most two seconds, and what waited"
    with ExitStack() as stack:
        process = started_live(stack, *words)
        until(lambda: has_rows(table, 5) and differs(table, text))
        process.send_signal(signal.SIGTERM)
        done = finished(process)
    assert done.returncode == 0, done.stderr
    assert "was killed" in done.stderr and "found" in done.stderr and "was not closed" in done.stderr
    (aside,) = tmp_path.glob("door_aus.2*.csv")
    assert csv_rows(aside) == killed and not list(tmp_path.glob("*.open.mp4"))
    assert json.loads((tmp_path / "mdhr-live.json").read_text())["ended"]


@pytest.mark.parametrize("how", ["term", "terminal closes"])
def test_it_ends_in_time_though_a_source_hangs(url: str, tmp_path: Path, how: str) -> None:
    table, lines = tmp_path / "door_aus.csv", tmp_path / "all.jsonl"
    ours, theirs = pty.openpty() if how == "terminal closes" else os.pipe()
    with silent_server() as silent:
        words = [f"door={url}", f"mute={silent}", "--out", tmp_path, "--csv", "--jsonl", lines]
        options = {"stderr": theirs, "stdin": theirs, "preexec_fn": claim_terminal} if how != "term" else {}
        with started([*LIVE, *words], **{"stderr": subprocess.PIPE, **options}) as process:
            os.close(theirs)
            until(lambda: has_rows(table, 10))
            began_s = time.monotonic()
            os.killpg(process.pid, signal.SIGTERM) if how == "term" else os.close(ours)  # all processes, as systemd
            done = finished(process)
            took_s = time.monotonic() - began_s
    assert took_s < ENDS_S + SLACK_S and done.returncode == 0, done.stderr
    told = [json.loads(line) for line in lines.read_text().splitlines()]
    assert told[-1]["status"] == "ended" and {one["source"] for one in told} == {"door"}
    assert len(csv_rows(table)) == len(told) - 1 and json.loads((tmp_path / "mdhr-live.json").read_text())["ended"]
    if how == "term":
        os.close(ours)
        assert "Traceback" not in done.stderr and "door: captured" in done.stderr
        assert "mute: captured 0 = scored 0" in done.stderr


def claim_terminal() -> None:
    """Make standard input the terminal whose end is told by HUP; in the new process, which leads a session."""
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


def test_files_are_played_to_their_end_and_counted(demo_frames: np.ndarray, tmp_path: Path) -> None:
    clip = tmp_path / "clip.mkv"
    write_clip(clip, demo_frames[:30])
    done = run_python(
        "-m", "mdhr_sdk", "live", f"one={clip}", f"two={clip}", "--out", tmp_path / "out", "--csv", "--jsonl", "-",
        "--log-format", "json",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    for name in ("one", "two"):
        assert [int(one["frame"]) for one in csv_rows(tmp_path / "out" / f"{name}_aus.csv")] == [*range(30)]
    told = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(told) == 62 and [one["status"] for one in told[-2:]] == ["ended", "ended"]
    logs = [json.loads(line) for line in done.stderr.splitlines() if line.startswith("{")]
    assert any("captured 30 = scored 30" in one["message"] for one in logs), done.stderr


def test_what_nobody_expected_is_a_line_and_leaves_whole_files(
    mdhr: Command, demo_frames: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_clip(tmp_path / "clip.mp4", demo_frames[:16])
    counted, count = list[FrameResult](), Watch.count

    def breaks(watch: Watch, result: FrameResult, paused: bool) -> None:
        if len(counted) == 5:
            raise TypeError("nobody expected it")
        counted.append(result)
        count(watch, result, paused)

    monkeypatch.setattr(Watch, "count", breaks)
    code, _, told = mdhr("live", f"door={tmp_path / 'clip.mp4'}", "--csv", "--out", tmp_path / "out")
    assert code == 1 and "Traceback" not in told
    assert "scoring ended by TypeError: nobody expected it; this was not expected: the files are whole" in told
    assert len({row["frame"] for row in csv_rows(tmp_path / "out" / "door_aus.csv")}) == 5


def write_clip(path: Path, frames: Sequence[np.ndarray]) -> None:
    with av.open(str(path), "w") as file:
        stream = file.add_stream("libx264", 25)
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt = "yuv420p"
        for image in frames:
            file.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="bgr24")))
        file.mux(stream.encode(None))


def test_check_says_what_works(url: str, tmp_path: Path) -> None:
    words = ["-m", "mdhr_sdk", "live", f"door={url}", "--check", "--csv", "--out", tmp_path / "out"]
    done = run_python(*words)
    assert done.returncode == 0, done.stdout + done.stderr
    assert [line[:5] for line in done.stdout.splitlines()] == ["ok   "] * 3 and "320x320" in done.stdout
    done = run_python(*words, "--jsonl", "tcp://127.0.0.1:1", "gone=/nowhere/clip.mp4")
    assert done.returncode == 3 and "FAILS source gone" in done.stdout
    assert "FAILS JSON Lines to tcp://127.0.0.1:1" in done.stdout and not (tmp_path / "out").exists()


def test_hup_reads_the_settings_again_and_the_page_controls_the_run(url: str, tmp_path: Path) -> None:
    config = tmp_path / "live.yaml"
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    page, rest = f"http://127.0.0.1:{port}", f"out: '{tmp_path}'\ncsv: true\nserve: {port}\n"
    config.write_text(f"sources: {{door: '{url}'}}\n{rest}")
    with ExitStack() as stack:
        process = started_live(stack, "--config", config)
        until(lambda: has_rows(tmp_path / "door_aus.csv", 5))
        asked = {"source": "door", "text": "a smile"}
        post = urllib.request.Request(f"{page}/mark", json.dumps(asked).encode(), {"Content-Type": "application/json"})
        urllib.request.urlopen(post, timeout=30).close()
        until(lambda: any(one["note"] == "mark: a smile" for one in csv_rows(tmp_path / "door_aus.csv")))
        config.write_text(f"sources: {{gate: '{url}'}}\n{rest}")
        process.send_signal(signal.SIGHUP)
        until(lambda: has_rows(tmp_path / "gate_aus.csv", 5))
        with urllib.request.urlopen(f"{page}/metrics", timeout=30) as metrics:
            assert b'source="gate"' in metrics.read()
        config.write_text("sources: true")
        process.send_signal(signal.SIGHUP)
        until(lambda: has_rows(tmp_path / "gate_aus.csv", 25))
        assert len(list(tmp_path.glob("gate_aus*.csv"))) == 1
        config.write_text(f"sources: {{gate: '{url}'}}\nmodel: gone\n{rest}")  # found out once the run has ended
        process.send_signal(signal.SIGHUP)
        until(lambda: len(list(tmp_path.glob("gate_aus*.csv"))) == 2 and has_rows(tmp_path / "gate_aus.csv", 5))
        process.send_signal(signal.SIGINT)
        done = finished(process)
    assert done.returncode == 0 and done.stderr.count("going on with the settings from before") == 2, done.stderr
