"""Notes a model's training subjects in its folder, so that it is not judged on them by mistake."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ...errors import ConfigError, ModelFolderError
from ...modelfolder.folder import ModelFolder

TRAINED_ON = "trained_on.json"
Note = dict[str, Any]


def noted(folder: ModelFolder) -> Note:
    """What `note_subjects` wrote into a folder; empty if nothing.

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


def note_subjects(folder: ModelFolder, subjects: Mapping[str, Iterable[str]], fold: int, start: Note) -> None:
    """Note the training subjects, held out or not, in a model folder, and those of the model it started from.

    Args:
        subjects: of each data set, by its name.
    """
    own = [{"dataset": name, "fold": fold, "subjects": sorted(set(some))} for name, some in subjects.items()]
    _write(folder, [*own, *_each(start)], "mdhr train")


def note_together(folder: ModelFolder, *sources: ModelFolder) -> None:
    """Note the training subjects of all `sources` in a model folder that was made from them."""
    found = [note for source in sources for note in _each(noted(source))]
    _write(folder, [note for index, note in enumerate(found) if note not in found[:index]], "mdhr average")


def by_set(subjects: Iterable[str], name: str, sets: Sequence[str]) -> dict[str, set[str]]:
    """Subjects as each set calls them.

    Args:
        name: of the one data set, if there is but one.
        sets: the names of several; empty for one.
    """
    if not sets:
        return {name: set(subjects)}
    found: dict[str, set[str]] = {one: set() for one in sets}
    for one, _, subject in (subject.partition("/") for subject in set(subjects)):
        found[one].add(subject)
    return found


def check_subjects(folder: ModelFolder, dataset: str, fold: int, tested: Iterable[str]) -> None:
    """Refuse to judge a model on subjects that it was trained on.

    Raises:
        ConfigError: it was trained on one of them.
        ModelFolderError: the folder's note is not what its manifest says.
    """
    note = noted(folder)
    if both := _both(note, dataset, tested):
        folds = {one["fold"] for one in _each(note) if one["dataset"] == dataset}
        own = f"judge it on its own fold: --fold {note['fold']}" if folds == {note["fold"]} != {fold} else ""
        raise ConfigError(
            f"'{folder.path}' was trained on {_some(both)} that fold {fold} tests: its figures would mean nothing; "
            f"{own or 'judge it on people that it has not seen'}"
        )


def check_start(start: Note, judged: Mapping[str, Iterable[str]], fold: int) -> None:
    """Refuse to start from a model that has seen subjects on which the run is judged, or by which it chooses.

    Args:
        judged: those subjects of each data set, by its name.
    """
    if both := [one for name, subjects in judged.items() for one in _both(start, name, subjects)]:
        raise ConfigError(
            f"the model of start.folder was trained on {_some(both)} that fold {fold} is validated on: its figures "
            "would mean nothing; start from a model of the same fold (and set data.held_out=0, for such a model has "
            "seen all training subjects), or from other weights"
        )


def _each(note: Note) -> list[Note]:
    """The notes of the model itself, then of those before it."""
    notes = [note, *note.get("earlier", [])] if note else []
    return [{key: value for key, value in one.items() if key != "earlier"} for one in notes]


def _write(folder: ModelFolder, notes: list[Note], tool: str) -> None:
    if notes:
        with folder.writing(TRAINED_ON, {"tool": tool}) as path:
            path.write_text(json.dumps({**notes[0], "earlier": notes[1:]}, indent=2) + "\n", encoding="utf-8")


def _both(note: Note, dataset: str, tested: Iterable[str]) -> list[str]:
    seen = {subject for one in _each(note) if one["dataset"] == dataset for subject in one["subjects"]}
    return sorted(seen & set(tested))


def _some(subjects: list[str]) -> str:
    return f"{len(subjects)} of the subjects ({', '.join(subjects[:4])}{', ...' if len(subjects) > 4 else ''})"
