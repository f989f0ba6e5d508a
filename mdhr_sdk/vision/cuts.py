"""Where one scene of a video ends and another begins."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..errors import import_cv2
from .sources.source import Image

SIZE = (32, 18)
THRESHOLD = 0.45  # footage of talking heads stays below 0.15, other scenes differ by 0.8 and more, bright or dim
QUARTER = 0.25  # a quarter that differs by less is as it was, so that only a part of the picture has changed
TEXTURE = 10.0  # of 255: contrast below it does not tell one scene's quarter from another's
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
        now = small.astype(np.float32)
        last, self._last = self._last, now
        if last is None or np.abs(_evened(now) - _evened(last)).mean() <= THRESHOLD:
            return False
        return not any(_unchanged(*pair) for pair in zip(_quarters(now), _quarters(last), strict=True))


def _evened(grey: NDArray[np.float32]) -> NDArray[np.float32]:
    return (grey - grey.mean()) / max(float(grey.std()), NOISE)


def _quarters(grey: NDArray[np.float32]) -> list[NDArray[np.float32]]:
    return [part for half in np.split(grey, 2) for part in np.split(half, 2, axis=1)]


def _unchanged(now: NDArray[np.float32], last: NDArray[np.float32]) -> bool:
    textured = min(now.std(), last.std()) > TEXTURE
    return bool(textured and np.abs(_evened(now) - _evened(last)).mean() < QUARTER)
