"""A run of several folds: a folder that is trained, resumed, and ends in one model folder a fold.

RUN/settings.yaml      all settings
RUN/record.json        versions, machine and data that the run was started with
RUN/fold1/             see `mdhr_sdk.training.fit`
RUN/fold1/held_out/    the inner run, with `data.held_out` above 0
RUN/fold1/model/       the model folder
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import os
import platform
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from safetensors.torch import load_file

from .. import __version__
from ..errors import ConfigError, OutputError, TrainingError
from ..model import MDHR, save_model
from .evaluation import HALF, HELD_OUT, SETTINGS, Choice, choose
from .fit import FoldData, epoch_stem, fit
from .settings import Settings, read_settings

DataOf = Callable[[Settings, int, bool], FoldData]  # settings, fold, inner run
PACKAGES = ("torch", "timm", "pytorch-lightning", "numpy", "opencv-contrib-python")
RECORD = "record.json"


def start(settings: Settings, out: Path, folds: Sequence[int]) -> None:
    """Make a run's folder.

    Raises:
        ConfigError: the folder holds something already.
        OutputError: it cannot be written.
    """
    if not is_first_process():
        return
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ConfigError(f"'{out}' exists and is not an empty folder; go on with: mdhr train --resume {out}")
    record = {
        "folds": list(folds),
        "seed": settings.trainer.seed,
        "versions": {"mdhr_sdk": __version__, "python": platform.python_version(), **_versions()},
        "machine": platform.platform(),
        "device": torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu",
    }
    try:
        out.mkdir(parents=True, exist_ok=True)
        (out / SETTINGS).write_text(settings.to_yaml(), encoding="utf-8")
        (out / RECORD).write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    except OSError as error:
        raise OutputError(f"'{out}' cannot be written: {error.strerror or error}") from None


def train(out: Path, data_of: DataOf, folds: Sequence[int] = ()) -> list[Path]:
    """Train a started run's folds, each from where it stopped; returns their model folders.

    Args:
        data_of: makes a fold's data, as `mdhr_sdk.training.folds.fold_data`.
        folds: those to train; all that the run was started with if empty.

    Raises:
        TrainingError: there is no run in `out`, or its data changed; see also `fit`.
    """
    if not (out / SETTINGS).is_file() or not (out / RECORD).is_file():
        raise TrainingError(f"'{out}' holds no run; start one with: mdhr train CONFIG --out {out}")
    settings = read_settings(out / SETTINGS)
    numbers = folds or json.loads((out / RECORD).read_text(encoding="utf-8"))["folds"]
    return [_train_fold(settings, out / f"fold{fold}", fold, data_of) for fold in numbers]


def _train_fold(settings: Settings, folder: Path, fold: int, data_of: DataOf) -> Path:
    target = folder / "model"
    if target.is_dir():
        return target
    if settings.data.held_out:
        inner = data_of(settings, fold, True)
        _check_same_data(folder / HELD_OUT, inner)
        fit(settings, inner, folder / HELD_OUT)
    data = data_of(settings, fold, False)
    _check_same_data(folder, data)
    fit(settings, data, folder)
    if is_first_process():
        choice = choose(folder / HELD_OUT) if settings.data.held_out else None
        _save(settings, data, folder, fold, choice)
    return target


def _save(settings: Settings, data: FoldData, folder: Path, fold: int, choice: Choice | None) -> None:
    """The model folder: the chosen epoch with its thresholds, or the last epoch with 0.5."""
    epoch = choice.epoch if choice else settings.trainer.epochs
    thresholds = choice.thresholds if choice else (HALF,) * len(data.label_set.aus)
    model = MDHR(settings.model_config(data.label_set))
    model.load_state_dict(load_file(epoch_stem(folder, epoch).with_suffix(".safetensors")))
    how = "epoch and thresholds chosen on held-out training subjects" if choice else "last epoch, threshold 0.5"
    digest = hashlib.sha256(settings.to_yaml().encode()).hexdigest()[:12]
    save_model(
        model.eval(),
        folder / "model",
        clip_length=settings.data.clip_length,
        thresholds=thresholds,
        trained=True,
        provenance=f"mdhr_sdk {__version__}, {data.label_set.name} without the test subjects of fold {fold}, "
        f"epoch {epoch} of {settings.trainer.epochs}, {how}, seed {settings.trainer.seed}, settings {digest}",
        licence=f"that of the training data ({data.label_set.name}) and of the starting weights",
    )


def is_first_process() -> bool:
    """Whether this process writes files: the only one, or rank 0 of torchrun's or Lightning's."""
    return int(os.environ.get("RANK", os.environ.get("LOCAL_RANK", "0"))) == 0


def _check_same_data(folder: Path, data: FoldData) -> None:
    """Remember which frames and labels a run has seen; refuse to go on with others.

    Raises:
        TrainingError: they changed since the run was started.
    """
    if not is_first_process():
        return
    digest = hashlib.sha256()
    for part in (data.frames.labels.tobytes(), "\n".join(data.frames.paths).encode(), data.weights.tobytes()):
        digest.update(hashlib.sha256(part).digest())
    now = f"{len(data.train)} training videos, labels {digest.hexdigest()}\n"
    folder.mkdir(parents=True, exist_ok=True)
    seen = folder / "data.txt"
    if not seen.is_file():
        seen.write_text(now, encoding="utf-8")
    elif (before := seen.read_text(encoding="utf-8")) != now:
        raise TrainingError(f"'{folder}' was started on {before.strip()}, now it is {now.strip()}; start a new run")


def _versions() -> dict[str, str]:
    found = {}
    for name in PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found
