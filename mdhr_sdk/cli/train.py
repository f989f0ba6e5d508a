"""What `mdhr train` does, and what other commands of training share with it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Optional

import typer

from ..errors import ConfigError, require
from .options import Console, command_app
from .progress import interruptible

if TYPE_CHECKING:
    from ..training.fit.settings import Settings

Words = tuple[Path | None, tuple[int, ...], tuple[str, ...]]
app = command_app()


def require_training() -> None:
    """Raises:
    MissingDependencyError: a package that training needs is not installed.
    """
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


def run_train(words: Sequence[str], folds: Sequence[int], out: Path | None, resume: Path | None) -> list[Path]:
    """Start or resume a run; returns its model folders.

    Raises:
        ConfigError: settings that cannot be, or both or neither of a configuration and --resume.
    """
    require_training()
    from ..training.data.datasets import dataset
    from ..training.fit import runs
    from ..training.fit.fit import starting_model

    config, numbers, changes = sorted_words(words, folds)
    if resume is not None:
        if config is not None or changes or out is not None:
            raise ConfigError("a resumed run keeps its settings; give --resume RUN alone, or with --fold")
        return _trained(resume, numbers)
    if out is None or (config is None and not changes):
        raise ConfigError("expected CONFIG and --out RUN for a new run, or --resume RUN")
    settings = settings_of(config, changes)
    numbers = numbers or all_folds(settings)
    check_folds(settings, numbers)
    starting_model(settings, dataset(settings.data.dataset).label_set)  # weights that cannot be had leave no run behind
    runs.start(settings, out, numbers)
    return _trained(out, ())


def check_folds(settings: Settings, folds: Sequence[int]) -> None:
    """Find a bad list of the last fold now, not after days."""
    from ..training.data.folds import fold_data
    from ..training.data.subjects import check_start
    from ..training.fit.runs import start_note

    start = start_note(settings)
    for fold in folds:
        for inner in (False, True)[: 2 if settings.data.held_out else 1]:
            data = fold_data(settings, fold, inner)
            check_start(start, data.label_set.name, fold, data.frames.subjects)


def _trained(out: Path, folds: Sequence[int]) -> list[Path]:
    from ..training.data.folds import fold_data
    from ..training.fit import runs
    from ..training.fit.record import read_record

    with interruptible(f"mdhr train --resume {out}"):
        made = runs.train(out, fold_data, folds, tell)
    missing = [fold for fold in read_record(out)["folds"] if not (out / f"fold{fold}" / "model").is_dir()]
    ways = f"evaluate with: mdhr evaluate {out}"
    if missing:
        ways = f"folds still to train: {', '.join(map(str, missing))}, with: mdhr train --resume {out}"
    tell(f"wrote {', '.join(map(str, made))}; {ways}")
    return made


def tell(line: str) -> None:
    """A line of progress, by the process that writes files."""
    from ..training.fit.runs import is_first_process

    if is_first_process():
        Console(markup=False, highlight=False, emoji=False).print(line, soft_wrap=True)


def settings_of(config: Path | None, changes: Sequence[str]) -> Settings:
    """As `mdhr_sdk.training.fit.settings.read_settings`."""
    from ..training.fit.settings import read_settings

    return read_settings(config, changes)


def all_folds(settings: Settings) -> tuple[int, ...]:
    """Those of the data set."""
    from ..training.data.datasets import dataset

    return tuple(range(1, len(dataset(settings.data.dataset).folds) + 1))


def defined(value: float) -> float | None:
    """What JSON has for a figure that is NaN or infinite: null."""
    return value if math.isfinite(value) else None


@app.command()
def train(
    words: Annotated[
        Optional[list[str]], typer.Argument(help="CONFIG (a YAML file), then section.key=value ...")
    ] = None,
    fold: Annotated[
        Optional[list[int]], typer.Option(help="Folds to train, as in --fold 1 2 3; all by default.")
    ] = None,
    out: Annotated[Optional[Path], typer.Option(help="New folder for the run.")] = None,
    resume: Annotated[Optional[Path], typer.Option(help="Folder of a run to go on with.")] = None,
) -> None:
    """Train a model a fold, or go on with a run that was interrupted.

    Settings that CONFIG leaves out are the paper's.
    """
    run_train(words or [], fold or [], out, resume)
