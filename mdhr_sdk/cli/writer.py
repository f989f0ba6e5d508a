"""The files of one source, written as its results come."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ..atomic import incomplete
from ..detector import AUDetector
from ..errors import MDHRError
from ..outputs import CsvSink, OverlaySink, Results, SinkGroup
from ..outputs.naming import OVERLAY, STILL, TABLE, TIMELINE
from ..outputs.sinks import FileSink
from ..results import FrameResult
from .summary import Outcome

LIVE_FRAMES = 100_000  # of a camera or live stream, the last ones go into the timeline: about an hour


@dataclass(frozen=True)
class Files:
    """What is written of each source, besides its table.

    Attributes:
        overlay: the annotated video or still.
        codec: of that video, a key of `CODECS`.
        timeline: the figure.
    """

    overlay: bool = True
    codec: str = "h264"
    timeline: bool = True


class SourceWriter:
    """Table, overlay and timeline of one source. One that fails leaves the others.

    Attributes:
        outcome: what there is to tell of the source; its `error` and `interrupted` decide whether the files are whole.
        given_up: every file that grows with the frames has failed.

    Args:
        base: folder of the files, and what their names begin with.
    """

    def __init__(self, detector: AUDetector, outcome: Outcome, base: Path, files: Files) -> None:
        self.outcome = outcome
        self.given_up = False
        self._detector, self._base, self._files = detector, base, files
        self._group = SinkGroup()
        self._sinks: list[FileSink] = []
        self._kept: deque[FrameResult] = deque()
        self._closed = False

    def write(self, result: FrameResult) -> None:
        """Add a frame to the files, and count it."""
        if self.given_up:
            return
        if not self.outcome.frames:
            self._open()
        try:
            self._group.write(result)
        except MDHRError:  # it is among the group's failures
            self.given_up = True
            return
        self.outcome.count(result)
        self._kept.append(_slim(result))

    def _open(self) -> None:
        info = self.outcome.source.info
        table, overlay = self._named(TABLE), self._named(STILL if info.still else OVERLAY)
        makers: list[Callable[[], FileSink]] = [lambda: CsvSink(table, self._detector.codes)]
        if self._files.overlay:
            makers.append(lambda: OverlaySink(overlay, info.fps, self._files.codec))
        self._group.__enter__()
        self._sinks = [sink for make in makers if (sink := self._group.add(make)) is not None]
        self._kept = deque(maxlen=(LIVE_FRAMES if info.live else None) if self._files.timeline else 0)

    def close(self) -> None:
        """Finish the files; they are incomplete if the source broke off, was stopped, or nobody said that it ended."""
        if self._closed:
            return
        self._closed, outcome = True, self.outcome
        whole = outcome.read and outcome.complete
        with suppress(MDHRError):  # it is among the group's failures
            self._group.__exit__(None if whole else MDHRError, outcome.error, None)
        failures = [failure.with_traceback(None) for failure in self._group.failures]
        if self.given_up and outcome.error is None:
            outcome.error = failures.pop(0)  # it ended the reading
        outcome.failures += failures
        made = [(sink.final_path, sink.replaced) for sink in self._sinks]
        outcome.files = [path for path, _ in made if path is not None]
        outcome.replaced = {path for path, replaced in made if path is not None and replaced}

    def draw(self) -> None:
        """Draw the timeline."""
        outcome = self.outcome
        if not (outcome.frames and self._files.timeline):
            return
        path = self._named(TIMELINE)
        path = path if outcome.complete else incomplete(path)
        replaces = os.path.lexists(path)
        info, codes = self._detector.info, self._detector.codes
        try:
            Results(tuple(self._kept), info, fps=outcome.source.info.fps, codes=codes).plot(path)
        except MDHRError as error:
            outcome.failures.append(error)
        else:
            outcome.files.append(path)
            outcome.replaced.update([path] if replaces else [])

    def _named(self, end: str) -> Path:
        return self._base.with_name(f"{self._base.name}{end}")


def _slim(result: FrameResult) -> FrameResult:
    """Without image and mesh, so that an hour of video fits into memory."""
    none = np.empty((0, 3), np.float32)
    return replace(result, image=None, faces=tuple(replace(face, landmarks_px=none) for face in result.faces))
