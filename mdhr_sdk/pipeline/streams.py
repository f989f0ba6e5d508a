"""Stream scoring: every frame is encoded once and scored `lookahead` frames later."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from itertools import takewhile
from typing import cast

from ..errors import NotFiniteError
from ..modelfolder.config import FolderConfig
from ..runtime.stream.scorer import StreamScore, StreamScorer, stacked_rows
from ..vision import prepare
from .clock import StageClock
from .scoring import Cut, Scored

Face = tuple[int, int]  # source, track
LEAST_FPS = 25.0  # at which models are trained: a lookahead is not made shorter than it is there
JITTER = 0.9  # of that: frames come a little early and late


@dataclass(frozen=True)
class _Waits:
    """A frame of a face that has no score yet.

    Attributes:
        index: of the frame.
        place: how many frames of the source had come before it, those included that were dropped.
    """

    index: int
    place: int
    timestamp_s: float


@dataclass
class _Face:
    """The frames that wait, in their order, and how many were scored."""

    waits: deque[_Waits] = field(default_factory=deque)
    scored: int = 0


class StreamScoring:
    """Every frame is encoded once and scored L frames later; the faces of all sources go to the model in one batch.

    A face that is missing in a frame ends its stream, and begins a new one when it is back.

    Frames of a live source that are dropped would make L frames last longer, so they count too: as soon as L frames of
    its source have come after it, scored or dropped, and as much time has passed as these take at 25 a second, a frame
    is scored as it would be if its stream ended there.
    """

    def __init__(self, scorer: StreamScorer, config: FolderConfig, clock: StageClock) -> None:
        self._scorer = scorer
        self._config = config
        self._clock = clock
        self._faces: dict[Face, _Face] = {}
        self._places: dict[int, int] = {}  # source -> place of its last frame
        self._held: dict[int, list[Scored]] = {}  # scores that were not given out, by source
        scorer.discard()  # streams that an earlier, abandoned run left

    def push(self, frames: Mapping[int, Cut]) -> dict[int, list[Scored]]:
        faces = {(source, track): crop for source, cut in frames.items() for track, crop in cut.crops.items()}
        preprocessing = self._config.preprocessing
        with self._clock("align"):
            stacked = prepare(stacked_rows([*faces.values()]), preprocessing.mean, preprocessing.std) if faces else ()
        with self._clock("model"):
            left = [face for face in self._faces if face[0] in frames and face not in faces]
            for source, cut in frames.items():
                self._places[source] = self._places.get(source, -1) + 1 + cut.dropped
            for source, track in faces:
                waits = _Waits(frames[source].index, self._places[source], frames[source].timestamp_s)
                self._faces.setdefault((source, track), _Face()).waits.append(waits)
            self._keep(lambda: self._scorer.push(dict(zip(faces, stacked, strict=True))))
            self._end(left)
            self._early(list(faces))
        return {number: self._held.pop(number, []) for number in frames}

    def flush(self, source: int) -> list[Scored]:
        with self._clock("model"):
            # A step that failed has ended its streams already.
            self._end([cast(Face, key) for key in self._scorer.keys if cast(Face, key)[0] == source])
        self._faces = {face: known for face, known in self._faces.items() if face[0] != source}
        self._places.pop(source, None)
        return self._held.pop(source, [])

    def _end(self, faces: list[Face]) -> None:
        self._keep(lambda: self._scorer.finish(faces))
        for face in faces:
            del self._faces[face]

    def _early(self, faces: list[Face]) -> None:
        """Score what has waited for as long as the lookahead takes where nothing is dropped."""
        due = {face: count for face in faces if (count := self._overdue(self._faces[face].waits))}
        if due and self._scorer.branches:
            last = {face: self._faces[face].scored + count for face, count in due.items()}
            self._keep(lambda: [one for one in self._scorer.so_far([*due]) if one.frame < last[cast(Face, one.key)]])

    def _overdue(self, waits: deque[_Waits]) -> int:
        """How many of a face's frames are to be scored now, whatever the number of frames after them."""
        if not waits:
            return 0
        newest, lookahead = waits[-1], self._scorer.lookahead
        least_s = JITTER * lookahead / LEAST_FPS
        due = (
            newest.place - one.place >= lookahead and newest.timestamp_s - one.timestamp_s >= least_s for one in waits
        )
        return sum(takewhile(bool, due))  # pictures that are shown in another order than they come have mixed times

    def _keep(self, step: Callable[[], Iterable[StreamScore]]) -> None:
        """Keep the scores of a step, also of one whose answers for some faces were not finite."""
        try:
            self._hold(step())
        except NotFiniteError as error:
            self._hold(error.scores)
            raise

    def _hold(self, scores: Iterable[StreamScore]) -> None:
        for score in scores:
            source, track = cast(Face, score.key)
            known = self._faces[source, track]
            if score.frame < known.scored:
                continue  # it was scored early
            known.scored += 1  # they come in order
            scored = Scored(known.waits.popleft().index, track, score.scores)
            self._held.setdefault(source, []).append(scored)
