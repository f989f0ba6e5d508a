"""Where one scene of a video ends and another begins."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..errors import import_cv2
from .sources.source import Image

SIZE = (32, 18)
THRESHOLD = 0.45  # footage of talking heads stays below 0.15, other scenes differ by 0.8 and more, bright or dim
QUARTER = 0.15  # in each quarter too: otherwise a part of a picture of several has changed, such as a video call's
NOISE = 4.0  # of 255: contrast below it is the camera's


class CutDetector:
    """Compares each frame with the one before, made small and grey: the mean difference in units of the contrast.

    Brightness and contrast are taken out, so that exposure that changes evenly makes no cut. A change that leaves a
    quarter of the picture as it was is none either: `Tracker` ends the tracks of the faces that it changed.
    """

    def __init__(self) -> None:
        self._last: NDArray[np.float32] | None = None

    def is_cut(self, image: Image) -> bool:
        """Whether `image` (H, W, 3) uint8 BGR shows another scene than the last one; never for the first."""
        cv2 = import_cv2()
        # Grey first: a third as much to average.
        small = cv2.resize(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY), SIZE, interpolation=cv2.INTER_AREA)
        now = (small.astype(np.float32) - small.mean()) / max(float(small.std()), NOISE)
        last, self._last = self._last, now
        if last is None:
            return False
        change = np.abs(now - last)
        quarters = change.reshape(2, SIZE[1] // 2, 2, SIZE[0] // 2).mean(axis=(1, 3))
        return bool(change.mean() > THRESHOLD and quarters.min() > QUARTER)
