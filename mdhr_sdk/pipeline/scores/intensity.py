"""How strong the movement of each action unit is, from 0 to 5, whether or not it occurs.

For each AU, what is computed for each frame anyway is summed with weights: what the network that looks at the picture
says of it, what the geometry of the mesh says, how the former differs from the person's own face at rest, and how far
that is known. A map that never falls makes an intensity of the sum. Both were fitted on rendered people, whose
intensities are known exactly; 5 is their usual apex, and no coder's E.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ...errors import ModelFolderError
from ...modelfolder.folder import ModelFolder
from .geometry import FILE as GEOMETRY
from .geometry import LARGEST, Floats

FILE = "intensity.safetensors"
MOST = 5.0  # of an intensity
INPUTS = 4
MOST_KNOTS = 256
MADE_FROM = "geometry_sha256"  # in the manifest's entry: the geometry that it reads
HINT = "make it again: mdhr synthetic intensity"


@dataclass(frozen=True, eq=False)
class IntensityModel:
    """The sums and the maps of N AUs, with K knots each.

    Attributes:
        weights: (N, INPUTS) of the sums; the first three are at least 0, so that no intensity falls where one rises.
        knots: (N, K) sums, rising.
        levels: (N, K) shares of the most intensity at the knots, in [0, 1], never falling. Between two knots the map is
            straight, beyond the last ones it stays.
        told: (N,) whether an AU's intensity is told.
    """

    weights: Floats
    knots: Floats
    levels: Floats
    told: NDArray[np.bool_]

    @classmethod
    def from_bytes(cls, content: bytes, told: NDArray[np.bool_]) -> IntensityModel:
        """Read what `to_bytes` wrote.

        Args:
            told: (N,).

        Raises:
            ModelFolderError: it is damaged, of another number of AUs, or an intensity falls where it must rise.
        """
        from safetensors.numpy import load

        try:
            arrays = {name: array.astype(np.float64) for name, array in load(content).items()}
        except Exception as error:  # safetensors' own exception shares no base with others
            raise ModelFolderError(f"{FILE} cannot be read: {' '.join(str(error).split())[:200]}") from None
        aus, count = len(told), arrays["knots"].size // len(told) if "knots" in arrays else 0
        shapes = {"weights": (aus, INPUTS), "knots": (aus, count), "levels": (aus, count)}
        right = {name: array.shape for name, array in arrays.items()} == shapes and 2 <= count <= MOST_KNOTS
        if not right or not all((abs(array) <= LARGEST).all() for array in arrays.values()):
            raise ModelFolderError(f"{FILE} does not hold the arrays of intensities of {aus} AUs; {HINT}")
        levels, steps = arrays["levels"], np.diff(arrays["knots"], axis=1)
        rises = (arrays["weights"][:, : INPUTS - 1] >= 0).all() and (np.diff(levels, axis=1) >= 0).all()
        if not rises or not ((steps > 0).all() and (levels >= 0).all() and (levels <= 1).all()):
            raise ModelFolderError(f"{FILE}: an intensity falls where it must rise, or leaves 0 to {MOST:g}; {HINT}")
        return cls(**arrays, told=np.asarray(told, bool))

    def to_bytes(self) -> bytes:
        """The arrays as a safetensors file, float32; `told` stands in `config.json`."""
        from safetensors.numpy import save

        arrays = {name: getattr(self, name) for name in ("weights", "knots", "levels")}
        return bytes(save({name: np.ascontiguousarray(array, np.float32) for name, array in arrays.items()}))

    def strengths(self, given: Floats) -> Floats:
        """(..., N) intensities as shares of the most, in [0, 1]; NaN for AUs whose intensity is not told.

        Args:
            given: (..., N, INPUTS) as `given` makes it.
        """
        sums = (given * self.weights).sum(axis=-1)
        if sums.ndim == 1:  # one face: NumPy takes several times as long for a number as Python
            return np.array([self._level(au, one) for au, one in enumerate(sums.tolist())])
        found = np.full(sums.shape, np.nan)
        for au in np.flatnonzero(self.told):
            found[..., au] = np.interp(sums[..., au], self.knots[au], self.levels[au])
        return found

    def _level(self, au: int, value: float) -> float:
        """As `np.interp`, to the bit; NaN for an AU whose intensity is not told."""
        if (line := self._lines[au]) is None:
            return math.nan
        if math.isnan(value):
            return value
        knots, levels = line
        left = bisect_right(knots, value) - 1
        if left < 0 or left == len(knots) - 1 or knots[left] == value:
            return levels[max(left, 0)]
        slope = (levels[left + 1] - levels[left]) / (knots[left + 1] - knots[left])
        return slope * (value - knots[left]) + levels[left]

    @cached_property
    def _lines(self) -> list[tuple[list[float], list[float]] | None]:
        """Knots and levels of each AU whose intensity is told."""
        rows = zip(self.told.tolist(), self.knots.tolist(), self.levels.tolist(), strict=True)
        return [(knots, levels) if told else None for told, knots, levels in rows]


def given(said: Floats, geometry: Floats, moved: Floats, known: Floats | float) -> Floats:
    """(..., N, INPUTS) what intensities are read from.

    Args:
        said: (..., N) logits of the network that looks at the picture.
        geometry: (..., N) logits of the geometry.
        moved: (..., N) how `said` differs from that of the person at rest, times `known`.
        known: (...) in [0, 1], how far the person's own face at rest is known.
    """
    values = np.empty((*said.shape, INPUTS))
    values[..., 0], values[..., 1], values[..., 2] = said, geometry, moved
    values[..., 3] = np.asarray(known)[..., None]
    return values


def read_intensity(folder: ModelFolder) -> IntensityModel | None:
    """What a folder's configuration says of intensities; None for a model without them.

    Raises:
        ModelFolderError: `intensity.safetensors` is missing, damaged, or was made from other weights or geometry.
    """
    told = np.array(folder.config.intensity, bool)
    if not told.any():
        return None
    if not folder.has(FILE):
        raise ModelFolderError(
            f"'{folder.path}' has no {FILE}, which its config.json asks for; copy it from the folder that this one was "
            "made from, or make it: mdhr synthetic intensity"
        )
    content, files = folder.read(FILE), folder.manifest
    geometry = files.get(GEOMETRY, {}).get("sha256")
    if files.get(FILE, {}).get(MADE_FROM, geometry) != geometry:
        raise ModelFolderError(f"'{folder.path}': {FILE} was made with another {GEOMETRY}; {HINT}")
    return IntensityModel.from_bytes(content, told)
