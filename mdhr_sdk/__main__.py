"""`python -m mdhr_sdk` is the command `mdhr`."""

from __future__ import annotations

import os
import signal
import sys
from typing import NoReturn

INTERRUPTED = 130  # exit code
STOPPING = tuple(getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name))


def _interrupt(*_: object) -> NoReturn:
    raise KeyboardInterrupt


def main() -> None:
    """Entry point, with nothing loaded yet: Ctrl-C, TERM and HUP while modules are being loaded end it as later on.

    NumPy's BLAS gets one thread, unless the environment says otherwise: its threads wait for work by spinning, and the
    matrices of a frame are too small for them.
    """
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # read when NumPy is loaded
    try:
        for number in STOPPING:
            if signal.getsignal(number) is signal.SIG_DFL:  # not under nohup
                signal.signal(number, _interrupt)
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
