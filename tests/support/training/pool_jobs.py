"""Work for processes of `mdhr_sdk.training.pool`, which must be able to import it."""

from __future__ import annotations

import os
from typing import Any

from mdhr_sdk.errors import ConfigError
from mdhr_sdk.training.pool import check_stopped


class Scaling:
    """Multiplies by a factor, and counts."""

    def __init__(self, factor: int, count: Any) -> None:
        self.factor, self.count = factor, count

    def __call__(self, job: int) -> int:
        with self.count.get_lock():
            self.count.value += 1
        check_stopped()
        return self.factor * job

    def close(self) -> None:
        self.count.value = -self.count.value


class Failing(Scaling):
    def __call__(self, job: int) -> int:
        raise ConfigError(f"job {job} cannot be done")


class Dying(Scaling):
    def __call__(self, job: int) -> int:
        os._exit(job)


class Unmade(Scaling):
    def __init__(self, *_: object) -> None:
        raise ConfigError("there is no such thing")
