"""A file of labelled pictures: what it says, and what it may not say."""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, TypeAdapter, ValidationError, model_validator

from ....errors import DataError
from ....plain_json import read_json

UNKNOWN = -1
MOST_BYTES = 64 << 20  # of labels: half a million pictures
LIKE = 0.8  # a key that is so like a known one, of 1, is a slip
Number = Annotated[int, Field(ge=1, le=99)]


class _Said(BaseModel):
    """AUs by number. What is in neither list is unknown. Other keys are the user's own."""

    model_config = ConfigDict(strict=True, extra="allow")
    present: list[Number] = []
    absent: list[Number] = []

    @model_validator(mode="after")
    def _no_slip(self) -> _Said:
        for key in self.model_extra or {}:
            meant = difflib.get_close_matches(key.lower(), type(self).model_fields, 1, LIKE)
            if meant and meant[0] not in self.model_fields_set:
                raise ValueError(f"the key '{key[:40]}' means nothing here; is it '{meant[0]}'?")
        return self


class _Entry(_Said):
    file: str
    kind: Literal["still", "video"] = "still"
    person: Annotated[str, BeforeValidator(lambda given: str(given) if type(given) is int else given)] = ""
    stated: str = ""
    frames: dict[Annotated[str, Field(pattern=r"^[0-9]{1,9}$")], _Said] = {}

    @model_validator(mode="after")
    def _of_one_kind(self) -> _Entry:
        if self.kind == "still" and self.frames:
            raise ValueError("a still has no frames; set kind to 'video', or leave them out")
        if self.kind == "video" and (self.present or self.absent):
            raise ValueError("of a video, present and absent belong into its frames")
        return self


_ENTRIES = TypeAdapter(list[_Entry])


@dataclass(frozen=True)
class Case:
    """One picture.

    Attributes:
        file: as the labels write it; `path` is where it lies.
        frame: number in a video, from 0; None for a still.
        person: who is shown; the file where nobody said so.
        stated: what others say of the picture, as 'neutral'; '' if nothing.
        present, absent: numbers of AUs.
    """

    file: str
    path: Path
    frame: int | None
    person: str
    stated: str
    present: frozenset[int]
    absent: frozenset[int]

    @property
    def name(self) -> str:
        """'press/001.jpg', or 'clips/001.mp4 frame 22'."""
        return self.file if self.frame is None else f"{self.file} frame {self.frame}"

    @property
    def labelled(self) -> bool:
        return bool(self.present or self.absent)


def read_cases(labels: Path) -> tuple[Case, ...]:
    """The pictures of a file, in its order; files are looked for beside it.

    Raises:
        DataError: the file is no such JSON, an AU is both present and absent, or a picture is missing.
    """
    try:
        entries = _ENTRIES.validate_python(read_json(labels, MOST_BYTES))
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False)[0]
        where = ", ".join(f"entry {part + 1}" if isinstance(part, int) else str(part)[:40] for part in first["loc"])
        what = first["msg"].removeprefix("Value error, ")
        if first["type"] == "model_type":
            what = 'expected an object, as {"file": "a.jpg", "present": [12]}'
        raise DataError(f"'{labels}': {where or 'the file'}: {what}; see docs/real_faces.md") from None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise DataError(f"'{labels}' cannot be read as labels: {reason}; see docs/real_faces.md") from None
    found = tuple(case for entry in entries for case in _cases(labels, entry))
    if not found:
        raise DataError(f"'{labels}' names no picture; see docs/real_faces.md for what it may say")
    if outside := next((case.file for case in found if _leads_out(case.file)), None):
        raise DataError(f"'{labels}': files lie beside it or in folders below, and '{outside}' leads elsewhere")
    names = Counter(case.name for case in found)
    if twice := next((name for name, times in names.items() if times > 1), None):
        raise DataError(f"'{labels}' names '{twice}' twice; keep one of the two")
    missing = sorted({case.file for case in found if not case.path.is_file()})
    if missing:
        raise DataError(f"'{labels}': {len(missing)} of its files are not there, as '{missing[0]}'; put them beside it")
    return found


def _leads_out(file: str) -> bool:
    return Path(file).is_absolute() or ".." in Path(file).parts or "\0" in file


def _cases(labels: Path, entry: _Entry) -> list[Case]:
    frames: list[tuple[int | None, _Said]] = [(None, entry)]
    if entry.kind == "video":
        frames = [(int(number), said) for number, said in entry.frames.items()]
        if not frames:
            raise DataError(f"'{labels}': the video '{entry.file}' has no frames; name some, or leave it out")
    cases = [
        Case(
            entry.file,
            labels.parent / entry.file,
            number,
            entry.person or entry.file,
            entry.stated,
            frozenset(said.present),
            frozenset(said.absent),
        )
        for number, said in frames
    ]
    for case in cases:
        if both := sorted(case.present & case.absent):
            raise DataError(f"'{labels}': '{case.name}' has AU{both[0]} present and absent; keep it in one list")
    return cases


def unscored(cases: Sequence[Case], aus: Sequence[int]) -> dict[int, int]:
    """AU -> how many labels it has, of the AUs that are labelled and are none of `aus`."""
    count = Counter(au for case in cases for au in case.present | case.absent)
    return {au: count[au] for au in sorted(count.keys() - {*aus})}


def label_table(cases: Sequence[Case], aus: Sequence[int]) -> NDArray[np.int8]:
    """(n, N) 1 present, 0 absent, -1 unknown."""
    rows: list[list[Any]] = [
        [1 if au in case.present else 0 if au in case.absent else UNKNOWN for au in aus] for case in cases
    ]
    return np.array(rows, np.int8).reshape(len(cases), len(aus))
