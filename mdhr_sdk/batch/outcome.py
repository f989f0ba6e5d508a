"""What there is to tell of one source that was read."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from ..errors import MDHRError, number_of
from ..results import Baseline, FrameResult
from ..vision import Source

State = Literal["done", "skipped", "failed", "stopped"]
SUMMED = ("scored", "damaged", "left_out", "limited")  # numbers of a part that add up
GREATEST = ("most_seen", "most_scored")  # of which the greatest counts
TALLIES = ("occurrences", "doubted")


@dataclass
class Outcome:
    """One source, done or broken off. Holds counts, no frames, so that memory does not grow with the sources."""

    source: Source
    label: str  # of `labels`
    frames: int = 0
    later: int = 0  # frames after the neutral seconds
    began_s: float = math.inf
    with_face: int = 0
    tracks: set[int] = field(default_factory=set)
    scored: int = 0  # faces, each frame's counted, without those of the neutral seconds
    occurrences: Counter[str] = field(default_factory=Counter)  # AU -> faces that show it
    baselines: dict[Baseline, set[int]] = field(default_factory=dict)  # what was done to which tracks
    neutral: dict[int, Counter[str]] = field(default_factory=dict)  # track id -> neutral frames, and those with an AU
    files: list[Path] = field(default_factory=list)
    replaced: set[Path] = field(default_factory=set)  # of the files, those that were there before
    stale: list[str] = field(default_factory=list)  # names of results beside them that an earlier run made
    timings_s: dict[str, float] = field(default_factory=dict)
    total_s: float = 0.0
    error: MDHRError | None = None  # of its reading, which ended it
    failures: list[MDHRError] = field(default_factory=list)  # of outputs; the others are complete
    read: bool = False  # to its end, or a live source until it was stopped
    dropped: int = 0  # frames of a live source that were never scored
    damaged: int = 0  # frames with that note
    limited: int = 0  # frames with more faces than were scored
    most_seen: int = 0  # faces in one of those
    most_scored: int = 0  # faces that were followed, again in one of those: --max-faces
    left_out: int = 0  # faces that were found and not asked for
    untrusted: int = 0  # faces that --min-quality left out
    doubted: Counter[str] = field(default_factory=Counter)  # why faces are not to be trusted -> faces
    interrupted: bool = False
    skipped: bool = False  # an earlier run had done it

    @property
    def state(self) -> State:
        """What became of it."""
        if self.error or self.failures:
            return "failed"
        return "skipped" if self.skipped else "done" if self.complete else "stopped"

    @property
    def complete(self) -> bool:
        """Whether the results are all there is; Ctrl-C is how a camera ends."""
        return self.error is None and not (self.interrupted and not self.source.live)

    def count(self, result: FrameResult) -> None:
        self.frames += 1
        self.began_s = min(self.began_s, result.timestamp_s)
        self.later += result.timestamp_s - self.began_s >= result.model.neutral_s - 1e-6
        self.with_face += bool(result.faces)
        self.dropped += result.dropped
        self.damaged += result.note == "damaged"
        self.left_out += result.faces_left_out
        self.untrusted += result.untrusted
        self.doubted.update(face.measures.reason for face in result.faces if face.measures and face.measures.reason)
        if result.faces_seen - result.faces_left_out - result.untrusted > len(result.faces):
            self.limited += 1
            self.most_seen = max(self.most_seen, result.faces_seen)
            taken = len(result.faces) + result.faces_left_out + result.untrusted  # before the choice of a person
            self.most_scored = max(self.most_scored, taken)
        for face in result.faces:
            self.tracks.add(face.track_id)
            self.baselines.setdefault(face.baseline, set()).add(face.track_id)
            if face.baseline == "neutral":
                self.neutral.setdefault(face.track_id, Counter()).update(("frames", *face.active))
            else:
                self.scored += 1
                self.occurrences.update(face.active)

    @property
    def counts(self) -> dict[str, Any]:
        """What `add` takes of a part, as JSON holds it."""
        return {name: getattr(self, name) for name in (*SUMMED, *GREATEST, *TALLIES)}

    def add(self, counts: Mapping[str, Any]) -> None:
        """Count what was counted of a part; frames and tracks are the caller's, who knows which parts share them."""
        for name in SUMMED:
            setattr(self, name, getattr(self, name) + counts[name])
        for name in GREATEST:
            setattr(self, name, max(getattr(self, name), counts[name]))
        for name in TALLIES:
            getattr(self, name).update(counts[name])

    def tell_kept(self) -> None:
        """Add to the error of a source that broke off what there is of it."""
        if self.error is None or not self.frames:
            return
        names = ", ".join(str(path) for path in self.files) or "nothing of them could be written"
        kept = number_of(self.frames, "frame")
        self.error = MDHRError(f"{self.error}; kept the {kept} before it: {names}")
