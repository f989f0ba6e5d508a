"""Skin that moves with the brows: the face model moves it most where raised brows are, and ours rest lower."""

from __future__ import annotations

import numpy as np

from .kit import SKIN, FaceKit, Floats

BROW_SHAPES = [f"{name}_{side}" for name in ("browDown", "browInnerUp", "browOuterUp") for side in "LR"]
DROP_CM = 0.5  # by which movements come down; brows then lie where they are even, and do not thicken as they rise
LIDS_CM, OUTER_LIDS_CM = (3.9, 4.6), (3.5, 4.2)  # heights between which the drop sets in, before and beside the eyes
BESIDE_CM = (3.9, 4.9)  # from the middle
FOREHEAD_CM = (8.0, 10.5)  # heights between which it ends
GRAIN_CM = 0.15  # of the smoothing; vertices lie about 0.2 apart


def with_low_brows(kit: FaceKit) -> Floats:
    """(E, V, 3) the kit's expressions, those of the brows moved down to where `paint_skin` lets brows grow."""
    skin = np.unique(kit.corner_vertex[kit.corner_material == SKIN])
    places = kit.neutral[skin]
    drop = _drop_cm(places)
    moved = drop > 0
    from_here = places[moved, :2] + np.stack([np.zeros(moved.sum(), np.float32), drop[moved]], axis=1)
    near = np.flatnonzero((places[:, 1] > LIDS_CM[0]) & (places[:, 2] > 0))
    apart = np.square(from_here[:, None] - places[None, near, :2]).sum(axis=2)
    share = np.exp((apart.min(axis=1, keepdims=True) - apart) / (2 * GRAIN_CM**2))
    share /= share.sum(axis=1, keepdims=True)
    expressions = kit.expressions.copy()
    for shape in (kit.shape[name] for name in BROW_SHAPES):
        expressions[shape, skin[moved]] = share @ kit.expressions[shape, skin[near]]
    return expressions


def _drop_cm(places: Floats) -> Floats:
    """(N,) how much higher than each of (N, 3) places its movement comes from: nothing at the lids."""
    beside = np.clip((np.abs(places[:, 0]) - BESIDE_CM[0]) / (BESIDE_CM[1] - BESIDE_CM[0]), 0, 1)
    lids = [a + (b - a) * beside for a, b in zip(LIDS_CM, OUTER_LIDS_CM, strict=True)]
    rising = np.clip((places[:, 1] - lids[0]) / (lids[1] - lids[0]), 0, 1)
    ending = np.clip((FOREHEAD_CM[1] - places[:, 1]) / (FOREHEAD_CM[1] - FOREHEAD_CM[0]), 0, 1)
    return (DROP_CM * rising * ending * (places[:, 2] > 0)).astype(np.float32)
