"""Many files shared out among workers: each exactly once, whatever becomes of a worker or a file."""

from __future__ import annotations

import logging
from collections import Counter, deque
from collections.abc import Callable, Iterable

from ..errors import MDHRError
from .crews.crew import POLL_S, Crew, Lost
from .outcome import Outcome
from .worker import Job

TRIES = 2  # for a file whose worker ends
log = logging.getLogger("mdhr_sdk")


def run_study(
    jobs: Iterable[Job],
    crew: Crew,
    tell: Callable[[Job, Outcome], None],
    tick: Callable[[], None] = lambda: None,
) -> None:
    """Do all jobs; returns when each has an outcome.

    A job whose worker ends is done again by another one, once and after the others; a second time it counts as failed.
    Neither ends the others.

    Args:
        jobs: taken when a worker is free.
        tell: gets each job with its outcome, as they come.
        tick: called twice a second or more often.

    Raises:
        MDHRError: no worker can begin.
    """
    waiting, again = iter(jobs), deque[Job]()
    lost: Counter[int] = Counter()
    given = 0
    more = True
    while True:
        while crew.free and (again or more):
            job = next(waiting, None) if more else again.popleft()
            if job is None:
                more = False
                continue
            crew.give(job)
            given += 1
        if not (given or again or more):
            return
        for answer in crew.wait(POLL_S):
            given -= 1
            if not isinstance(answer, Lost):
                tell(*answer)
                continue
            job = answer.job
            lost[job.number] += answer.blamed
            if lost[job.number] < TRIES:
                log.warning("%s: %s; it is done again", job.label, answer.reason)
                again.append(job)
            else:
                tell(job, _poisonous(job, answer.reason))
        tick()


def _poisonous(job: Job, reason: str) -> Outcome:
    outcome = Outcome(job.source, job.label)
    outcome.error = MDHRError(
        f"{job.source.name} was tried {TRIES} times and has no results: {reason}; try it alone, or leave it out"
    )
    return outcome
