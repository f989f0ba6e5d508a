"""What the page's buttons ask for. The program that serves the page takes them from `ServeSink.commands`."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

from ...errors import InputError, plain

TEXT_LENGTH = 200


@dataclass(frozen=True)
class Calibrate:
    """Take what a face shows from now on as its neutral.

    Attributes:
        source: name of the source; '' for all.
        track_id: of the face; None for all faces of the source.
    """

    source: str
    track_id: int | None


@dataclass(frozen=True)
class Mark:
    """Somebody marked this moment.

    Attributes:
        source: name of the source; '' for all.
        text: what it was marked with, one line, at most 200 characters.
        at: when the server got it, UTC.
    """

    source: str
    text: str
    at: datetime


Command = Calibrate | Mark


def read_command(kind: str, body: Any, sources: Collection[str]) -> Command:
    """The command that a request asks for.

    Args:
        kind: 'calibrate' or 'mark'.
        body: what the request holds, as JSON was read: `{"source": NAME, "track_id": ID}` or
            `{"source": NAME, "text": TEXT}`. All keys may be left out.
        sources: names of the known ones.

    Raises:
        InputError: the body is none of these.
    """
    keys = {"source", "track_id" if kind == "calibrate" else "text"}
    if not isinstance(body, dict) or not set(body) <= keys:
        raise InputError(f"'{kind}' takes a JSON object with no keys but {', '.join(sorted(keys))}")
    source = body.get("source") or ""
    if not isinstance(source, str) or (source and source not in sources):
        raise InputError(f"source must be one of {', '.join(map(repr, sorted(sources))) or 'none yet'}; got {source!r}")
    if kind == "calibrate":
        return Calibrate(source, _track_id(body.get("track_id")))
    text = body.get("text") or ""
    if not isinstance(text, str) or len(text) > TEXT_LENGTH:
        raise InputError(f"text must be a text of at most {TEXT_LENGTH} characters")
    return Mark(source, plain(text.strip()), datetime.now(timezone.utc))


def _track_id(value: Any) -> int | None:
    if value is not None and (not isinstance(value, int) or isinstance(value, bool) or value < 0):
        raise InputError(f"track_id must be a face's number, or null for all faces; got {value!r:.40}")
    return value
