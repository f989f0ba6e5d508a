"""One live run: one thread scores, others write, and the main thread watches signals, keys and the clock."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace

from ....detector import AUDetector
from ....errors import MDHRError, plain
from ....outputs.live.queued import SinkStatus
from ....pipeline.turns import ResultStream
from ....results import SourceStatus
from ....vision import Source
from .controls import Controls
from .logs import Teller
from .outputs import Outputs
from .settings import LiveSettings
from .stopping import Stop
from .watch import Drawn, Watch, log_lines
from .window import Window

TICK_S = 0.05  # between two looks at signals, keys and commands
DRAW_S = 0.25  # between two tables
LOG_S = 10.0  # between two lines a source, where there is no terminal
LAST_RESULTS_S = 1.0  # after a stop, how long sources may take to let go
CLOSE_S = 1.0  # then, how long outputs may take to finish
log = logging.getLogger("mdhr_sdk")


@dataclass(frozen=True)
class Ended:
    """How a run ended.

    Attributes:
        status: of each source.
        sinks: of each output, closed.
        errors: of sources that broke off, and of the run itself.
        source_lost: one of them came by itself, and not since the run was stopped.
        paused: source -> results that were not written, since somebody had paused the run.
        hangs: a source did not let go in time; the process must be left without waiting for it.
        broken: by an error that nobody expected.
    """

    status: Mapping[str, SourceStatus]
    sinks: Sequence[SinkStatus]
    errors: Sequence[MDHRError]
    source_lost: bool
    paused: Mapping[str, int]
    hangs: bool
    broken: bool = False


class LiveSession:
    """Scores sources until they end or somebody stops it.

    Args:
        detector: open; it is used in another thread until `run` returns.
        outputs: open; `run` closes them.
        stop: tells when to end.
        on_hangup: called after HUP; whether the run is to end.
        teller: prints on standard error.
    """

    def __init__(
        self, detector: AUDetector, sources: Sequence[Source], outputs: Outputs, settings: LiveSettings, stop: Stop,
        on_hangup: Callable[[], bool], teller: Teller,
    ) -> None:  # fmt: skip
        self._detector, self._sources, self._outputs = detector, sources, outputs
        self._settings, self._stop, self._on_hangup, self._teller = settings, stop, on_hangup, teller
        self._names = [source.name for source in sources]
        self._watch = Watch(self._names)
        self._stream: ResultStream | None = None
        self._status: Mapping[str, SourceStatus] = {}
        self._done = threading.Event()
        self._error: BaseException | None = None
        self._source_errors: list[tuple[str, MDHRError]] = []
        self._lost_before = False  # a source had been lost before the run was stopped
        self._controls = Controls(self._calibrate, outputs.recorders)
        if outputs.served is not None:
            outputs.served.status = lambda: self.status

    @property
    def status(self) -> Mapping[str, SourceStatus]:
        """How every source is doing; from any thread."""
        if (stream := self._stream) is not None:
            self._status = stream.status
        return self._status

    def run(self) -> Ended:
        """Score, show and write until the end; the outputs are closed then."""
        thread = threading.Thread(target=self._score, name="mdhr scores", daemon=True)
        try:
            with ExitStack() as stack:
                stack.callback(self._finish, thread)
                window = Window(self._controls, lambda: self._stop.ask("user")) if self._settings.show else None
                if window is not None:
                    stack.callback(window.close)
                thread.start()
                self._attend(window, stack)
        finally:
            hangs = thread.is_alive()
        errors = [error for _, error in self._source_errors]
        broken = self._error is not None and not isinstance(self._error, MDHRError)
        if broken:
            log.debug("scoring broke", exc_info=self._error)
            told = f"scoring ended by {type(self._error).__name__}: {plain(self._error)}"
            errors.append(
                MDHRError(f"{told}; this was not expected: the files are whole, and --log-level debug tells more")
            )
        elif isinstance(self._error, MDHRError) and self._error not in errors:
            errors.append(self._error)
        lost = bool(errors) if not self._stop.asked else self._lost_before
        status = {name: _settled(one) for name, one in self.status.items()}
        return Ended(status, self._outputs.sinks.status, errors, lost, self._watch.paused, hangs, broken)

    def _score(self) -> None:
        """Give every result to the watch and the outputs; runs in a thread of its own."""
        try:
            with self._detector.stream(
                [*self._sources], self._settings.lookahead, self._settings.policy, on_error="skip",
                images=self._outputs.wants_images, calibrate_neutral_s=self._settings.neutral_s,
                give_up_after_s=self._settings.give_up_after_s, scope=self._settings.scope,
                measures=self._settings.measures, min_quality=self._settings.min_quality,
            ) as stream:  # fmt: skip
                self._stream = stream
                if self._stop.asked:
                    stream.finish()
                for result in stream:
                    result = self._controls.marked(result, self._names)
                    self._watch.count(result, self._controls.paused)
                    if not self._controls.paused:
                        self._outputs.sinks.write(result)
            self._source_errors = [*stream.errors]
        except BaseException as error:
            self._error = error
            if self._stream is not None:
                self._source_errors = [*self._stream.errors]
        finally:
            self._done.set()

    def _attend(self, window: Window | None, stack: ExitStack) -> None:
        """Watch signals, keys, commands and the clock until the run is over or is to be stopped."""
        drawn = Drawn(self._teller) if self._teller.console.is_terminal else None
        if drawn is not None:
            stack.callback(drawn.close)
        every_s = LOG_S if drawn is None else DRAW_S
        next_s = time.monotonic() + every_s
        while not self._done.wait(TICK_S) and not self._is_to_end():
            self._obey()
            if window is not None:
                window.show(self._watch.newest())
            if time.monotonic() >= next_s:
                next_s += every_s
                lines, sinks = self._watch.lines(self.status), self._outputs.sinks.status
                log_lines(lines, sinks) if drawn is None else drawn.draw(lines, sinks)
            self._leave_if_nobody_listens()

    def _is_to_end(self) -> bool:
        if self._stop.asked == "hangup" and not self._on_hangup():
            self._stop.renew()
        return bool(self._stop.asked)

    def _obey(self) -> None:
        """Do what is asked for on the served page."""
        commands = self._outputs.commands
        while commands is not None and not commands.empty():
            command = commands.get_nowait()
            source = command.source or None
            if hasattr(command, "text"):
                self._controls.mark(source, command.text)
            else:
                self._controls.calibrate(source, command.track_id)

    def _calibrate(self, source: str | None, track_id: int | None, seconds: float) -> None:
        if self._stream is not None:
            self._stream.calibrate(source, track_id, seconds=seconds)

    def _leave_if_nobody_listens(self) -> None:
        sinks = self._outputs.sinks.status
        if sinks and all(one.state == "gone" for one in sinks) and not self._settings.show:
            log.warning("no output is left, so the run ends")
            self._stop.ask("outputs")

    def _finish(self, thread: threading.Thread) -> None:
        """Let the sources go, then the outputs, each within its time."""
        if self._stream is not None:
            self._lost_before = bool(self._stream.errors)
            self._stream.finish()
        until_s = time.monotonic() + LAST_RESULTS_S
        while thread.ident is not None and time.monotonic() < until_s and not self._stop.hurry:
            if self._done.wait(TICK_S):
                break
        self._outputs.sinks.close(CLOSE_S)
        if thread.ident is not None:
            thread.join(0.2)


def _settled(one: SourceStatus) -> SourceStatus:
    """The frames on their way count as dropped: no result follows, also of a source that has not let go."""
    left = one.captured - one.scored - one.dropped
    by = {**one.dropped_by, "left": one.dropped_by.get("left", 0) + left} if left else one.dropped_by
    return replace(one, dropped=one.dropped + left, dropped_by=by)
