"""A run of several folds: a folder that is trained, resumed, and ends in one model folder a fold.

RUN/settings.yaml      all settings
RUN/record.json        folds, settings' digest, and versions and machine that the run was started and resumed with
RUN/fold1/             see `mdhr_sdk.training.fit.fit`
RUN/fold1/data.json    digests of the frames and labels that it must go on with
RUN/fold1/start.json   whom the weights that it started from have seen
RUN/fold1/origin.json  where those weights came from, and which of them were taken
RUN/fold1/held_out/    the inner run, with `data.held_out` above 0
RUN/fold1/model/       the model folder
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ...atomic import PREFIX, write_whole
from ...errors import ConfigError, TrainingError, number_of
from ...plain_json import read_json
from ..data.subjects import Note, check_start, noted
from ..evaluate.evaluation import HELD_OUT, SETTINGS, choose, stopped_after
from ..evaluate.predictions import Frames
from .fit import FoldData, fit
from .launch import check_processes
from .record import RECORD, note_surroundings, read_record, surroundings, write_record
from .saving import save_fold
from .settings import Settings, read_settings
from .telling import Tell, silent
from .weights.starting import open_start, origin

DataOf = Callable[[Settings, int, bool], FoldData]  # settings, fold, inner run
SEEN, START, ORIGIN = "data.json", "start.json", "origin.json"
PATIENCE_S = 600  # the first process may still be looking for a million pictures


def start(settings: Settings, out: Path, folds: Sequence[int]) -> None:
    """Make a run's folder; processes other than the first wait until it is made.

    Raises:
        ConfigError: the folder holds something already, or processes were started that the settings do not know.
        OutputError: it cannot be written.
        TrainingError: the first process made none.
    """
    check_processes(settings)
    if not is_first_process():
        _wait(lambda: (out / RECORD).is_file(), f"the first process made no '{out / RECORD}'")
        return
    settings = settings.anywhere()
    if settings.optimiser.freeze_norms and settings.start.folder is None:
        raise ConfigError(
            "optimiser.freeze_norms keeps statistics that the head of a new model does not have; set start.folder, or "
            "freeze the backbone alone: optimiser.freeze=[encoder.backbone]"
        )
    if out.exists() and (not out.is_dir() or any(map(_is_foreign, out.iterdir()))):
        raise ConfigError(f"'{out}' exists and is not an empty folder; go on with: mdhr train --resume {out}")
    digest = _digest_of(settings)
    record = {"folds": list(folds), "seed": settings.trainer.seed, "settings": digest, "starts": [surroundings()]}
    write_whole(out / SETTINGS, settings.to_yaml())
    write_record(out, record)  # last, for it is what other processes wait for


def _is_foreign(path: Path) -> bool:
    """Whether a file is of something else than a start that was killed before it wrote its record."""
    return path.name != SETTINGS and not path.name.startswith(PREFIX)


def _wait(done: Callable[[], bool], otherwise: str) -> None:
    """Wait for what the first process does."""
    end = time.monotonic() + PATIENCE_S
    while not done():
        if time.monotonic() > end:
            raise TrainingError(
                f"{otherwise} in {PATIENCE_S} s; see its error, or whether all processes see the same folder"
            )
        time.sleep(0.1)


def train(out: Path, data_of: DataOf, folds: Sequence[int] = (), tell: Tell = silent) -> list[Path]:
    """Train a started run's folds, each from where it stopped; returns their model folders.

    Args:
        data_of: makes a fold's data, as `mdhr_sdk.training.data.folds.fold_data`.
        folds: those to train; all that the run was started with if empty.
        tell: takes a line before each training: which fold, and on whom it is validated.
    """
    settings, record = _opened(out)
    if is_first_process():
        note_surroundings(out, record)
    numbers = folds or record["folds"]
    return [_train_fold(settings, out / f"fold{fold}", fold, data_of, tell, _extended(record)) for fold in numbers]


def extend(out: Path, epochs: int) -> None:
    """Let a run go on for more epochs; models that it has made are kept beside, as `model_0200`.

    From the next step on the learning rate follows the cosine of all epochs, so it rises again where it had fallen:
    the weights are not those of a run that was started with so many.

    Raises:
        ConfigError: not more epochs than before, or a fold was stopped early.
        TrainingError: there is no run, or its settings were changed.
    """
    if not is_first_process():
        _wait(
            lambda: read_settings(out / SETTINGS).trainer.epochs == epochs,
            f"the first process did not extend '{out}'",
        )
        return
    settings, record = _opened(out)
    before = settings.trainer.epochs
    if epochs <= before:
        raise ConfigError(f"'{out}' has {before} epochs, and can only be given more; got trainer.epochs={epochs}")
    folders = [path for path in sorted(out.glob("fold*")) if path.is_dir()]
    if over := [path.name for path in folders if stopped_after(path / HELD_OUT) is not None]:
        raise ConfigError(f"{', '.join(over)} of '{out}' was stopped by trainer.patience; start a new run")
    more = dataclasses.replace(settings, trainer=dataclasses.replace(settings.trainer, epochs=epochs))
    for path in folders:
        if (path / "model").is_dir():
            (path / "model").replace(path / f"model_{before:04d}")
    if record["settings"] == _digest_of(settings):  # else an extension was broken off after it
        former, extended = [*record.get("former", []), record["settings"]], [*record.get("extended", []), before]
        record = {**record, "former": former, "extended": extended}
    write_record(out, {**record, "settings": _digest_of(more)})
    write_whole(out / SETTINGS, more.to_yaml(), settled=True)  # last: until then the run is the one before


def _opened(out: Path) -> tuple[Settings, dict[str, Any]]:
    """Settings and record of a run."""
    if not (out / SETTINGS).is_file() or not (out / RECORD).is_file():
        raise TrainingError(f"'{out}' holds no run; start one with: mdhr train CONFIG --out {out}")
    settings, record = read_settings(out / SETTINGS), read_record(out)
    if _digest_of(settings) not in (record["settings"], *record.get("former", [])[-1:]):
        raise TrainingError(
            f"'{out / SETTINGS}' was changed since the run was started; put it back, or start a new run with it"
        )
    return settings, record


def _digest_of(settings: Settings) -> str:
    return _hash(settings.portable().to_yaml(brief=True).encode())


def _extended(record: dict[str, Any]) -> str:
    """'extended from 200 epochs' where a run was, for its provenance."""
    numbers = ", ".join(str(int(epochs)) for epochs in record.get("extended", []))
    return f"extended from {numbers} epochs" if numbers else ""


def _train_fold(settings: Settings, folder: Path, fold: int, data_of: DataOf, tell: Tell, extended: str = "") -> Path:
    target = folder / "model"
    if target.is_dir():
        return target
    # To go on, what it started from is not needed; runs of earlier versions kept whom it had seen alone.
    old = (folder / START).is_file() and not (folder / ORIGIN).is_file()
    inner = data_of(settings, fold, True) if settings.data.held_out else None
    data = data_of(settings, fold, False)
    before = _kept(folder / ORIGIN, lambda: {} if old else origin(settings, data.label_set))
    start = _kept(folder / START, lambda: start_note(settings))
    if before:
        tell(f"fold {fold} starts from '{before['folder']}': {before['told']}")
    until = None
    if inner is not None:
        check_start(start, inner.judged_on, fold)
        _check_same(folder / HELD_OUT, inner)
        tell(
            _heading(fold, inner, settings.trainer.epochs, "held-out training subjects, to choose epoch and thresholds")
        )
        fit(settings, inner, folder / HELD_OUT, tell, patience=settings.trainer.patience)
        until = stopped_after(folder / HELD_OUT)
    check_start(start, data.judged_on, fold)
    _check_same(folder, data)
    tell(_heading(fold, data, until or settings.trainer.epochs, "the test fold"))
    fit(settings, data, folder, tell, until=until)
    if is_first_process():
        choice = choose(folder / HELD_OUT) if settings.data.held_out else None
        save_fold(settings, data, folder, fold, choice, start, before, extended)
    return target


def _heading(fold: int, data: FoldData, epochs: int, judged: str) -> str:
    clips = f"{number_of(len(data.train), 'clip')} an epoch, {number_of(epochs, 'epoch')}"
    subjects = number_of(len(set(data.frames.subjects)), "subject")
    return f"fold {fold}: {clips}; validated on {judged} ({subjects})"


def start_note(settings: Settings) -> Note:
    """The subjects that the starting weights were trained on, as far as they are noted."""
    if settings.start.folder is None:
        return {}
    return noted(open_start(settings.start.folder))


def _kept(path: Path, make: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """The content of a fold's JSON file; if there is none, the first process writes what `make` returns."""
    if path.is_file():
        try:
            return dict(read_json(path))
        except (OSError, ValueError, TypeError) as error:
            raise TrainingError(f"'{path}' cannot be read ({error}); start a new run") from None
    content = make()
    if is_first_process():
        write_whole(path, json.dumps(content, indent=2) + "\n", settled=True)
    return content


def is_first_process() -> bool:
    """Whether this process writes files: the only one, or rank 0 of torchrun's or Lightning's."""
    return int(os.environ.get("RANK", os.environ.get("LOCAL_RANK", "0"))) == 0


def _check_same(folder: Path, data: FoldData) -> None:
    """Remember which frames and labels a fold was started on; refuse to go on with others."""
    if not is_first_process():
        return
    now = {
        "training frames or labels": _digest(data.trained_on, len(data.train), data.weights.tolist()),
        "validation frames or labels": _digest(data.frames, len(data.validation)),
    }
    before = _kept(folder / SEEN, lambda: now)
    if changed := [name for name, digest in now.items() if before.get(name) != digest]:
        raise TrainingError(
            f"'{folder}' was started with other {' and '.join(changed)} than it finds now; put back what changed, or "
            "start a new run"
        )


def _digest(frames: Frames | None, *more: object) -> str:
    texts = [repr(more), *(() if frames is None else (*frames.codes, *frames.paths))]
    return _hash("\n".join(texts).encode() + (b"" if frames is None else frames.labels.tobytes()))


def _hash(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
