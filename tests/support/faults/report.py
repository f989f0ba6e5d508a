"""What happened in runs with faults."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field


@dataclass
class Report:
    """What happened; `worst_s` is the longest time without a word of a source that was open."""

    faults: Counter[str] = field(default_factory=Counter)
    runs: int = 0
    results: int = 0
    stale: int = 0
    captured: int = 0
    scored: int = 0
    dropped: Counter[str] = field(default_factory=Counter)
    reconnects: int = 0
    worst_s: float = 0.0
    tracks: int = 0
    scores: int = 0
    rows: int = 0
    lost: Counter[str] = field(default_factory=Counter)

    def __str__(self) -> str:
        told, dropped, lost = (
            ", ".join(f"{count:,} {kind}" for kind, count in counts.most_common())
            for counts in (self.faults, self.dropped, self.lost)
        )
        return (
            f"{self.faults.total():,} faults ({told}) in {self.runs:,} runs\n{self.results:,} results, {self.stale:,} "
            f"of them stale; captured {self.captured:,} = scored {self.scored:,} + dropped {self.dropped.total():,} "
            f"({dropped})\n{self.reconnects:,} reconnects; longest silence of an open source {self.worst_s:.2f} s\n"
            f"{self.tracks:,} tracks of one take and person, {self.scores:,} scores of frames as of these alone\n"
            f"tables: {self.rows:,} frames written, counted as dropped: {lost or 'none'}"
        )
