"""What takes Python longest of a face, as compiled kernels: its picture cut out, its look, and its mesh read.

Each answers None where the kernels were not built; the caller then does the same with OpenCV or NumPy.
"""

from __future__ import annotations

import ctypes
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from .extension import LANES, LAYERS, Geometry, call, choose

Floats = NDArray[np.float64]
LONGEST_PX = 32_767
FAR_PX = 2.0**19  # from where no warped pixel may come
_COUNTS = ("points", "rigid", "sums", "plain", "distances", "networks", "most", "absolute_most", "sure")
_PLACES = ("rigid_at", "at", "from", "to")
_VALUES = ("target", "centre", "factors", "mean", "spread", "absolute_spread")


def shrink(image: NDArray[np.uint8], size_px: tuple[int, int]) -> NDArray[np.uint8] | None:
    """(H, W, 3) uint8 averaged to a smaller width and height, to the bit as OpenCV's resize with INTER_AREA.

    None also where that has another function: where both sides shrink by whole factors; and for what it does not take.
    """
    (height, width), (small_width, small_height) = image.shape[:2], size_px
    if width % small_width == 0 and height % small_height == 0:
        return None
    library = _library_for(image)
    if library is None:
        return None
    out = np.empty((small_height, small_width, 3), np.uint8)
    before, after = (address(image), image.strides[0], width, height), (address(out), small_width, small_height)
    call(library, "mdhr_shrink", *before, *after)
    return out


def warp(image: NDArray[np.uint8], matrix: Floats, size_px: int) -> NDArray[np.uint8] | None:
    """The square (size_px, size_px, 3) that a (2, 3) matrix brings a part of an (H, W, 3) uint8 image into.

    To the bit as OpenCV's warpAffine with INTER_LINEAR and BORDER_REPLICATE. None also for what it does not take.
    """
    if (given := _warpable(image, matrix, size_px)) is None:
        return None
    library, before = given
    out = np.empty((size_px, size_px, 3), np.uint8)
    call(library, "mdhr_warp", *before, address(out), size_px)
    return out


def look(
    image: NDArray[np.uint8], matrix: Floats, size_px: int, points: NDArray[np.float32]
) -> tuple[NDArray[np.uint8], NDArray[np.float32]] | None:
    """As `warp`, softened as by OpenCV's blur of 3 x 3, and its colours (n, 3) float32 at (n, 2) finite points of it.

    To the bit as OpenCV's remap with INTER_LINEAR and BORDER_REPLICATE. None also for what it does not take.
    """
    given = _warpable(image, matrix, size_px)
    if given is None or size_px < 2 or len(points) == 0 or not np.abs(points).max() < FAR_PX:
        return None
    library, before = given
    at = np.ascontiguousarray(points, np.float32)
    soft, cells = np.empty((size_px, size_px, 3), np.uint8), np.empty((len(at), 3), np.float32)
    call(library, "mdhr_look", *before, address(soft), size_px, address(at), len(at), address(cells))
    return soft, cells


def planes(
    crops: NDArray[np.uint8], factors: NDArray[np.float32], shifts: NDArray[np.float32]
) -> NDArray[np.float32] | None:
    """(M, S, S, 3) uint8 BGR as (M, 3, S, S) float32 RGB: each byte times a factor (3), less a shift (3)."""
    library = choose("auto")
    if library is None or crops.size == 0:
        return None
    own = np.ascontiguousarray(crops)
    count, height, width = own.shape[:3]
    out = np.empty((count, 3, height, width), np.float32)
    call(
        library, "mdhr_planes", address(own), count, height * width, address(factors), address(shifts), address(out)
    )  # fmt: skip
    return out


def _warpable(
    image: NDArray[np.uint8], matrix: Floats, size_px: int
) -> tuple[ctypes.CDLL, tuple[int, int, int, int, int]] | None:
    """The library and its first arguments, if it takes such an image and matrix."""
    if (library := _library_for(image)) is None or not 1 <= size_px <= 4096:
        return None
    (a, b, x), (c, d, y) = matrix.tolist()
    reach = (abs(a) + abs(b) + abs(c) + abs(d)) * (abs(x) + abs(y) + 2 * size_px)
    if not reach < FAR_PX * abs(a * d - b * c) or not matrix.flags.c_contiguous:  # not so for NaN
        return None
    return library, (address(image), image.strides[0], image.shape[1], image.shape[0], address(matrix))


def _library_for(image: NDArray[np.uint8]) -> ctypes.CDLL | None:
    """The kernels, if there are any, and they take an image whose rows lie so."""
    height, width = image.shape[:2]
    row, *pixel = image.strides
    fits = pixel == [3, 1] and row >= 3 * width and 0 < height <= LONGEST_PX and 0 < width <= LONGEST_PX
    return choose("auto") if fits else None


def address(array: NDArray[Any]) -> int:
    """Where an array begins."""
    return int(array.__array_interface__["data"][0])


class MeshReader:
    """Measures meshes and runs the networks that read them; csrc/mdhr.h has the meaning of each value.

    Args:
        values: of `mdhr_geometry` by name: numbers and arrays.
        refinement: what is added to the measures of a mesh of `points` points only.
        weights, biases: of each layer, (S, outputs, inputs) and (S, outputs).
    """

    def __init__(
        self, library: ctypes.CDLL, values: Mapping[str, Any], refinement: Floats, weights: Sequence[Floats],
        biases: Sequence[Floats],
    ) -> None:  # fmt: skip
        self._library = library
        self._points = int(values["points"])
        self._arrays = {name: np.ascontiguousarray(values[name], np.int32) for name in _PLACES}
        self._arrays |= {name: np.ascontiguousarray(values[name], np.float64) for name in _VALUES}
        self._arrays["refinement"] = np.ascontiguousarray(refinement, np.float64)
        self._layers = [_padded(one) for one in weights], [np.ascontiguousarray(one, np.float64) for one in biases]
        self._measures, self._outputs = len(refinement), biases[-1].shape[1]
        self._refined, self._plain = self._memory(values), self._memory(values)
        self._refined.refinement = None

    def _memory(self, values: Mapping[str, Any]) -> Geometry:
        memory = Geometry(**{name: values[name] for name in _COUNTS})
        for name, array in self._arrays.items():
            setattr(memory, name, address(array))
        for layer, (weights, biases) in enumerate(zip(*self._layers, strict=True)):
            memory.weights[layer], memory.biases[layer] = address(weights), address(biases)
        widths = [3 * self._measures + 1, *(biases.shape[1] for biases in self._layers[1])]
        memory.widths = (ctypes.c_int32 * (LAYERS + 1))(*widths)
        return memory

    def read(self, landmarks_px: NDArray[np.float32], neutral: Floats, known: float) -> tuple[Floats, Floats]:
        """The measures (M,) of a mesh (points or more, 3), and the logits; InputError for another shape."""
        mesh, at_rest = np.ascontiguousarray(landmarks_px, np.float32), np.ascontiguousarray(neutral, np.float64)
        if mesh.ndim != 2 or len(mesh) < self._points or mesh.shape[1] != 3 or at_rest.shape != (self._measures,):
            raise InputError(
                f"expected a mesh of at least {self._points} points (x, y, z) and {self._measures} measures at rest; "
                f"got {mesh.shape} and {at_rest.shape}; give a whole mesh"
            )
        measured, logits = np.empty(self._measures), np.empty(self._outputs)
        memory = ctypes.byref(self._plain if len(mesh) == self._points else self._refined)
        places = address(measured), address(logits)
        call(self._library, "mdhr_read_mesh", memory, address(mesh), address(at_rest), known, *places)
        return measured, logits


def mesh_reader(
    values: Mapping[str, Any], refinement: Floats, weights: Sequence[Floats], biases: Sequence[Floats]
) -> MeshReader | None:
    """A reader; None also for weights that no float32 holds, or another number of layers."""
    library = choose("auto")
    exact = all(np.array_equal(one.astype(np.float32), one) for one in weights)
    if library is None or len(weights) != LAYERS or not exact:
        return None
    return MeshReader(library, values, refinement, weights, biases)


def _padded(weights: Floats) -> NDArray[np.float32]:
    """(S, outputs, inputs) as (S, inputs, outputs), the latter padded."""
    across = np.swapaxes(weights, 1, 2).astype(np.float32)
    return np.ascontiguousarray(np.pad(across, ((0, 0), (0, 0), (0, -across.shape[2] % LANES))))
