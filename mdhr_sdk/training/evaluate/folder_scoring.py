"""A model folder on the test frames of a data set."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import torch

from ...aus import LabelSet
from ...errors import ConfigError, DataError
from ...model import load_model
from ...modelfolder.config import Preprocessing
from ...modelfolder.folder import ModelFolder
from ...plain_json import read_json
from ..data.crop_settings import NOTE
from ..data.folds import tested_half
from ..data.several import label_set_of
from ..data.subjects import check_subjects
from ..fit.fit import score
from ..fit.settings import read_settings
from .evaluation import GIVEN, HALF, NETWORK, FoldResult, Result, judge
from .predictions import Predictions

log = logging.getLogger("mdhr_sdk")


@dataclass(frozen=True)
class Shared:
    """Codes of the AUs that a model and a data set share, and of those that only one of them has."""

    both: tuple[str, ...]
    model: tuple[str, ...]
    data: tuple[str, ...]

    @classmethod
    def of(cls, model: LabelSet, data: LabelSet) -> Shared:
        ours, theirs = model.codes, data.codes
        both = tuple(code for code in theirs if code in ours)
        rest = (tuple(c for c in some if c not in both) for some in (ours, theirs))
        return cls(both, *rest)


class Scored(NamedTuple):
    """A model folder judged on each fold's test frames, by the AUs that it shares with them."""

    results: list[Result]
    predictions: dict[int, Predictions]
    shared: Shared


def score_folder(folder: ModelFolder, config: Path | None, changes: Sequence[str], folds: Sequence[int]) -> Scored:
    """Score a model on the test frames of each fold and judge it at its own thresholds.

    Of AUs that only the model or only the data set has, nothing is said.

    Crops have no mesh, so a model with geometry is judged by its network alone, at 0.5: its thresholds are for both.

    The model decides its size, T and normalisation, and scores in 32 bits; the configuration says which frames, how
    many workers and how large a batch.

    Raises:
        ConfigError: the model and the data set share no AU, its faces are aligned in another way, it was trained on
            subjects that a fold tests, or a GPU is asked for and there is none.
        DataError: the lists, the pictures or the note of how they were made are not as they should be.
    """
    settings = read_settings(config, changes)
    clips = dataclasses.replace(settings.data, clip_length=folder.config.clip_length)
    size = {**settings.model, "input_size_px": folder.config.model.input_size_px}
    one = dataclasses.replace(settings.trainer, devices=1)
    settings = dataclasses.replace(settings, data=clips, model=size, trainer=one)
    for place in settings.data.each:
        _check_crops(Path(place.images), folder.config.preprocessing)
    shared = _shared(folder, label_set_of(settings.data))
    columns = [folder.config.model.label_set.codes.index(code) for code in shared.both]
    device = _device(settings.trainer.accelerator)
    model = load_model(folder).to(device)
    results: list[FoldResult] = []
    found: dict[int, Predictions] = {}
    geometry = any(folder.config.geometry)
    own = (HALF,) * len(folder.config.thresholds) if geometry else folder.config.thresholds
    thresholds = [own[column] for column in columns]
    for fold in folds:
        data = tested_half(settings, fold, folder.config.preprocessing)
        for name, subjects in data.judged_on.items():
            check_subjects(folder, name, fold, subjects)
        scores = score(model, data, settings, device)[:, columns]
        found[fold] = Predictions(data.frames.of(shared.both), scores)
        results.append(judge(found[fold], thresholds, fold))
    return Scored([Result(NETWORK if geometry else GIVEN, shared.both, tuple(results))], found, shared)


def _shared(folder: ModelFolder, data: LabelSet) -> Shared:
    """The AUs of a model and of the data, of which at least one must be in both."""
    shared = Shared.of(folder.config.model.label_set, data)
    if not shared.both:
        raise ConfigError(
            f"'{folder.path}' scores {' '.join(shared.model)}, and the data set has {' '.join(shared.data)}: no AU in "
            "common; take another of the two"
        )
    return shared


def _device(accelerator: str) -> torch.device:
    if accelerator == "gpu" and not torch.cuda.is_available():
        raise ConfigError("trainer.accelerator is gpu and PyTorch finds none here; take cpu or auto, see: mdhr doctor")
    return torch.device("cuda" if accelerator != "cpu" and torch.cuda.is_available() else "cpu")


def _check_crops(images: Path, wanted: Preprocessing) -> None:
    """Refuse crops that `mdhr prepare` aligned for another model, and warn of small ones; other crops have no note."""
    note = images.absolute().parent / NOTE
    if not note.is_file():
        return
    try:
        content = read_json(note)
        found, size = content["template"], int(content.get("size_px", wanted.size_px))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"'{note}' cannot be read ({error!r}); make the crops again with: mdhr prepare") from None
    if found != wanted.template:
        raise ConfigError(f"the model reads faces aligned by {wanted.template}, but '{images}' was aligned by {found}")
    if size < wanted.size_px:
        log.warning(
            f"the model reads faces of {wanted.size_px} px, and the crops in '{images}' have {size}: what they lack is "
            f"made up, and scores are worse; prepare them again with --size {wanted.size_px} or more"
        )
