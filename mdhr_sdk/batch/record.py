"""The record beside the results of a file: what they were made from, so that a later run knows what is done."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass

from .places import Place

RECORD = "_run.json"  # after the name that a source's files begin with
FORMAT = 1


@dataclass(frozen=True)
class Record:
    """Results that are complete; it is written after them.

    Attributes:
        source: name of the source.
        fingerprint: of its content.
        key: of the options and the model, as `DetectOptions.key`.
        files: name -> bytes, in the record's folder.
        frames, with_face: frames, and those with a face.
        seconds: that it took.
    """

    source: str
    fingerprint: str
    key: str
    files: Mapping[str, int]
    frames: int
    with_face: int
    seconds: float

    def text(self) -> str:
        return json.dumps({"format": FORMAT, **asdict(self)}, indent=2, ensure_ascii=True) + "\n"


def is_done(place: Place, base: str, fingerprint: str, key: str) -> Record | None:
    """The record of results at `base` if they are those of this source and these options, and all are there."""
    record = _parsed(place.read(f"{base}{RECORD}"))
    if record is None or (record.fingerprint, record.key) != (fingerprint, key):
        return None
    folder = base.rpartition("/")[0]
    names = {f"{folder}/{name}" if folder else name: size for name, size in record.files.items()}
    return record if all(place.size(name) == size for name, size in names.items()) else None


def _parsed(content: bytes | None) -> Record | None:
    """A record, None for what is none: the file is then done again."""
    try:
        values = json.loads(content or b"null")
        if not isinstance(values, dict) or values.pop("format", None) != FORMAT:
            return None
        record = Record(**values)
    except (ValueError, TypeError):
        return None
    sizes = record.files.items() if isinstance(record.files, dict) else [(0, 0)]
    plain = all(isinstance(name, str) and "/" not in name and isinstance(size, int) for name, size in sizes)
    return record if plain else None
