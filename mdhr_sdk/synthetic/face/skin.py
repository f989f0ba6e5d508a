"""The texture of one face: tone, blotches, moles, lips, brows, beard, make-up; square-root colours, v upwards."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from ..kit import FaceKit, Floats
from ..paint import Spots, blurred, filled, noise, over, stroke

# Skin from light to dark, as the square root of linear red, green and blue.
TONES = np.array(
    [(0.97, 0.83, 0.75), (0.93, 0.76, 0.66), (0.86, 0.68, 0.55), (0.74, 0.55, 0.42), (0.58, 0.41, 0.30),
     (0.42, 0.29, 0.22)]
)  # fmt: skip
BLACK_HAIR = (0.12, 0.09, 0.08)
HAIRS = np.array(
    [BLACK_HAIR, BLACK_HAIR, (0.16, 0.12, 0.10), (0.30, 0.20, 0.13), (0.45, 0.32, 0.20), (0.70, 0.55, 0.36),
     (0.55, 0.28, 0.15), (0.62, 0.60, 0.58)]
)  # fmt: skip
IRISES = np.array(
    [(0.28, 0.17, 0.10), (0.22, 0.13, 0.08), (0.38, 0.27, 0.15), (0.36, 0.42, 0.50), (0.35, 0.42, 0.33),
     (0.30, 0.38, 0.50)]
)  # fmt: skip
BROWS = ((17, 18, 19, 20, 21), (26, 25, 24, 23, 22))  # landmarks from temple to nose
# Where brows grow, from those landmarks, in v (29 cm): mean and spread of heights, and by how much the outer ends are
# higher than the inner ones. The landmarks lie where only raised brows are, 2.6 cm above the corners of the eyes.
# FaceMesh sees brows so drawn 0.20 eye widths above those corners, all along them, as it does in photographed faces.
BROW_SHIFT, BROW_TILT = (-0.036, 0.012), (0.008, 0.018)
LOWEST_BROW = -0.058  # below it is the lid


@dataclass(frozen=True)
class Colours:
    """Colours of a person, square-root red, green, blue, and what follows from their sex in the renders.

    Attributes:
        tone: 0 (lightest) to 5 (darkest).
        bearded: whether hair grows around the mouth.
    """

    tone: float
    skin: Floats
    hair: Floats
    iris: Floats
    bearded: bool


def draw_colours(rng: np.random.Generator) -> Colours:
    """Skin of any tone; dark skin mostly with dark hair and eyes."""
    tone = rng.beta(0.9, 1.2) * 4.99
    skin = np.stack([np.interp(tone, range(len(TONES)), TONES[:, c]) for c in range(3)]) * rng.uniform(0.9, 1.06)
    hair = HAIRS[rng.integers(3 if tone > 2.5 and rng.random() < 0.85 else len(HAIRS))] * rng.uniform(0.8, 1.25)
    iris = IRISES[rng.integers(2 if tone > 2.8 else len(IRISES))] * rng.uniform(0.8, 1.2)
    skin, hair, iris = (np.clip(c, 0.02, 1).astype(np.float32) for c in (skin + rng.normal(0, 0.012, 3), hair, iris))
    return Colours(tone, skin, hair, iris, bool(rng.random() < 0.4))


def paint_skin(kit: FaceKit, rng: np.random.Generator, colours: Colours, size: int) -> NDArray[np.uint8]:
    """(size, size, 4) uint8: colour, and in the last channel the height of pores and brow hair."""
    marks, spots = kit.landmark_uv, Spots(size)
    texture = np.broadcast_to(colours.skin, (size, size, 3)).astype(np.float32)
    texture = _blotches(rng, texture, spots, colours)
    texture = _moles(rng, texture, colours)
    if colours.bearded:
        texture = _beard(rng, texture, marks, colours)
    texture = _lips(rng, texture, marks, colours)
    texture = _eyes(rng, texture, marks, spots, colours)
    brows = _brows(rng, marks, size)
    texture = over(texture, colours.hair * rng.uniform(0.55, 1.0), brows * np.float32(rng.uniform(0.4, 0.95)))
    height = noise(rng, size, size / 3, 0.35) + noise(rng, size, size / 6, 0.3) + 0.8 * brows
    height += noise(rng, size, size / 180, rng.uniform(0, 0.05))  # pores
    layers = np.dstack([texture, 0.5 + 0.25 * height])
    return np.clip(layers * 255, 0, 255).astype(np.uint8)


def _blotches(rng: np.random.Generator, texture: Floats, spots: Spots, colours: Colours) -> Floats:
    size = len(texture)
    grain = sum((noise(rng, size, size / k, 0.012) for k in (8, 21, 64, 170)), np.zeros((size, size), np.float32))
    redness = (noise(rng, size, size / 6, 0.01) + noise(rng, size, size / 13, 0.01)) * np.float32(rng.uniform(0.3, 1.5))
    flush = spots.pair(0.36, 0.60, 0.09, 0.08) + 0.9 * spots(0.5, 0.6, 0.06, 0.06) + 0.4 * spots(0.5, 0.3, 0.08, 0.05)
    flush *= rng.uniform(0.1, 1.3) * (1.2 - colours.tone / 6)
    texture = texture + (grain * rng.uniform(0.4, 1.6))[..., None]
    texture += redness[..., None] * np.array((1.2, -0.3, -0.5), np.float32)
    texture += flush[..., None] * np.array((0.03, -0.05, -0.04), np.float32)
    rings = spots.pair(0.36, 0.69, 0.05, 0.02) * rng.uniform(0, 0.22)
    folds = spots.pair(0.40, 0.50, 0.03, 0.06) * rng.uniform(0, 0.12)  # beside the nose, in every face a little
    return texture * (1 - (rings + folds)[..., None] * np.array((0.8, 1, 0.9), np.float32))


def _moles(rng: np.random.Generator, texture: Floats, colours: Colours) -> Floats:
    size = len(texture)
    if rng.random() < 0.3:
        freckles = np.zeros((size, size), np.float32)
        for u, v in np.column_stack([rng.normal(0.5, 0.13, 120), rng.normal(0.62, 0.07, 120)])[: rng.integers(30, 120)]:
            place, strength = (int(size * u), int(size * v)), (rng.uniform(0.2, 0.8),)
            cv2.circle(freckles, place, int(rng.integers(1, 3)), strength, -1)
        soft = blurred(freckles, 0.8)[..., None]
        texture = texture * (1 - 0.25 * soft * np.array((0.7, 1, 1), np.float32))
    texture = np.ascontiguousarray(texture)
    for _ in range(rng.integers(0, 5)):
        place = (int(size * rng.uniform(0.25, 0.75)), int(size * rng.uniform(0.25, 0.9)))
        cv2.circle(texture, place, int(rng.integers(1, 3)), [float(c) * 0.45 for c in colours.skin], -1, cv2.LINE_AA)
    return texture


def _beard(rng: np.random.Generator, texture: Floats, marks: Floats, colours: Colours) -> Floats:
    """Stubble to full beard, or a moustache alone, never over the lips."""
    size = len(texture)
    jaw = marks[3:14] - np.array((0, 0.06), np.float32)
    cheeks = [marks[14], (0.68, 0.47), (0.60, 0.525), (0.5, 0.535), (0.40, 0.525), (0.32, 0.47), marks[2]]
    moustache = [(0.39, 0.455), (0.42, 0.50), (0.5, 0.525), (0.58, 0.50), (0.61, 0.455), (0.5, 0.475)]
    whole = rng.random() < 0.75
    mask = filled(size, np.concatenate([jaw, cheeks]) if whole else moustache, 0.028 if whole else 0.01)
    mask *= 1 - filled(size, marks[48:60], 0.004)
    grain = 0.55 + 0.45 * np.clip(rng.standard_normal((size, size), dtype=np.float32), -1, 1.3)
    density = rng.choice([0.15, 0.3, 0.5, 0.85], p=[0.4, 0.3, 0.15, 0.15])
    return over(texture, colours.hair, (mask * np.float32(density) * (0.6 + 0.4 * grain)).astype(np.float32))


def _lips(rng: np.random.Generator, texture: Floats, marks: Floats, colours: Colours) -> Floats:
    size = len(texture)
    mask = filled(size, marks[48:60], 0.006) * np.float32(rng.uniform(0.45, 0.95))
    lip = colours.skin * np.array((0.93, rng.uniform(0.6, 0.8), rng.uniform(0.6, 0.8)))
    if not colours.bearded and rng.random() < 0.4:  # lipstick
        lip = 0.4 * lip + 0.6 * np.array((rng.uniform(0.45, 0.85), rng.uniform(0.1, 0.4), rng.uniform(0.15, 0.45)))
    columns = np.arange(size, dtype=np.float32)[None, :] * np.float32(rng.uniform(0.5, 0.9) * 512 / size)
    stripes = 1 + 0.06 * np.sin(columns + noise(rng, size, size / 26, 2.0))
    return over(texture, lip.astype(np.float32) * stripes[..., None], mask)


def _brows(rng: np.random.Generator, marks: Floats, size: int) -> Floats:
    """Hair strokes along the brow landmarks: thin or bushy, arched or flat, high or low, level or not."""
    canvas = np.zeros((size, size), np.float32)
    thickness, arch = rng.uniform(0.008, 0.021), rng.normal(0, 0.005)
    count, at = int(rng.uniform(120, 330)), np.linspace(0, 1, 5)
    above = rng.normal(*BROW_SHIFT) + rng.normal(*BROW_TILT) * (0.5 - at) + arch * np.sin(np.pi * at)
    above += max(0, LOWEST_BROW - above.min())
    for sign, brow in zip((1, -1), BROWS, strict=True):
        line = marks[list(brow)].astype(np.float64)
        line[:, 1] += above
        along, aside = rng.random(count), rng.uniform(-1, 1, count)
        angle = np.deg2rad(rng.normal(40 * along - 5, 14))
        length, strength = rng.uniform(0.012, 0.026, count), rng.uniform(0.4, 1, count)
        half = thickness * (0.35 + 0.65 * np.minimum(1, 1.8 * along))
        x, y = np.interp(along, at, line[:, 0]), np.interp(along, at, line[:, 1]) + aside * half
        end_x = x - sign * np.cos(angle) * length
        end_y = y + np.sin(angle) * length * np.where(aside < 0, 1, -0.4)
        for start, end, value in zip(zip(x, y, strict=True), zip(end_x, end_y, strict=True), strength, strict=True):
            stroke(canvas, start, end, value)
    return np.clip(blurred(canvas, max(0.6 * size / 512, 0.3)) * 1.25, 0, 1)


def _eyes(rng: np.random.Generator, texture: Floats, marks: Floats, spots: Spots, colours: Colours) -> Floats:
    """Eye shadow and the dark line of the lashes."""
    size = len(texture)
    lids = spots.pair(0.35, 0.735, 0.05, 0.02)
    if not colours.bearded and rng.random() < 0.35:
        texture = over(texture, rng.uniform(0.1, 0.5, 3) * (1, 0.8, 0.9), lids * np.float32(0.45))
    else:
        texture = texture * (1 - lids * np.float32(rng.uniform(0.02, 0.14)))[..., None]
    rims = np.zeros((size, size), np.float32)
    for eye in (marks[36:42], marks[42:48]):
        cv2.polylines(rims, [np.round(eye * size).astype(np.int32)], True, (1.0,), max(1, size // 200), cv2.LINE_AA)
    return texture * (1 - blurred(rims, 1.2) * np.float32(rng.uniform(0.1, 0.7)))[..., None]
