"""A run of several folds: a folder that is trained, resumed, and ends in one model folder a fold.

RUN/settings.yaml      all settings
RUN/record.json        folds, settings' digest, and versions and machine that the run was started and resumed with
RUN/fold1/             see `mdhr_sdk.training.fit.fit`
RUN/fold1/data.json    digests of the frames and labels that it must go on with
RUN/fold1/start.json   whom the weights that it started from have seen
RUN/fold1/held_out/    the inner run, with `data.held_out` above 0
RUN/fold1/model/       the model folder
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from safetensors.torch import load_file

from ... import __version__
from ...atomic import PREFIX, scratch, write_whole
from ...errors import ConfigError, ModelFolderError, TrainingError, number_of
from ...model import MDHR, save_model
from ...modelfolder.folder import ModelFolder
from ..data.subjects import Note, check_start, note_subjects, noted
from ..evaluate.evaluation import HALF, HELD_OUT, SETTINGS, Choice, choose
from ..evaluate.predictions import Frames
from .fit import FoldData, epoch_stem, fit
from .launch import check_processes
from .record import RECORD, note_surroundings, read_record, surroundings, write_record
from .settings import Settings, read_settings

DataOf = Callable[[Settings, int, bool], FoldData]  # settings, fold, inner run
SEEN, START = "data.json", "start.json"
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
        _wait_for(out / RECORD)
        return
    settings = settings.anywhere()
    if settings.optimiser.freeze_norms and settings.start.folder is None:
        raise ConfigError(
            "optimiser.freeze_norms keeps statistics that the head of a new model does not have; set start.folder, or "
            "freeze the backbone alone: optimiser.freeze=[encoder.backbone]"
        )
    if out.exists() and (not out.is_dir() or any(map(_is_foreign, out.iterdir()))):
        raise ConfigError(f"'{out}' exists and is not an empty folder; go on with: mdhr train --resume {out}")
    digest = _hash(settings.portable().to_yaml().encode())
    record = {"folds": list(folds), "seed": settings.trainer.seed, "settings": digest, "starts": [surroundings()]}
    write_whole(out / SETTINGS, settings.to_yaml())
    write_record(out, record)  # last, for it is what other processes wait for


def _is_foreign(path: Path) -> bool:
    """Whether a file is of something else than a start that was killed before it wrote its record."""
    return path.name != SETTINGS and not path.name.startswith(PREFIX)


def _wait_for(record: Path) -> None:
    end = time.monotonic() + PATIENCE_S
    while not record.is_file():
        if time.monotonic() > end:
            raise TrainingError(
                f"the first process made no '{record}' in {PATIENCE_S} s; see its error, or whether all processes see "
                "the same folder"
            )
        time.sleep(0.1)


def train(
    out: Path, data_of: DataOf, folds: Sequence[int] = (), tell: Callable[[str], None] = lambda line: None
) -> list[Path]:
    """Train a started run's folds, each from where it stopped; returns their model folders.

    Args:
        data_of: makes a fold's data, as `mdhr_sdk.training.data.folds.fold_data`.
        folds: those to train; all that the run was started with if empty.
        tell: takes a line before each training: which fold, and on whom it is validated.
    """
    if not (out / SETTINGS).is_file() or not (out / RECORD).is_file():
        raise TrainingError(f"'{out}' holds no run; start one with: mdhr train CONFIG --out {out}")
    settings = read_settings(out / SETTINGS)
    record = read_record(out)
    if record["settings"] != _hash(settings.portable().to_yaml().encode()):
        raise TrainingError(
            f"'{out / SETTINGS}' was changed since the run was started; put it back, or start a new run with it"
        )
    if is_first_process():
        note_surroundings(out, record)
    numbers = folds or record["folds"]
    return [_train_fold(settings, out / f"fold{fold}", fold, data_of, tell) for fold in numbers]


def _train_fold(settings: Settings, folder: Path, fold: int, data_of: DataOf, tell: Callable[[str], None]) -> Path:
    target = folder / "model"
    if target.is_dir():
        return target
    start = _kept(folder / START, lambda: start_note(settings))  # to go on, what it started from is not needed
    if settings.data.held_out:
        inner = data_of(settings, fold, True)
        check_start(start, inner.label_set.name, fold, inner.frames.subjects)
        _check_same(folder / HELD_OUT, inner)
        tell(_heading(fold, inner, settings, "held-out training subjects, to choose epoch and thresholds"))
        fit(settings, inner, folder / HELD_OUT)
    data = data_of(settings, fold, False)
    check_start(start, data.label_set.name, fold, data.frames.subjects)
    _check_same(folder, data)
    tell(_heading(fold, data, settings, "the test fold"))
    fit(settings, data, folder)
    if is_first_process():
        choice = choose(folder / HELD_OUT) if settings.data.held_out else None
        _save(settings, data, folder, fold, choice, start)
    return target


def _heading(fold: int, data: FoldData, settings: Settings, judged: str) -> str:
    clips = f"{number_of(len(data.train), 'clip')} an epoch, {number_of(settings.trainer.epochs, 'epoch')}"
    subjects = number_of(len(set(data.frames.subjects)), "subject")
    return f"fold {fold}: {clips}; validated on {judged} ({subjects})"


def start_note(settings: Settings) -> Note:
    """The subjects that the starting weights were trained on, as far as they are noted."""
    if settings.start.folder is None:
        return {}
    try:
        return noted(ModelFolder.open(settings.start.folder))
    except ModelFolderError as error:
        raise ConfigError(f"start.folder: {error}; if it is of an earlier run, train that one first") from None


def _kept(path: Path, make: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """The content of a fold's JSON file; if there is none, the first process writes what `make` returns."""
    if path.is_file():
        try:
            return dict(json.loads(path.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError) as error:
            raise TrainingError(f"'{path}' cannot be read ({error}); start a new run") from None
    content = make()
    if is_first_process():
        write_whole(path, json.dumps(content, indent=2) + "\n", settled=True)
    return content


def _save(settings: Settings, data: FoldData, folder: Path, fold: int, choice: Choice | None, start: Note) -> None:
    """The model folder: the chosen epoch with its thresholds, or the last epoch with 0.5."""
    epoch = choice.epoch if choice else settings.trainer.epochs
    thresholds = choice.thresholds if choice else (HALF,) * len(data.label_set.aus)
    model = MDHR(settings.model_config(data.label_set))
    model.load_state_dict(load_file(epoch_stem(folder, epoch).with_suffix(".safetensors")))
    how = "epoch and thresholds chosen on held-out training subjects" if choice else "last epoch, threshold 0.5"
    digest = _hash(settings.to_yaml().encode())[:12]
    provenance = (
        f"mdhr_sdk {__version__}, {data.label_set.name} without the test subjects of fold {fold}, "
        f"epoch {epoch} of {settings.trainer.epochs}, {how}, seed {settings.trainer.seed}, settings {digest}"
    )
    with scratch(folder) as own:
        made = save_model(
            model.eval(),
            own / "model",
            clip_length=settings.data.clip_length,
            thresholds=thresholds,
            trained=True,
            provenance=provenance,
            licence=f"that of the training data ({data.label_set.name}) and of the starting weights",
        )
        if data.trained_on is not None:
            note_subjects(made, data.label_set.name, fold, data.trained_on.subjects, start)
        made.path.replace(folder / "model")  # whole: a folder of that name ends the fold


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
