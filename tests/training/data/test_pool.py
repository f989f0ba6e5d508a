"""Processes that share work: what they give, and what is said of those that fail."""

from __future__ import annotations

import multiprocessing
from functools import partial

import pytest

import pool_jobs
from mdhr_sdk.errors import ConfigError, DataError, MDHRError
from mdhr_sdk.training.pool import check_stopped, spread


@pytest.mark.parametrize("workers", [1, 2])
def test_every_job_comes_back_with_its_result(workers: int) -> None:
    count, seen = multiprocessing.get_context("spawn").Value("q", 0), []
    work = partial(pool_jobs.Scaling, 10, count)
    assert dict(spread(work, (1, 2, 3, 4), workers, lambda: seen.append(count.value))) == {1: 10, 2: 20, 3: 30, 4: 40}
    assert seen == sorted(seen) and seen[-1] == 4
    assert count.value == (-4 if workers == 1 else 4)  # closed in this process; others end as they are
    check_stopped()  # calls nothing any more
    assert seen[-1] == 4


@pytest.mark.parametrize(
    ("work", "error", "message"),
    [
        (pool_jobs.Failing, ConfigError, "^job [34] cannot be done$"),
        (pool_jobs.Unmade, ConfigError, "^there is no such thing$"),
        (pool_jobs.Dying, DataError, "a worker process was killed .* what is done stays done"),
    ],
)
def test_what_goes_wrong_in_a_worker_is_said(
    work: type[pool_jobs.Scaling], error: type[MDHRError], message: str
) -> None:
    with pytest.raises(error, match=message):
        list(spread(partial(work, 1, None), [3, 4], 2))
