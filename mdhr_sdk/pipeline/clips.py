"""Clip scoring: tracks are cut into the windows that the model reads (supplement section 4)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ..modelfolder.config import FolderConfig
from ..runtime import Session
from ..runtime.session import check_finite
from ..vision import prepare
from .clock import StageClock
from .scoring import Crop, Cut, Scored


@dataclass
class Clip:
    """Consecutive frames of one face: at most T crops (S, S, 3), uint8 BGR, and their frame numbers."""

    track_id: int
    indices: list[int] = field(default_factory=list)
    crops: list[Crop] = field(default_factory=list)

    def padded(self, length: int) -> NDArray[np.uint8]:
        """(length, S, S, 3) uint8 BGR: the crops, then the last one again up to `length`."""
        return np.stack(self.crops + [self.crops[-1]] * (length - len(self.crops)))


class ClipAssembler:
    """Gathers every face's crops into consecutive windows of `length` frames.

    A window ends when it is full, or before a frame that the face is not in: no clip holds the
    difference between frames across a gap. So a frame's clip is complete at most `length - 1` frames after it.
    """

    def __init__(self, length: int) -> None:
        self.length = length
        self._open: dict[int, Clip] = {}

    def push(self, index: int, crops: Mapping[int, Crop]) -> list[Clip]:
        """Add frame `index` with the crop of each track in it; returns the clips that this completes."""
        done = [self._open.pop(track_id) for track_id in list(self._open) if track_id not in crops]
        for track_id, crop in crops.items():
            clip = self._open.setdefault(track_id, Clip(track_id))
            clip.indices.append(index)
            clip.crops.append(crop)
            if len(clip.crops) == self.length:
                done.append(self._open.pop(track_id))
        return done

    def flush(self) -> list[Clip]:
        """Nothing follows: returns the clips still open."""
        done = list(self._open.values())
        self._open.clear()
        return done


MAX_BATCH = 8  # clips per call: bounds memory when many faces end together


class ClipScoring:
    """Consecutive windows of T frames (supplement section 4); a frame is scored at most T - 1 frames later."""

    def __init__(self, session: Session, config: FolderConfig, clock: StageClock) -> None:
        self._session = session
        self._config = config
        self._clock = clock
        self._assemblers: dict[int, ClipAssembler] = {}  # by source
        self._held: dict[int, list[Scored]] = {}  # scores that were not given out, by source

    def push(self, frames: Mapping[int, Cut]) -> dict[int, list[Scored]]:
        done: list[tuple[int, Clip]] = []
        for source, cut in frames.items():
            if source not in self._assemblers:
                self._assemblers[source] = ClipAssembler(self._config.clip_length)
            done += [(source, clip) for clip in self._assemblers[source].push(cut.index, cut.crops)]
        self._score(done)
        return {source: self._held.pop(source, []) for source in frames}

    def flush(self, source: int) -> list[Scored]:
        if source in self._assemblers:
            self._score([(source, clip) for clip in self._assemblers.pop(source).flush()])
        return self._held.pop(source, [])

    def _score(self, clips: list[tuple[int, Clip]]) -> None:
        """Score clips, padded, and keep the scores of their own frames."""
        length, preprocessing = self._config.clip_length, self._config.preprocessing
        for start in range(0, len(clips), MAX_BATCH):
            batch = clips[start : start + MAX_BATCH]
            with self._clock("align"):
                crops = np.concatenate([clip.padded(length) for _, clip in batch])
                frames = prepare(crops, preprocessing.mean, preprocessing.std)
            with self._clock("model"):
                scores = self._session.run({"clip": frames.reshape(len(batch), length, *frames.shape[1:])})["scores"]
            check_finite(self._session, scores)
            for (source, clip), rows in zip(batch, np.clip(scores, 0.0, 1.0), strict=True):
                held = self._held.setdefault(source, [])
                held += [Scored(index, clip.track_id, row) for index, row in zip(clip.indices, rows, strict=False)]
