"""Measures of a face's mesh in which place, size and turn of the head do not count.

A mesh is laid on a mean face at rest by a rigid fit to 18 points that no action unit moves much. What is left are
heights, widths, depths and distances, in distances between the outer corners of the eyes. Both sides are averaged.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .pose import RIGID, rigid_turn

Floats = NDArray[np.float64]

OUTER_CORNERS = (33, 263)
# The same point on the person's right side (left in the picture) and on the left side.
OTHER_SIDE = {
    55: 285, 65: 295, 52: 282, 53: 283, 46: 276, 107: 336, 66: 296, 105: 334, 63: 293, 70: 300, 69: 299, 104: 333,
    159: 386, 158: 385, 160: 387, 145: 374, 153: 380, 144: 373, 133: 362, 33: 263,
    50: 280, 101: 330, 118: 347, 205: 425, 207: 427, 129: 358, 98: 327, 64: 294, 193: 417, 122: 351, 188: 412,
    217: 437, 206: 426, 216: 436, 92: 322, 61: 291, 37: 267, 39: 269, 40: 270, 84: 314, 181: 405, 91: 321,
    78: 308, 82: 312, 81: 311, 87: 317, 178: 402, 43: 273, 204: 424, 83: 313,
}  # fmt: skip
# Heights, widths and depths of pairs of points; heights and depths of points in the middle.
PAIR_Y = (
    55, 65, 52, 53, 46, 107, 66, 105, 63, 70, 69, 104,  # brows and forehead
    159, 145, 153, 144,  # lids
    50, 101, 118, 205, 207,  # cheeks
    129, 98, 64, 193, 122, 188, 217, 206, 216, 92,  # nose and the fold beside it
    61, 37, 39, 40, 84, 181, 91, 78, 81, 178, 43, 204, 83,  # lips and chin
)  # fmt: skip
PAIR_X = (55, 107, 46, 129, 98, 61, 78, 206, 216, 50, 205)
PAIR_Z = (61, 37, 84, 206, 216, 50, 205, 129)
MIDDLE_Y = (9, 8, 151, 1, 2, 0, 13, 14, 17, 18, 200, 199, 152)
MIDDLE_Z = (0, 17, 18, 200, 152, 13)
DISTANCES = (
    (55, 285), (107, 336), (159, 145), (158, 153), (160, 144), (52, 159), (55, 133), (61, 291), (78, 308), (13, 14),
    (82, 87), (81, 178), (0, 13), (14, 17), (0, 17), (2, 0), (17, 152), (17, 199), (2, 152), (61, 33), (129, 133),
    (129, 358), (98, 327), (118, 145), (37, 98), (61, 98),
)  # fmt: skip
SIDES_Y = (61, 37, 105, 107, 144, 98)  # how much higher the right side is than the left
SYMMETRIC = len(PAIR_Y) + len(PAIR_X) + len(PAIR_Z) + len(MIDDLE_Y) + len(MIDDLE_Z) + len(DISTANCES)
POSE = 4  # squared yaw, pitch, size of yaw, squared roll; in radians
MEASURES = SYMMETRIC + len(SIDES_Y) + POSE


def _other(point: int) -> int:
    return OTHER_SIDE.get(point, point)


_RIGID = np.array(RIGID)
# Every measure but distances and pose is a sum of two coordinates, each times a number: where the two are in a mesh,
# flat, and their factors. One look-up of all takes a quarter of the time of one for each kind.
_X, _Y, _Z = range(3)
_PAIRS = (
    *((_Y, p, _other(p), 0.5, 0.5) for p in PAIR_Y),
    *((_X, _other(p), p, 0.5, -0.5) for p in PAIR_X),
    *((_Z, p, _other(p), 0.5, 0.5) for p in PAIR_Z),
    *((_Y, p, p, 1.0, 0.0) for p in MIDDLE_Y),
    *((_Z, p, p, 1.0, 0.0) for p in MIDDLE_Z),
    *((_Y, p, _other(p), 1.0, -1.0) for p in SIDES_Y),
)
_AT = np.array([(3 * p + axis, 3 * q + axis) for axis, p, q, _, _ in _PAIRS]).T
_FACTORS = np.array([factors for _, _, _, *factors in _PAIRS]).T
_PLAIN = len(_PAIRS) - len(SIDES_Y)  # before the distances
_FROM = np.array([(a, _other(a)) for a, _ in DISTANCES])
_TO = np.array([(b, _other(b)) for _, b in DISTANCES])
_SWAPPED = np.array([a == _other(b) for a, b in DISTANCES])  # the pair is its own other side
_FROM[_SWAPPED, 1], _TO[_SWAPPED, 1] = _FROM[_SWAPPED, 0], _TO[_SWAPPED, 0]


def tables(reference: Floats) -> dict[str, int | NDArray[np.generic]]:
    """What is measured, as `mdhr_sdk.ops.faces.MeshReader` takes it; `reference` as of `measures`."""
    centre = reference[_RIGID].mean(axis=0)
    return {
        "points": len(reference), "rigid": len(_RIGID), "sums": len(_PAIRS), "plain": _PLAIN,
        "distances": len(DISTANCES), "rigid_at": _RIGID, "target": reference[_RIGID] - centre, "centre": centre,
        "at": _AT, "factors": _FACTORS, "from": _FROM, "to": _TO,
    }  # fmt: skip


def upright(landmarks_px: NDArray[np.floating]) -> Floats:
    """Meshes (..., n, 3) in pixels -> x to the right, y up, z towards the camera."""
    return np.asarray(landmarks_px, np.float64) * (1.0, -1.0, -1.0)


def laid_on(meshes: Floats, reference: Floats) -> tuple[Floats, Floats]:
    """Lay upright meshes on a reference by the rigid points.

    Args:
        meshes: (M, n, 3), n at least 468.
        reference: (468, 3) a mean face at rest, symmetric, its outer corners of the eyes 1 apart.

    Returns:
        (M, n, 3) the meshes in the directions and the unit of the reference, and (M, 3, 3) rotations from the
        reference's directions to the meshes'.
    """
    points, target = meshes[:, _RIGID], reference[_RIGID]
    middle, centre = points.mean(axis=1, keepdims=True), target.mean(axis=0)
    centred = points - middle
    rotation, stretch = rigid_turn(np.swapaxes(centred, 1, 2) @ (target - centre))
    scale = stretch / np.maximum((centred**2).sum(axis=(1, 2)), 1e-12)
    return scale[:, None, None] * ((meshes - middle) @ rotation) + centre, rotation


def measures(landmarks_px: NDArray[np.floating], reference: Floats) -> Floats:
    """Meshes (M, 468 or 478, 3) in pixels -> (M, MEASURES); see `difference` for what follows.

    Symmetric measures first, then how the sides differ, then the pose.
    """
    laid, rotation = laid_on(upright(landmarks_px), reference)
    return of_laid(laid, rotation)


def of_laid(laid: Floats, rotation: Floats) -> Floats:
    """The measures of meshes that lie on the reference; see `laid_on`."""
    yaw = np.arctan2(rotation[:, 0, 2], rotation[:, 2, 2])
    pitch = np.arctan2(-rotation[:, 1, 2], np.hypot(rotation[:, 0, 2], rotation[:, 2, 2]))
    roll = np.arctan2(rotation[:, 1, 0], rotation[:, 1, 1])
    one, other = (laid.reshape(len(laid), -1).take(at, axis=1) * times for at, times in zip(_AT, _FACTORS, strict=True))
    sums = one + other
    distances = np.linalg.norm(laid[:, _FROM] - laid[:, _TO], axis=-1).mean(axis=-1)
    pose = np.stack([yaw**2, pitch, np.abs(yaw), roll**2], axis=1)
    return np.concatenate([sums[:, :_PLAIN], distances, sums[:, _PLAIN:], pose], axis=1)


def difference(measured: Floats, reference: Floats) -> Floats:
    """How measures (..., MEASURES) differ from those of a face at rest; sides without a sign, the pose as it is."""
    found = measured - reference
    found[..., SYMMETRIC:-POSE] = np.abs(found[..., SYMMETRIC:-POSE])
    found[..., -POSE:] = measured[..., -POSE:]
    return found


def mean_face(landmarks_px: NDArray[np.floating], rounds: int = 5) -> Floats:
    """(468, 3) the mean of meshes (M, 468 or more, 3) at rest, symmetric: what `measures` takes as its reference."""
    meshes = upright(landmarks_px)[:, :468]
    right, left = OUTER_CORNERS
    flat = meshes - meshes.mean(axis=1, keepdims=True)
    mean = (flat / np.linalg.norm(flat[:, right] - flat[:, left], axis=1)[:, None, None]).mean(axis=0)
    for _ in range(rounds):
        mean = laid_on(meshes, mean)[0].mean(axis=0)
        mean -= (mean[right] + mean[left]) / 2
        mean /= np.linalg.norm(mean[right] - mean[left])
        mirrored = mean * (-1.0, 1.0, 1.0)
        partner = ((mirrored[:, None] - mean[None]) ** 2).sum(axis=2).argmin(axis=1)
        mean = (mean + mirrored[partner]) / 2
    across = mean[left] - mean[right]
    across /= np.linalg.norm(across)
    up = mean[168] - mean[2]
    up -= (up @ across) * across
    up /= np.linalg.norm(up)
    return mean @ np.stack([across, up, np.cross(across, up)], axis=1)
