"""What `mdhr train` does, and what the other training commands share with it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Optional

import typer

from ...errors import ConfigError, check_imaging, require
from ..parts.options import Console, command_app
from ..parts.progress import interruptible

if TYPE_CHECKING:
    from ...training.fit.settings import Settings

EPOCHS = "trainer.epochs="
Words = tuple[Path | None, tuple[int, ...], tuple[str, ...]]
app = command_app()


def require_training() -> None:
    """Raises:
    MissingDependencyError: a package that training needs is not installed, or lacks a library of the system.
    """
    check_imaging()
    for module in ("torch", "timm", "safetensors", "pytorch_lightning", "tensorboard", "yaml", "scipy"):
        require(module, "train")


def sorted_words(words: Sequence[str], folds: Sequence[int]) -> Words:
    """Tell a configuration file, folds (`--fold 1 2 3`) and changes (`key=value`) apart.

    Raises:
        ConfigError: two files, or a number without --fold.
    """
    files = [word for word in words if "=" not in word and not (folds and word.isdigit())]
    if len(files) > 1:
        raise ConfigError(f"expected one configuration file, then key=value words; got {', '.join(files)}")
    more = tuple(int(word) for word in words if folds and word.isdigit())
    each = tuple(dict.fromkeys((*folds, *more)))  # a fold given twice would count twice
    return (Path(files[0]) if files else None), each, tuple(word for word in words if "=" in word)


def check_folds(settings: Settings, folds: Sequence[int]) -> None:
    """Read every fold's lists now: a bad list of the last fold would else be found after days.

    Then refuse what this machine or the model cannot do, before anything is written.
    """
    from ...training.data.folds import fold_data
    from ...training.data.subjects import check_start
    from ...training.fit.fit import check_fit
    from ...training.fit.runs import start_note

    start = start_note(settings)
    for fold in folds:
        for inner in (False, True)[: 2 if settings.data.held_out else 1]:
            data = fold_data(settings, fold, inner)
            check_start(start, data.judged_on, fold)
            if fold == folds[0]:
                check_fit(settings, data)


def _train(out: Path, folds: Sequence[int]) -> None:
    from ...training.data.folds import fold_data
    from ...training.fit import runs
    from ...training.fit.record import read_record

    with interruptible(f"mdhr train --resume {out}"):
        made = runs.train(out, fold_data, folds, tell)
    missing = [fold for fold in read_record(out)["folds"] if not (out / f"fold{fold}" / "model").is_dir()]
    ways = f"evaluate with: mdhr evaluate {out}"
    if missing:
        ways = f"folds still to train: {', '.join(map(str, missing))}, with: mdhr train --resume {out}"
    tell(f"wrote {', '.join(map(str, made))}; {ways}")


def tell(line: str) -> None:
    """Print a line of progress, in the first process only."""
    from ...training.fit.runs import is_first_process

    if is_first_process():
        Console(markup=False, highlight=False, emoji=False).print(line, soft_wrap=True)


def all_folds(settings: Settings) -> tuple[int, ...]:
    """All folds of the data set; of several, those that all have."""
    from ...training.data.several import places

    return tuple(range(1, min(len(place.spec.folds) for place in places(settings.data)) + 1))


@app.command()
def train(
    words: Annotated[
        Optional[list[str]], typer.Argument(help="CONFIG (a YAML file), then section.key=value ...")
    ] = None,
    fold: Annotated[
        Optional[list[int]], typer.Option(help="Folds to train, as in --fold 1 2 3; all by default.")
    ] = None,
    out: Annotated[Optional[Path], typer.Option(help="New folder for the run.")] = None,
    resume: Annotated[Optional[Path], typer.Option(help="Folder of the run to resume.")] = None,
) -> None:
    """Train one model per fold, or resume an interrupted run.

    Settings that CONFIG leaves out are the paper's.
    """
    require_training()
    from ...training.fit import runs
    from ...training.fit.settings import read_settings

    config, numbers, changes = sorted_words(words or [], fold or [])
    if resume is not None:
        if config is not None or out is not None or not all(word.startswith(EPOCHS) for word in changes):
            raise ConfigError(
                f"a resumed run keeps its settings, but for more epochs ({EPOCHS}N); give --resume RUN alone, or with "
                "--fold"
            )
        if changes:
            runs.extend(resume, read_settings(None, changes).trainer.epochs)
        return _train(resume, numbers)
    if out is None or (config is None and not changes):
        raise ConfigError("expected CONFIG and --out RUN for a new run, or --resume RUN")
    settings = read_settings(config, changes)
    numbers = numbers or all_folds(settings)
    check_folds(settings, numbers)
    runs.start(settings, out, numbers)
    return _train(out, ())
