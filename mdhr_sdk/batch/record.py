"""The record beside the results of a file: what they were made from, so that a later run knows what is done."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, fields

from ..errors import OutputError
from ..outputs.naming import same_path
from ..plain_json import MOST_BYTES, parsed
from .places import Place

RECORD = "_run.json"  # after the name that a source's files begin with
FORMAT = 2


@dataclass(frozen=True)
class Record:
    """Results that are complete; it is written after them.

    Attributes:
        source: name of the source.
        path: of the source from the top on, or its URL without login.
        fingerprint: of its content.
        key: of the options and the model, as `DetectOptions.key`.
        files: name -> bytes, in the record's folder.
        frames, with_face: frames, and those with a face.
        seconds: that it took.
    """

    source: str
    path: str
    fingerprint: str
    key: str
    files: Mapping[str, int]
    frames: int
    with_face: int
    seconds: float

    def text(self) -> str:
        return json.dumps({"format": FORMAT, **asdict(self)}, indent=2, ensure_ascii=True) + "\n"


def recorded(place: Place, base: str) -> Record | None:
    """The record of the results at `base`; None if there is none that can be read."""
    if (place.size(f"{base}{RECORD}") or 0) > MOST_BYTES:
        return None
    return _parsed(place.read(f"{base}{RECORD}"))


def check_free(place: Place, base: str, path: str, fingerprint: str) -> Record | None:
    """Refuse to replace the results of another file, as those of another folder's file of that name.

    The same file may have changed, and be named by way of a link; the same content may lie elsewhere now. Returns the
    record of the results that are there.

    Raises:
        OutputError: says whose results they are.
    """
    record = recorded(place, base)
    if record is not None and record.fingerprint != fingerprint and not same_path(record.path, path):
        raise OutputError(
            f"'{base}' among the results is of another file, '{record.path}', and stays as it is; give another --out, "
            f"or remove '{base}{RECORD}' to have it replaced"
        )
    return record


def left_over(place: Place, base: str, before: Record | None, made: Collection[str]) -> list[str]:
    """Names of earlier results that are not among those that were `made`, and stay beside them: of other options."""
    folder = base.rpartition("/")[0]
    names = () if before is None else sorted(before.files.keys() - set(made))
    return [name for name in names if place.size(f"{folder}/{name}" if folder else name) is not None]


def is_done(place: Place, base: str, fingerprint: str, key: str) -> Record | None:
    """The record of results at `base` if they are those of this source and these options, and all are there."""
    record = recorded(place, base)
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
