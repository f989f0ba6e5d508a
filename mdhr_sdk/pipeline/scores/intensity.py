"""How strong the movement of each action unit is, from 0 to 5, whether or not it occurs.

A small network reads what is computed for each frame anyway: the inputs of the geometry, and what the network that
looks at the picture says, as it is and relative to the person's own face at rest. It was fitted on rendered people,
whose intensities are known exactly. 5 is their strongest usual movement; it is no coder's E.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...errors import ModelFolderError
from ...modelfolder.folder import ModelFolder
from .geometry import FILE as GEOMETRY
from .geometry import INPUTS, LARGEST, Floats

FILE = "intensity.safetensors"
MOST = 5.0  # of an intensity
SCALE = 3.0  # by which logits are divided, so that they are as large as the other inputs
MADE_FROM = "geometry_sha256"  # in the manifest's entry: the geometry whose inputs it reads
NAMES = ("weight0", "bias0", "weight1", "bias1")
HINT = "make it again: mdhr synthetic intensity"


@dataclass(frozen=True, eq=False)
class IntensityModel:
    """The small network: one hidden layer.

    Attributes:
        weights, biases: of each layer, (outputs, inputs) and (outputs,); N outputs.
        told: (N,) whether an AU's intensity is told.
    """

    weights: tuple[Floats, Floats]
    biases: tuple[Floats, Floats]
    told: NDArray[np.bool_]

    @classmethod
    def from_bytes(cls, content: bytes, told: NDArray[np.bool_]) -> IntensityModel:
        """Read what `to_bytes` wrote.

        Args:
            told: (N,).

        Raises:
            ModelFolderError: it is damaged, or of another number of AUs.
        """
        from safetensors.numpy import load

        try:
            arrays = {name: array.astype(np.float64) for name, array in load(content).items()}
        except Exception as error:  # safetensors' own exception shares no base with others
            raise ModelFolderError(f"{FILE} cannot be read: {' '.join(str(error).split())[:200]}") from None
        right = sorted(arrays) == sorted(NAMES) and all((abs(array) <= LARGEST).all() for array in arrays.values())
        if not right:
            raise ModelFolderError(f"{FILE} does not hold the arrays of intensities; {HINT}")
        first, second = arrays["weight0"], arrays["weight1"]
        hidden, aus = arrays["bias0"].shape, arrays["bias1"].shape
        wanted = (len(told),)
        if aus != wanted or first.shape != (*hidden, width(len(told))) or second.shape != (*wanted, *hidden):
            raise ModelFolderError(
                f"{FILE}: layers of {first.shape} and {second.shape} do not fit {len(told)} AUs; {HINT}"
            )
        return cls((first, second), (arrays["bias0"], arrays["bias1"]), np.asarray(told, bool))

    def to_bytes(self) -> bytes:
        """The arrays as a safetensors file, float32; `told` stands in `config.json`."""
        from safetensors.numpy import save

        arrays = dict(zip(NAMES, (self.weights[0], self.biases[0], self.weights[1], self.biases[1]), strict=True))
        return bytes(save({name: np.ascontiguousarray(array, np.float32) for name, array in arrays.items()}))

    def strengths(self, geometry: Floats, said: Floats, moved: Floats) -> Floats:
        """(M, N) intensities as shares of the most, in [0, 1]; NaN for AUs whose intensity is not told.

        Args:
            geometry: (M, INPUTS) what the geometry's network reads.
            said: (M, N) logits of the network that looks at the picture.
            moved: (M, N) how they differ from those of the person at rest, as far as that is known.
        """
        # Not by BLAS, whose threads would spin beside those that find faces and run the network.
        inputs = joined(geometry, said, moved)
        hidden = np.maximum(np.einsum("mi,oi->mo", inputs, self.weights[0]) + self.biases[0], 0)
        values = np.clip(np.einsum("mi,oi->mo", hidden, self.weights[1]) + self.biases[1], 0, 1)
        return np.where(self.told, values, np.nan)


def width(aus: int) -> int:
    """How many numbers the network reads."""
    return INPUTS + 2 * aus


def joined(geometry: Floats, said: Floats, moved: Floats) -> Floats:
    """(M, width(N)) what the network reads; arguments as of `strengths`."""
    return np.concatenate([geometry, said / SCALE, moved / SCALE], axis=1)


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
