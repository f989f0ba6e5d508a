"""What `mdhr average` does."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ...modelfolder.folder import ModelFolder
from ..parts.options import MODEL, command_app, say
from .train import require_training

app = command_app()


def run_average(first: str, second: str, out: Path, share: float, half: bool) -> ModelFolder:
    """Raises: as `mdhr_sdk.training.fit.weights.averaging.average`."""
    require_training()
    from ...training.fit.weights.averaging import average

    return average(ModelFolder.open(first), ModelFolder.open(second), out, share, half)


@app.command()
def average(
    first: Annotated[str, typer.Argument(help=MODEL)],
    second: Annotated[str, typer.Argument(help="Another, trained from the first or beside it.")],
    out: Annotated[Path, typer.Option(help="New folder for their mean.")],
    share: Annotated[float, typer.Option(help="Weight of the second model, 0 to 1.")] = 0.5,
    half: Annotated[bool, typer.Option("--half", help="Store matrices in fp16.")] = False,
) -> None:
    """Take the mean of two models' weights."""
    say(f"{run_average(first, second, out, share, half).path}: {1 - share:.2g} of {first}, {share:.2g} of {second}")
    if any(any(ModelFolder.open(one).config.geometry) for one in (first, second)):
        say("without geometry, whose thresholds fell back to 0.5: choose new ones by mdhr thresholds")
