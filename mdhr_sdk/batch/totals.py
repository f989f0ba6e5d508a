"""What a study came to: counts, times and reasons, as they come and as `summary.json`."""

from __future__ import annotations

import json
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from .options import Described
from .outcome import Outcome
from .worker import Job

SUMMARY = "summary.json"
SHOWN = 10  # sources of a study that its table shows, besides those that failed
MOST_FAILED = 50  # of those that failed


@dataclass
class Totals:
    """Counts of a study.

    Attributes:
        jobs: so many in all.
        all_bytes: of their files.
        states: state -> jobs.
        frames: read in this run.
        shown: the outcomes that the table shows: the first ones, and fifty that failed. The others are only counted.
        rows: a line of `summary.json` each.
    """

    jobs: int
    all_bytes: int = 0
    states: Counter[str] = field(default_factory=Counter)
    frames: int = 0
    done_bytes: int = 0  # of the jobs that took time
    skipped_bytes: int = 0  # of the others: done before, or failed before a frame
    shown: list[Outcome] = field(default_factory=list)
    rows: list[dict[str, Any]] = field(default_factory=list)
    stale: int = 0  # jobs beside whose results those of an earlier run lie
    began_s: float = field(default_factory=time.monotonic)

    def add(self, job: Job, outcome: Outcome) -> None:
        """Count an outcome."""
        state = outcome.state
        self.states[state] += 1
        if state == "skipped" or not outcome.frames:
            self.skipped_bytes += job.size_bytes
        else:
            self.done_bytes += job.size_bytes
            self.frames += outcome.frames
        row: dict[str, Any] = {"source": outcome.source.name, "state": state, "results": job.base}
        row |= {"frames": outcome.frames, "frames_with_face": outcome.with_face}
        row["seconds"] = round(outcome.total_s, 3)
        if outcome.stale:
            row["left_from_before"] = outcome.stale
            self.stale += 1
        if reasons := [str(error) for error in (outcome.error, *outcome.failures) if error is not None]:
            row["reason"] = "; ".join(reasons)
        self.rows.append(row)
        room = MOST_FAILED if state == "failed" else 0 if state == "skipped" else SHOWN
        if sum((one.state == "failed") == (state == "failed") for one in self.shown) < room:
            self.shown.append(outcome)

    @property
    def told(self) -> int:
        """Jobs that have an outcome."""
        return sum(self.states.values())

    @property
    def seconds(self) -> float:
        """Since the beginning."""
        return time.monotonic() - self.began_s

    @property
    def left_s(self) -> float | None:
        """Seconds that the rest will take, by the bytes of the files; None while nothing is known."""
        worked = self.told - self.states["skipped"]
        if not worked:
            return None
        left = self.jobs - self.told
        if not self.all_bytes or not self.done_bytes:
            return self.seconds / worked * left
        return self.seconds / self.done_bytes * max(0, self.all_bytes - self.done_bytes - self.skipped_bytes)

    @property
    def line(self) -> str:
        """How far it is, in one line."""
        words = [f"{self.told:,} of {self.jobs:,} files"]
        words += [f"{self.states[state]:,} {state}" for state in ("skipped", "failed") if self.states[state]]
        if self.frames:
            words.append(f"{self.frames / max(self.seconds, 1e-9):.0f} frames/s")
        if self.told < self.jobs and self.left_s is not None:
            words.append(f"about {duration(self.left_s)} left")
        return ", ".join(words)

    def text(self, described: Described | None) -> str:
        """The content of `summary.json`."""
        states = {state: self.states[state] for state in ("done", "skipped", "failed", "stopped")}
        content = {
            "files": self.jobs,
            **states,
            "not_read": self.jobs - self.told,
            **{name: sum(row[name] for row in self.rows) for name in ("frames", "frames_with_face")},
            "seconds": round(self.seconds, 3),
            "model": None if described is None else described.info.details,
            "options": None if described is None else described.key,
            "sources": sorted(self.rows, key=lambda row: str(row["source"])),
        }
        return json.dumps(content, indent=1) + "\n"


def duration(seconds: float) -> str:
    """'40 s', '12 min', '3 h 05 min'."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h {minutes % 60:02d} min"
