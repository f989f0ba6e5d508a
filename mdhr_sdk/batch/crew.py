"""Workers as a study sees them: they take a job each, and answer some time later."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from .options import Described
from .outcome import Outcome
from .worker import Job

POLL_S = 0.5


@dataclass(frozen=True)
class Lost:
    """A job without an outcome: its worker ended, or failed in a way that nobody thought of.

    Attributes:
        reason: what is known of it.
        blamed: whether the job had begun, so that it may be the reason.
    """

    job: Job
    reason: str
    blamed: bool = True


Answer = tuple[Job, Outcome] | Lost


class Crew(Protocol):
    """Workers, wherever they are.

    Attributes:
        described: the model that they use; None until the first one has opened it.
    """

    described: Described | None

    @property
    def free(self) -> int:
        """So many jobs may be given now."""
        ...

    def give(self, job: Job) -> None:
        """Give a job to a free worker."""
        ...

    def wait(self, timeout_s: float) -> list[Answer]:
        """Answers that have come, after waiting for one for so long. Workers that ended are replaced.

        Raises:
            MDHRError: workers cannot begin, for example since the model cannot be opened.
        """
        ...

    def close(self) -> None:
        """End all workers, with what they are at."""
        ...
