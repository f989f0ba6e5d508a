"""Pictures with a known mesh, from the bundled video of a rendered face."""

from __future__ import annotations

import itertools
from importlib.resources import as_file, files
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ...errors import SourceError, import_cv2
from ...vision import FaceMesher, list_sources

# What a warp must get right: a face four times as large as its crop and cut by the picture's edge, one that is a
# third of it and turned, one that shrinks by less than two, one half outside, and one that shrinks by a whole number
# other than two. Scale, degrees, and where the face's middle goes (x, y) in a picture (width, height), in pixels.
VIEWS = (
    (2.6, -8, (150, 190), (480, 400)),
    (0.35, 30, (64, 60), (120, 110)),
    (0.8, 5, (140, 130), (300, 260)),
    (1.0, -20, (10, 150), (300, 260)),
    (2.2, 0, (120, 120), (240, 240)),
)


class Seen(NamedTuple):
    """A picture (H, W, 3) uint8 BGR, and the mesh of the face in it, in pixels: x and y (478, 2) float64, z (478,)."""

    picture: NDArray[np.uint8]
    mesh: NDArray[np.float64]
    depth: NDArray[np.float64]


def bundled_faces(most: int) -> list[Seen]:
    """The first frames of the bundled video: all of them, if there are not so many.

    Raises:
        SourceError: a frame without a face.
    """
    seen = []
    with as_file(files("mdhr_sdk") / "assets" / "demo.mp4") as path:
        (source,) = list_sources(path)
        with source, FaceMesher(1) as mesher:
            for frame in itertools.islice(source, most):
                faces = mesher.find(frame.image)
                if not faces:
                    raise SourceError(f"expected a face in frame {frame.index} of '{path}'; found none; install again")
                mesh = np.asarray(faces[0].landmarks_px, np.float64)
                seen.append(Seen(frame.image.copy(), mesh[:, :2].copy(), mesh[:, 2].copy()))
    return seen


def viewed(face: Seen, scale: float, degrees: float, middle: tuple[int, int], size: tuple[int, int]) -> Seen:
    """The same face elsewhere in a picture of its own."""
    cv2 = import_cv2()
    turn = scale * np.exp(1j * np.radians(degrees))
    matrix = np.array([[turn.real, -turn.imag], [turn.imag, turn.real]])
    shift = np.asarray(middle, np.float64) - matrix @ face.mesh.mean(axis=0)
    centred = np.column_stack([matrix, shift + matrix.sum(axis=1) / 2 - 0.5])  # OpenCV counts from the first centre
    picture = cv2.warpAffine(face.picture, centred, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)
    return Seen(picture.astype(np.uint8, copy=False), face.mesh @ matrix.T + shift, scale * face.depth)
