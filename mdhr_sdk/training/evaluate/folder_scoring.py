"""A model folder on the test frames of a data set."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path

import torch

from ...errors import ConfigError, DataError
from ...model import load_model
from ...modelfolder.folder import ModelFolder
from ..data.crop_settings import NOTE
from ..data.folds import tested_half
from ..data.subjects import check_subjects
from ..fit.fit import score
from ..fit.settings import read_settings
from .evaluation import GIVEN, HALF, NETWORK, FoldResult, Result, judge
from .predictions import Predictions


def score_folder(
    folder: ModelFolder, config: Path | None, changes: Sequence[str], folds: Sequence[int]
) -> tuple[list[Result], dict[int, Predictions]]:
    """Score a model on the test frames of each fold and judge it at its own thresholds.

    Crops have no mesh, so a model with geometry is judged by its network alone, at 0.5: its thresholds are for both.

    The model decides its size, T and normalisation, and scores in 32 bits; the configuration says which frames, how
    many workers and how large a batch.

    Raises:
        ConfigError: the model's AUs are not the data set's, its faces are aligned in another way, it was trained on
            subjects that a fold tests, or a GPU is asked for and there is none.
        DataError: the lists, the pictures or the note of how they were made are not as they should be.
    """
    settings = read_settings(config, changes)
    clips = dataclasses.replace(settings.data, clip_length=folder.config.clip_length)
    size = {**settings.model, "input_size_px": folder.config.model.input_size_px}
    one = dataclasses.replace(settings.trainer, devices=1)
    settings = dataclasses.replace(settings, data=clips, model=size, trainer=one)
    _check_template(Path(settings.data.images), folder.config.preprocessing.template)
    device = _device(settings.trainer.accelerator)
    model = load_model(folder).to(device)
    results: list[FoldResult] = []
    found: dict[int, Predictions] = {}
    geometry = any(folder.config.geometry)
    thresholds = (HALF,) * len(folder.config.thresholds) if geometry else folder.config.thresholds
    for fold in folds:
        data = tested_half(settings, fold, folder.config.preprocessing)
        ours, theirs = folder.config.model.label_set.aus, data.label_set.aus
        if ours != theirs:
            raise ConfigError(f"'{folder.path}' scores AUs {ours}, the data set has {theirs}; take another of the two")
        check_subjects(folder, data.label_set.name, fold, data.frames.subjects)
        found[fold] = Predictions(data.frames, score(model, data, settings, device))
        results.append(judge(found[fold], thresholds, fold))
    return [Result(NETWORK if geometry else GIVEN, found[folds[0]].frames.codes, tuple(results))], found


def _device(accelerator: str) -> torch.device:
    if accelerator == "gpu" and not torch.cuda.is_available():
        raise ConfigError("trainer.accelerator is gpu and PyTorch finds none here; take cpu or auto, see: mdhr doctor")
    return torch.device("cuda" if accelerator != "cpu" and torch.cuda.is_available() else "cpu")


def _check_template(images: Path, wanted: str) -> None:
    """Refuse crops that `mdhr prepare` aligned for another model; other crops have no note."""
    note = images.absolute().parent / NOTE
    if not note.is_file():
        return
    try:
        found = json.loads(note.read_text(encoding="utf-8"))["template"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"'{note}' cannot be read ({error!r}); make the crops again with: mdhr prepare") from None
    if found != wanted:
        raise ConfigError(f"the model reads faces aligned by {wanted}, but '{images}' was aligned by {found}")
