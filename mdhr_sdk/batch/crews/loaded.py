"""Loads what worker processes need, for `early.begin_early`: modules that start no thread when they are imported.

What is missing here, or fails, is passed over: a worker that needs it says so. ONNX Runtime is left out, since its
import starts a thread, which a fork would lose.
"""

from __future__ import annotations

import signal
from contextlib import suppress
from importlib import import_module

_LOADED = (
    "mdhr_sdk.batch.worker",
    "cv2",
    "av",
    "mdhr_sdk.vision.sources.video",
    "mdhr_sdk.vision.faces.mediapipe.solutions",
    "mdhr_sdk.vision.faces.small",
    "matplotlib.figure",
    "matplotlib.backends.backend_agg",
    "matplotlib.textpath",
)


def _load() -> None:
    for name in ("SIGINT", "SIGHUP"):  # a terminal sends them to every process; the first one ends this
        signal.signal(getattr(signal, name), signal.SIG_IGN)
    for name in _LOADED:
        with suppress(Exception):
            import_module(name)
    with suppress(Exception):
        import_module("mdhr_sdk.vision.faces.mediapipe.package").import_mediapipe()


_load()
