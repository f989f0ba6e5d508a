"""`mdhr detect --jobs` and `mdhr batch` stopped by signals at random moments, and resumed."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, NamedTuple

import typer

from benchmarks.batch.study_of_files import Folder, Seed, leftovers, make_study, started, tables, workplace
from benchmarks.report import Json, console, write_json
from mdhr_sdk.cli.app import run_app
from mdhr_sdk.errors import MDHRError

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
STOPPED = 130  # exit code
UP_S = 0.1  # before that Python itself is loaded, and a signal ends it as any program
FIRST_S = 1.5  # half of the moments lie in so many first seconds
MOST_STOPS = 3  # of a run, before it is left alone

app = typer.Typer(add_completion=False, rich_markup_mode=None)


class Stop(NamedTuple):
    """A signal, when it is sent, and whether to the first process only or to all, as a terminal does it."""

    number: signal.Signals
    after_s: float
    to_all: bool

    def __str__(self) -> str:
        return f"{self.number.name} after {self.after_s:.2f} s to {'all' if self.to_all else 'the first process'}"


def stopped(call: Sequence[str], stop: Stop) -> tuple[int, str]:
    """Run, and send a signal on the way; returns the exit code and what was said of errors."""
    with started(call) as process:
        time.sleep(stop.after_s)
        if process.poll() is None:
            (os.killpg if stop.to_all else os.kill)(process.pid, stop.number)
        _, error = process.communicate()
    return process.returncode, error.decode()


def faults(out: Path, whole: dict[str, bytes]) -> list[str]:
    """What is wrong with results that may be a part of the whole."""
    found = [f"left over: {name}" for name in leftovers(out)]
    found += [f"another table: {name}" for name, content in tables(out).items() if whole.get(name) != content]
    for record in out.rglob("*_run.json"):
        sizes = json.loads(record.read_text())["files"].items()
        found += [f"{record.name} tells of {name}" for name, size in sizes if not is_of(record.with_name(name), size)]
    return found


def is_of(path: Path, size: int) -> bool:
    return path.is_file() and path.stat().st_size == size


def calls(study: Path, out: Path) -> list[list[str]]:
    """The two commands, whose results are the same."""
    (listed := study.parent / "list.txt").write_text("".join(f"{path}\n" for path in sorted(study.rglob("*.mp4"))))
    words = ["--out", out, "--jobs", 2, "--resume", "--no-overlay", "--no-timeline", "--quiet"]
    both = (["detect", f"{study}/**/*.mp4", *words], ["batch", listed, *words])
    return [[sys.executable, "-m", "mdhr_sdk", *map(str, one)] for one in both]


def one_run(place: Path, number: int, whole: dict[str, bytes], whole_s: float, seed: int) -> Counter[str]:
    """Stop a study one to three times, resume it, and count what came of it.

    Raises:
        MDHRError: something was not as documented.
    """
    rng, out, seen = random.Random(f"{seed} {number}"), place / f"out{number}", Counter[str]()
    call = calls(place / "study", out)[number % 2]
    for _ in range(rng.randint(1, MOST_STOPS)):
        after_s = UP_S + rng.uniform(0, rng.choice((FIRST_S, whole_s)))
        stop = Stop(rng.choice(SIGNALS), after_s, rng.random() < 0.5)
        code, error = stopped(call, stop)
        wrong = faults(out, whole) if out.exists() else []
        if code not in (0, STOPPED) or "Traceback" in error or wrong:
            raise MDHRError(f"run {number}, {stop}: exit code {code}, {wrong}, said: {error[-2000:]}")
        seen["stopped before a result" if not tables(out) else "stopped halfway" if code else "came too late"] += 1
    done = subprocess.run(call, capture_output=True, check=False)
    if done.returncode or tables(out) != whole or faults(out, whole):
        raise MDHRError(f"run {number}, resumed: exit code {done.returncode}, {faults(out, whole)}, {done.stderr!r}")
    seen["resumed to the whole"] += 1
    return seen


@app.command()
def main(
    runs: Annotated[int, typer.Option(help="Studies that are stopped and resumed.")] = 30,
    files: Annotated[int, typer.Option(help="Files of each.")] = 8,
    frames: Annotated[int, typer.Option(help="Frames of each file.")] = 10,
    seed: Seed = 0,
    folder: Folder = None,
    json: Json = None,
) -> None:
    """Stop studies at random moments, and print what came of it; exit code 2 if anything was not as documented."""
    with workplace(folder) as (place, found):
        make_study(place / "study", files, frames, broken=False)
        began_s = time.perf_counter()
        subprocess.run(calls(place / "study", place / "whole")[0], check=True)
        whole, seen = tables(place / "whole"), Counter[str]()
        whole_s = time.perf_counter() - began_s
        for number in range(runs):
            seen += one_run(place, number, whole, whole_s, seed)
        found |= {"runs": runs, "files": files, "seed": seed, "seen": dict(seen)}
    console.print(f"{runs} runs of {files} files, seed {seed}: " + ", ".join(f"{n} {what}" for what, n in seen.items()))
    write_json(json, found)


if __name__ == "__main__":
    run_app(app)
