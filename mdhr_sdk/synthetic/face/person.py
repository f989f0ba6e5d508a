"""A person: shape of the head, colours, textures, hair, and what they wear. A seed is one person, always the same."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..kit import EAR_BEGINS_CM, EAR_TOP_CM, HEAD, SKIN, FaceKit, Floats, behind_hairline
from .motion import rest_weights
from .skin import Colours, draw_colours, paint_skin
from .wrinkles import MASKS, paint_wrinkles

TEXTURE_PX = 448
UPPER_LIP, LOWER_LIP = [61, 62, 63], [67, 66, 65]  # landmarks on the inner edges of the lips, facing each other
UNMOVED = 0.35  # the share of people in whom a kind of fold does not follow its AUs
RESTING_GAP_CM, AJAR = 0.03, 0.08  # lips that touch; the share of people whose lips do not meet at rest


@dataclass(frozen=True)
class Hair:
    """Hair of the head, as a function of the place on the neutral head.

    Attributes:
        shift_cm: moves the hairline down (positive), to a fringe over the forehead.
        ragged_cm: how uneven its edge is.
        lowest_cm: height at which it ends at the sides and behind.
        volume_cm: how far it stands off.
        long: whether it falls behind the neck.
        bald: none at all.
    """

    shift_cm: float
    ragged_cm: float
    lowest_cm: float
    volume_cm: float
    long: bool
    bald: bool


@dataclass(frozen=True, eq=False)
class Person:
    """All that stays the same from frame to frame.

    Attributes:
        seed: which person.
        vertices: (V, 3) the resting shape without expression, centimetres.
        hair_offset: (V, 3) how far hair pushes the head's surface out.
        texture: (S, S, 4) uint8, see `paint_skin`.
        wrinkles: (S, S, 9) uint8, see `paint_wrinkles`.
        wrinkle_gain, wrinkles_at_rest: see `wrinkle_strengths`.
        colours, hair: of skin, hair and eyes.
        teeth, cloth: square-root colours.
        iris_radius_cm: size of the iris.
        gloss: strength and exponent of the skin's shine.
        relief: how much the texture's height bends the normals.
        lashes: opacity of the lower and the upper lashes.
        lid: how far the upper lids hang at rest.
        rest: (E,) weights of the shapes at rest.
        glasses: colour and thickness (cm) of the frame, opacity of the lenses; None for no glasses.
    """

    seed: int
    vertices: Floats
    hair_offset: Floats
    texture: NDArray[np.uint8]
    wrinkles: NDArray[np.uint8]
    wrinkle_gain: Floats
    wrinkles_at_rest: Floats
    colours: Colours
    hair: Hair
    teeth: Floats
    cloth: Floats
    iris_radius_cm: float
    gloss: tuple[float, float]
    relief: float
    lashes: tuple[float, float]
    lid: float
    rest: Floats
    glasses: tuple[Floats, float, float] | None

    @classmethod
    def draw(cls, kit: FaceKit, seed: int) -> Person:
        """The person of a seed."""
        rng = np.random.default_rng((seed, 1))
        shape = rng.standard_normal(len(kit.identities)) * rng.uniform(0.5, 1.0)
        colours, hair = draw_colours(rng), _draw_hair(rng)
        glasses = None
        if rng.random() < 0.18:
            glasses = (rng.uniform(0.02, 0.6, 3).astype(np.float32), rng.uniform(0.12, 0.4), rng.uniform(0, 0.15))
        old = max(0.0, rng.normal(0.1, 0.3))
        vertices, rest = kit.neutral + np.tensordot(shape.astype(np.float32), kit.identities, 1), rest_weights(kit, rng)
        if rng.random() >= AJAR:
            close_lips(kit, vertices, rest)
        return cls(
            seed=seed,
            vertices=vertices,
            hair_offset=_hair_offset(kit, hair, rng),
            texture=paint_skin(kit, rng, colours, TEXTURE_PX),
            wrinkles=paint_wrinkles(rng, TEXTURE_PX),
            wrinkle_gain=_wrinkle_gain(rng),
            wrinkles_at_rest=(old * rng.uniform(0, 1, len(MASKS)) + 0.12 * np.eye(len(MASKS))[5]).astype(np.float32),
            colours=colours,
            hair=hair,
            teeth=np.clip(np.array((0.88, 0.85, 0.78)) * rng.uniform(0.85, 1.05), 0, 1).astype(np.float32),
            cloth=rng.uniform(0.1, 0.9, 3).astype(np.float32),
            iris_radius_cm=rng.uniform(0.58, 0.68),
            gloss=(rng.uniform(0.02, 0.16), rng.uniform(8, 40)),
            relief=rng.uniform(0.3, 1.3),
            lashes=(rng.uniform(0, 0.12), rng.uniform(0.12, 0.5)),
            lid=rng.uniform(0.02, 0.3),
            rest=rest,
            glasses=glasses,
        )


def _wrinkle_gain(rng: np.random.Generator) -> Floats:
    """(9,) how much each kind of fold follows its AUs; often 0, so that folds alone do not give the AUs away."""
    deep = rng.uniform(0, 1, len(MASKS)) * (rng.random(len(MASKS)) >= UNMOVED)
    return deep.astype(np.float32)


def lip_gaps_cm(marks: Floats) -> Floats:
    """(3,) how far the lips are apart at three places of the landmarks (68, 3); negative where they overlap."""
    return marks[UPPER_LIP, 1] - marks[LOWER_LIP, 1]


def close_lips(kit: FaceKit, vertices: Floats, rest: Floats) -> None:
    """Change the resting shape (E,) of a person (V, 3) so that the lips meet."""
    moved = kit.expressions[:, kit.landmarks]
    gap_cm = lip_gaps_cm(vertices[kit.landmarks] + np.tensordot(rest, moved, 1)).mean()
    closing_cm = -lip_gaps_cm(moved[kit.shape["mouthClose"]]).mean()
    if gap_cm > RESTING_GAP_CM:
        rest[kit.shape["mouthClose"]] += (gap_cm - RESTING_GAP_CM) / closing_cm


def _draw_hair(rng: np.random.Generator) -> Hair:
    fringe = rng.uniform(0.6, 2.4) if rng.random() < 0.15 else rng.normal(0, 0.45)
    bald = bool(rng.random() < 0.12)
    return Hair(fringe, rng.uniform(0.4, 2.2), rng.uniform(-6, 0), rng.uniform(0.1, 1.6), rng.random() < 0.4, bald)


def _hair_offset(kit: FaceKit, hair: Hair, rng: np.random.Generator) -> Floats:
    if hair.bald:
        return np.zeros_like(kit.neutral)
    skull = np.zeros(len(kit.neutral), bool)
    skull[kit.corner_vertex[np.isin(kit.corner_material, (SKIN, HEAD))]] = True
    ears = (np.abs(kit.neutral[:, 0]) > EAR_BEGINS_CM) & (kit.neutral[:, 1] < EAR_TOP_CM)
    behind = behind_hairline(kit.neutral[:, 1], kit.neutral[:, 2], hair.shift_cm)
    depth = np.clip((behind + 0.1) / 2.5, 0, 1)
    depth *= np.clip((kit.neutral[:, 1] - hair.lowest_cm) / 2, 0, 1) * (skull & ~ears)
    outward = kit.neutral - np.array((0, 3, 1), np.float32)
    outward /= np.linalg.norm(outward, axis=1, keepdims=True)
    waves = 1 + 0.25 * np.sin(kit.neutral[:, :1] * rng.uniform(0.5, 2) + rng.uniform(0, 6))
    return (outward * (depth * hair.volume_cm)[:, None] * waves).astype(np.float32)
