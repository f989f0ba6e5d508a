"""The record beside the results of a file: what they were made from, so that a later run knows what is done."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields

from ..modelfolder.plain_json import MOST_BYTES, parsed
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
    if (place.size(f"{base}{RECORD}") or 0) > MOST_BYTES:
        return None
    record = _parsed(place.read(f"{base}{RECORD}"))
    if record is None or (record.fingerprint, record.key) != (fingerprint, key):
        return None
    folder = base.rpartition("/")[0]
    names = {f"{folder}/{name}" if folder else name: size for name, size in record.files.items()}
    return record if all(place.size(name) == size for name, size in names.items()) else None


def _parsed(content: bytes | None) -> Record | None:
    """A record, None for what is none: the file is then done again."""
    try:
        values = parsed(content or b"null")
        if not isinstance(values, dict) or values.pop("format", None) != FORMAT:
            return None
        record = Record(**values)
    except (ValueError, TypeError):
        return None
    kinds: dict[str, type | tuple[type, ...]]
    kinds = {"str": str, "int": int, "float": (int, float), "Mapping[str, int]": dict}
    right = all(isinstance(getattr(record, one.name), kinds[str(one.type)]) for one in fields(Record))
    if not right or min(record.frames, record.with_face, record.seconds) < 0:
        return None
    plain = all("/" not in name and isinstance(size, int) for name, size in record.files.items())
    return record if plain else None
