"""`mdhr detect` with many files: options, worker processes, and going on where a run was stopped."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from fakes import write_film
from mdhr_sdk.batch.crews.early import wants_workers
from mdhr_sdk.cli.parts import many
from mdhr_sdk.cli.parts.out import roots
from mdhr_sdk.cli.parts.shared import Part
from mdhr_sdk.errors import ConfigError
from mdhr_sdk.modelfolder.bundled import bundled_models
from mdhr_sdk.vision import Scope, Source
from processes import alive, finished, run_python, started, until


def test_options_of_a_scope() -> None:
    assert Part().scope() == Scope()
    scope = Part("1:00", "90", None, 5.0, "1,2,3,4", "0").scope()
    assert scope == Scope(60.0, 90.0, 1, 5.0, (1, 2, 3, 4), 0)
    with pytest.raises(ConfigError, match="--end expects a time above 0, as 90, 30s"):
        Part(end="soon").scope()


def never() -> Any:
    raise AssertionError


def test_how_many_workers(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr(many, "usable_cores", lambda: 4)
    monkeypatch.setattr(many, "cuda_device_count", lambda: 0)
    files = [Source(f"{number}.mp4", "video", never) for number in range(20)]
    camera = Source("camera 0", "camera", never)
    assert [many.worker_count(None, False, files[:count], "auto") for count in (1, 7, 8, 20)] == [0, 0, 4, 4]
    assert many.worker_count(None, False, files, "cuda") == many.worker_count(None, False, [*files, camera], "cpu") == 0
    assert [many.worker_count(2, False, files[:count], "cuda") for count in (1, 5)] == [1, 2]
    assert many.worker_count(None, True, files[:3], "cpu") == 1 and not caplog.text
    assert many.worker_count(99, False, files, "cpu") == 20 and "20 workers on 4 cores: each takes half" in caplog.text
    monkeypatch.setattr(many, "cuda_device_count", lambda: 1)
    assert many.worker_count(None, False, files, "auto") == 0 and many.worker_count(None, False, files, "cpu") == 4
    for jobs, resume in ((2, False), (None, True)):
        with pytest.raises(ConfigError, match="--jobs and --resume are for files, and 'camera 0' is live"):
            many.worker_count(jobs, resume, [camera], "cpu")


def test_which_command_lines_begin_workers_early() -> None:
    yes = ("detect a.mp4 --jobs 2", "detect --jobs=2 a.mp4", "detect a.mp4 --resume", "batch list.txt --out there")
    no = (
        "detect a.mp4",
        "detect --jobs 2 --help",
        "batch list.txt --ray local",
        "batch l --ray=auto",
        "live --jobs",
        "",
    )
    assert all(wants_workers(words.split()) for words in yes) and not any(wants_workers(words.split()) for words in no)


def test_patterns_keep_the_folders_that_they_look_through() -> None:
    assert roots(["study/**/*.mp4", "other/*.mp4", "a.mp4", "/x/y/**"]) == [Path("study"), Path("/x/y")]


@pytest.fixture
def study(tmp_path: Path, demo_frames) -> Path:
    """Nine films in three folders, one of them broken."""
    film = write_film(tmp_path / "film.mp4", list(demo_frames[:10]))
    for number in range(9):
        path = tmp_path / "study" / f"P{number % 3}" / f"s{number}.mp4"
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(film, path)
    (tmp_path / "study" / "P1" / "s4.mp4").write_bytes(film.read_bytes()[:3000])
    return tmp_path / "study"


@pytest.mark.slow
@pytest.mark.skipif("edge" not in bundled_models(), reason="this copy has no bundled weights")
def test_a_killed_study_goes_on_and_has_each_result_once(study: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    words = ["-m", "mdhr_sdk", "detect", f"{study}/**/*.mp4", "--out", out, "--no-overlay", "--no-timeline"]
    with started([sys.executable, *words, "--jobs", "2"], stderr=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        until(lambda: len(list(out.glob("P*/*_run.json"))) >= 2)
        workers = children(process.pid)
        assert len(workers) == 2
        os.kill(process.pid, signal.SIGKILL)
        finished(process)
        until(lambda: not any(map(alive, workers)))
    before = {path: path.stat().st_mtime_ns for path in out.glob("P*/*_run.json")}
    done = run_python(*words, "--resume", "--every", "1")
    assert done.returncode == 2 and "s4.mp4" in done.stderr and "Traceback" not in done.stderr, done.stderr
    summary = json.loads((out / "summary.json").read_text())
    counts = {name: summary[name] for name in ("files", "done", "skipped", "failed", "not_read")}
    skipped = len(before)
    assert counts == {"files": 9, "done": 8 - skipped, "skipped": skipped, "failed": 1, "not_read": 0}
    (bad,) = [row for row in summary["sources"] if row["state"] == "failed"]
    assert bad["source"].endswith("P1/s4.mp4") and "cannot decode" in bad["reason"]
    assert f"9 of 9 files, {skipped} skipped, 1 failed" in done.stdout
    assert all(path.stat().st_mtime_ns == time for path, time in before.items()), "what was done was left alone"
    assert len(list(out.rglob("*_aus.csv"))) == 8 and (out / "P2" / "s8_events.csv").is_file()
    assert not [path for path in out.rglob("*") if path.name.startswith(".") or "incomplete" in path.name]
    thinned = run_python(*words, "--resume", "--every", "2", "--quiet")
    assert thinned.stdout == "" and thinned.stderr.count("error: ") == 1
    assert json.loads((out / "summary.json").read_text())["done"] == 8, "another option is another result"


@pytest.mark.slow
@pytest.mark.skipif("edge" not in bundled_models(), reason="this copy has no bundled weights")
def test_ctrl_c_stops_a_study_and_says_how_to_go_on(study: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    words = ["-m", "mdhr_sdk", "detect", f"{study}/**/*.mp4", "--out", out, "--no-overlay", "--no-timeline"]
    with started([sys.executable, *words, "--jobs", "1"], stderr=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        until(lambda: list(out.glob("P*/*_run.json")))
        process.send_signal(signal.SIGINT)
        done = finished(process)
    assert done.returncode == 130 and "Traceback" not in done.stderr, done.stderr
    assert "not read; go on with --resume" in done.stdout
    assert json.loads((out / "summary.json").read_text())["not_read"] > 0
    assert not [path for path in out.rglob("*") if path.name.startswith(".")]


def children(pid: int) -> list[int]:
    """The worker processes of a process: those that multiprocessing spawned, or that its fork server became."""
    found: dict[int, list[tuple[int, bytes]]] = {}
    for path in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((path / "stat").read_text().rsplit(")", 1)[1].split()[1])
            found.setdefault(parent, []).append((int(path.name), (path / "cmdline").read_bytes()))
        except (OSError, ValueError, IndexError):
            continue
    own = found.get(pid, [])
    forked = [one for server, line in own if b"forkserver" in line for one, _ in found.get(server, [])]
    return [one for one, line in own if b"spawn_main" in line] + forked
