"""What a person asks for while a live run goes on: by a key, or on the served page."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace

from ....errors import MDHRError, plain
from ....outputs.live.recording import SegmentSink
from ....results import FrameResult

CALIBRATE_S = 2.0  # how long a person is asked to look neutral
MARK = "mark"
log = logging.getLogger("mdhr_sdk")


class Controls:
    """Marks, pauses, recording and neutral faces. The methods may be called from any thread.

    Attributes:
        paused: results are scored and counted, but not given to the outputs.

    Args:
        calibrate: (source or None for all, track id or None for all, seconds): takes their faces as neutral from now.
        recorders: what is switched on and off together.
    """

    def __init__(
        self, calibrate: Callable[[str | None, int | None, float], None], recorders: Sequence[SegmentSink]
    ) -> None:
        self.paused = False
        self._calibrate = calibrate
        self._recorders = recorders
        self._marks: dict[str, str] = {}
        self._lock = threading.Lock()

    def mark(self, source: str | None = None, text: str = "") -> None:
        """Give the next result of a source, or of all, the note 'mark', or 'mark: TEXT'."""
        note = f"{MARK}: {plain(text)}" if text else MARK
        with self._lock:
            self._add(source or "", note)
        log.info("%s: %s", source or "all sources", note)

    def marked(self, result: FrameResult, names: Sequence[str]) -> FrameResult:
        """The result with the note that waits for it."""
        if not self._marks:
            return result
        with self._lock:
            if (note := self._marks.pop("", None)) is not None:
                for name in names:
                    self._add(name, note)
            note = self._marks.pop(result.source, None)
        return result if note is None else replace(result, note="; ".join(filter(None, (result.note, note))))

    def _add(self, source: str, note: str) -> None:
        """Let a note wait beside those that do; the lock is held."""
        self._marks[source] = "; ".join(filter(None, (self._marks.get(source), note)))

    def calibrate(self, source: str | None = None, track_id: int | None = None) -> None:
        """Take the faces of the next two seconds as neutral."""
        try:
            self._calibrate(source, track_id, CALIBRATE_S)
        except MDHRError as error:
            log.warning("neutral faces: %s", error)
        else:
            log.info("%s: look neutral for %g s", source or "all sources", CALIBRATE_S)

    def pause(self) -> None:
        """Give the outputs nothing, or go on."""
        self.paused = not self.paused
        log.info("paused: nothing is written" if self.paused else "going on")

    def record(self) -> None:
        """Begin or end recordings."""
        if not self._recorders:
            log.warning("nothing can be recorded here; give --record")
            return
        on = not self._recorders[0].on
        for recorder in self._recorders:
            recorder.on = on
        log.info("recording" if on else "no longer recording")
