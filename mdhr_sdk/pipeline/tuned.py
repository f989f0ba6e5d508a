"""Settings of the whole process for reading and scoring side by side."""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from ..errors import import_cv2

TURN_S = 1e-4  # Python's default of 5 ms is as long as finding the faces of a frame, for which nobody should wait
# Hardly anything here is freed by the collector, and what MediaPipe and Matplotlib hold takes it a tenth of a second.
GARBAGE = (10_000, 20, 20)


@contextmanager
def tuned_process() -> Iterator[None]:
    """For a process that does nothing else, as a command; what was set before is set again after the block.

    Threads change turns sooner. OpenCV starts none of its own, which spin beside those that find faces and run the
    model. Garbage is looked for less often.
    """
    cv2 = import_cv2()
    turn_s, garbage, threads = sys.getswitchinterval(), gc.get_threshold(), cv2.getNumThreads()
    sys.setswitchinterval(TURN_S)
    gc.set_threshold(*GARBAGE)
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        sys.setswitchinterval(turn_s)
        gc.set_threshold(*garbage)
        cv2.setNumThreads(threads)
