"""Processes that share work: what they give, and what is said of those that fail."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable

import pytest

import pool_jobs
from mdhr_sdk.errors import ConfigError, DataError, MDHRError
from mdhr_sdk.training.pool import check_stopped, spread


def test_every_job_comes_back_with_its_result() -> None:
    count, seen = multiprocessing.get_context("spawn").Value("q", 0), []
    pairs = spread(pool_jobs.scaled, (1, 2, 3, 4), 2, (10, count), lambda: seen.append(count.value))
    assert dict(pairs) == {1: 10, 2: 20, 3: 30, 4: 40}
    assert count.value == 4 and seen == sorted(seen) and seen[-1] == 4


@pytest.mark.parametrize(
    ("work", "error", "message"),
    [
        (pool_jobs.fail, ConfigError, "^job 3 cannot be done$"),
        (pool_jobs.die, DataError, "a worker process was killed .* what is done stays done"),
    ],
)
def test_what_goes_wrong_in_a_worker_is_said(work: Callable, error: type[MDHRError], message: str) -> None:
    with pytest.raises(error, match=message):
        list(spread(work, [3], 1, ()))


def test_only_workers_are_stopped() -> None:
    check_stopped()
