"""Whether two pictures of a face a moment apart can be of one person, by pattern and colour of its middle."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import InputError, import_cv2
from .align import crop_matrix
from .sources.source import Image

CROP_PX, LEFT, TOP, WIDTH, HEIGHT = (
    64,
    12,
    10,
    40,
    48,
)  # the face in an aligned crop
CELL_PX = 4
NOISE = 4.0  # of 255: contrast below it is the camera's
DARK = 8.0  # of 255: darker colours say nothing

# Medians, so that a hand over less than half of the face counts for nothing. Measured on eight videos of people and
# renderings (talk, laughter, fast turns, blinks) and on 3,400 pairs of different people. From one frame to the next of
# 25 or 30 a second the pattern of a face differs by up to 0.14 (0.32 in the wildest video) and its colour by up to
# 0.06; of different people 98 % differ by more than PATTERN, and 97 % by more than COLOUR as well or by OTHER.
# A quarter of a second apart one person's differ by up to 0.41 (0.54) and 0.08, and 90 % of the pairs are told apart.
PATTERN = 0.22
COLOUR = 0.08  # in logarithms: 8 %
OTHER = 0.45  # so different is a pattern only of another face, whatever its colour
COLOUR_A_SECOND, MOST_COLOUR = 0.1, 0.16  # the longer between two frames, the more light and pose may have changed
ALIKE = 0.33
OTHER_A_SECOND, MOST_OTHER = 1.5, 0.8


@dataclass(frozen=True, eq=False)
class Look:
    """How a face looks.

    Attributes:
        cells: (12, 10, 3) float32 blue, green and red of the aligned face.
    """

    cells: NDArray[np.float32]

    def may_be(self, other: Look, gap_s: float) -> bool:
        """Whether both may be of one person, `gap_s` seconds apart."""
        pattern, colour = self.differences(other)
        if pattern > min(OTHER + OTHER_A_SECOND * gap_s, MOST_OTHER):
            return False
        return pattern <= PATTERN or colour <= min(COLOUR + COLOUR_A_SECOND * gap_s, MOST_COLOUR)

    def resembles(self, other: Look) -> bool:
        """Whether both are so alike that a face may be recognised elsewhere in the frame, or after a cut."""
        pattern, colour = self.differences(other)
        return pattern <= ALIKE and colour <= COLOUR

    def differences(self, other: Look) -> tuple[float, float]:
        """Of the brightness pattern, in units of its contrast, and of the colour, in logarithms."""
        mine, its = self._grey(), other._grey()
        contrasts = [max(float(grey.std()), NOISE) for grey in (mine, its)]
        # The first is for other light, the second for a part that is hidden, which changes mean and contrast.
        evened = (mine - mine.mean()) / contrasts[0] - (its - its.mean()) / contrasts[1]
        pattern = min(float(np.median(np.abs(evened))), float(np.median(np.abs(mine - its))) / max(contrasts))
        change = np.log(np.maximum(self.cells, DARK)) - np.log(np.maximum(other.cells, DARK))
        return pattern, float(np.abs(np.median(change.reshape(-1, 3), axis=0)).max())

    def _grey(self) -> NDArray[np.float32]:
        return self.cells @ np.array([0.114, 0.587, 0.299], np.float32)


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
