"""Work for processes of `mdhr_sdk.training.pool`, which must be able to import it."""

from __future__ import annotations

import os
from typing import Any

from mdhr_sdk.errors import ConfigError


def scaled(job: int, factor: int, count: Any) -> int:
    with count.get_lock():
        count.value += 1
    return factor * job


def fail(job: int) -> None:
    raise ConfigError(f"job {job} cannot be done")


def die(job: int) -> None:
    os._exit(job)
