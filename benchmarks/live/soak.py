"""Whether `mdhr live` can run for days: memory, threads and open files, with faces that come and go."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Optional

import numpy as np
import typer
from numpy.typing import NDArray
from rich.table import Table

from benchmarks.live.server import LiveServer, demo
from benchmarks.report import Json, console, write_json
from mdhr_sdk.cli.app import run_app

AWAY, ROUND = 60, 200  # pictures without a face in a round of so many
WARM_UP, MOST_WARM_UP_S = 0.6, 600.0  # share of the time, and seconds, that the slope leaves out at most
app = typer.Typer(add_completion=False, rich_markup_mode=None)


@dataclass(frozen=True)
class Sample:
    """The command and the processes that it started, at one moment.

    Attributes:
        own_mb: memory that is theirs alone: what they share is not counted for each.
    """

    time_s: float
    own_mb: float
    threads: int
    files: int


def sampled(process: int, began_s: float) -> Sample:
    """Look at a process and its children."""
    own_kb, threads, files = 0, 0, 0
    for one in (process, *children(process)):
        with suppress(OSError):  # it ended meanwhile
            status = Path(f"/proc/{one}/status").read_text(encoding="utf-8")
            numbers = dict(re.findall(r"^(RssAnon|Threads):\s+(\d+)", status, re.MULTILINE))
            own_kb += int(numbers.get("RssAnon", 0))
            threads += int(numbers.get("Threads", 0))
            files += len(list(Path(f"/proc/{one}/fd").iterdir()))
    return Sample(time.monotonic() - began_s, own_kb / 1024, threads, files)


def children(process: int) -> list[int]:
    """All processes below one."""
    own: list[int] = []
    for task in Path(f"/proc/{process}/task").glob("*/children"):
        with suppress(OSError):
            own += map(int, task.read_text(encoding="utf-8").split())
    return own + [below for one in own for below in children(one)]


def warm(samples: list[Sample]) -> list[Sample]:
    """Those after the warm-up."""
    since_s = min(MOST_WARM_UP_S, WARM_UP * samples[-1].time_s)
    return [one for one in samples if one.time_s >= since_s]


def slope_mb_per_hour(samples: list[Sample]) -> float:
    """Of the memory, by least squares, after the warm-up."""
    late = warm(samples)
    return float(np.polyfit([one.time_s / 3600 for one in late], [one.own_mb for one in late], 1)[0])


def coming_and_going(shift: int) -> Callable[[int], NDArray[np.uint8]]:
    """The demo, whose face is away for some seconds in each round."""
    shown = demo()
    empty = np.full_like(shown(0), 90)
    return lambda index: empty if (index + shift) % ROUND < AWAY else shown(index + shift)


def draw(samples: list[Sample], path: Path) -> None:
    """Memory, threads and files over time."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 5), layout="constrained")
    axes = figure.subplots(2, 1, sharex=True)
    minutes = [one.time_s / 60 for one in samples]
    axes[0].plot(minutes, [one.own_mb for one in samples])
    axes[0].set_ylabel("memory (MB)")
    axes[1].plot(minutes, [one.threads for one in samples], label="threads")
    axes[1].plot(minutes, [one.files for one in samples], "--", label="open files")
    axes[1].set_xlabel("minutes")
    axes[1].legend()
    figure.savefig(path)


@app.command()
def main(
    minutes: Annotated[float, typer.Option(help="How long.")] = 120.0,
    sources: Annotated[int, typer.Option(help="Loopback cameras.")] = 3,
    fps: Annotated[float, typer.Option(help="Frames per second of each.")] = 25.0,
    every_s: Annotated[float, typer.Option(help="Seconds between two looks.")] = 5.0,
    plot: Annotated[Optional[Path], typer.Option(help="Draw the figure into this file.")] = None,
    json: Json = None,
) -> None:
    """Run `mdhr live` and watch it from outside."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        cameras = [stack.enter_context(LiveServer(coming_and_going(40 * n), fps)) for n in range(sources)]
        named = [f"camera{n}={one.url}" for n, one in enumerate(cameras)]
        words = ["--csv", "--jsonl", str(folder / "all.jsonl"), "--out", str(folder), "--log-level", "warning"]
        process = subprocess.Popen([sys.executable, "-m", "mdhr_sdk", "live", *named, *words])
        began_s, samples = time.monotonic(), list[Sample]()
        try:
            while time.monotonic() - began_s < 60 * minutes and process.poll() is None:
                time.sleep(every_s)
                samples.append(sampled(process.pid, began_s))
        finally:
            process.send_signal(signal.SIGTERM)
            code = process.wait(30)
        rows = sum(path.read_bytes().count(b"\n") - 1 for path in folder.glob("*_aus.csv"))
    if code or not samples:
        raise SystemExit(f"mdhr live ended with exit code {code}")
    tell(samples, rows, sources, fps)
    if plot is not None:
        draw(samples, plot)
    if json is not None:
        write_json(json, {"samples": [asdict(one) for one in samples], "slope_mb_per_hour": slope_mb_per_hour(samples)})


def tell(samples: list[Sample], rows: int, sources: int, fps: float) -> None:
    """Print the table."""
    late = warm(samples)
    title = f"mdhr live, {sources} cameras at {fps:g} frames/s, {samples[-1].time_s / 60:.1f} minutes, {rows:,} rows"
    table = Table(title=title, title_justify="left")
    for name in ("what", "after warm-up", "at the end"):
        table.add_column(name)
    table.add_row("memory, MB", f"{late[0].own_mb:.0f}", f"{late[-1].own_mb:.0f}")
    for name in ("threads", "files"):
        values = [getattr(one, name) for one in late]
        table.add_row(name, f"{min(values)} to {max(values)}", str(values[-1]))
    table.add_row("memory's slope, MB/h", f"{slope_mb_per_hour(samples):.1f}", "")
    console.print(table)


if __name__ == "__main__":
    run_app(app)
