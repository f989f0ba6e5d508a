"""Items made one ahead in a thread of their own."""

from __future__ import annotations

import itertools
import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from mdhr_sdk.errors import SourceError
from mdhr_sdk.pipeline.one_ahead import one_ahead

WAIT_S = 30  # beyond which something hangs


def test_what_decodes_ahead_gives_every_frame_before_an_error_and_ends():
    def damaged() -> Iterator[int]:
        yield from range(3)
        raise SourceError("damaged")

    before, taken = threading.active_count(), []
    frames: Iterator[Any] = damaged()
    with pytest.raises(SourceError, match="damaged"), one_ahead(lambda: next(frames, None)) as following:
        while True:
            taken.append(following())
    assert taken == [0, 1, 2]
    endless: Iterator[Any] = itertools.count()
    with one_ahead(lambda: next(endless, None)) as following:  # left by break
        assert following() == 0
    assert threading.active_count() == before


def test_a_thread_reads_on_after_the_main_thread_has_ended():
    script = """
import threading, time
from mdhr_sdk.pipeline.one_ahead import one_ahead
def read(frames=iter(range(3))):
    threading.main_thread().join()
    time.sleep(0.2)  # the interpreter ends what it ends by itself
    with one_ahead(lambda: next(frames, None)) as following:
        while (frame := following()) is not None:
            print(frame)
threading.Thread(target=read).start()
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=WAIT_S)
    assert done.stdout.split() == ["0", "1", "2"]
