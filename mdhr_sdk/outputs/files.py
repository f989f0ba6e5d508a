"""The files of one source: what `mdhr detect` and `Results.save` write, under the same names."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ..arguments import flag
from ..atomic import incomplete
from ..errors import ConfigError, MDHRError, OutputError
from ..results import FrameResult
from .group import SinkGroup
from .jsonl import JsonlSink
from .naming import EVENTS, JSONL, OPENFACE, OVERLAY, PARQUET, PYFEAT, STILL, TABLE, TIMELINE
from .pictures.encoder import CODECS
from .pictures.overlay_video import OverlaySink
from .pictures.timeline import save_timeline
from .pictures.trace import Trace
from .sinks import FileSink
from .table import CsvSink, EventsSink
from .tables.openface import OpenFaceSink
from .tables.parquet import ParquetSink, import_pyarrow
from .tables.pyfeat import PyFeatSink

FORMATS = ("native", "openface", "pyfeat", "parquet", "jsonl")
MEASURED = ("openface", "pyfeat", "parquet")  # formats that have columns for what is measured of a face


@dataclass(frozen=True)
class Files:
    """What is written for each source.

    Attributes:
        overlay: the annotated video or still.
        codec: of the video, a key of `CODECS`.
        timeline: the figure.
        formats: of the tables, some of `FORMATS`.
        measures: whether the faces were measured, so that tables have columns for it.

    Raises:
        OutputError: an unknown codec.
        ConfigError: an unknown format, or none; or a word in the place of True or False.
        MissingDependencyError: what writes a format is not installed.
    """

    overlay: bool = True
    codec: str = "h264"
    timeline: bool = True
    formats: tuple[str, ...] = ("native",)
    measures: bool = False

    def __post_init__(self) -> None:
        for name in ("overlay", "timeline", "measures"):
            flag(name, getattr(self, name))
        if unknown := [one for one in self.formats if one not in FORMATS]:
            raise ConfigError(f"a format is one of {', '.join(FORMATS)}; got '{unknown[0]}'")
        if self.codec not in CODECS:
            raise OutputError(f"an overlay's codec is one of {', '.join(CODECS)}; got {self.codec!r}")
        object.__setattr__(self, "formats", tuple(one for one in FORMATS if one in self.formats))  # in one order
        if not self.formats:
            raise ConfigError(f"results need a format, one or more of {', '.join(FORMATS)}; got none")
        if "parquet" in self.formats:
            import_pyarrow()


class SourceFiles:
    """Table, events (of all but stills), overlay and timeline of one source. If one fails, the others go on.

    Attributes:
        given_up: every file that grows with the frames has failed.
        failures: what went wrong, in order.
        paths: the files that were written, once they are closed and drawn.
        replaced: those of them that replaced an earlier file.

    Args:
        base: folder of the files, and what their names begin with.
        codes: the AU codes of the table; or code -> threshold, which Parquet files tell.
        fps: frames per second of the overlay.
        still: whether the source is a single picture.
    """

    def __init__(
        self,
        base: Path,
        codes: Sequence[str] | Mapping[str, float],
        files: Files,
        fps: float,
        still: bool,
    ) -> None:
        self.given_up = False
        self.failures: list[MDHRError] = []
        self.paths: list[Path] = []
        self.replaced: set[Path] = set()
        self._base = base
        self._trace = Trace() if files.timeline else None
        overlay = self._named(STILL if still else OVERLAY)
        makers = self._tables(codes, files)
        if not still:
            makers.append(lambda: EventsSink(self._named(EVENTS)))
        if files.overlay:
            makers.append(lambda: OverlaySink(overlay, fps, files.codec))
        self._group = SinkGroup()
        self._sinks = [sink for make in makers if (sink := self._group.add(make)) is not None]

    def _tables(self, codes: Sequence[str] | Mapping[str, float], files: Files) -> list[Callable[[], FileSink]]:
        """What makes the table of each format that is wanted."""
        named, measures = self._named, files.measures
        makers: dict[str, Callable[[], FileSink]] = {
            "native": lambda: CsvSink(named(TABLE), tuple(codes), measures=measures),
            "openface": lambda: OpenFaceSink(named(OPENFACE), tuple(codes), measures),
            "pyfeat": lambda: PyFeatSink(named(PYFEAT), tuple(codes)),
            "parquet": lambda: ParquetSink(named(PARQUET), codes, measures=measures, landmarks="68"),
            "jsonl": lambda: JsonlSink(named(JSONL)),
        }
        return [makers[one] for one in FORMATS if one in files.formats]

    def write(self, result: FrameResult) -> None:
        """Add a frame to each file that has not failed."""
        if self._trace is not None:
            self._trace.add(slim(result))
        if not self.given_up:
            try:
                self._group.write(result)
            except MDHRError:  # it is among the group's failures
                self.given_up = True

    def close(self, complete: bool) -> None:
        """Finish tables and overlay, under their own names or, when not `complete`, under their `.incomplete` names."""
        with suppress(MDHRError):  # it is among the group's failures
            self._group.__exit__(None if complete else MDHRError, None, None)
        self.failures += [failure.with_traceback(None) for failure in self._group.failures]  # it would hold the frames
        for sink in self._sinks:
            if sink.final_path is not None:
                self._add(sink.final_path, sink.replaced)

    def draw(self, complete: bool) -> None:
        """Draw the timeline, if it is wanted."""
        if self._trace is None:
            return
        path = self._named(TIMELINE) if complete else incomplete(self._named(TIMELINE))
        replaced = os.path.lexists(path)
        try:
            save_timeline(self._trace, path)
        except Exception as error:  # of Matplotlib, too
            known = error if isinstance(error, MDHRError) else OutputError(f"the timeline failed: {error!r}")
            self.failures.append(known.with_traceback(None))
        else:
            self._add(path, replaced)

    def _add(self, path: Path, replaced: bool) -> None:
        self.paths.append(path)
        self.replaced.update([path] if replaced else [])

    def _named(self, end: str) -> Path:
        return self._base.with_name(f"{self._base.name}{end}")


def slim(result: FrameResult) -> FrameResult:
    """Without image and mesh, so that an hour of video fits into memory."""
    none = np.empty((0, 3), np.float32)
    return replace(result, image=None, faces=tuple(replace(face, landmarks_px=none) for face in result.faces))
