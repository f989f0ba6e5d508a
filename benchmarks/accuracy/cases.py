"""What `mdhr detect` makes of every file of a folder: rows, times and scores beside those of a healthy video.

    python -m benchmarks.accuracy.cases FOLDER [--base FILE]

Prints one Markdown table. Scores are means over the rows with a face; those of the base are the reference.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Optional

import pandas as pd
import typer

from mdhr_sdk.cli.app import run_app
from mdhr_sdk.errors import SourceError

SHOWN = ("AU12", "AU01", "AU25")
PASSED_OVER = {".md", ".py", ".sh"}  # what tells about the cases and is none
TOLD = ("damaged", "--max-faces", "left out", "--stills", "dropped")  # of what a command tells of its sources
LONGEST_NOTE = 150
app = typer.Typer(add_completion=False, rich_markup_mode=None)


@dataclass(frozen=True)
class Row:
    """What came of one source.

    Attributes:
        rows: lines of the table, None where there is none.
        last_s: time of its last line.
        scores: AU -> mean probability over the lines with a face.
        code: exit status of the command.
        note: what it said about an error, a damage or a limit, on one line.
    """

    name: str
    rows: int | None
    last_s: float | None
    scores: dict[str, float]
    code: int
    note: str


def measure(source: Path, out: Path, *options: str) -> Row:
    """Run `mdhr detect` on one file or folder in a process of its own."""
    command = [sys.executable, "-m", "mdhr_sdk", "detect", str(source), "--out", str(out), "--no-overlay", *options]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=600)
    tables = [pd.read_csv(path) for path in sorted(out.glob("*_aus*.csv"))]
    lines = pd.concat(tables) if tables else pd.DataFrame()
    # What was said on the error stream, and of losses and limits: the rest of the summary is there for all sources.
    lost = [line for line in done.stdout.splitlines() if any(words in line for words in TOLD)]
    told = " ".join(re.sub(r"\s+", " ", "\n".join([*lost, done.stderr])).replace(str(source), source.name).split())
    told = told if len(told) <= LONGEST_NOTE else f"{told[: LONGEST_NOTE - 3]}..."
    last_s = float(lines.timestamp_s.max()) if len(lines) else None
    columns = {code: f"{code}_probability" for code in SHOWN}
    scores = {code: lines[name].mean() for code, name in columns.items() if name in lines and lines[name].count()}
    return Row(source.name, len(lines) or None, last_s, scores, done.returncode, told.replace("|", "\\|"))


def table(rows: list[Row], base: Row | None) -> str:
    """The rows as Markdown; scores with their difference to the base."""
    heads = ["file", "rows", "last s", *SHOWN, "exit", "said"]
    lines = [f"| {' | '.join(heads)} |", f"|{' --- |' * len(heads)}"]
    for row in rows:
        last = "" if row.last_s is None else f"{row.last_s:.3f}"
        scores = [_score(row.scores.get(code), base.scores.get(code) if base else None) for code in SHOWN]
        lines.append(f"| {row.name} | {row.rows or ''} | {last} | {' | '.join(scores)} | {row.code} | {row.note} |")
    return "\n".join(lines)


def _score(value: float | None, reference: float | None) -> str:
    if value is None:
        return ""
    return f"{value:.3f}" if reference is None else f"{value:.3f} ({value - reference:+.3f})"


@app.command()
def main(
    folder: Annotated[Path, typer.Argument(help="Its files are the cases; a folder in it is one case.")],
    base: Annotated[Optional[Path], typer.Option(help="The healthy video; base.* in the folder if it has one.")] = None,
    model: Annotated[Optional[str], typer.Option(help="A model name or folder.")] = None,
) -> None:
    """Run `mdhr detect` on every case and print what came of it."""
    if not folder.is_dir():
        raise SourceError(f"expected a folder of cases; got '{folder}', which is none; check the path")
    cases = [path for path in sorted(folder.iterdir()) if path.suffix not in PASSED_OVER and path.name[0] != "."]
    base = base or next((path for path in cases if path.stem == "base"), None)
    options = ("--model", model) if model else ()
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as out:
        reference = measure(base, Path(out) / "base", *options) if base else None
        for number, path in enumerate(cases):
            rows.append(measure(path, Path(out) / str(number), *options))
            typer.echo(f"{number + 1} of {len(cases)}: {path.name}", err=True)
    typer.echo(table(rows, reference))


if __name__ == "__main__":
    run_app(app)
