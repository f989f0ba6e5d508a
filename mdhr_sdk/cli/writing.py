"""What `mdhr detect` writes of each source while it is read."""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from rich.progress import Progress

from ..atomic import incomplete
from ..detector import AUDetector
from ..errors import MDHRError
from ..outputs import CsvSink, OverlaySink, Results, SinkGroup
from ..outputs.naming import OVERLAY, STILL, TABLE, TIMELINE
from ..outputs.sinks import FileSink
from ..pipeline.clock import StageClock
from ..pipeline.modes import Reading
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


class Writing:
    """The outputs of one source. They are opened with its first result, since only then it is known what it is."""

    def __init__(self, detector: AUDetector, outcome: Outcome, base: Path, files: Files, progress: Progress) -> None:
        self.outcome = outcome
        self.failed: MDHRError | None = None  # every output did
        self._detector = detector
        self._base = base
        self._files = files
        self._progress = progress
        self._task = progress.add_task(outcome.label, total=None)
        self._clock = StageClock()
        self._began_s = time.perf_counter()
        self._stack = ExitStack()
        self._group = SinkGroup()
        self._sinks: list[FileSink] = []
        self._kept: deque[FrameResult] = deque()

    def write(self, result: FrameResult) -> None:
        """Take the next result; nothing more once every output failed."""
        if self.failed is not None:
            return
        try:
            with self._clock("write"):
                if not self.outcome.frames:
                    self._open()
                self._group.write(result)
        except MDHRError as error:
            self.failed = error
            return
        self.outcome.count(result)
        self._kept.append(_slim(result))
        self._progress.advance(self._task)

    def end(self, error: BaseException | None, timings_s: Mapping[str, float]) -> None:
        """Close the outputs, which are marked as incomplete after an error, and draw the timeline.

        Args:
            error: what ended the source too early, or KeyboardInterrupt; None for its end.
            timings_s: of the detector, for this source.
        """
        outcome, error = self.outcome, self.failed or error
        outcome.interrupted = isinstance(error, KeyboardInterrupt)
        outcome.read = error is None or (outcome.interrupted and outcome.complete)
        broken = None if outcome.read else error
        try:
            self._stack.__exit__(type(broken) if broken else None, broken, broken.__traceback__ if broken else None)
        except MDHRError as failure:
            if failure not in self._group.failures:
                raise
        if isinstance(broken, MDHRError):
            outcome.error = broken.with_traceback(None)  # which would hold on to the frames
        failures = self._group.failures
        outcome.failures = [one.with_traceback(None) for one in failures if one is not outcome.error]
        outcome.files = [sink.final_path for sink in self._sinks if sink.final_path is not None]
        outcome.replaced = {sink.final_path for sink in self._sinks if sink.final_path is not None and sink.replaced}
        if outcome.frames and self._files.timeline:
            with self._clock("timeline"):
                self._draw()
        outcome.total_s = time.perf_counter() - self._began_s
        outcome.timings_s = {**timings_s, **self._clock.seconds}
        self._progress.remove_task(self._task)
        self._announce_partial()

    def _open(self) -> None:
        """Open the outputs that grow with the frames."""
        source, base, files = self.outcome.source, self._base, self._files
        table = base.with_name(f"{base.name}{TABLE}")
        overlay = base.with_name(f"{base.name}{STILL if source.info.still else OVERLAY}")
        makers: list[Callable[[], FileSink]] = [lambda: CsvSink(table, self._detector.codes)]
        if files.overlay:
            makers.append(lambda: OverlaySink(overlay, source.info.fps, files.codec))
        self._group = self._stack.enter_context(SinkGroup())
        self._sinks = [sink for make in makers if (sink := self._group.add(make)) is not None]
        most = LIVE_FRAMES if source.info.live else None
        self._kept = deque(maxlen=most if files.timeline else 0)
        self._progress.update(self._task, total=source.info.frame_count)

    def _draw(self) -> None:
        outcome, detector = self.outcome, self._detector
        path = self._base.with_name(f"{self._base.name}{TIMELINE}")
        path = path if outcome.complete else incomplete(path)
        replaces = os.path.lexists(path)
        try:
            Results(tuple(self._kept), detector.info, fps=outcome.source.info.fps, codes=detector.codes).plot(path)
            outcome.files.append(path)
            outcome.replaced.update([path] if replaces else [])
        except MDHRError as error:
            outcome.failures.append(error)

    def _announce_partial(self) -> None:
        outcome = self.outcome
        if outcome.error is not None and outcome.frames:
            names = ", ".join(str(path) for path in outcome.files) or "nothing of them could be written"
            outcome.error = MDHRError(f"{outcome.error}; kept the {outcome.frames} frames before it: {names}")


def write_all(detector: AUDetector, writings: Sequence[Writing], reading: Reading) -> None:
    """Read sources at the same time, and write each one's results until it ends or all is interrupted."""
    named = {one.outcome.source.name: one for one in writings}
    stream = error = None
    try:
        stream = detector.predict([one.outcome.source for one in writings], stream=True, **reading)
        for result in stream:
            named[result.source].write(result)
            if all(one.failed is not None for one in writings):
                break
    except (MDHRError, KeyboardInterrupt) as broken:
        error = broken
    if stream is not None:
        stream.close()
    own = {} if stream is None else {name: status for name, status in stream.status.items() if status.ended}
    frames = sum(one.outcome.frames for one in writings)
    for name, one in named.items():
        share = one.outcome.frames / frames if frames else 1 / len(named)
        timings_s = {stage: share * seconds for stage, seconds in detector.timings_s.items()}
        one.end(own[name].error if name in own and len(named) > 1 else error, timings_s)


def _slim(result: FrameResult) -> FrameResult:
    """Without image and mesh, so that an hour of video fits into memory."""
    none = np.empty((0, 3), np.float32)
    return replace(result, image=None, faces=tuple(replace(face, landmarks_px=none) for face in result.faces))
