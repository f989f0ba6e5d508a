"""Whether two pictures of a face a moment apart can be of one person, by pattern and colour of its middle."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import InputError, import_cv2
from .align import crop_matrix
from .sources.source import Image

CROP_PX, LEFT, TOP, WIDTH, HEIGHT = 64, 12, 10, 40, 48  # the face in an aligned crop
CELL_PX = 4
NOISE = 4.0  # of 255: contrast below it is the camera's
DARK = 8.0  # of 255: darker colours say nothing

# Medians, so that a hand over less than half of the face counts for nothing. Measured on eight videos of people and
# renderings (talk, laughter, fast turns, blinks) and on 3,300 pairs of different people. From one frame to the next of
# 25 or 30 a second one person's pattern differs by up to 0.16 (0.24 in the wildest video) and the colour by up to 0.03;
# every fourth to every eighth frame by up to 0.30 (0.54) and 0.04 (0.09). Of different people 96 % differ so much
# within a frame that they are told apart, and 87 % within a quarter of a second.
PATTERN = 0.22
COLOUR = 0.06  # in logarithms: 6 %
OTHER = 0.36  # a pattern this different means another person, whatever the colour
ALIKE = 0.33
COLOUR_A_SECOND, MOST_COLOUR = 0.15, 0.14  # the longer between two frames, the more light and pose may have changed
OTHER_A_SECOND, MOST_OTHER = 1.8, 0.8


class Look:
    """How a face looks.

    Args:
        cells: (12, 10, 3) float32 blue, green and red of the aligned face.
    """

    def __init__(self, cells: NDArray[np.float32]) -> None:
        self._cells = cells
        self._grey = (cells @ np.array([0.114, 0.587, 0.299], np.float32)).ravel()
        self._contrast = max(float(self._grey.std()), NOISE)
        self._even = (self._grey - self._grey.mean()) / self._contrast

    def may_be(self, other: Look, gap_s: float) -> bool:
        """Whether both may be of one person, `gap_s` seconds apart."""
        pattern = self.pattern_from(other)
        if pattern <= PATTERN or pattern > min(OTHER + OTHER_A_SECOND * gap_s, MOST_OTHER):
            return pattern <= PATTERN
        return self.colour_from(other) <= min(COLOUR + COLOUR_A_SECOND * gap_s, MOST_COLOUR)

    def resembles(self, other: Look) -> bool:
        """Whether both are so alike that a face may be recognised elsewhere in the frame, or after a cut."""
        return self.pattern_from(other) <= ALIKE and self.colour_from(other) <= COLOUR

    def pattern_from(self, other: Look) -> float:
        """Median difference in brightness, in units of the contrast."""
        # The first is for other light, the second for a part that is hidden, which changes mean and contrast.
        evened = _middle(np.abs(self._even - other._even))
        return min(evened, _middle(np.abs(self._grey - other._grey)) / max(self._contrast, other._contrast))

    def colour_from(self, other: Look) -> float:
        """Median difference of the colour channel that differs most, in logarithms: 0.1 is 10 %."""
        change = np.log(np.maximum(self._cells, DARK)) - np.log(np.maximum(other._cells, DARK))
        return float(np.abs(np.median(change.reshape(-1, 3), axis=0)).max())


def _middle(values: NDArray[np.float32]) -> float:
    """The median of an even number of values, several times as fast as NumPy's."""
    half = len(values) // 2
    return float(np.partition(values, (half - 1, half))[half - 1 : half + 1].mean())


def look_at(image_bgr: Image, landmarks_px: ArrayLike) -> Look | None:
    """The look of a face of an (H, W, 3) uint8 BGR image; None for a mesh too degenerate to align."""
    cv2 = import_cv2()
    try:
        matrix = crop_matrix(landmarks_px, size_px=CROP_PX)
    except InputError:
        return None
    matrix[:, 2] -= (LEFT, TOP)
    part = cv2.warpAffine(image_bgr, matrix, (WIDTH, HEIGHT), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    small = cv2.resize(part, (WIDTH // CELL_PX, HEIGHT // CELL_PX), interpolation=cv2.INTER_AREA)
    return Look(small.astype(np.float32))
