"""What a run of faults on live sources adds up to."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from mdhr_sdk.results import SourceStatus


@dataclass
class Report:
    """What happened.

    Attributes:
        faults: by kind.
        worst_s: the longest wait for a word of a source that was open.
        tracks: that were compared with what their pictures give alone.
    """

    faults: Counter[str] = field(default_factory=Counter)
    results: int = 0
    stale: int = 0
    captured: int = 0
    scored: int = 0
    dropped: Counter[str] = field(default_factory=Counter)
    reconnects: int = 0
    worst_s: float = 0.0
    tracks: int = 0

    def add(self, status: SourceStatus) -> None:
        """Count the frames of a source whose run is over."""
        self.captured += status.captured
        self.scored += status.scored
        self.dropped.update(status.dropped_by)
        self.reconnects += status.reconnects

    def __str__(self) -> str:
        return (
            f"{self.faults.total():,} faults ({listed(self.faults)})\n{self.results:,} results, {self.stale:,} of them "
            f"stale; captured {self.captured:,} = scored {self.scored:,} + dropped {self.dropped.total():,} "
            f"({listed(self.dropped)})\n{self.reconnects:,} reconnects; longest wait {self.worst_s:.2f} s; "
            f"{self.tracks:,} tracks compared"
        )


def listed(counts: Counter[str]) -> str:
    """'3 stall, 1 end', the most frequent first."""
    return ", ".join(f"{count:,} {kind}" for kind, count in counts.most_common())
