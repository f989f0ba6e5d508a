"""A trained geometry put into a model folder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ...errors import ConfigError
from ...modelfolder.folder import ModelFolder
from ...pipeline.scores.geometry import FILE, GeometryModel, logit
from ...vision import prepare
from ..face.muscles import AUS
from .meshes import CROP_PX, Meshes

BATCH = 64


def check_target(path: Path) -> ModelFolder:
    """A folder that geometry can be put into.

    Raises:
        ConfigError: the model does not have the AUs that rendered people show, or reads crops of another size.
        ModelFolderError: the folder cannot be opened, or comes with the package.
    """
    folder = ModelFolder.open(path)
    folder.check_own()
    if tuple(folder.config.model.label_set.aus) != tuple(AUS):
        raise ConfigError(
            f"geometry is trained for AUs {', '.join(map(str, AUS))}; '{path}' scores "
            f"{', '.join(map(str, folder.config.model.label_set.aus))}; take a model with the former"
        )
    if folder.config.preprocessing.size_px != CROP_PX:
        raise ConfigError(
            f"meshes come with crops of {CROP_PX} px; '{path}' reads {folder.config.preprocessing.size_px} px; "
            f"take a model with input_size_px={CROP_PX}"
        )
    return folder


def with_rest_logits(
    geometry: GeometryModel, folder: ModelFolder, meshes: Meshes, relative: Sequence[float], shares: Sequence[float]
) -> GeometryModel:
    """The geometry with its shares, and with what the folder's network says of rendered people at rest."""
    said = network_logits(folder, meshes.crops[meshes.rest]).mean(axis=0)
    return replace(geometry, rest_logits=said, relative=np.array(relative), shares=np.array(shares))


def network_logits(folder: ModelFolder, crops: NDArray[np.uint8]) -> NDArray[np.float64]:
    """(M, N) what the folder's network says of crops (M, S, S, 3), each frame by itself."""
    import torch

    from ...model import load_model

    network, preprocessing = load_model(folder).eval(), folder.config.preprocessing
    said = []
    with torch.no_grad():
        for start in range(0, len(crops), BATCH):
            frames = prepare(crops[start : start + BATCH], preprocessing.mean, preprocessing.std)
            said.append(logit(network(torch.from_numpy(frames)[:, None]).scores[:, 0].numpy()))
    return np.concatenate(said)


def save_geometry(folder: ModelFolder, model: GeometryModel, made_from: str) -> ModelFolder:
    """Write the geometry and its shares; returns the folder as it is then, without intensities, which read another one.

    Raises:
        ModelFolderError: it cannot be written.
    """
    with folder.writing(FILE, {"tool": "mdhr synthetic geometry", "options": {"made_from": made_from}}) as part:
        part.write_bytes(model.to_bytes())
    return folder.update(geometry=tuple(model.shares.tolist()), intensity=())
