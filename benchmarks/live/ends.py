"""What a live run leaves: `mdhr live` on a loopback camera, killed at random moments or ended beside a mute camera."""

from __future__ import annotations

import csv
import json
import random
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from benchmarks.live.server import LiveServer, demo
from benchmarks.report import console
from mdhr_sdk.cli.app import run_app
from mdhr_sdk.outputs.live.run_folder import live_folder

FPS = 25.0
START_S = 60.0  # the longest that a run may take to its first row
LINES = "all.jsonl"
app = typer.Typer(add_completion=False, rich_markup_mode=None)


@dataclass(frozen=True)
class Left:
    """What one killed run left.

    Attributes:
        rows: of its table.
        whole: the table ends with a whole row, and every row has all columns.
        unplayable: closed segments that do not play.
        open: pictures of the segment that was open; None if there was none.
        lost_s: seconds of pictures whose row is in the table and that no recording shows.
        told: what the next start says of it.
    """

    rows: int
    whole: bool
    unplayable: int
    open: int | None
    lost_s: float
    told: list[str]

    @property
    def all_told(self) -> bool:
        """Whether the next start says that the run was killed, and names the recording that was open."""
        return "was killed" in self.told[0] and len(self.told) == 1 + (self.open is not None)


def start(folder: Path, *sources: str, lines: int = 2) -> subprocess.Popen[str]:
    """A run that writes tables, JSON lines and recordings; returns when the first table has so many lines."""
    command = [sys.executable, "-m", "mdhr_sdk", "live", *sources, "--csv", "--record", "picture", "--segment", "3s"]
    command += ["--jsonl", str(folder / LINES), "--out", str(folder)]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL, text=True)
    table, until_s = folder / "door_aus.csv", time.monotonic() + START_S
    while not table.exists() or table.read_bytes().count(b"\n") < lines:
        if time.monotonic() > until_s or process.poll() is not None:
            process.kill()
            raise SystemExit(f"no line came within {START_S:g} s")
        time.sleep(0.02)
    return process


def pictures(path: Path) -> int:
    """How many pictures of a recording play."""
    import av

    try:
        with av.open(str(path)) as file:
            return sum(1 for _ in file.decode(video=0))
    except (av.error.FFmpegError, IndexError):
        return 0


def left_by_kill(url: str, folder: Path, after_s: float) -> Left:
    """Start a run, kill it so long after it has made its table, and look at its files."""
    process = start(folder, f"door={url}", lines=1)
    time.sleep(after_s)
    process.kill()
    process.wait()
    rows, whole = read_table(folder / "door_aus.csv")
    shown = {path: pictures(path) for path in folder.glob("door_2*.mp4")}
    unplayable = sum(not count for path, count in shown.items() if re.fullmatch(r"\w+Z(-\d+)?\.mp4", path.name))
    opened = next((count for path, count in shown.items() if path.name.endswith(".open.mp4")), None)
    wanted = len({row["frame"] for row in rows if row["status"] != "stale"})
    lost_s = max(0.0, (wanted - sum(shown.values())) / FPS)
    with live_folder(folder) as run:
        return Left(len(rows), whole and lines_whole(folder / LINES), unplayable, opened, lost_s, run.found)


def read_table(path: Path) -> tuple[list[dict[str, str]], bool]:
    """Its rows, and whether all of them are whole."""
    text = path.read_text(encoding="utf-8")
    rows = list(csv.DictReader(text.splitlines()))
    return rows, text.endswith("\n") and all(None not in row and None not in row.values() for row in rows)


def lines_whole(path: Path) -> bool:
    """Whether all lines of a file are JSON, the last one too."""
    text = path.read_text(encoding="utf-8")
    return text.endswith("\n" if text else "") and all(isinstance(json.loads(line), dict) for line in text.splitlines())


def ends_within(url: str, folder: Path) -> float:
    """Seconds from TERM to the end of a run, one of whose cameras accepts and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as mute:
        process = start(folder, f"door={url}", f"mute=http://127.0.0.1:{mute.getsockname()[1]}/")
        began_s = time.monotonic()
        process.send_signal(signal.SIGTERM)
        code = process.wait(60)
        if code:
            raise SystemExit(f"the run ended with exit code {code} after TERM")
        return time.monotonic() - began_s


@app.command()
def main(
    kills: Annotated[int, typer.Option(help="How often it is killed.")] = 20,
    ends: Annotated[int, typer.Option(help="How often it is ended by TERM.")] = 5,
    seed: Annotated[int, typer.Option(help="Random seed of the moments.")] = 0,
) -> None:
    """Kill and end `mdhr live`, and print what is left."""
    moments = random.Random(seed)
    with LiveServer(demo(), FPS) as server, tempfile.TemporaryDirectory() as folder:
        left = [
            left_by_kill(server.url, Path(folder) / f"kill{number}", moments.uniform(0.0, 8.0))
            for number in range(kills)
        ]
        took_s = [ends_within(server.url, Path(folder) / f"end{number}") for number in range(ends)]
    table = Table(title=f"mdhr live at {FPS:g} frames/s: {kills} kills, {ends} ends by TERM", title_justify="left")
    for name in ("what", "result"):
        table.add_column(name)
    if left:
        opened = [one.open for one in left if one.open is not None]
        table.add_row("tables and JSON lines whole to the last one", f"{sum(one.whole for one in left)} of {kills}")
        table.add_row("rows in them", f"{min(one.rows for one in left)} to {max(one.rows for one in left)}")
        table.add_row("closed recordings that do not play", str(sum(one.unplayable for one in left)))
        table.add_row("open recordings that play", f"{sum(map(bool, opened))} of {len(opened)}")
        table.add_row("most that no recording shows", f"{max(one.lost_s for one in left):.2f} s")
        table.add_row("told by the next start", f"{sum(one.all_told for one in left)} of {kills}")
    if took_s:
        table.add_row("longest end after TERM", f"{max(took_s):.2f} s")
    console.print(table)


if __name__ == "__main__":
    run_app(app)
