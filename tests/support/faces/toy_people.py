"""Made-up people as meshes, whose brows move."""

from __future__ import annotations

import numpy as np

from mdhr_sdk.synthetic.face.muscles import INDEX
from mdhr_sdk.synthetic.geometry.meshes import Meshes
from mdhr_sdk.vision.faces.geometry import OTHER_SIDE

PAIRS = np.array(list(OTHER_SIDE.items()))
BROWS = [55, 65, 52, 53, 46, 107, 66, 105, 63, 70]


def people(first: int, count: int) -> Meshes:
    """Six frames of each person, two of them at rest; AU2 raises the brows by 0.04 of the distance between the eyes.

    How high brows are at rest differs by as much from person to person, so only the own face at rest tells.
    """
    rng = np.random.default_rng(0)
    face = rng.normal(0, 0.4, (468, 3))
    face[PAIRS[:, 1]] = face[PAIRS[:, 0]] * (-1, 1, 1)
    face[[33, 263]] = [(-0.5, 0, 0), (0.5, 0, 0)]
    face[[168, 6, 197, 195, 5, 4], 0] = 0
    brows = BROWS + [OTHER_SIDE[point] for point in BROWS]
    rng = np.random.default_rng(first + 1)
    labels = np.zeros((count * 6, 15), np.int8)
    labels[:, INDEX[2]] = np.tile([0, 0, 0, 1, 1, 0], count)
    rise = labels[:, INDEX[2]] * 0.04 + np.repeat(rng.normal(0, 0.04, count), 6)
    meshes = np.tile(face, (count * 6, 1, 1)) + rng.normal(0, 0.002, (count * 6, 468, 3))
    meshes[:, brows, 1] += rise[:, None]
    pixels = ((meshes * (1, -1, -1)) * 80 + 100).astype(np.float32)
    crops = rng.integers(0, 255, (count * 6, 128, 128, 3), dtype=np.uint8)
    at_rest, person = np.tile([True, True, False, False, False, False], count), np.repeat(np.arange(count) + first, 6)
    return Meshes(pixels, pixels, labels, labels.astype(np.float32), at_rest, person, crops)
