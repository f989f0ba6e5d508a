"""A disk and sinks that fail or are slow now and then."""

from __future__ import annotations

import errno
import os

from faults.virtual_time import World
from mdhr_sdk.outputs.live.tables import LiveTables
from mdhr_sdk.results import FrameResult


class Trouble:
    """What is wrong with the disk and the sinks now."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.full_until_s = self.slow_until_s = 0.0
        self.failures = 0

    def write(self, file: int, data: bytes) -> int:
        """As `os.write`, on a disk that may be full."""
        if self.world.now_s < self.full_until_s:
            if len(data) > 1 and self.world.random.random() < 0.5:
                return os.write(file, data[: self.world.random.randrange(1, len(data))])
            raise OSError(errno.ENOSPC, "No space left on device")
        return os.write(file, data)


class TroubledTables:
    """`LiveTables` that is slow or fails now and then. `taken` lists the frames that it took."""

    def __init__(self, tables: LiveTables, trouble: Trouble) -> None:
        self._tables, self._trouble = tables, trouble
        self.taken: list[int] = []

    def __enter__(self) -> TroubledTables:
        self._tables.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self._tables.__exit__()

    def write(self, result: FrameResult) -> None:
        trouble = self._trouble
        if trouble.failures:
            trouble.failures -= 1
            raise ValueError("a sink of somebody else")
        if trouble.world.now_s < trouble.slow_until_s:
            trouble.world.sleep(trouble.world.random.uniform(0.0, 0.5))
        self._tables.write(result)
        self.taken.append(result.index)
