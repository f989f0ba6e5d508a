"""Stream scoring: every frame is encoded once and scored `lookahead` frames later."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from typing import cast

import numpy as np

from ..errors import NotFiniteError
from ..modelfolder.config import FolderConfig
from ..runtime.stream.scorer import StreamScore, StreamScorer
from ..vision import prepare
from .clock import StageClock
from .scoring import Crop, Scored

Face = tuple[int, int]  # source, track


class StreamScoring:
    """Every frame is encoded once and scored L frames later; the faces of all sources go to the model in one batch.

    A face that is missing in a frame ends its stream, and begins a new one when it is back.
    """

    def __init__(self, scorer: StreamScorer, config: FolderConfig, clock: StageClock) -> None:
        self._scorer = scorer
        self._config = config
        self._clock = clock
        # Numbers, in the source, of a stream's frames that have no score yet: a scope may leave frames out.
        self._numbers: dict[Face, deque[int]] = {}
        self._held: dict[int, list[Scored]] = {}  # scores that were not given out, by source
        scorer.discard()  # streams that an earlier, abandoned run left

    def push(self, frames: Mapping[int, tuple[int, Mapping[int, Crop]]]) -> dict[int, list[Scored]]:
        faces = {(source, track): crop for source, (_, crops) in frames.items() for track, crop in crops.items()}
        preprocessing = self._config.preprocessing
        with self._clock("align"):
            stacked = prepare(np.stack(list(faces.values())), preprocessing.mean, preprocessing.std) if faces else ()
        with self._clock("model"):
            left = [face for face in self._numbers if face[0] in frames and face not in faces]
            for face in faces:
                self._numbers.setdefault(face, deque()).append(frames[face[0]][0])
            self._keep(lambda: self._scorer.push(dict(zip(faces, stacked, strict=True))))
            self._end(left)
        return {number: self._held.pop(number, []) for number in frames}

    def flush(self, source: int) -> list[Scored]:
        with self._clock("model"):
            # A step that failed has ended its streams already.
            self._end([cast(Face, key) for key in self._scorer.keys if cast(Face, key)[0] == source])
        self._numbers = {face: numbers for face, numbers in self._numbers.items() if face[0] != source}
        return self._held.pop(source, [])

    def _end(self, faces: list[Face]) -> None:
        self._keep(lambda: self._scorer.finish(faces))
        for face in faces:
            del self._numbers[face]

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
            scored = Scored(self._numbers[source, track].popleft(), track, score.scores)  # they come in order
            self._held.setdefault(source, []).append(scored)
