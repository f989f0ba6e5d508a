"""How strong the movement of each action unit is, from 0 to 5, whether or not it occurs.

A very small network for each AU reads what is computed for each frame anyway: what the network that looks at the
picture says of the AU, what the geometry of the mesh says, how the former differs from the person's own face at rest,
and how far that is known. It never falls where one of the first three rises. It was fitted on rendered people, whose
intensities are known exactly; 5 is their usual apex, and no coder's E.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...errors import ModelFolderError
from ...modelfolder.folder import ModelFolder
from .geometry import FILE as GEOMETRY
from .geometry import LARGEST, Floats

FILE = "intensity.safetensors"
MOST = 5.0  # of an intensity
INPUTS = 4
SCALE = 3.0  # by which logits are divided, so that they are about as large as the other input
MADE_FROM = "geometry_sha256"  # in the manifest's entry: the geometry that it reads
HINT = "make it again: mdhr synthetic intensity"


@dataclass(frozen=True, eq=False)
class IntensityModel:
    """The small networks, of H hidden units each, for N AUs.

    Attributes:
        weight0, bias0: (N, H, INPUTS) and (N, H) of the hidden units.
        weight1, bias1: (N, H) and (N,) of what is made of them: shares of the most intensity.
        told: (N,) whether an AU's intensity is told.
    """

    weight0: Floats
    bias0: Floats
    weight1: Floats
    bias1: Floats
    told: NDArray[np.bool_]

    @classmethod
    def from_bytes(cls, content: bytes, told: NDArray[np.bool_]) -> IntensityModel:
        """Read what `to_bytes` wrote.

        Args:
            told: (N,).

        Raises:
            ModelFolderError: it is damaged, of another number of AUs, or falls where what it reads rises.
        """
        from safetensors.numpy import load

        try:
            arrays = {name: array.astype(np.float64) for name, array in load(content).items()}
        except Exception as error:  # safetensors' own exception shares no base with others
            raise ModelFolderError(f"{FILE} cannot be read: {' '.join(str(error).split())[:200]}") from None
        aus = len(told)
        hidden = arrays["bias0"].shape[-1] if "bias0" in arrays and arrays["bias0"].ndim else 0
        shapes = {"weight0": (aus, hidden, INPUTS), "bias0": (aus, hidden), "weight1": (aus, hidden), "bias1": (aus,)}
        right = {name: array.shape for name, array in arrays.items()} == shapes and hidden > 0
        if not right or not all((abs(array) <= LARGEST).all() for array in arrays.values()):
            raise ModelFolderError(f"{FILE} does not hold the arrays of intensities of {aus} AUs; {HINT}")
        if (arrays["weight0"][..., : INPUTS - 1] < 0).any() or (arrays["weight1"] < 0).any():
            raise ModelFolderError(f"{FILE}: an intensity falls where what it is read from rises; {HINT}")
        return cls(**arrays, told=np.asarray(told, bool))

    def to_bytes(self) -> bytes:
        """The arrays as a safetensors file, float32; `told` stands in `config.json`."""
        from safetensors.numpy import save

        arrays = {name: getattr(self, name) for name in ("weight0", "bias0", "weight1", "bias1")}
        return bytes(save({name: np.ascontiguousarray(array, np.float32) for name, array in arrays.items()}))

    def strengths(self, said: Floats, geometry: Floats, moved: Floats, known: Floats | float) -> Floats:
        """(..., N) intensities as shares of the most, in [0, 1]; NaN for AUs whose intensity is not told.

        Args: as of `inputs`.
        """
        # Not by BLAS, whose threads would spin beside those that find faces and run the network.
        hidden = np.tanh(np.einsum("...ni,nhi->...nh", inputs(said, geometry, moved, known), self.weight0) + self.bias0)
        values = np.clip(np.einsum("...nh,nh->...n", hidden, self.weight1) + self.bias1, 0, 1)
        return np.where(self.told, values, np.nan)


def inputs(said: Floats, geometry: Floats, moved: Floats, known: Floats | float) -> Floats:
    """(..., N, INPUTS) what the networks read.

    Args:
        said: (..., N) logits of the network that looks at the picture.
        geometry: (..., N) logits of the geometry.
        moved: (..., N) how `said` differs from that of the person at rest, times `known`.
        known: (...) in [0, 1], how far the person's own face at rest is known.
    """
    spread = np.broadcast_to(np.asarray(known, np.float64)[..., None], said.shape)
    return np.stack([said / SCALE, geometry / SCALE, moved / SCALE, spread], axis=-1)


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
