"""Fitted intensities put into a model folder."""

from __future__ import annotations

from ...errors import ConfigError
from ...modelfolder.folder import WEIGHTS, ModelFolder
from ...pipeline.scores.geometry import FILE as GEOMETRY
from ...pipeline.scores.geometry import GeometryModel, read_geometry
from ...pipeline.scores.intensity import FILE, MADE_FROM, IntensityModel


def geometry_of(folder: ModelFolder) -> GeometryModel:
    """The geometry of a folder that intensities can be put into.

    Raises:
        ConfigError: it has none.
        ModelFolderError: it is damaged.
    """
    if (geometry := read_geometry(folder)) is None:
        raise ConfigError(
            f"intensities are read from the geometry of the mesh too, and '{folder.path}' has none; make it first: "
            "mdhr synthetic geometry"
        )
    return geometry


def save_intensity(folder: ModelFolder, model: IntensityModel, made_from: str) -> ModelFolder:
    """Write the intensities and which are told; returns the folder as it is then.

    Raises:
        ModelFolderError: it cannot be written.
    """
    files = folder.manifest
    made = {
        "tool": "mdhr synthetic intensity",
        "options": {"made_from": made_from},
        "source_sha256": files[WEIGHTS]["sha256"],
        MADE_FROM: files[GEOMETRY]["sha256"],
    }
    with folder.writing(FILE, made) as part:
        part.write_bytes(model.to_bytes())
    return folder.update(intensity=tuple(bool(one) for one in model.told))
