"""The model before its first step: new, or with weights of an earlier one."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Sequence
from typing import Any

from ....aus import LabelSet
from ....errors import CheckpointError, ConfigError, ModelFolderError
from ....model import MDHR, load_model
from ....modelfolder.config import ModelConfig
from ....modelfolder.folder import ModelFolder
from ..settings import Settings
from .taking import BACKBONE, Taken, fitting_tensors, put, same_tensors

FIELDS = tuple(field.name for field in dataclasses.fields(ModelConfig))
FREE = ("input_size_px", "region_loss_weight")  # on which no weights depend, but for the size of some backbones
log = logging.getLogger("mdhr_sdk")


def starting_model(settings: Settings, label_set: LabelSet, resumed: bool = False) -> MDHR:
    """The model before its first step; a resumed run takes its weights from the checkpoint instead.

    Raises:
        ConfigError: `start.folder` holds another architecture than the settings describe, or nothing that fits them;
            the input size may differ where no weight depends on it.
        CheckpointError: the pretrained weights cannot be fetched.
    """
    return started(settings, label_set, resumed)[0]


def started(settings: Settings, label_set: LabelSet, resumed: bool = False) -> tuple[MDHR, Taken | None]:
    """As `starting_model`, and what was taken of `start.folder`; None without one."""
    config = settings.model_config(label_set)
    if settings.start.folder is None or resumed:
        try:
            return MDHR(config, settings.start.pretrained and not resumed), None
        except CheckpointError as error:
            raise CheckpointError(f"{error}: start.pretrained=false, or start.folder=MODEL") from None
    earlier, model = load_model(open_start(settings.start.folder)), MDHR(config)
    take = {"all": _take_all, "backbone": _take_backbone, "fitting": _take_fitting}[settings.start.take]
    taken = take(earlier, model, settings.start.folder)
    return model.train(), taken


def open_start(folder: str) -> ModelFolder:
    """The model folder that a run starts from."""
    try:
        return ModelFolder.open(folder)
    except ModelFolderError as error:
        raise ConfigError(f"start.folder: {error}; if it is of an earlier run, train that one first") from None


def origin(settings: Settings, label_set: LabelSet) -> dict[str, Any]:
    """What is to be kept of the model that a run starts from: where it came from, and what was taken; {} without one.

    Logs a warning where its weights are to read smaller faces than those that they learnt from.
    """
    start = settings.start.folder
    if start is None:
        return {}
    earlier = open_start(start).config
    theirs, ours = earlier.model.input_size_px, settings.model_config(label_set).input_size_px
    if ours < theirs:
        log.warning(
            f"'{start}' reads faces of {theirs} px, and model.input_size_px is {ours}: its weights fit smaller faces "
            f"badly; set model.input_size_px={theirs} unless you need {ours}"
        )
    _, taken = started(settings, label_set)
    kept = {name: getattr(earlier, name) for name in ("trained_on", "provenance", "licence")}
    told = "" if taken is None else taken.told()
    if any(earlier.geometry):
        told += "; its geometry is left out"
    return {"folder": start, **kept, "told": told, "taken": {} if taken is None else taken.as_json()}


def difference(theirs: ModelConfig, ours: ModelConfig, names: Sequence[str] = FIELDS) -> str:
    """In what two architectures differ, field by field: 'k (5 there, 3 here), au_width (...)'; '' if in nothing."""
    told = []
    for name in names:
        there, here = getattr(theirs, name), getattr(ours, name)
        if there != here:
            if name == "label_set":
                there, here = _told(theirs.label_set, ours.label_set), _told(ours.label_set, theirs.label_set)
            told.append(f"{name} ({there} there, {here} here)")
    return ", ".join(told)


def _told(labels: LabelSet, other: LabelSet) -> str:
    """As much of a label set as tells it from the other."""
    if labels.aus != other.aus:
        return f"{labels.name} with AUs {' '.join(map(str, labels.aus))}"
    if labels.name != other.name:
        return labels.name
    groups = (" ".join(map(str, group.aus)) for group in labels.layout.groups)
    return f"{labels.name} with region groups {' | '.join(groups)}"


def _take_all(earlier: MDHR, model: MDHR, folder: str) -> Taken:
    told = difference(earlier.config, model.config, [name for name in FIELDS if name not in FREE])
    whole = same_tensors(earlier, model)
    if not told and len(whole) < len(model.state_dict()):  # weights that depend on the input size, as a Swin's
        told = difference(earlier.config, model.config)
    if told:
        raise ConfigError(
            f"'{folder}' holds another model, but the settings describe one that differs in {told}; make `model` and "
            "data.dataset the same, or take a part of it: start.take=backbone, or start.take=fitting"
        )
    return put(model, whole, {})


def _take_backbone(earlier: MDHR, model: MDHR, folder: str) -> Taken:
    whole = same_tensors(earlier, model, BACKBONE)
    sizes = [sum(name.startswith(BACKBONE) for name in one.state_dict()) for one in (earlier, model)]
    if len(whole) < max(sizes):
        raise ConfigError(
            f"the backbone of '{folder}' differs from the settings' in "
            f"{difference(earlier.config, model.config, ('backbone', 'input_size_px'))}; set model.backbone="
            f"{earlier.config.backbone}, or take what fits: start.take=fitting"
        )
    return put(model, whole, {})


def _take_fitting(earlier: MDHR, model: MDHR, folder: str) -> Taken:
    whole, rows = fitting_tensors(earlier, model)
    if not whole and not rows:
        raise ConfigError(f"no tensor of '{folder}' fits the settings; start without start.folder")
    return put(model, whole, rows)
