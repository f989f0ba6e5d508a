"""JSON Lines of all sources, for other programs."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from ...errors import OutputError
from ...results import Ending, FrameResult, ModelInfo
from ..jsonl import as_json, end_as_json, json_line
from .line_readers import LineReader, line_reader

if TYPE_CHECKING:
    from typing_extensions import Self


class LinesSink:
    """One line a frame as `as_json` gives it, of all sources in the order of the results; one more when a run ends.

    The last lines, one a source, have the status 'ended' and hold the events that were still open.

    Args:
        address: '-' for standard output, 'tcp://HOST:PORT' or 'udp://HOST:PORT' of a program that listens, or a file,
            which is whole to its last line at any moment.

    Raises:
        ConfigError: an address of another kind.
        OutputError: on entering, the file cannot be written; on writing, see `QueuedSink`, which tries again.
    """

    def __init__(self, address: str) -> None:
        self._reader: LineReader = line_reader(address)
        self._sources: dict[Ending, tuple[str, ModelInfo]] = {}

    def __enter__(self) -> Self:
        self._reader.open()
        return self

    def write(self, result: FrameResult) -> None:
        """Send the line of one frame."""
        self._reader.send(json_line(as_json(result)))
        self._sources.setdefault(result.ending, (result.source, result.model))

    def __exit__(self, *_: object) -> None:
        try:
            for ending, (source, model) in self._sources.items():
                self._reader.send(json_line(end_as_json(source, model, ending)))
        finally:
            with suppress(OutputError):
                self._reader.close()
