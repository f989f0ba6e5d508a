"""What `mdhr train` and `mdhr ablate` do."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from ..errors import ConfigError, OutputError, require
from ..modelfolder.folder import ModelFolder
from .progress import interruptible

if TYPE_CHECKING:
    from ..training.fit.settings import Settings

Words = tuple[Path | None, tuple[int, ...], tuple[str, ...]]


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


def run_average(first: str, second: str, out: Path, share: float, half: bool) -> ModelFolder:
    """Raises: as `mdhr_sdk.training.fit.average.average`."""
    require_training()
    from ..training.fit.average import average

    return average(ModelFolder.open(first), ModelFolder.open(second), out, share, half)


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
    settings = _settings(config, changes)
    numbers = numbers or all_folds(settings)
    _check_folds(settings, numbers)
    starting_model(settings, dataset(settings.data.dataset).label_set)  # weights that cannot be had leave no run behind
    runs.start(settings, out, numbers)
    return _trained(out, ())


def _check_folds(settings: Settings, folds: Sequence[int]) -> None:
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


def run_ablation(name: str, words: Sequence[str], folds: Sequence[int], out: Path, json_path: Path | None) -> None:
    """Train every row of a study, or go on where it stopped, and print the table.

    Raises:
        ConfigError: an unknown study, or settings that cannot be.
        OutputError: the JSON file cannot be written; a missing folder is found before training.
    """
    require_training()
    from ..training.data.datasets import dataset
    from ..training.evaluate.ablations import study, with_changes
    from ..training.fit.runs import is_first_process

    chosen = study(name)
    if json_path is not None and (json_path.is_dir() or not json_path.absolute().parent.is_dir()):
        raise OutputError(f"--json needs a file in a folder that exists; got '{json_path}'")
    config, numbers, changes = sorted_words(words, folds)
    base = _settings(config, changes).anywhere()
    numbers = numbers or all_folds(base)
    labels = dataset(base.data.dataset).label_set
    for variant in chosen.variants:  # as bad lists, found before anything is trained
        with_changes(base, variant.model).model_config(labels)
    _check_folds(base, numbers)
    rows = []
    name_of_data = Path(base.data.dataset).stem
    table = Table("", "F1 last epoch", "95 %", "paper, BP4D", title=f"{chosen.title} · {name_of_data}")
    for place, variant in enumerate(chosen.variants, 1):
        tell(f"{variant.name}: {place} of {len(chosen.variants)}, folds {', '.join(map(str, numbers))}")
        folder = out / f"{place:02d}"
        with interruptible("the same command"):
            figure, low, high = _ablated(base, variant.model, folder, numbers)
        figures = {"f1": defined(figure), "low": defined(low), "high": defined(high)}
        rows.append({"name": variant.name, **figures, "paper": variant.published})
        paper = "" if variant.published is None else f"{variant.published:.1f}"
        table.add_row(variant.name, f"{100 * figure:.1f}", f"{100 * low:.1f} to {100 * high:.1f}", paper)
    if not is_first_process():
        return
    Console(markup=False).print(table)
    if json_path is not None:
        text = json.dumps({"study": name, "rows": rows}, indent=2, allow_nan=False) + "\n"
        try:
            json_path.write_text(text, encoding="utf-8")
        except OSError as error:
            raise OutputError(f"'{json_path}' cannot be written: {error.strerror or error}") from None


def _ablated(base: Settings, model: dict, folder: Path, folds: Sequence[int]) -> tuple[float, float, float]:
    """F1 of one row and its interval; a row that was started with the same settings goes on."""
    from ..training.data.folds import fold_data
    from ..training.evaluate.ablations import with_changes
    from ..training.evaluate.evaluation import LAST, SETTINGS, evaluate_run
    from ..training.fit import runs
    from ..training.fit.record import RECORD
    from ..training.fit.settings import read_settings

    settings = with_changes(base, model)
    if not (folder / RECORD).is_file():  # what `start` writes last
        runs.start(settings, folder, folds)
    elif read_settings(folder / SETTINGS).to_yaml() != settings.to_yaml():
        raise ConfigError(f"'{folder}' was started with other settings; take the same, or another --out")
    runs.train(folder, fold_data, folds, tell)
    result = next(result for result in evaluate_run(folder, folds) if result.protocol == LAST)
    interval = result.interval
    return result.f1, interval.low, interval.high


def _settings(config: Path | None, changes: Sequence[str]) -> Settings:
    from ..training.fit.settings import read_settings

    return read_settings(config, changes)


def all_folds(settings: Settings) -> tuple[int, ...]:
    """Those of the data set."""
    from ..training.data.datasets import dataset

    return tuple(range(1, len(dataset(settings.data.dataset).folds) + 1))


def defined(value: float) -> float | None:
    """What JSON has for a figure that is NaN or infinite: null."""
    return value if math.isfinite(value) else None
