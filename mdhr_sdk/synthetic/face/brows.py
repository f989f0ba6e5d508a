"""Moves brow movements down: the face model has them where raised brows are, but brows are painted lower."""

from __future__ import annotations

import numpy as np

from ..kit import LASHES, SKIN, FaceKit, Floats, Ints
from .skin import BROW_SHIFT

# By how much movements come down, centimetres: raised brows then lie where all moves alike, and hardly thicken. What
# pulls down comes less far, or the lids would fold over.
DROPS_CM = {"browDown": 0.25, "browInnerUp": 0.7, "browOuterUp": 0.7}
LIDS_CM, OUTER_LIDS_CM = (3.8, 4.3), (3.4, 3.9)  # heights between which the drop sets in, before and beside the eyes
BESIDE_CM = (3.9, 4.9)  # from the middle
FOREHEAD_CM = (8.0, 10.5)  # heights between which it ends
GRAIN_CM = 0.15  # of the smoothing; vertices lie about 0.2 apart
INNER_BROWS = [20, 21, 22, 23]  # landmarks


def with_low_brows(kit: FaceKit) -> Floats:
    """(E, V, 3) the kit's expression shapes; those of the brows act lower, where `paint_skin` paints brows."""
    skin, lashes = (np.unique(kit.corner_vertex[kit.corner_material == part]) for part in (SKIN, LASHES))
    share = _drop(kit.neutral)
    moved = np.intersect1d(np.flatnonzero(share), np.concatenate([skin, lashes]))
    near = skin[(kit.neutral[skin, 1] > OUTER_LIDS_CM[0] - 0.5) & (kit.neutral[skin, 2] > 0)]
    expressions = kit.expressions.copy()
    for name, drop_cm in DROPS_CM.items():
        source = kit.neutral[moved, :2] + np.stack([np.zeros(len(moved)), drop_cm * share[moved]], axis=1)
        mixing = _mixing(source, kit.neutral[near, :2])
        for shape in (kit.shape[f"{name}_{side}"] for side in "LR"):
            expressions[shape, moved] = mixing @ kit.expressions[shape, near]
    return expressions


def inner_brows(kit: FaceKit) -> Ints:
    """(4,) the vertices at which the inner ends of most people's brows grow."""
    corners = np.flatnonzero(kit.corner_material == SKIN)
    wanted = kit.landmark_uv[INNER_BROWS] + np.array((0, BROW_SHIFT[0]), np.float32)
    apart = np.square(kit.corner_uv[corners][None] - wanted[:, None]).sum(axis=2)
    return kit.corner_vertex[corners[apart.argmin(axis=1)]]


def _drop(places: Floats) -> Floats:
    """(N,) share of the drop at (N, 3) places: 1 at the brows, 0 at the lids and the hairline."""
    beside = np.clip((np.abs(places[:, 0]) - BESIDE_CM[0]) / (BESIDE_CM[1] - BESIDE_CM[0]), 0, 1)
    begin, end = (a + (b - a) * beside for a, b in zip(LIDS_CM, OUTER_LIDS_CM, strict=True))
    rising = np.clip((places[:, 1] - begin) / (end - begin), 0, 1)
    ending = np.clip((FOREHEAD_CM[1] - places[:, 1]) / (FOREHEAD_CM[1] - FOREHEAD_CM[0]), 0, 1)
    return (rising * ending * (places[:, 2] > 0)).astype(np.float32)


def _mixing(wanted: Floats, places: Floats) -> Floats:
    """(M, N) weights to interpolate from N places to M others; near places weigh most."""
    apart = np.square(wanted[:, None] - places[None]).sum(axis=2)
    share = np.exp((apart.min(axis=1, keepdims=True) - apart) / (2 * GRAIN_CM**2))
    mixing: Floats = (share / share.sum(axis=1, keepdims=True)).astype(np.float32)
    return mixing
