"""What comes between face and camera: glasses, hands and other things, and which action units they hide."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from ..face.muscles import AUS
from ..kit import Floats
from ..paint import blurred, noise

# Landmarks that tell whether an AU can be seen at all.
SEEN_AT = {
    1: (19, 20, 21, 22, 23, 24), 2: (17, 18, 19, 24, 25, 26), 4: (20, 21, 22, 23), 6: (40, 41, 46, 47),
    7: (37, 38, 40, 41, 43, 44, 46, 47), 9: (27, 28, 29, 30), 10: (50, 51, 52, 33), 12: (48, 54, 59, 55),
    14: (48, 54), 15: (48, 54, 59, 55), 17: (56, 57, 58, 8), 23: (50, 51, 52, 56, 57, 58),
    24: (50, 51, 52, 56, 57, 58), 25: (61, 62, 63, 65, 66, 67), 26: (57, 66, 8),
}  # fmt: skip
EYES = ((36, 39), (42, 45))  # outer or inner corners
NEAREST = 0.5  # face widths from the middle of the face at the start: hidden eyes and nose make no crop
HIDDEN_FROM = 0.5  # share of an AU's landmarks behind something, from which its label is unknown


@dataclass(frozen=True, eq=False)
class Occluder:
    """A flat thing before the face that moves with the clip.

    Attributes:
        outline: list of polygons or strokes (points in face widths about `at`), with their thickness; 0 is a polygon.
        at: (2,) where it is, in face widths from the middle of the face.
        velocity: (2,) face widths a second.
        colour: (3,) display-referred.
        roughness: strength of its texture.
    """

    outline: tuple[tuple[NDArray[np.float64], float], ...]
    at: NDArray[np.float64]
    velocity: NDArray[np.float64]
    colour: Floats
    roughness: float


def draw_occluder(rng: np.random.Generator, skin: Floats) -> Occluder | None:
    """A hand (of the person's skin), or anything, in one clip of eight; mostly at the face's edge."""
    if rng.random() > 0.13:
        return None
    place = rng.normal((0, rng.choice((-0.1, 0.45))), 0.35)
    distance = float(np.linalg.norm(place))
    place *= np.hypot(distance, NEAREST) / distance
    velocity = rng.normal(0, 0.15, 2) * (rng.random() < 0.6)
    if rng.random() < 0.6:
        colour = np.clip(skin * rng.uniform(0.8, 1.1), 0, 1)
        return Occluder(_hand(rng), place, velocity, colour.astype(np.float32), 0.03)
    corners = int(rng.integers(3, 9))
    turn = np.sort(rng.uniform(0, 2 * np.pi, corners))
    points = np.stack([np.cos(turn), np.sin(turn)], axis=1) * rng.uniform(0.12, 0.4, 2)
    return Occluder(((points, 0.0),), place, velocity, rng.uniform(0, 1, 3).astype(np.float32), rng.uniform(0.02, 0.15))


def _hand(rng: np.random.Generator) -> tuple[tuple[NDArray[np.float64], float], ...]:
    """Up to five fingers from a palm, as thick strokes; the hand may come from anywhere."""
    towards = rng.uniform(0, 2 * np.pi)
    turn = np.array([(np.cos(towards), -np.sin(towards)), (np.sin(towards), np.cos(towards))])
    strokes = [(np.array([(0.0, 0.0), (0.5, 0.0)]), 0.34)]
    for finger in range(int(rng.integers(1, 6))):
        base = np.array((-0.1, (finger - 2) * 0.085))
        bend = np.deg2rad((finger - 2) * rng.uniform(2, 9))
        tip = base - np.array((np.cos(bend), np.sin(-bend))) * rng.uniform(0.2, 0.36)
        strokes.append((np.stack([base, (base + tip) / 2 + rng.normal(0, 0.015, 2), tip]), rng.uniform(0.07, 0.09)))
    return tuple((points @ turn.T, width) for points, width in strokes)


def put_before(
    picture: Floats, occluder: Occluder, marks: Floats, time_s: float, light: float, rng: np.random.Generator
) -> tuple[Floats, Floats]:
    """The picture with the occluder in it, and the (S, S) mask of what it hides.

    Args:
        picture: (S, S, 3) in [0, 1].
        marks: (68, 2) landmarks in pixels, which say where the face is and how wide.
        time_s: since the clip began.
        light: how bright it is there.
    """
    size, width = len(picture), float(np.ptp(marks[:, 0]))
    middle = marks.mean(axis=0) + (occluder.at + occluder.velocity * time_s) * width
    mask = np.zeros((size, size), np.float32)
    for points, thickness in occluder.outline:
        pixels = np.round((points * width + middle) * 8).astype(np.int32)
        if thickness:
            cv2.polylines(mask, [pixels], False, (1.0,), max(1, round(thickness * width)), cv2.LINE_AA, 3)
        else:
            cv2.fillPoly(mask, [pixels], (1.0,), cv2.LINE_AA, 3)
    mask = blurred(mask, 0.8)
    relief = 0.55 + 0.45 * np.clip(blurred(mask, 0.05 * width) * 2 - 0.7, 0, 1)
    grain = 1 + noise(rng, size, 6, occluder.roughness)
    shade = blurred(mask, 0.06 * width) * 0.35  # what it takes from the face's light around it
    colour = occluder.colour * np.float32(np.clip(light, 0.15, 1.1)) * (relief * grain)[..., None]
    shaded = picture * (1 - shade * (1 - mask))[..., None]
    return shaded + mask[..., None] * (np.clip(colour, 0, 1) - shaded), mask


def hidden_units(mask: Floats, marks: Floats) -> NDArray[np.bool_]:
    """(15,) whether each AU's landmarks (68, 2) are mostly behind the mask (S, S) or outside the picture."""
    places = np.round(marks).astype(int)
    inside = ((places >= 0) & (places < len(mask))).all(axis=1)
    columns, rows = np.where(inside[:, None], places, 0).T
    behind = ~inside | (mask[rows, columns] > 0.5)
    return np.array([behind[list(SEEN_AT[au])].mean() >= HIDDEN_FROM for au in AUS])


def put_glasses(
    picture: Floats, points: Floats, glasses: tuple[Floats, float, float], pixel_per_cm: float, yaw: float
) -> Floats:
    """Glasses, drawn flat over the face.

    Args:
        picture: (S, S, 3) in [0, 1].
        points: (n, 2) pixels of `glasses_points`.
        glasses: colour, thickness in centimetres, opacity of the lenses.
        pixel_per_cm: scale at the face.
        yaw: of the head; only the nearer temple piece is seen.
    """
    colour, thickness_cm, tint = glasses
    rims, bridge, temples = points[: 2 * RIM].reshape(2, RIM, 2), points[2 * RIM : 2 * RIM + 3], points[-4:]
    width = max(1, round(thickness_cm * pixel_per_cm))
    frame, lenses = (np.zeros(picture.shape[:2], np.float32) for _ in range(2))
    for rim in rims:
        _lines(frame, rim, True, width)
        cv2.fillPoly(lenses, [np.round(rim * 8).astype(np.int32)], (1.0,), cv2.LINE_AA, 3)
    _lines(frame, bridge, False, width)
    for side, temple in enumerate((temples[:2], temples[2:])):
        if (yaw > -0.15) if side == 0 else (yaw < 0.15):
            _lines(frame, temple, False, width)
    shadow = blurred(np.roll(frame, max(1, width), axis=0), max(0.4 * width, 0.6)) * 0.4
    shaded = picture * (1 - shadow * (1 - frame))[..., None]
    shine = np.float32(tint) * lenses[..., None]
    sky = np.linspace(0.75, 0.25, len(picture), dtype=np.float32)[:, None, None]  # what the lenses mirror
    glazed = np.asarray(shaded + shine * (sky - shaded), np.float32)
    return glazed + frame[..., None] * (colour - glazed)


RIM = 20


def glasses_points(neutral_marks: Floats, style: float) -> Floats:
    """(2 * RIM + 7, 3) points of a pair of glasses before a face: rims, bridge, temple pieces.

    Args:
        neutral_marks: (68, 3) landmarks of the person's resting face, centimetres.
        style: 0 for round lenses, 1 for nearly rectangular ones.
    """
    turn = np.linspace(0, 2 * np.pi, RIM, endpoint=False)
    power = 2 / (2 + 3 * style)
    oval = np.stack([np.sign(np.cos(turn)) * np.abs(np.cos(turn)) ** power,
                     np.sign(np.sin(turn)) * np.abs(np.sin(turn)) ** power, 0 * turn], axis=1)  # fmt: skip
    before = np.array((0, -0.25, 2.2))
    centres = [neutral_marks[list(eye)].mean(axis=0) + before for eye in EYES]
    rims = [centre + oval * (2.45, 1.75, 0) for centre in centres]
    inner = [rims[0][0], (centres[0] + centres[1]) / 2 + (0, 0.35, 0.3), rims[1][RIM // 2]]
    ends = [rims[0][RIM // 2], rims[0][RIM // 2] + (-1.6, 0.3, -9), rims[1][0], rims[1][0] + (1.6, 0.3, -9)]
    return np.array([*rims[0], *rims[1], *inner, *ends], np.float32)


def _lines(canvas: Floats, points: Floats, closed: bool, width: int) -> None:
    cv2.polylines(canvas, [np.round(points * 8).astype(np.int32)], closed, (1.0,), width, cv2.LINE_AA, 3)
