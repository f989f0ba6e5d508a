"""What a face does in a clip: action units that rise, hold and fall, and movements that are no action units."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..kit import FaceKit, Floats
from .muscles import AUS, INDEX, JAW_AT_1, side_weights

Doubles = NDArray[np.float64]

# Actions that occur together, as FACS describes them for emotions, pain, speech and effort, at their usual strengths.
ACTIONS: tuple[dict[int, float], ...] = (
    {6: 0.8, 12: 1}, {6: 0.9, 12: 1, 25: 0.9}, {12: 0.7}, {12: 1, 25: 1}, {12: 0.9, 25: 0.8, 26: 0.5},
    {6: 0.7, 7: 0.7, 12: 0.9, 25: 0.7}, {1: 1, 2: 1}, {1: 1, 2: 1, 25: 0.7, 26: 0.8}, {1: 0.8, 2: 0.8, 4: 0.7, 25: 0.8},
    {1: 0.9, 4: 0.6, 15: 0.8}, {1: 0.7, 4: 0.9}, {1: 0.6, 4: 0.8, 6: 0.4, 15: 0.6, 17: 0.6}, {4: 0.9},
    {4: 1, 7: 0.8, 23: 0.9}, {4: 1, 7: 0.7, 24: 0.9}, {4: 0.8, 6: 0.8, 7: 0.8, 9: 0.7}, {9: 1, 10: 0.6}, {9: 1, 4: 0.6},
    {10: 1, 17: 0.7}, {10: 1, 25: 0.6}, {10: 0.9, 6: 0.6, 7: 0.5}, {14: 1}, {14: 0.9, 12: 0.5}, {15: 1, 17: 0.9},
    {17: 0.9, 24: 0.9}, {17: 1}, {23: 1}, {24: 1}, {24: 0.9, 14: 0.7}, {7: 0.9}, {2: 1}, {25: 0.8, 26: 0.8}, {26: 0.9},
)  # fmt: skip
# Cases that a detector gets wrong without having seen them, and the share of clips that each has.
HARD = {"none": 0.06, "toothy": 0.22, "talking": 0.06, "closed eyes": 0.04, "squint": 0.06, "surprise": 0.08}
STRONG = ("toothy", "surprise")  # those that are never faint
REST = (
    "browDown", "browInnerUp", "browOuterUp", "mouthSmile", "mouthFrown", "cheekSquint", "eyeSquint", "mouthPress",
    "mouthStretch", "mouthDimple", "mouthLowerDown", "noseSneer",
)  # fmt: skip
NUISANCE = ("mouthPucker", "mouthFunnel", "mouthStretch", "cheekPuff", "jawLeft", "jawRight", "jawForward",
            "mouthLeft", "mouthRight", "eyeWide")  # fmt: skip
# Shapes that come with AU12 in one person and not in another, and the most of each at intensity 1.
SMILES_WITH = {"mouthStretch": 0.3, "mouthDimple": 0.25, "noseSneer": 0.25, "cheekSquint": 0.12, "mouthUpperUp": 0.2}
ONE_SIDED = (2, 10, 12, 14, 15)
YAW_LIMIT, PITCH_LIMIT, ROLL_LIMIT = np.deg2rad(35), np.deg2rad(22), np.deg2rad(23)
LIMIT_POWER = 6  # the higher, the nearer to its limit an angle is left as it is


@dataclass(frozen=True, eq=False)
class Motion:
    """A clip's movements.

    Attributes:
        weights: (T, E) of the expression shapes.
        intensities: (T, 15) in the order of `AUS`, 0 to about 1.1; that of AU25 as intended, not as measured.
        halves: (T, 2, 15) the same of the left and the right half of the face, AU26 as intended.
        poses_rad: (T, 3) yaw (to the subject's left), pitch (down) and roll of the head.
        case: which of `HARD` was played, or ''.
    """

    weights: Floats
    intensities: Floats
    halves: Floats
    poses_rad: Floats
    case: str


def smooth(x: Doubles) -> Doubles:
    """0 below 0, 1 above 1, and a smooth step between."""
    x = np.clip(x, 0, 1)
    return x * x * (3 - 2 * x)


def pulse(rng: np.random.Generator, times_s: Doubles, span_s: float) -> Doubles:
    """Onset, apex and offset somewhere in the clip, 0 to 1."""
    onset = rng.uniform(0.12, 0.9)
    apex, offset = rng.uniform(0.2, 0.7) * span_s, rng.uniform(0.25, 1.2)
    start = rng.uniform(-0.35, 0.7) * span_s
    return smooth((times_s - start) / onset) * (1 - smooth((times_s - start - onset - apex) / offset))


def rest_weights(kit: FaceKit, rng: np.random.Generator) -> Floats:
    """(E,) what a person's face looks like when nothing moves: small amounts of shapes that also serve AUs."""
    rest = np.zeros(len(kit.shape), np.float32)
    for name in REST:
        amount = rng.normal(0, 0.10)
        for side in "LR":
            rest[kit.shape[f"{name}_{side}"]] = amount + rng.normal(0, 0.02)
    return rest


def clip_motion(
    kit: FaceKit,
    rng: np.random.Generator,
    times_s: Doubles,
    rest: Floats,
    lid: float,
    hard_cases: bool = True,
    case: str | None = None,
) -> Motion:
    """Draw a clip with frames at (T,) rising moments, of a person with (E,) rest weights and lids lowered by `lid`.

    `case` is one of `HARD`, or '' for none; None to draw it.
    """
    span_s = max(float(times_s[-1] - times_s[0]), 1.0)
    if case is None:
        case = str(rng.choice(["", *HARD], p=[1 - sum(HARD.values()), *HARD.values()])) if hard_cases else ""
    left, right = _action_curves(rng, times_s, span_s, case)
    weights = _au_weights(kit, left, right) + rest
    _smile(kit, rng, weights, left, right)
    _widen(kit, rng, weights, left, right)
    _part_lips(kit, rng, weights, left, right, case)
    if case == "surprise":
        _surprise(kit, rng, weights, left, right)
    if case == "talking":
        _talk(kit, rng, weights, times_s)
    lids = _lids(rng, times_s, span_s, case)
    for side in "LR":
        column = weights[:, kit.shape[f"eyeBlink_{side}"]]
        column[:] = np.clip(column + lids + lid, 0, 1)
    _look(kit, rng, weights, times_s)
    _nuisance(kit, rng, weights, times_s, span_s)
    intensities = 0.5 * np.maximum(left, right) + 0.25 * (left + right)
    intensities[:, INDEX[26]] = np.clip(weights[:, kit.shape["jawOpen"]] / JAW_AT_1, 0, 1.15)
    halves = np.stack([left, right], axis=1).astype(np.float32)
    return Motion(weights.astype(np.float32), intensities.astype(np.float32), halves, _poses(rng, times_s), case)


def _action_curves(rng: np.random.Generator, times_s: Doubles, span_s: float, case: str) -> tuple[Doubles, Doubles]:
    """(T, 15) intensities of the left and the right half."""
    left, right = np.zeros((2, len(times_s), len(AUS)))
    for action in _actions(rng, case):
        shared, strength = pulse(rng, times_s, span_s), rng.uniform(0.7 if case in STRONG else 0.35, 1.2)
        for au, usual in action.items():
            own = shared if rng.random() < 0.75 else pulse(rng, times_s, span_s)
            curve = np.clip(own * strength * usual * rng.uniform(0.75, 1.2), 0, 1.1)
            lean = rng.normal(0, 0.08)
            sides = [1 + lean, 1 - lean]
            if au in ONE_SIDED and rng.random() < 0.1:
                sides[rng.integers(2)] = 0.1
            for half, share in zip((left, right), sides, strict=True):
                half[:, INDEX[au]] = np.maximum(half[:, INDEX[au]], curve * share)
    for half in (left, right):
        _yield_to_antagonists(half)
    return left, right


def _actions(rng: np.random.Generator, case: str) -> list[dict[int, float]]:
    if case in ("none", "closed eyes"):
        return []
    if case == "toothy":
        return [{12: rng.uniform(0.6, 1), 25: rng.uniform(0.7, 1), 6: rng.choice([0, 0.4, 0.8])}]
    if case == "squint":
        return [{7: 1.0}]
    if case == "surprise":
        mouth: dict[int, float] = ({}, {25: 0.6}, {25: 0.8, 26: 1.0})[rng.choice(3, p=[0.4, 0.1, 0.5])]
        return [{1: 1.0, 2: 1.0, **mouth}]
    if case == "talking":
        return [{int(rng.choice([1, 2, 4, 6, 12])): rng.uniform(0.4, 1)}] if rng.random() < 0.4 else []
    known = [dict(ACTIONS[rng.integers(len(ACTIONS))]) for _ in range(rng.integers(1, 4))]
    chosen = rng.choice(AUS, rng.integers(0, 4), replace=False)
    return [*known, *({int(au): rng.uniform(0.5, 1)} for au in chosen)]


def _yield_to_antagonists(half: Doubles) -> None:
    """AUs that pull against each other cannot both be strong; lips that part are neither pressed nor tight."""
    parting = {25: 1.0, 26: 1.0, 10: 0.75, 9: 0.6}  # the upper lip's rise opens the mouth too
    apart = np.clip(sum(share * half[:, INDEX[au]] for au, share in parting.items()), 0, 1)
    half[:, INDEX[24]] *= 1 - apart
    half[:, INDEX[23]] *= 1 - np.maximum(0.8 * apart, 0.7 * np.clip(half[:, INDEX[24]], 0, 1))
    half[:, INDEX[4]] *= 1 - 0.5 * np.clip(half[:, INDEX[1]], 0, 1)
    half[:, INDEX[15]] *= 1 - 0.7 * np.clip(half[:, INDEX[12]], 0, 1)
    half[:, INDEX[14]] *= 1 - 0.6 * np.clip(half[:, INDEX[12]], 0, 1)
    half[:, INDEX[17]] *= 1 - 0.8 * np.clip(half[:, INDEX[26]], 0, 1)
    eyes = half[:, INDEX[6]] + half[:, INDEX[7]]
    half[:, [INDEX[6], INDEX[7]]] *= np.minimum(1, 1.6 / np.maximum(eyes, 1e-6))[:, None]


def _au_weights(kit: FaceKit, left: Doubles, right: Doubles) -> Doubles:
    for_left, for_right = side_weights(kit)
    weights = left @ for_left + right @ for_right
    weights[:, kit.shape["jawOpen"]] += JAW_AT_1 * 0.5 * (left + right)[:, INDEX[26]]
    return weights


def _smile(kit: FaceKit, rng: np.random.Generator, weights: Doubles, left: Doubles, right: Doubles) -> None:
    """What else a person's smile moves, below what would count as an AU of its own."""
    amounts = {name: rng.uniform(0, most) for name, most in SMILES_WITH.items()}
    for side, half in (("L", left), ("R", right)):
        for name, amount in amounts.items():
            weights[:, kit.shape[f"{name}_{side}"]] += amount * half[:, INDEX[12]]


def _widen(kit: FaceKit, rng: np.random.Generator, weights: Doubles, left: Doubles, right: Doubles) -> None:
    """Brows that go up as a whole often take the upper lids with them (AU5, which has no label here)."""
    amount = rng.uniform(0.2, 0.9) if rng.random() < 0.6 else 0.0
    for side, half in (("L", left), ("R", right)):
        weights[:, kit.shape[f"eyeWide_{side}"]] += amount * np.minimum(half[:, INDEX[1]], half[:, INDEX[2]])


def _surprise(kit: FaceKit, rng: np.random.Generator, weights: Doubles, left: Doubles, right: Doubles) -> None:
    """Brows as high as they go, wide eyes, and a jaw that drops as far as it goes (AU27, which counts as AU26)."""
    higher, wider, rounder = rng.uniform(0, 0.5), rng.uniform(0, 0.8), rng.uniform(0, 0.4)
    drop = JAW_AT_1 * 0.5 * (left + right)[:, INDEX[26]]
    weights[:, kit.shape["jawOpen"]] += rng.uniform(0, 1.3) * drop
    weights[:, kit.shape["mouthFunnel"]] += rounder * drop
    for side, half in (("L", left), ("R", right)):
        raised = np.minimum(half[:, INDEX[1]], half[:, INDEX[2]])
        weights[:, kit.shape[f"browOuterUp_{side}"]] += higher * raised
        weights[:, kit.shape[f"browInnerUp_{side}"]] += 0.5 * higher * raised
        weights[:, kit.shape[f"eyeWide_{side}"]] += wider * raised


def _part_lips(
    kit: FaceKit, rng: np.random.Generator, weights: Doubles, left: Doubles, right: Doubles, case: str
) -> None:
    """AU25 in one of its many forms. A toothy smile bares the upper teeth without AU10."""
    lower, upper, jaw = rng.uniform(0.15, 0.75), rng.uniform(0, 0.35), rng.uniform(0.0, 0.1)
    with_smile, stretch, shrug = rng.uniform(0, 0.6), 0.0, 0.0
    if case == "toothy":
        lower, with_smile, stretch = rng.uniform(0.3, 1.1), rng.uniform(0.4, 1.1), rng.uniform(0, 0.6)
        shrug = rng.uniform(0, 0.3)
    for side, half in (("L", left), ("R", right)):
        parted, smile = half[:, INDEX[25]], half[:, INDEX[12]]
        weights[:, kit.shape[f"mouthLowerDown_{side}"]] += lower * parted
        weights[:, kit.shape[f"mouthStretch_{side}"]] += stretch * smile * parted
        weights[:, kit.shape[f"mouthUpperUp_{side}"]] += (upper + with_smile * smile) * parted
        weights[:, kit.shape["jawOpen"]] += jaw * parted / 2
        weights[:, kit.shape["mouthShrugUpper"]] += shrug * smile * parted / 2


def _talk(kit: FaceKit, rng: np.random.Generator, weights: Doubles, times_s: Doubles) -> None:
    """Syllables: jaw, lips apart, and vowels that round or spread the mouth."""
    for name, most in (("jawOpen", 0.3), ("mouthLowerDown", 0.45), ("mouthFunnel", 0.45), ("mouthPucker", 0.4),
                       ("mouthUpperUp", 0.2), ("mouthStretch", 0.3)):  # fmt: skip
        wave = 0.6 * np.sin(2 * np.pi * (rng.uniform(2, 5) * times_s + rng.random())) + rng.normal(0, 0.3)
        amount = most * rng.uniform(0.3, 1) * np.clip(wave, 0, 1)
        for column in _columns(kit, name):
            weights[:, column] += amount


def _lids(rng: np.random.Generator, times_s: Doubles, span_s: float, case: str) -> Doubles:
    """Blinks, and eyes held closed, which are not AU7."""
    if case == "closed eyes":
        return rng.uniform(0.5, 1) * np.maximum(pulse(rng, times_s, span_s), float(rng.random() < 0.4))
    if rng.random() < 0.35:
        start, length = times_s[0] + rng.uniform(0, span_s), rng.uniform(0.15, 0.45)
        return np.clip(1.3 * np.sin(np.pi * np.clip((times_s - start) / length, 0, 1)), 0, 1)
    return np.zeros(len(times_s))


def _look(kit: FaceKit, rng: np.random.Generator, weights: Doubles, times_s: Doubles) -> None:
    drift = (times_s - times_s[0])[:, None] / max(times_s[-1] - times_s[0], 1e-6)
    gaze = rng.normal(0, 0.25, 2) + drift * rng.normal(0, 0.2, 2)
    for side, sign in (("L", 1), ("R", -1)):
        weights[:, kit.shape[f"eyeLookOut_{side}"]] += np.clip(sign * gaze[:, 0], 0, 1)
        weights[:, kit.shape[f"eyeLookIn_{side}"]] += np.clip(-sign * gaze[:, 0], 0, 1)
        weights[:, kit.shape[f"eyeLookUp_{side}"]] += np.clip(gaze[:, 1], 0, 1)
        weights[:, kit.shape[f"eyeLookDown_{side}"]] += np.clip(-gaze[:, 1], 0, 0.6)


def _nuisance(kit: FaceKit, rng: np.random.Generator, weights: Doubles, times_s: Doubles, span_s: float) -> None:
    for _ in range(rng.choice([0, 1, 2], p=[0.65, 0.25, 0.1])):
        amount = rng.uniform(0.1, 0.5) * pulse(rng, times_s, span_s)
        for column in _columns(kit, str(rng.choice(NUISANCE))):
            weights[:, column] += amount


def _columns(kit: FaceKit, name: str) -> list[int]:
    return [kit.shape[name]] if name in kit.shape else [kit.shape[f"{name}_{side}"] for side in "LR"]


def _poses(rng: np.random.Generator, times_s: Doubles) -> Floats:
    """Yaw to 35 degrees either side, and slow turns within the clip; few heads stay at a limit."""
    seconds = (times_s - times_s.mean())[:, None]
    spread = np.deg2rad([11, 8, 5] if rng.random() < 0.75 else [24, 13, 8])
    poses = rng.normal(0, 1, 3) * spread + seconds * rng.normal(0, 1, 3) * np.deg2rad([6, 4, 3])
    poses += np.deg2rad(0.6) * np.sin(2 * np.pi * rng.uniform(0.3, 1.5, 3) * seconds + rng.uniform(0, 6, 3))
    return within(poses, np.array((YAW_LIMIT, PITCH_LIMIT, ROLL_LIMIT))).astype(np.float32)


def within(angles: Doubles, limits: Doubles) -> Doubles:
    """Limit angles smoothly: small ones hardly change, large ones stay below the limits."""
    return angles / (1 + np.abs(angles / limits) ** LIMIT_POWER) ** (1 / LIMIT_POWER)
