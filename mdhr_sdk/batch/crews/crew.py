"""Workers as a study sees them: they take a job each, and answer some time later."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from ...errors import MDHRError
from ..options import Described
from ..outcome import Outcome
from ..worker import Job

POLL_S = 0.5
MOST_FALSE_STARTS = 3  # in a row, of workers that end before they are ready


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


class Member:
    """A worker of a `Replacing` crew, and what it is at.

    Attributes:
        job: what it is at; None if it is free.
        ready: whether it has begun, so that it can take jobs.
    """

    def __init__(self) -> None:
        self.job: Job | None = None
        self.ready = False


AMember = TypeVar("AMember", bound=Member)


class Replacing(ABC, Generic[AMember]):
    """A `Crew` in which another worker takes the place of one that ended. Subclasses say where workers run."""

    def __init__(self) -> None:
        self.described: Described | None = None
        self._all: list[AMember] = []
        self._false_starts = 0

    @contextmanager
    def _closed_on_failure(self) -> Iterator[None]:
        try:
            yield
        except BaseException:
            self.close()
            raise

    @abstractmethod
    def close(self) -> None: ...

    @abstractmethod
    def _start(self) -> None:
        """Add a worker that begins."""

    @abstractmethod
    def _hopeless(self, reason: str) -> MDHRError:
        """What is said when workers do nothing but end."""

    def _has_begun(self, one: AMember) -> None:
        one.ready, self._false_starts = True, 0

    def _ended(self, one: AMember, reason: str) -> Iterator[Lost]:
        """A worker is no more: another one takes its place, and its job is lost."""
        self._all.remove(one)
        self._false_starts += not one.ready
        if self._false_starts >= MOST_FALSE_STARTS:
            raise self._hopeless(reason)
        self._start()
        if one.job is not None:
            yield Lost(one.job, f"its worker {reason}", one.ready)
