"""Whom a model was trained on, in its folder, so that it is not judged on them by mistake."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from ...errors import ConfigError, ModelFolderError
from ...modelfolder.folder import ModelFolder

TRAINED_ON = "trained_on.json"


Note = dict[str, Any]


def noted(folder: ModelFolder) -> Note:
    """What `note_subjects` wrote into a folder; empty if nothing is known of it.

    Raises:
        ModelFolderError: it is not what the manifest says.
    """
    if not folder.has(TRAINED_ON):
        return {}
    note = folder.read_json(TRAINED_ON)
    earlier = note.get("earlier", []) if isinstance(note, dict) else None
    if not isinstance(earlier, list) or not all(map(_is_note, (note, *earlier))):
        raise ModelFolderError(f"'{folder.path / TRAINED_ON}' does not name a data set, a fold and subjects; remove it")
    return dict(note)


def _is_note(note: Any) -> bool:
    named = isinstance(note, dict) and isinstance(note.get("dataset"), str) and isinstance(note.get("fold"), int)
    subjects = note.get("subjects") if named else None
    return isinstance(subjects, list) and all(isinstance(subject, str) for subject in subjects)


def note_subjects(folder: ModelFolder, dataset: str, fold: int, subjects: Iterable[str], start: Note) -> None:
    """Write the training subjects, held out or not, into a model folder, with those of the model it started from.

    Args:
        start: what was noted of that model.

    Raises:
        ModelFolderError: it cannot be written.
    """
    own = {key: value for key, value in start.items() if key != "earlier"}
    earlier = [*start.get("earlier", []), *([own] if own else [])]
    content = {"dataset": dataset, "fold": fold, "subjects": sorted(set(subjects)), "earlier": earlier}
    with folder.writing(TRAINED_ON, {"tool": "mdhr train"}) as path:
        path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def note_together(folder: ModelFolder, *sources: ModelFolder) -> None:
    """Note the training subjects of all `sources` in a model folder that was made of them.

    Raises:
        ModelFolderError: a note is not what its manifest says, or cannot be written.
    """
    found = (note for source in sources for note in (noted(source), *noted(source).get("earlier", [])) if note)
    alone = [{key: value for key, value in note.items() if key != "earlier"} for note in found]
    notes = [note for index, note in enumerate(alone) if note not in alone[:index]]
    if not notes:
        return
    first, *others = notes
    with folder.writing(TRAINED_ON, {"tool": "mdhr average"}) as path:
        path.write_text(json.dumps({**first, "earlier": others}, indent=2) + "\n", encoding="utf-8")


def check_subjects(folder: ModelFolder, dataset: str, fold: int, tested: Iterable[str]) -> None:
    """Make sure that nobody of `tested` is known to have been trained on.

    Raises:
        ConfigError: somebody was.
        ModelFolderError: the folder's note is not what its manifest says.
    """
    note = noted(folder)
    if both := _both(note, dataset, tested):
        folds = {one["fold"] for one in (note, *note.get("earlier", [])) if one["dataset"] == dataset}
        own = f"judge it on its own fold: --fold {note['fold']}" if folds == {note["fold"]} != {fold} else ""
        raise ConfigError(
            f"'{folder.path}' was trained on {_some(both)} that fold {fold} tests: its figures would mean nothing; "
            f"{own or 'judge it on people that it has not seen'}"
        )


def check_start(start: Note, dataset: str, fold: int, judged: Iterable[str]) -> None:
    """Make sure that a run does not start from weights that have seen whom it will be judged on, or choose by.

    Args:
        start: what was noted of the model it starts from.

    Raises:
        ConfigError: they have.
    """
    if both := _both(start, dataset, judged):
        raise ConfigError(
            f"the model of start.folder was trained on {_some(both)} that fold {fold} is validated on: its figures "
            "would mean nothing; start from a model of the same fold (and set data.held_out=0, for such a model has "
            "seen all training subjects), or from other weights"
        )


def _both(note: Note, dataset: str, tested: Iterable[str]) -> list[str]:
    notes = [note, *note.get("earlier", [])] if note else []
    seen = {subject for one in notes if one["dataset"] == dataset for subject in one["subjects"]}
    return sorted(seen & set(tested))


def _some(subjects: list[str]) -> str:
    return f"{len(subjects)} of the subjects ({', '.join(subjects[:4])}{', ...' if len(subjects) > 4 else ''})"
