"""One run: sources from their first frame to their last, and the results as they become due."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cache

from ..arguments import flag
from ..errors import ConfigError, InputError, MDHRError, SourceError, SupersededError, number_of
from ..results import FrameResult, SourceStatus
from ..vision import Frame, Source
from ..vision.scope import Scope
from ..vision.sources.live.health import ENDS, Patience
from ..vision.sources.source import OnError
from .ahead import Ahead, Made
from .clock import StageClock
from .crops import CropFinder, Meshed
from .meshers import Meshers
from .modes import Policy
from .reader import LIVE, Reader, log
from .readers import Readers
from .scores.decide import Naming, Waiting, check_quality
from .scores.neutral import Calibration
from .scoring import Cut, Scoring

MAX_SOURCES = 64  # each has a thread and a face finder of its own


@dataclass(frozen=True)
class Plan:
    """How the sources of a run are read and scored; see `AUDetector.predict`.

    Attributes:
        begin: makes the scoring for sources that are read together.
        meshers: lends each source what finds its faces.
        images: keep each frame's image in its result.
        policy: None for the one that fits each source.
        patience: with live sources that break off.
    """

    begin: Callable[[], Scoring]
    naming: Naming
    meshers: Meshers
    clock: StageClock
    images: bool = False
    policy: Policy | None = None
    on_error: OnError = "raise"
    patience: Patience = ENDS

    def with_measures(self, measures: bool, min_quality: float) -> Plan:
        """The same, that measures faces, or leaves out those of less quality."""
        measured = flag("measures", measures) or check_quality(min_quality) > 0
        naming = replace(self.naming, measures=measured, min_quality=min_quality)
        return replace(self, naming=naming)

    def open_finder(self, source: Source) -> tuple[CropFinder, Callable[[], None]]:
        """The face finder of an open source, and a function that gives it back."""
        still = source.info.still
        mesher = self.meshers.lend(still, self.clock)
        finder = CropFinder(mesher, self.naming.preprocessing, self.clock, source.scope)
        return finder, lambda: self.meshers.give_back(mesher, still)


def scoped(sources: Sequence[Source], scope: Scope | None) -> Sequence[Source]:
    """The part of each source that `scope` asks for; None for the sources as they are."""
    if scope is None:
        return sources
    if not isinstance(scope, Scope):
        raise ConfigError(f"scope must be a Scope, as in Scope(every=2), or None; got {scope!r}")
    if scope.thins and any(one.kind != "image" for one in sources):
        faster = "" if scope.sample_fps is None else f"of sources with more than {scope.sample_fps:g} frames a second, "
        _warn_thinned(faster)
    return [one.scoped(scope) for one in sources]


@cache  # once a process is enough
def _warn_thinned(which: str) -> None:
    log.warning(
        "%sframes are left out between those that are scored: the model takes those that are left for consecutive "
        "ones, so it sees faster motion than it was trained on; decisions and events may change",
        which,
    )


def together(sources: Sequence[Source]) -> Sequence[Source]:
    """`sources`, if so many can be read at once, or InputError."""
    if len(sources) > MAX_SOURCES:
        raise InputError(
            f"expected at most {MAX_SOURCES} sources at once; got {len(sources)}; give files to predict(), which reads "
            "them one after the other, or share the sources out among several detectors"
        )
    return sources


def in_turn(sources: Sequence[Source]) -> list[Sequence[Source]]:
    """Groups to read in turn: each file alone, and all cameras and streams together, since they do not wait."""
    live = together([one for one in sources if one.kind in LIVE])
    groups: list[Sequence[Source]] = []
    for one in sources:
        if one.kind not in LIVE:
            groups.append([one])
        elif one is live[0]:
            groups.append(live)
    return groups


class Run:
    """Sources that are read and scored, group after group.

    Attributes:
        errors: (name, error) of each source that could not be read, or not to its end.
        finished: names of the sources that were read and scored to their end.
        over: nothing follows.
        plan: as given.
    """

    def __init__(self, groups: Sequence[Sequence[Source]], plan: Plan) -> None:
        self.errors: list[tuple[str, MDHRError]] = []
        self.finished: set[str] = set()
        self.over = False
        self._groups = groups
        self.plan = plan
        self._readers: Readers | None = None
        self._ended: dict[str, SourceStatus] = {}
        self._group_now: _Group | None = None
        self._ahead: Ahead | None = None
        self._stopped = self._finishing = False

    def results(self) -> Generator[FrameResult, None, None]:
        """Yield the frames of all sources as they become due, or SupersededError once the run was stopped."""
        try:
            for group in self._groups:
                self.check()
                if self._finishing:
                    return
                yield from self._group(group)
        finally:
            self.over = True

    def check(self) -> None:
        """Raise SupersededError if the run was stopped."""
        if self._stopped:
            raise SupersededError(
                "this stream has ended: the detector began another predict() or was closed; call predict() again, "
                "or use a detector of its own for each source"
            )

    def stop(self) -> None:
        """End the threads: another run needs the model. May be called from any thread."""
        if not self.over:
            self._stopped = True
            if self._ahead is not None:
                self._ahead.close()
            if self._readers is not None:
                self._readers.close()

    def finish(self) -> None:
        """Read no more; the frames that wait for scores still come. Only sets flags, since signal handlers call it."""
        self._finishing = True
        if (readers := self._readers) is not None:
            readers.finishing = True

    def calibrate(self, source: str | None, track_id: int | None, seconds: float) -> None:
        """Take neutral seconds from now on; see `ResultStream.calibrate`."""
        group = self._group_now
        begun = {} if group is None else {reader.source.name: one for reader, one in group.waiting.copy().items()}
        chosen = list(begun) if source is None else [source]
        if not chosen or any(name not in begun for name in chosen):
            what = "a source" if source is None else repr(source)
            known = ", ".join(map(repr, begun)) or "none"
            raise InputError(f"expected {what} that has given frames; those that have: {known}")
        for name in chosen:
            begun[name].calibrate(Calibration(seconds, track_id, time.perf_counter()))

    @property
    def status(self) -> dict[str, SourceStatus]:
        """How each source is doing, and how far it is, by its name."""
        now = {} if self._readers is None else self._readers.status
        waiting = {one.name: SourceStatus(name=one.name) for group in self._groups for one in group}
        return {**waiting, **self._ended, **now}

    def _group(self, sources: Sequence[Source]) -> Iterator[FrameResult]:
        plan = self.plan
        scoring = plan.begin()
        self._readers = readers = Readers(
            sources, plan.naming.check, plan.open_finder, plan.clock, plan.policy, plan.patience
        )
        readers.finishing = self._finishing  # asked for meanwhile
        self._group_now = group = _Group(readers, scoring, plan, self.finished)
        given = {reader.source.name: reader.given for reader in readers.all}
        try:
            for result in self._taken(group):
                given[result.source](result)
                yield result
        finally:
            for waiting in group.waiting.values():
                waiting.leave()
            if self._ahead is not None:
                self._ahead.pass_events_on()
            self._ahead = None
            readers.close()
            self._ended |= readers.status
            self._readers = self._group_now = None

    def _taken(self, group: _Group) -> Iterator[FrameResult]:
        """The results of a group: made one by one as they are asked for, or beside the loop if all sources are live."""
        if not group.readers.ahead:
            for made in self._scored(group):
                yield made.result
            return
        ahead = self._ahead = Ahead(self._scored(group), group.readers)
        try:
            yield from ahead
        except KeyboardInterrupt:  # the usual end of a camera: its last frames count too
            if all(reader.live for reader in group.readers.all if reader.opened):
                self.finish()
                with suppress(MDHRError):
                    yield from ahead
            raise
        finally:
            ahead.close()
        self.check()

    def _scored(self, group: _Group) -> Iterator[Made]:
        """The results of a group. An error that ends it is raised after the results of the frames before."""
        broken: BaseException | None = None
        try:
            while due := group.readers.due():
                self.check()
                yield from group.step(due)
                while group.broken:
                    error = self._told(*group.broken.pop(0), len(group.readers.all) > 1)
                    broken = broken or error
        except SupersededError:
            raise
        except MDHRError as failure:  # of the model
            broken = failure
        except KeyboardInterrupt as stop:  # the usual end of a camera: its last frames count too
            if not all(reader.live for reader in group.readers.all if reader.opened):
                raise
            broken, self._finishing = stop, True
        self.check()
        if self._finishing:
            unanswered = self._unanswered(group.readers)
            broken = broken or unanswered
        for reader in group.readers.all:
            try:
                yield from group.end(reader)
            except MDHRError as failure:  # of the model: the last frames of the others still come
                broken = broken or failure
        if broken is not None:
            raise broken

    def _unanswered(self, readers: Readers) -> MDHRError | None:
        """Report the cameras and streams that had not opened by the end; returns the first such error."""
        unopened = [one for one in readers.all if one.source.kind in LIVE and not one.opened]
        late = [one for one in unopened if not one.ended or one.unanswered]
        others = len(readers.all) > 1
        told = [self._told(one, SourceError(f"{one.source.name} never answered"), others) for one in late]
        return next(iter(told), None)

    def _told(self, reader: Reader, error: BaseException, others: bool) -> MDHRError | None:
        """Report a source that ended by an error; returns the error if it must be raised at the end."""
        if not isinstance(error, MDHRError):  # Ctrl-C or the interpreter's end
            raise error
        self.errors.append((reader.source.name, error))
        skips = self.plan.on_error == "skip" and reader.to_blame
        if skips or others:
            name, told = reader.source.name, str(error)
            told = told if name in told else f"{name}: {told}"
            log.warning("%s; %s", told, "it is skipped" if skips else "the others go on")
        return None if skips else error


@dataclass
class _Group:
    """Sources that are read at the same time.

    Attributes:
        waiting: the frames that wait for scores, of the sources that have begun.
        broken: sources that ended by an error, not reported yet.
    """

    readers: Readers
    scoring: Scoring
    plan: Plan
    finished: set[str]
    waiting: dict[Reader, Waiting] = field(default_factory=dict)
    turns: int = 0
    broken: list[tuple[Reader, BaseException]] = field(default_factory=list)

    def step(self, due: dict[int, Frame | Meshed | None]) -> Iterator[Made]:
        """Take the frames that are due, the faces of all in one batch; None ends a source."""
        numbered = self.readers.all
        self.turns += 1
        crops = {number: self._cut(numbered[number], item) for number, item in due.items() if item is not None}
        scores = self.scoring.push(crops) if crops else {}
        for number, scored in scores.items():  # before any source ends, which can fail
            yield from _made(self.waiting[numbered[number]].give(scored), self.turns)
        for number in [one for one in due if one not in scores]:
            reader = numbered[number]
            yield from self.end(reader)
            if (status := reader.status).dropped:
                frames = number_of(status.captured - status.dropped, "frame")  # the loop may not have taken all yet
                log.info("%s: %s scored, %d dropped", reader.source.name, frames, status.dropped)
            if reader.error is None:
                self.finished.add(reader.source.name)
            else:
                self.broken.append((reader, reader.error))

    def end(self, reader: Reader) -> Iterator[Made]:
        """Score the frames of a source that still wait; its face finder is given back first."""
        if reader in self.waiting:
            reader.release()
            waiting = self.waiting.pop(reader)
            scored = self.scoring.flush(self.readers.all.index(reader))
            broken_off = isinstance(reader.error, MDHRError)  # Ctrl-C is how a camera ends
            yield from _made(waiting.end(scored, broken_off), None)

    def _cut(self, reader: Reader, item: Frame | Meshed) -> Cut:
        found, crops = reader.cut(self.readers.renewed(reader, item))
        if reader not in self.waiting:
            self.waiting[reader] = Waiting(self.plan.naming, self.plan.images, reader.source.info.fps)
        self.waiting[reader].take(found, crops)
        return Cut(found.frame.index, crops, found.frame.dropped, found.frame.timestamp_s)


def _made(results: Iterator[FrameResult], turn: int | None) -> Iterator[Made]:
    for result in results:
        yield Made(result, turn, time.perf_counter())
