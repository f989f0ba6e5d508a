"""From list files to the data that a run trains and is validated on."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from ...aus import LabelSet
from ...errors import ConfigError
from ...modelfolder.config import ModelConfig, Preprocessing
from ...modelfolder.strict import from_mapping
from ..evaluate.predictions import Frames
from ..fit.augment import Augmentation
from ..fit.fit import FoldData, Tested
from ..fit.settings import Settings
from .clip_windows import ClipDataset, normalised
from .frames import au_weights, region_classes
from .lists import FrameList, check_pictures, read_fold, read_test
from .several import Place, joined, label_set_of, places


def tested_half(settings: Settings, fold: int, preprocessing: Preprocessing) -> Tested:
    """The test half of a fold, normalised as `preprocessing` says; the training half may be missing.

    Raises:
        ConfigError, DataError: as `fold_data`.
    """
    found, label_set = places(settings.data), label_set_of(settings.data)
    halves = []
    for place in found:
        halves.append((place.spec, read_test(place.lists, place.spec, fold)))
        check_pictures(halves[-1][1], place.images)
    test = halves[0][1] if len(halves) == 1 else joined(halves, label_set)
    return Tested(
        label_set=label_set,
        validation=_clips(settings, settings.model_config(label_set), preprocessing, test, False),
        frames=_frames(test, label_set.codes),
        prepare=partial(normalised, mean=preprocessing.mean, std=preprocessing.std),
        sets=_names(found),
    )


def fold_data(settings: Settings, fold: int, inner: bool = False) -> FoldData:
    """The training and validation halves of a fold, normalised for ImageNet; of several data sets, those of all.

    With `inner` the test half is left alone: `data.held_out` of the training subjects are validated on, and the
    others trained on.

    Raises:
        ConfigError, DataError: the data set, a list or an image is wrong.
    """
    found, label_set = places(settings.data), label_set_of(settings.data)
    train, validation = _halves(found, label_set, fold)
    if inner:
        chosen = held_out_subjects(train.subjects, settings.data.held_out, settings.trainer.seed, fold)
        train, validation = (_of_subjects(train, chosen, inside) for inside in (False, True))
    config, codes = settings.model_config(label_set), label_set.codes
    shown = Preprocessing(size_px=config.input_size_px)
    return FoldData(
        label_set=label_set,
        train=_clips(settings, config, shown, train, True),
        validation=_clips(settings, config, shown, validation, False),
        frames=_frames(validation, codes),
        weights=au_weights(train.labels, codes),
        trained_on=_frames(train, codes),
        prepare=partial(normalised, mean=shown.mean, std=shown.std),
        sets=_names(found),
    )


def _halves(found: Sequence[Place], label_set: LabelSet, fold: int) -> tuple[FrameList, FrameList]:
    """Both halves of a fold, of one data set or of several."""
    folds = []
    for place in found:
        folds.append(read_fold(place.lists, place.spec, fold))
        for half in (folds[-1].train, folds[-1].test):
            check_pictures(half, place.images)
    if len(folds) == 1:
        return folds[0].train, folds[0].test
    specs = [place.spec for place in found]
    train = joined([(spec, one.train) for spec, one in zip(specs, folds, strict=True)], label_set)
    return train, joined([(spec, one.test) for spec, one in zip(specs, folds, strict=True)], label_set)


def _names(found: Sequence[Place]) -> tuple[str, ...]:
    """Of the data sets, where there are several."""
    return tuple(place.spec.name for place in found) if len(found) > 1 else ()


def held_out_subjects(subjects: Collection[str], share: float, seed: int, fold: int) -> set[str]:
    """About `share` of the subjects, drawn by (seed, fold); at least one, and never all."""
    names = sorted(set(subjects))
    if len(names) < 2:
        raise ConfigError(f"data.held_out needs at least two training subjects; fold {fold} has {names}; set it to 0")
    number = min(max(1, round(share * len(names))), len(names) - 1)
    return set(np.random.default_rng((seed, fold)).permutation(names)[:number].tolist())


def _of_subjects(frames: FrameList, subjects: Collection[str], inside: bool) -> FrameList:
    """The rows of these subjects, or all others."""
    rows = np.flatnonzero(np.isin(frames.subjects, list(subjects)) == inside)
    columns: dict[str, Any] = {name: getattr(frames, name)[rows] for name in ("labels", "regions", "videos", "numbers")}
    texts: dict[str, Any] = {name: tuple(getattr(frames, name)[row] for row in rows) for name in ("paths", "subjects")}
    return dataclasses.replace(frames, **columns, **texts)


def _clips(
    settings: Settings, config: ModelConfig, preprocessing: Preprocessing, frames: FrameList, train: bool
) -> ClipDataset:
    regions = region_classes(frames.labels, config.layout, config.label_set.aus)
    return ClipDataset(
        dataclasses.replace(frames, regions=regions),
        root=_roots(settings),
        clip_length=settings.data.clip_length,
        size_px=preprocessing.size_px,
        mean=preprocessing.mean,
        std=preprocessing.std,
        train=train,
        seed=settings.trainer.seed,
        augmentation=augmentation(settings) if train else None,
        as_bytes=True,
    )


def _roots(settings: Settings) -> Path | dict[str, Path]:
    """The image folder, or for several data sets that of each by its name."""
    found = places(settings.data)
    return found[0].images if len(found) == 1 else {place.spec.name: place.images for place in found}


def augmentation(settings: Settings) -> Augmentation:
    """The paper's, with what `settings.augmentation` changes."""
    try:
        return from_mapping(Augmentation, settings.augmentation)
    except ConfigError as error:
        raise ConfigError(f"augmentation: {error}") from None


def _frames(frames: FrameList, codes: tuple[str, ...]) -> Frames:
    starts = np.array([run.start for run in frames.runs()], np.int64)
    return Frames(codes, frames.labels, frames.subjects, frames.paths, starts)
