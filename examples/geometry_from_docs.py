"""The part of docs/graphs.md that reads the mesh: from measures to final scores and intensities, in plain NumPy."""

from __future__ import annotations

import numpy as np

# ------------------------------------------------------------------------------------------------------ the measures
RIGID = (33, 133, 362, 263, 168, 6, 197, 195, 5, 4, 127, 356, 234, 454, 162, 389, 93, 323)
SIDES = {
    55: 285, 65: 295, 52: 282, 53: 283, 46: 276, 107: 336, 66: 296, 105: 334, 63: 293, 70: 300, 69: 299, 104: 333,
    159: 386, 158: 385, 160: 387, 145: 374, 153: 380, 144: 373, 133: 362, 33: 263, 50: 280, 101: 330, 118: 347,
    205: 425, 207: 427, 129: 358, 98: 327, 64: 294, 193: 417, 122: 351, 188: 412, 217: 437, 206: 426, 216: 436,
    92: 322, 61: 291, 37: 267, 39: 269, 40: 270, 84: 314, 181: 405, 91: 321, 78: 308, 82: 312, 81: 311, 87: 317,
    178: 402, 43: 273, 204: 424, 83: 313,
}  # fmt: skip
PAIR_Y = (
    55, 65, 52, 53, 46, 107, 66, 105, 63, 70, 69, 104, 159, 145, 153, 144, 50, 101, 118, 205, 207, 129, 98, 64, 193,
    122, 188, 217, 206, 216, 92, 61, 37, 39, 40, 84, 181, 91, 78, 81, 178, 43, 204, 83,
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
UNEVEN_Y = (61, 37, 105, 107, 144, 98)


def fit(mesh: np.ndarray, reference: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The mesh laid on the reference (n, 3), and the rotation (3, 3)."""
    points = mesh.astype(np.float64) * (1, -1, -1)
    rigid, target = points[list(RIGID)], reference[list(RIGID)]
    middle, centre = rigid.mean(axis=0), target.mean(axis=0)
    left, stretch, right = np.linalg.svd((rigid - middle).T @ (target - centre))
    sign = np.sign(np.linalg.det(left @ right))
    stretch[2] *= sign
    left[:, 2] *= sign
    rotation = left @ right
    scale = stretch.sum() / max(((rigid - middle) ** 2).sum(), 1e-12)
    return scale * (points - middle) @ rotation + centre, rotation


def measured(mesh: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """(118,) of a mesh (468 or 478, 3) in pixels."""
    p, r = fit(mesh, reference)

    def side(point: int) -> int:
        return SIDES.get(point, point)

    def distance(a: int, b: int) -> float:
        other = (a, b) if side(b) == a else (side(a), side(b))
        return (np.linalg.norm(p[a] - p[b]) + np.linalg.norm(p[other[0]] - p[other[1]])) / 2

    yaw, roll = np.arctan2(r[0, 2], r[2, 2]), np.arctan2(r[1, 0], r[1, 1])
    pitch = np.arctan2(-r[1, 2], np.hypot(r[0, 2], r[2, 2]))
    return np.array(
        [(p[i, 1] + p[side(i), 1]) / 2 for i in PAIR_Y]
        + [(p[side(i), 0] - p[i, 0]) / 2 for i in PAIR_X]
        + [(p[i, 2] + p[side(i), 2]) / 2 for i in PAIR_Z]
        + [p[i, 1] for i in MIDDLE_Y]
        + [p[i, 2] for i in MIDDLE_Z]
        + [distance(a, b) for a, b in DISTANCES]
        + [p[i, 1] - p[side(i), 1] for i in UNEVEN_Y]
        + [yaw**2, pitch, abs(yaw), roll**2]
    )


def difference(m: np.ndarray, rest: np.ndarray) -> np.ndarray:
    found = m - rest
    found[108:114] = np.abs(found[108:114])
    found[114:] = m[114:]
    return found


# --------------------------------------------------------------------------------------------------- the small network
def logits(m: np.ndarray, own: np.ndarray, known: float, g: dict[str, np.ndarray]) -> np.ndarray:
    """(N + 1,): the AUs, and rest."""
    near = np.clip(difference(m, g["mean"] + known * (own - g["mean"])) / g["spread"], -6, 6)
    far = np.clip(difference(m, g["mean"]) / g["absolute_spread"], -5, 5)
    inputs = np.concatenate([near, (1 - known) * far, [known], known * near])
    answers = []
    for w0, b0, w1, b1, w2, b2 in zip(*(g[f"{kind}{n}"] for n in range(3) for kind in ("weight", "bias")), strict=True):
        answers.append(w2 @ np.maximum(w1 @ np.maximum(w0 @ inputs + b0, 0) + b1, 0) + b2)
    return np.clip(np.mean(answers, axis=0), -50, 50)


# ------------------------------------------------------------------------------------------------ the person's own face
class Mean:
    def __init__(self, value: np.ndarray) -> None:
        self.value, self.weight = value, 0.0

    def add(self, value: np.ndarray, weight: float) -> None:
        if weight > 0:
            self.value = self.value + weight / (self.weight + weight) * (value - self.value)
            self.weight = min(self.weight + weight, 750)


def logit(scores: np.ndarray) -> np.ndarray:
    s = np.clip(scores.astype(np.float64), 0.001, 0.999)
    return np.log(s / (1 - s))


def strengths(inputs: np.ndarray, told: np.ndarray, i: dict[str, np.ndarray]) -> np.ndarray:
    """(N,) intensities from 0 to 5, of inputs (N, 4); NaN for AUs that have none."""
    sums = (i["weights"] * inputs).sum(axis=1)
    rows = zip(sums, i["knots"], i["levels"], strict=True)
    return np.where(told, [5 * np.interp(one, knots, levels) for one, knots, levels in rows], np.nan)


def combined(
    meshes: np.ndarray,
    times_s: np.ndarray,
    scores: np.ndarray,
    g: dict[str, np.ndarray],
    shares: np.ndarray,
    i: dict[str, np.ndarray],
    told: np.ndarray,
) -> dict[str, np.ndarray]:
    """What is said of one face, frame by frame: its logits, known, at_rest, final scores (F, N) and intensities.

    i is empty for a model without intensities.
    """
    own, said, last = Mean(g["mean"]), Mean(g["rest_logits"]), None
    rows: dict[str, list] = {"logits": [], "known": [], "at_rest": [], "scores": [], "intensities": []}
    for mesh, time_s, row in zip(meshes, times_s, scores, strict=True):
        m = measured(mesh, g["reference"]) + (g["refinement"] if len(mesh) == 468 else 0)
        known = own.weight / (own.weight + 6)
        *aus, rest = logits(m, own.value, known, g)
        passed_s = 1 / 25 if last is None else min(max(time_s - last, 0), 0.2)
        at_rest, last = 25 * passed_s / (1 + np.exp(-rest)), time_s
        network = logit(row) - known * g["relative"] * (said.value - g["rest_logits"])
        judged = g["from_scores"] @ network + g["from_geometry"] @ np.array(aus) + g["offset"]
        mixed = np.clip((1 - shares) * network + shares * judged, -50, 50)
        from_rest = known * (logit(row) - said.value)
        inputs = np.column_stack([logit(row), aus, from_rest, np.full(len(row), known)])
        strong = strengths(inputs, told, i) if i else ()
        own.add(m, at_rest)
        said.add(logit(row), at_rest)
        both = np.where(shares > 0, 1 / (1 + np.exp(-mixed)), row).astype(np.float32)
        told_of = {"logits": aus, "known": known, "at_rest": at_rest, "scores": both, "intensities": strong}
        for name, value in told_of.items():
            rows[name].append(value)
    return {name: np.array(values) for name, values in rows.items()}
