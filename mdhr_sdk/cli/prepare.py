"""What `mdhr prepare` does: crops and lists from a distribution, with a progress bar and a summary."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Optional

import typer
from rich.table import Table

from ..training.data.datasets import dataset
from ..training.data.preparation import Prepared, PrepareOptions, prepare
from .options import Console, command_app
from .progress import cores, counted, interruptible

MOST_VIDEOS = 10
app = command_app()


def run_prepare(
    name: str, raw: Path, out: Path, size_px: int, workers: int | None, face_model: Path | None, partial: bool
) -> None:
    """Prepare data set `name` (bp4d, disfa, or the path of a description) and say what came of it.

    Raises:
        ConfigError, DataError: see `mdhr_sdk.training.data.preparation`.
    """
    spec = dataset(name)
    options = PrepareOptions(size_px=size_px, face_model=face_model, workers=workers or cores(), partial=partial)
    with interruptible("the same command"), counted("frames") as moved:
        done = prepare(spec, raw, out, options, moved)

    console = Console(markup=False, emoji=False, highlight=False)
    console.print(_fold_table(spec.name, done))
    for fold, counts in enumerate(done.folds, 1):
        if isinstance(counts, str):
            console.print(f"no lists of fold {fold}: {counts}", soft_wrap=True)
    console.print(f"{done.listed:,} frames of {done.videos} videos are listed; crops {size_px} px, {options.template}")
    for reason, count in done.reasons.most_common():
        console.print(f"left out: {count:,} frames, {reason}")
    for video, frames in sorted(done.left_out.items(), key=lambda item: -len(item[1]))[:MOST_VIDEOS]:
        console.print(f"  {video}: {len(frames):,}")
    if done.skipped:
        some = ", ".join(f"{video}: {count:,}" for video, count in list(done.skipped.items())[:MOST_VIDEOS])
        console.print(f"no row in the label tables, between a video's first and last: {some}; clips end there")
    console.print(f"wrote {out / 'img'}, {out / 'list'} and {out / 'left_out.csv'}", soft_wrap=True)


def _fold_table(name: str, done: Prepared) -> Table:
    table = Table(title=f"mdhr prepare {name}", title_justify="left")
    for column in ("fold", "training frames", "test frames"):
        table.add_column(column, justify="right")
    for fold, counts in enumerate(done.folds, 1):
        if not isinstance(counts, str):
            table.add_row(str(fold), *map("{:,}".format, counts))
    return table


@app.command("prepare")
def prepare_command(
    dataset: Annotated[str, typer.Argument(help="bp4d, disfa, or a YAML or JSON file that describes a data set.")],
    raw: Annotated[Path, typer.Option(help="Folder of the distribution, as it comes.")],
    out: Annotated[Path, typer.Option(help="Folder for crops and lists; run again to complete it.")],
    size: Annotated[int, typer.Option(help="Side of the crops in pixels.")] = 256,
    workers: Annotated[Optional[int], typer.Option(help="Processes; as many as there are cores if not given.")] = None,
    face_model: Annotated[Optional[Path], typer.Option(help="A MediaPipe face_landmarker.task file.")] = None,
    partial: Annotated[bool, typer.Option("--partial", help="Take what is there of an incomplete data set.")] = False,
) -> None:
    """Turn a data set into aligned crops and the lists of its folds."""
    run_prepare(dataset, raw, out, size, workers, face_model, partial)
