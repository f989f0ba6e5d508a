"""`python -m mdhr_sdk` is the command `mdhr`."""

from __future__ import annotations

import atexit
import os
import signal
import sys
from types import FrameType

INTERRUPTED = 130  # exit code
STOPPING = ("SIGINT", "SIGTERM", "SIGHUP")


def _leave(number: int, frame: FrameType | None) -> None:
    """End at once: nothing has been begun, and an exception could get lost in a module that is being loaded."""
    os._exit(INTERRUPTED)


def _done(numbers: list[int]) -> None:
    """All is done and said: a signal that comes now does not change the exit code."""
    for number in numbers:
        signal.signal(number, signal.SIG_IGN)


def main() -> None:
    """Entry point, with nothing loaded yet: Ctrl-C, TERM and HUP while modules are loaded end it, as they do later on.

    NumPy's BLAS gets one thread, unless the environment says otherwise: its threads wait for work by spinning, and the
    matrices of a frame are too small for them.
    """
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # read when NumPy is loaded
    try:
        numbers = [getattr(signal, name) for name in STOPPING if hasattr(signal, name)]
        for number in numbers:
            if signal.getsignal(number) is not signal.SIG_IGN:  # as under nohup
                signal.signal(number, _leave)
        atexit.register(_done, numbers)  # first, so it is called last
        from .batch.crews.early import begin_early, wants_workers

        if wants_workers(sys.argv[1:]):
            begin_early()
        from .cli.app import main as run

        run()
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    except ImportError as error:  # what modules in C make of Ctrl-C
        if not isinstance(error.__cause__ or error.__context__, KeyboardInterrupt):
            raise
        sys.exit(INTERRUPTED)


if __name__ == "__main__":
    main()
