"""From action units to the face model's shapes: which shapes an AU moves, and by how much.

The table is ours; `{side}` shapes exist for left and right. The face model has no shape of its own for AU7, 23 and 24.
"""

from __future__ import annotations

import numpy as np

from ...aus import LabelSet, label_set
from ..kit import FaceKit, Floats

LABELS: LabelSet = label_set("synthetic")
AUS = LABELS.aus
INDEX = {au: index for index, au in enumerate(AUS)}

# AU -> weights at intensity 1. AU25 has many forms and is made by `motion`; its label is measured on the lips.
SHAPES: dict[int, dict[str, float]] = {
    1: {"browInnerUp": 1.0},
    2: {"browOuterUp": 1.0, "browInnerUp": -0.45},  # the raw shape lifts the inner brow too
    4: {"browDown": 1.15},
    6: {"cheekSquint": 0.6, "cheekRaiser": 0.6},
    7: {"eyeSquint": 1.0, "eyeBlink": 0.22},
    9: {"noseSneer": 1.0},
    10: {"mouthUpperUp": 0.75, "mouthShrugUpper": 0.5},
    12: {"mouthSmile": 0.9},
    14: {"mouthDimple": 1.1},
    15: {"mouthFrown": 1.25},
    17: {"mouthShrugLower": 0.9},
    23: {"mouthRollLower": 0.36, "mouthRollUpper": 0.36, "mouthPucker": 0.30},
    24: {"mouthPress": 1.2, "mouthRollLower": 0.15, "mouthRollUpper": 0.15},
    25: {},
    26: {},
}
JAW_AT_1 = 0.42  # jawOpen at AU26 of intensity 1; 1.0 would be AU27
LIP_GAP_AT_1_CM = 0.7  # between the lips at AU25 of intensity 1
OCCURS_FROM = 0.3  # intensity from which an AU counts as present; AU25 from 2 mm on, which shows the teeth


def side_weights(kit: FaceKit) -> tuple[Floats, Floats]:
    """(15, E) weights that an AU of intensity 1 gives the left, and the right, half of the face."""
    left, right = np.zeros((2, len(AUS), len(kit.shape)), np.float32)
    for au, shapes in SHAPES.items():
        for name, weight in shapes.items():
            if name in kit.shape:  # one shape for both halves: half from each
                left[INDEX[au], kit.shape[name]] += weight / 2
                right[INDEX[au], kit.shape[name]] += weight / 2
            else:
                left[INDEX[au], kit.shape[f"{name}_L"]] += weight
                right[INDEX[au], kit.shape[f"{name}_R"]] += weight
    return left, right
