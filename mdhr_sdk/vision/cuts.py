"""Where one scene of a video ends and another begins."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ..errors import import_cv2
from .sources.source import Image

SIZE = (32, 18)
THRESHOLD = 0.45  # footage of talking heads stays below 0.15, other scenes differ by 0.8 and more, bright or dim
QUARTER = 0.25  # a quarter that differs by less is as it was, so that only a part of the picture has changed
TEXTURE = 10.0  # of 255: contrast below it does not tell one scene's quarter from another's
NOISE = 4.0  # of 255: contrast below it is the camera's
SAME_COLOURS = 0.75  # shared by the two; wild motion leaves 0.78 and more at 3 frames a second, other scenes 0.4
SAME_IN_HALVES = 0.5  # the same of each half
BRIGHT = 100.0  # of 255: so bright dim pictures are made before their colours are compared
DARKEST, BRIGHTEST = 5.0, 250.0  # of 255: what is beyond in one of two frames is left out, as in the light of a flash
LEAST_SHARE = 0.25  # of the picture that must be left
SAMPLES = 6  # pixels across and down that a cell is made from


class CutDetector:
    """Compares each frame with the one before, made small and grey: the mean difference in units of the contrast.

    Brightness and contrast are taken out, so that exposure that changes evenly makes no cut. A change that leaves a
    quarter of the picture as it was, or all colours, is none either, as where a camera moves: `Tracker` ends the tracks
    of the faces that it changed.
    """

    def __init__(self) -> None:
        self._last: _Small | None = None

    def is_cut(self, image: Image) -> bool:
        """Whether `image` (H, W, 3) uint8 BGR shows another scene than the last one; never for the first."""
        cv2 = import_cv2()
        sampled = cv2.resize(image, (SAMPLES * SIZE[0], SAMPLES * SIZE[1]), interpolation=cv2.INTER_NEAREST)
        colours = np.asarray(cv2.resize(sampled, SIZE, interpolation=cv2.INTER_AREA), np.uint8)
        now = _Small(cv2.cvtColor(colours, cv2.COLOR_BGR2GRAY).astype(np.float32), colours)
        last, self._last = self._last, now
        if last is None or _difference(now, last) <= THRESHOLD or _same_colours(now.colours, last.colours):
            return False
        return not any(_unchanged(*pair) for pair in zip(_quarters(now.grey), _quarters(last.grey), strict=True))


@dataclass(frozen=True, eq=False)
class _Small:
    """A picture made small: (18, 32) float32 grey, and (18, 32, 3) uint8 BGR."""

    grey: NDArray[np.float32]
    colours: NDArray[np.uint8]

    @cached_property
    def evened(self) -> NDArray[np.float32]:
        """Asked for twice: beside the picture before, and the one after."""
        return _evened(self.grey)


def _difference(now: _Small, last: _Small) -> float:
    says = (np.minimum(now.grey, last.grey) > DARKEST) & (np.maximum(now.grey, last.grey) < BRIGHTEST)
    if LEAST_SHARE * says.size <= np.count_nonzero(says) < says.size:
        return _apart(_evened(now.grey[says]), _evened(last.grey[says]))
    return _apart(now.evened, last.evened)


def _apart(now: NDArray[np.float32], last: NDArray[np.float32]) -> float:
    """The mean difference of two even pictures, evened."""
    apart = np.abs(now - last)
    return float(apart.sum() / np.float32(apart.size))  # as mean(), in half the time; so below


def _same_colours(now: NDArray[np.uint8], last: NDArray[np.uint8]) -> bool:
    """Whether the colours are as they were, and in each half still about where they were."""
    halves = [(one[:, :16], one[:, 16:], one[:9], one[9:]) for one in (now, last)]
    in_halves = min(_shared_colours(*pair) for pair in zip(*halves, strict=True))
    return _shared_colours(now, last) >= SAME_COLOURS and in_halves >= SAME_IN_HALVES


def _shared_colours(now: NDArray[np.uint8], last: NDArray[np.uint8]) -> float:
    """Share of the pixels that have a partner of like colour, of 512, in the other picture."""
    gain = max(1.0, BRIGHT / max(float(now.mean()), float(last.mean()), 1.0))
    levels = [(one * gain).clip(0, 255).astype(int) // 32 for one in (now, last)]
    counts = [np.bincount(one.reshape(-1, 3) @ np.array([1, 8, 64]), minlength=512) for one in levels]
    return float(np.minimum(*counts).sum() / counts[0].sum())


def _evened(grey: NDArray[np.float32]) -> NDArray[np.float32]:
    centred = (grey - grey.sum() / np.float32(grey.size)).ravel()
    deviation = float(np.sqrt(centred @ centred / centred.size))  # several times as fast as std()
    return (centred / max(deviation, NOISE)).reshape(grey.shape)


def _quarters(grey: NDArray[np.float32]) -> list[NDArray[np.float32]]:
    return [part for half in np.split(grey, 2) for part in np.split(half, 2, axis=1)]


def _unchanged(now: NDArray[np.float32], last: NDArray[np.float32]) -> bool:
    textured = min(now.std(), last.std()) > TEXTURE
    return bool(textured and _apart(_evened(now), _evened(last)) < QUARTER)
