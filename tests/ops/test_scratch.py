"""Scratch memory of the kernels is bounded, whatever they were asked for."""

from __future__ import annotations

import threading
from collections.abc import Callable

import numpy as np

from mdhr_sdk.ops import fuse_dynamics
from ops_cases import clip_maps, parameters

LIMIT = 32 << 20


def in_a_thread_of_its_own(work: Callable[[], None]) -> None:
    failures: list[BaseException] = []

    def run() -> None:
        try:
            work()
        except BaseException as error:
            failures.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    if failures:
        raise failures[0]


def test_a_thread_keeps_little_of_what_a_large_clip_took(compiled: None) -> None:
    from mdhr_sdk import _kernels

    rng = np.random.default_rng(0)
    p = parameters(rng, 4, 3)

    def work() -> None:
        assert _kernels.scratch_bytes() == 0
        kept = []
        for frames in (16, 16, 4000, 1000, 1200, 1400, 1600, 16, 16):  # 4000 frames take blocks of 50 MB
            fuse_dynamics(clip_maps(rng, 4, (1, frames, 3, 7, 7)), p, 5, backend="compiled", threads=1)
            kept.append(_kernels.scratch_bytes())
        assert all(0 < size <= LIMIT for size in kept) and max(kept) > LIMIT / 8
        assert kept[0] == kept[1] and kept[-1] == kept[-2]

    in_a_thread_of_its_own(work)
