"""What `mdhr thresholds` does."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Optional

import typer
from rich.table import Table

from ...arguments import numbers_by_au
from ...detector import AUDetector
from ...errors import ConfigError, ModelFolderError
from ...modelfolder.folder import ModelFolder
from ..parts import picture_scoring
from ..parts.options import MODEL, Console, command_app

if TYPE_CHECKING:
    from ...training.evaluate.pictures.judging import Summary

app = command_app()


def run_thresholds(
    model: str, labels: Path, write: bool, calm: str = "", most: str = "", start: float | None = None
) -> None:
    """Choose thresholds on labelled pictures, print what they give on people not chosen on, and write them if asked.

    Raises:
        ConfigError: caps that are none, or without calm pictures, or a start outside 0 to 1.
        DataError: the labels are not as they should be.
        ModelFolderError: the folder is bundled or cannot be written.
    """
    from ...training.evaluate.pictures.judging import summarise
    from ...training.evaluate.pictures.thresholds import Caps, chosen, cross_validated

    if start is not None and not 0 < start < 1:
        raise ConfigError(f"expected a threshold between 0 and 1 to start from, as in --start 0.5; got {start:g}")
    folder = ModelFolder.open(model)
    if write and folder.bundled:
        raise ModelFolderError(
            f"'{model}' comes with mdhr_sdk and stays as it is; mdhr copy {model} FOLDER makes your own"
        )
    caps_by_au = numbers_by_au(folder.config.model.label_set.aus, most, otherwise=1.0)
    with AUDetector.from_pretrained(model, all_aus=True) as detector:
        before, engine = list(detector.thresholds.values()), detector.face_choice.name
        judged = picture_scoring.scored(detector, labels)
    caps = Caps.of(judged, calm, caps_by_au)
    if bool(most) != bool(caps.calm.any()):
        raise ConfigError(
            "expected --most and --calm together, and pictures without labels of which the latter is said; "
            f"'{calm}' is said of {int(caps.calm.sum())}"
        )
    first = before if start is None else [start] * len(before)
    cuts = chosen(judged, first, caps)
    unseen = summarise(cross_validated(judged, first, caps), (0.5,) * len(cuts))
    console = Console(markup=False)
    console.print(_table(model, summarise(judged, before), summarise(judged, cuts), unseen, cuts))
    if foreign := picture_scoring.unscored_line(judged):
        console.print(foreign, soft_wrap=True)
    if write:
        folder.update(thresholds=dict(zip(judged.codes, cuts, strict=True)), faces=engine)
        console.print(f"wrote the thresholds into {folder.path / 'config.json'}", soft_wrap=True)


def _table(model: str, before: Summary, after: Summary, unseen: Summary, cuts: Sequence[float]) -> Table:
    table = Table(title=f"{model}: F1 in percent; 'unseen' is of people that the threshold was not chosen on")
    for column in ("", "threshold", "F1", "chosen", "F1", "F1, unseen"):
        table.add_column(column, no_wrap=True)
    for one, new, fair, cut in zip(before.by_au, after.by_au, unseen.by_au, cuts, strict=True):
        f1 = [f"{100 * part.own.f1.value:.1f}" if part.present else "-" for part in (one, new, fair)]
        table.add_row(one.code, f"{one.own.threshold:.2f}", f1[0], f"{cut:.2f}", f1[1], f1[2])
    table.add_section()
    means = [f"{100 * part.f1_own.value:.1f}" for part in (before, after, unseen)]
    table.add_row("mean", "", means[0], "", means[1], means[2], style="bold")
    return table


@app.command()
def thresholds(
    model: Annotated[str, typer.Argument(help=MODEL)],
    labels: Annotated[Path, typer.Argument(help="LABELS.json, of pictures.")],
    calm: Annotated[str, typer.Option(help="What is said of pictures without labels that show nothing.")] = "",
    most: Annotated[str, typer.Option(help="Largest share of them that may show an AU, as in 1=0.06,12=0.08.")] = "",
    start: Annotated[
        Optional[float], typer.Option(help="Threshold of all AUs to start from, in place of the folder's own.")
    ] = None,
    write: Annotated[bool, typer.Option("--write", help="Write them into the model folder.")] = False,
) -> None:
    """Choose a threshold for each AU on labelled pictures, by a rule that no single picture can move far."""
    run_thresholds(model, labels, write, calm, most, start)
