"""What `mdhr prepare` does: crops and lists from a distribution, with a progress bar and a summary."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Optional

import typer
from rich.table import Table

from ...atomic import write_whole
from ...children import usable_cores
from ...errors import check_imaging, number_of
from ...vision import DEFAULT_TEMPLATE
from ..parts.options import Console, command_app
from ..parts.progress import counted, interruptible

if TYPE_CHECKING:
    from ...training.data.preparation import Prepared

MOST_VIDEOS = 10
DATASET = "bp4d, disfa, bp4d_plus, gft, affwild2, casme2, or a YAML or JSON file that describes a data set."
DESCRIPTION = "dataset.yaml"  # of a data set whose folds follow from who is there, with their people named
app = command_app()


def run_prepare(
    name: str, raw: Path, out: Path, size_px: int, workers: int | None, face_model: Path | None, partial: bool
) -> None:
    """Prepare data set `name` (bp4d, disfa, or the path of a description) and print a summary.

    Raises:
        ConfigError, DataError: see `mdhr_sdk.training.data.preparation`.
    """
    check_imaging()
    from ...training.data.datasets import dataset, with_folds
    from ...training.data.preparation import PrepareOptions, prepare

    spec = dataset(name, raw)
    options = PrepareOptions(size_px=size_px, face_model=face_model, workers=workers or usable_cores(), partial=partial)
    with interruptible("the same command"), counted("frames") as moved:
        done = prepare(spec, raw, out, options, moved)

    if text := with_folds(name, spec):
        write_whole(out / DESCRIPTION, text)
    console = Console(markup=False, emoji=False, highlight=False)
    console.print(_fold_table(spec.name, done))
    for fold, counts in enumerate(done.folds, 1):
        if isinstance(counts, str):
            console.print(f"no lists of fold {fold}: {counts}", soft_wrap=True)
    listed = f"{number_of(done.listed, 'frame')} of {number_of(done.videos, 'video')}"
    console.print(f"{listed} {'is' if done.listed == 1 else 'are'} listed; crops {size_px} px, {DEFAULT_TEMPLATE}")
    _say_missing(console, done)
    for reason, count in done.reasons.most_common():
        console.print(f"left out: {number_of(count, 'frame')}, {reason}")
    for video, frames in sorted(done.left_out.items(), key=lambda item: -len(item[1]))[:MOST_VIDEOS]:
        console.print(f"  {video}: {len(frames):,}")
    if done.skipped:
        some = ", ".join(f"{video}: {count:,}" for video, count in list(done.skipped.items())[:MOST_VIDEOS])
        console.print(f"no row in the label tables, between a video's first and last: {some}; clips end there")
    if text:
        console.print(f"train with data.dataset={out / DESCRIPTION}", soft_wrap=True)
    console.print(f"wrote {out / 'img'}, {out / 'list'} and {out / 'left_out.csv'}", soft_wrap=True)


def _say_missing(console: Console, done: Prepared) -> None:
    """Who and what an incomplete data set lacks."""
    if done.absent:
        names = f"{number_of(len(done.absent), 'subject')} in no list: {', '.join(done.absent)}"
        console.print(f"{names} (without pictures, or without labels)", soft_wrap=True)
    if done.blind:
        some = ", ".join(f"{video}: {count:,}" for video, count in list(done.blind.items())[:MOST_VIDEOS])
        more = f", and {len(done.blind) - MOST_VIDEOS} more" if len(done.blind) > MOST_VIDEOS else ""
        frames = number_of(sum(done.blind.values()), "coded frame")
        videos = number_of(len(done.blind), "video")
        console.print(f"no pictures of {videos} with {frames}: {some}{more}", soft_wrap=True)


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
    dataset: Annotated[
        str,
        typer.Argument(help=DATASET),
    ],
    raw: Annotated[Path, typer.Option(help="Folder of the distribution, as it comes.")],
    out: Annotated[Path, typer.Option(help="Folder for crops and lists; run again to complete it.")],
    size: Annotated[int, typer.Option(help="Side of the crops in pixels.")] = 256,
    workers: Annotated[Optional[int], typer.Option(help="Processes; as many as cores if not given.")] = None,
    face_model: Annotated[Optional[Path], typer.Option(help="A MediaPipe face_landmarker.task file.")] = None,
    partial: Annotated[bool, typer.Option("--partial", help="Accept an incomplete data set.")] = False,
) -> None:
    """Turn a data set into aligned crops and the lists of its folds."""
    run_prepare(dataset, raw, out, size, workers, face_model, partial)
