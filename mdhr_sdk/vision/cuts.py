"""Where one scene of a video ends and another begins."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .sources.source import Image

SIZE = (32, 18)
THRESHOLD = 0.45  # footage of talking heads stays below 0.15, other scenes differ by 0.8 and more, bright or dim
NOISE = 4.0  # of 255: contrast below it is the camera's


class CutDetector:
    """Compares each frame with the one before, made small and grey: the mean difference in units of the contrast.

    Brightness and contrast are taken out, so that exposure that changes evenly makes no cut.
    """

    def __init__(self) -> None:
        self._last: NDArray[np.float32] | None = None

    def is_cut(self, image: Image) -> bool:
        """Whether `image` (H, W, 3) uint8 BGR shows another scene than the last one; never for the first."""
        import cv2

        # Grey first: a third as much to average.
        small = cv2.resize(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY), SIZE, interpolation=cv2.INTER_AREA)
        now = (small.astype(np.float32) - small.mean()) / max(float(small.std()), NOISE)
        last, self._last = self._last, now
        return last is not None and float(np.abs(now - last).mean()) > THRESHOLD
