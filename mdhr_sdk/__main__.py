"""`python -m mdhr_sdk` is the command `mdhr`."""

from __future__ import annotations

import os
import sys

INTERRUPTED = 130  # exit code


def main() -> None:
    """Entry point, with nothing loaded yet: Ctrl-C while modules are being loaded ends it without a traceback.

    NumPy's BLAS gets one thread, unless the environment says otherwise: its threads wait for work by spinning, and the
    matrices of a frame are too small for them.
    """
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # read when NumPy is loaded
    try:
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
