"""How crops are made; noted beside them, so that no folder mixes two kinds."""

from __future__ import annotations

import json
from importlib import metadata
from pathlib import Path
from typing import Any

from ... import __version__
from ...atomic import write_whole
from ...errors import DataError
from ...modelfolder.folder import sha256
from ...modelfolder.strict import Positive, strict
from ...plain_json import read_json
from ...vision import DEFAULT_TEMPLATE
from .cut_videos import MakeMesher
from .spec import DatasetSpec

NOTE = "prepare.json"


@strict
class PrepareOptions:
    """How crops are made.

    Attributes:
        size_px: side of the crops.
        face_model: a MediaPipe `face_landmarker.task` in place of the models in MediaPipe's wheel.
        workers: processes.
        partial: take what is there of a distribution, and make the lists of the folds that it gives.
    """

    size_px: Positive = 256
    face_model: Path | None = None
    workers: Positive = 1
    partial: bool = False


def settings_of(dataset: DatasetSpec, options: PrepareOptions, make_mesher: MakeMesher | None) -> dict[str, Any]:
    """The settings that all crops of a folder must share."""
    if options.face_model is not None and not options.face_model.is_file():
        raise DataError(f"face model '{options.face_model}' does not exist; give a MediaPipe face_landmarker.task")
    return {
        "dataset": dataset.name,
        "aus": list(dataset.label_set.aus),
        "template": DEFAULT_TEMPLATE,
        "size_px": options.size_px,
        "faces": getattr(make_mesher, "__qualname__", f"MediaPipe {metadata.version('mediapipe')}"),
        "face_model_sha256": sha256(options.face_model) if options.face_model else None,
        "mdhr_sdk": __version__,
    }


def check_settings(out: Path, settings: dict[str, Any]) -> None:
    """Refuse to mix crops; note the settings before the first one is written."""
    if earlier := noted_otherwise(out / NOTE, settings, but=("mdhr_sdk",)):
        changes = ", ".join(f"{key} {value} and not {settings[key]}" for key, value in earlier.items())
        raise DataError(f"'{out}' holds crops made with {changes}; choose another --out, or remove the folder")


def noted_otherwise(path: Path, settings: dict[str, Any], but: tuple[str, ...] = ()) -> dict[str, Any]:
    """The noted values of settings that differ from `settings`, by name; without a note in the folder, write one.

    Args:
        but: settings that may differ.
    """
    if not path.exists():
        write_whole(path, as_json(settings), DataError)
    try:
        earlier = read_json(path)
        return {key: earlier.get(key) for key, now in settings.items() if key not in but and earlier.get(key) != now}
    except (OSError, ValueError, AttributeError) as error:
        raise DataError(f"'{path}' cannot be read ({error}); take a new folder") from None


def as_json(content: dict[str, Any]) -> bytes:
    return (json.dumps(content, indent=2) + "\n").encode()
