"""Who may use a detector now: one run, in one thread at a time, in the process that made the detector."""

from __future__ import annotations

import inspect
import os
import threading
import weakref
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from ..ending import at_work
from ..errors import InputError, MDHRError, SourceError, SupersededError
from ..outputs import Results
from ..results import FrameResult, SourceStatus
from ..vision import Source
from .awaited import Awaited, Coming
from .run import Run

if TYPE_CHECKING:
    from typing_extensions import Self


class Turns:
    """Refuses what would mix two runs: a second thread, a forked process, a run that is over."""

    def __init__(self) -> None:
        self._pid = os.getpid()
        self._lock = threading.Lock()
        self._run: weakref.ref[Run] | None = None
        self._closed = False

    @contextmanager
    def turn(self) -> Iterator[None]:
        """The block uses the detector; InputError if another thread does, or in a forked process."""
        self.check_process()
        if not self._lock.acquire(blocking=False):
            raise InputError(
                "expected one thread at a time; got a second one while this detector is at work; use a detector of "
                "its own in each thread"
            )
        try:
            with at_work():
                yield
        finally:
            self._lock.release()

    @property
    def forked(self) -> bool:
        """Whether this process was forked from the one that made the detector."""
        return os.getpid() != self._pid

    def check_process(self) -> None:
        """Raise InputError in a process that was forked after the detector was made, which lacks its threads."""
        if self.forked:
            raise InputError(
                "expected a detector of this process; got one that was made before a fork, and whose threads are "
                "missing here; start processes with multiprocessing.get_context('spawn') and make a detector in each"
            )

    @contextmanager
    def first(self) -> Iterator[None]:
        """The block begins a run. As `turn`, and InputError once the detector is closed."""
        with self.turn():
            if self._closed:
                raise InputError("this detector is closed; open a new one with AUDetector.from_pretrained")
            yield

    def begin(self, run: Run) -> None:
        """End the run before this one."""
        self._stop()
        self._run = weakref.ref(run)

    def close(self) -> None:
        """End the run, and allow no other."""
        self._closed = True
        self._stop()

    def _stop(self) -> None:
        run = None if self._run is None else self._run()
        if run is not None:
            run.stop()


class ResultStream(Iterator[FrameResult]):
    """The results of a run, each as soon as it is complete. Made by `AUDetector.stream` and `predict(stream=True)`.

    Its threads end at its end, when it is closed, or when nothing refers to it any more, as after a loop that was left
    by `break` or an exception. To end them at a certain moment, use it as a context:

        with detector.stream(0) as stream:
            for frame in stream:
                ...

    In a coroutine, `async for frame in stream` waits without blocking the others.
    """

    def __init__(self, run: Run, turns: Turns) -> None:
        self._run = run
        self._turns = turns
        self._coming = Coming()
        self._frames = run.results()  # refers to the run only, so that forgetting this ends the run

    def __next__(self) -> FrameResult:
        """The next result.

        Raises:
            SupersededError: the detector began another run, or was closed.
            InputError: the detector is used in another thread or process.
        """
        with self._turns.turn():
            try:
                self._run.check()
            except SupersededError:
                self._frames.close()
                raise
            return next(self._frames)

    def __aiter__(self) -> AsyncIterator[FrameResult]:
        return Awaited(self, self._coming)

    @property
    def errors(self) -> tuple[tuple[str, MDHRError], ...]:
        """(name, error) of each source so far that could not be read, or not to its end."""
        return tuple(self._run.errors)

    @property
    def status(self) -> Mapping[str, SourceStatus]:
        """How each source is doing, by its name: its state, and its frames by what became of them; from any thread."""
        return self._run.status

    def calibrate(self, source: str | None = None, track_id: int | None = None, *, seconds: float = 2.0) -> None:
        """Take the frames of the next seconds as neutral, for people who came late or moved; from any thread.

        Their results have `baseline` 'neutral', those after it are relative to them ('applied'). Faces without a
        reference are 'missing' from now on.

        Args:
            source: its name; None for all that have given frames.
            track_id: of one face; None for all faces that are seen in these seconds.
            seconds: how long.

        Raises:
            InputError: the source has given no frame yet, or is over.
            ConfigError: seconds that are not above 0.
        """
        self._run.calibrate(source, track_id, seconds)

    def finish(self) -> None:
        """Read no more: frames that wait for their scores still come, then the stream ends.

        Frames that were read and not yet looked at count as dropped. A camera or URL that has not opened by then is an
        error. May be called from any thread, and from a signal handler.
        """
        self._run.finish()

    def close(self) -> None:
        """End the run and its threads; may be called twice, and from any thread."""
        if inspect.getgeneratorstate(self._frames) == inspect.GEN_RUNNING:
            self._run.stop()  # another thread waits for a result: it gets SupersededError
        else:
            self._frames.close()

    def collect(self, sources: Sequence[Source], codes: tuple[str, ...]) -> Results:
        """Collect all results that follow; if an error ends the run, they are in its `results`.

        Args:
            sources: those of the run.
            codes: AU codes of the results.
        """
        kept: list[FrameResult] = []
        broken: MDHRError | None = None
        unfinished: list[tuple[str, MDHRError]] = []
        try:
            kept.extend(self)
        except MDHRError as error:
            broken = error
            status = self._run.status
            unfinished = [(one.name, error) for one in self._unfinished(sources) if status[one.name].captured]
        except KeyboardInterrupt:
            if not any(one.live for one in sources):  # Ctrl-C is how a camera ends
                raise
            self.finish()  # frames may still wait for their scores
            kept.extend(self)
            stopped = [one.name for one in self._unfinished(sources) if not one.live]
            told = "was not read to its end, since Ctrl-C came before; read it again"
            unfinished = [(name, SourceError(f"{name} {told}")) for name in stopped]
        plan = self._run.plan
        fps = sources[0].info.fps if kept and len(sources) == 1 else 0.0
        results = Results(
            tuple(kept),
            plan.naming.info,
            fps=fps,
            codes=codes,
            timings_s=plan.clock.seconds,
            errors=(*self.errors, *unfinished),
            kinds={one.name: "image" if one.still else one.kind for one in sources},
        )
        if broken is not None:
            broken.results = results
            raise broken
        return results

    def _unfinished(self, sources: Sequence[Source]) -> list[Source]:
        """The sources that were not read to their end and are not in `errors`."""
        told = self._run.finished | {name for name, _ in self.errors}
        return [one for one in sources if one.name not in told]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
