"""Whom a model was trained on, in its folder, so that it is not judged on them by mistake."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from ..errors import ConfigError
from ..folder import ModelFolder

TRAINED_ON = "trained_on.json"


def note_subjects(
    folder: ModelFolder, dataset: str, fold: int, subjects: Iterable[str], start: ModelFolder | None = None
) -> None:
    """Write the training subjects, held out or not, into a model folder, with those of the model it started from.

    Raises:
        ModelFolderError: it cannot be written, or `start`'s note is not what its manifest says.
    """
    before = {} if start is None else _noted(start)
    earlier = [*before.pop("earlier", []), *([before] if before else [])]
    content = {"dataset": dataset, "fold": fold, "subjects": sorted(set(subjects)), "earlier": earlier}
    with folder.writing(TRAINED_ON, {"tool": "mdhr train"}) as path:
        path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def check_subjects(folder: ModelFolder, dataset: str, fold: int, tested: Iterable[str]) -> None:
    """Make sure that nobody of `tested` is known to have been trained on.

    Raises:
        ConfigError: somebody was.
        ModelFolderError: the folder's note is not what its manifest says.
    """
    if both := _both(folder, dataset, tested):
        raise ConfigError(
            f"'{folder.path}' was trained on {_some(both)} that fold {fold} tests: its figures would mean nothing; "
            f"judge it on its own fold: --fold {_noted(folder)['fold']}"
        )


def check_start(folder: ModelFolder, dataset: str, fold: int, judged: Iterable[str]) -> None:
    """Make sure that a run does not start from weights that have seen whom it will be judged on, or choose by.

    Raises:
        ConfigError, ModelFolderError: as for `check_subjects`.
    """
    if both := _both(folder, dataset, judged):
        raise ConfigError(
            f"start.folder '{folder.path}' was trained on {_some(both)} that fold {fold} is validated on: its figures "
            "would mean nothing; start from a model of the same fold (and set data.held_out=0, for such a model has "
            "seen all training subjects), or from other weights"
        )


def _noted(folder: ModelFolder) -> dict[str, Any]:
    """What `note_subjects` wrote; empty if nothing is known."""
    return dict(json.loads(folder.read(TRAINED_ON))) if folder.has(TRAINED_ON) else {}


def _both(folder: ModelFolder, dataset: str, tested: Iterable[str]) -> list[str]:
    noted = _noted(folder)
    notes = [noted, *noted.get("earlier", [])] if noted else []
    seen = {subject for note in notes if note["dataset"] == dataset for subject in note["subjects"]}
    return sorted(seen & set(tested))


def _some(subjects: list[str]) -> str:
    return f"{len(subjects)} of the subjects ({', '.join(subjects[:4])}{', ...' if len(subjects) > 4 else ''})"
