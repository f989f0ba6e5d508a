"""Loads what worker processes need, for `early.begin_early`: modules that start no thread when they are imported.

What is missing here, or fails, is passed over: a worker that needs it says so. ONNX Runtime is left out, since its
import starts a thread, which a fork would lose.
"""

from __future__ import annotations

from contextlib import suppress
from importlib import import_module

from .. import worker as worker  # it is there to be imported

_ALSO = (
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
    from ...vision.faces.mediapipe.package import import_mediapipe

    for name in _ALSO:
        with suppress(Exception):
            import_module(name)
    with suppress(Exception):
        import_mediapipe()


_load()
