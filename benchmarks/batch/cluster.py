"""`mdhr batch` on a Ray cluster of this machine: workers and drivers killed at random, and one worker against two."""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from benchmarks.batch.study_of_files import (
    Few,
    Folder,
    Frames,
    Seed,
    command,
    killed_after,
    leftovers,
    make_study,
    started,
    tables,
    timed,
    workplace,
)
from benchmarks.report import Json, console, write_json
from mdhr_sdk.cli.app import run_app

PLAIN = ("--no-overlay", "--no-timeline")
ACTOR = b"ray::_Work"

app = typer.Typer(add_completion=False, rich_markup_mode=None)


def batch(folder: Path, out: Path, workers: int, *words: object) -> list[str]:
    paths = sorted((folder / "study").rglob("*.mp4"))
    (folder / "list.txt").write_text("".join(f"{path}\n" for path in paths), encoding="utf-8")
    call = [sys.executable, "-m", "mdhr_sdk", "batch", folder / "list.txt", "--out", out, "--ray", "local"]
    return list(map(str, [*call, "--jobs", workers, "--quiet", *PLAIN, *words]))


def actors(session: int) -> list[int]:
    """The worker processes of a session: Ray names them after what they run."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            if (path / "cmdline").read_bytes().startswith(ACTOR) and os.getsid(int(path.name)) == session:
                found.append(int(path.name))
        except OSError:
            continue
    return found


def with_killed_workers(call: Sequence[str], kills: int, rng: random.Random) -> tuple[int, list[str]]:
    """Run to the end and kill a worker now and then; returns the exit code and what was said of it."""
    with started(call) as process:
        left = kills
        while process.poll() is None:
            time.sleep(rng.uniform(2.0, 4.0))
            if left and (workers := actors(process.pid)):
                os.kill(rng.choice(workers), signal.SIGKILL)
                left -= 1
        _, error = process.communicate()
    return process.returncode, [line for line in error.decode().splitlines() if "it is done again" in line]


def disturbed(folder: Path, files: int, frames: int, kills: int, seed: int) -> dict[str, Any]:
    """Kill the driver, resume, kill workers, and compare every table with that of `mdhr detect`."""
    rng, out, plain = random.Random(seed), folder / "out", folder / "plain"
    bad = make_study(folder / "study", files, frames)
    call = batch(folder, out, 2, "--resume")
    done = killed_after(call, out, rng.randint(files // 5, files // 2))
    code, told = with_killed_workers(call, kills, rng)
    summary = json.loads((out / "summary.json").read_text())
    timed(command(folder / "study", plain, "--jobs", 1, *PLAIN))
    return {
        "files": files, "broken": bad, "done_when_the_driver_was_killed": done, "exit_code": code,
        "files_done_again_after_a_killed_worker": len(told),
        "counts": {name: summary[name] for name in ("done", "skipped", "failed", "not_read")},
        "tables_equal_those_of_detect": tables(out) == tables(plain), "leftovers": leftovers(out),
    }  # fmt: skip


def efficiency(folder: Path, files: int, frames: int) -> dict[str, Any]:
    """Seconds of one worker and of two, model opened: of the same files, without the start of Ray."""
    make_study(folder / "study", files, frames, broken=False)
    seconds = {}
    for workers in (1, 2):
        out = folder / f"workers{workers}"
        timed(batch(folder, out, workers))
        rows = json.loads((out / "summary.json").read_text())["sources"]
        ends = sorted(path.stat().st_mtime for path in out.glob("P*/*_run.json"))
        seconds[workers] = (ends[-1] - ends[workers - 1]) / (len(rows) - workers)  # each worker's first is its start
    share = seconds[1] / seconds[2] / 2
    return {
        "files": files,
        "s_a_file": {count: round(s, 3) for count, s in seconds.items()},
        "efficiency": round(share, 2),
    }


@app.command()
def main(
    files: Annotated[int, typer.Option(help="Files of the study that is disturbed; 0 to leave it out.")] = 60,
    few: Few = 40,
    frames: Frames = 60,
    kills: Annotated[int, typer.Option(help="Workers that are killed.")] = 3,
    seed: Seed = 0,
    folder: Folder = None,
    json: Json = None,
) -> None:
    """Run studies on two Ray workers of this machine, and print what came of them."""
    with workplace(folder) as (place, found):
        if files:
            found["disturbed"] = disturbed(place / "disturbed", files, frames, kills, seed)
        if few:
            found["efficiency"] = efficiency(place / "efficiency", few, frames)
    for part in ("disturbed", "efficiency"):
        for name, value in found.get(part, {}).items():
            console.print(f"{part}: {name}: {value}")
    write_json(json, found)


if __name__ == "__main__":
    run_app(app)
