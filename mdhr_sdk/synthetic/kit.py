"""The face model that is rendered: ICT Face Model Light (MIT, (c) 2020 USC ICT), as packed by `mdhr synthetic pack`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..bounded import read_arrays
from ..errors import DataError

Floats = NDArray[np.float32]
Ints = NDArray[np.int32]

SKIN, HEAD, SOCKET, EYE_SOCKET, GUMS, TEETH, EYEBALL, LASHES = range(8)
MATERIALS = {
    "face": SKIN, "head_neck": HEAD, "mouth_socket": SOCKET, "eye_socket_left": EYE_SOCKET,
    "eye_socket_right": EYE_SOCKET, "gums_tongue": GUMS, "teeth": TEETH, "eyeball_left": EYEBALL,
    "eyeball_right": EYEBALL, "eyelashes_left": LASHES, "eyelashes_right": LASHES,
}  # fmt: skip
EAR_BEGINS_CM, EAR_TOP_CM = 7.3, 5.5  # ears are farther out than the one and below the other
# What a packed file must hold: kind of the numbers (f real, i whole, U text) and sides; sides of one letter agree.
NEEDED: dict[str, tuple[str, tuple[str | int, ...]]] = {
    "neutral": ("f", ("V", 3)), "tris": ("i", ("F", 3)), "tri_uv": ("i", ("F", 3)), "uv": ("f", ("U", 2)),
    "tri_region": ("i", ("F",)), "vert_region": ("i", ("V",)), "region_names": ("U", ("R",)),
    "expr": ("f", ("E", "V", 3)), "expr_names": ("U", ("E",)), "expr_extra": ("f", ("X", "V", 3)),
    "expr_extra_names": ("U", ("X",)), "ident": ("f", ("I", "V", 3)), "landmarks68": ("i", (68,)),
    "ao": ("f", ("V",)), "vert_uv": ("f", ("V", 2)),
}  # fmt: skip
POINTS_INTO = {"tris": "V", "tri_uv": "U", "tri_region": "R", "vert_region": "R", "landmarks68": "V"}
ONE_SHAPE = (
    "jawForward", "jawLeft", "jawOpen", "jawRight", "mouthClose", "mouthFunnel", "mouthLeft", "mouthPucker",
    "mouthRight", "mouthRollLower", "mouthRollUpper", "mouthShrugLower", "mouthShrugUpper",
)  # fmt: skip
TWO_SIDED = (
    "browDown", "browInnerUp", "browOuterUp", "cheekPuff", "cheekRaiser", "cheekSquint", "eyeBlink", "eyeLookDown",
    "eyeLookIn", "eyeLookOut", "eyeLookUp", "eyeSquint", "eyeWide", "mouthDimple", "mouthFrown", "mouthLowerDown",
    "mouthPress", "mouthSmile", "mouthStretch", "mouthUpperUp", "noseSneer",
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class FaceKit:
    """Mesh, expressions and identities. Lengths are centimetres, y up, z out of the face, x to the subject's left.

    A corner is a vertex with one texture coordinate; triangles are made of corners.

    Attributes:
        neutral: (V, 3) the mean face.
        expressions: (E, V, 3) what each shape adds at weight 1; `shape` gives the index of a name.
        identities: (100, V, 3) shape directions of unit variance.
        shape: name of an expression shape -> index.
        corner_vertex: (C,) vertex of each corner.
        corner_uv: (C, 2) texture coordinates of each corner, v upwards.
        corner_material: (C,) SKIN, HEAD, ...
        triangles: (F, 3) corners; lashes come last.
        lashes_from: index of the first triangle of the lashes.
        landmarks: (68,) vertices of the usual 68 landmarks.
        ambient: (V,) share of the sky that a vertex sees, 0 to 1.
        eye_centres: (V, 3) for vertices of an eyeball its centre, else 0.
        landmark_uv: (68, 2) texture coordinates of the landmarks.
    """

    neutral: Floats
    expressions: Floats
    identities: Floats
    shape: dict[str, int]
    corner_vertex: Ints
    corner_uv: Floats
    corner_material: Ints
    triangles: Ints
    lashes_from: int
    landmarks: Ints
    ambient: Floats
    eye_centres: Floats
    landmark_uv: Floats

    @classmethod
    def load(cls, path: str | Path) -> FaceKit:
        """Read a packed face model.

        Raises:
            DataError: no such file, or not one; the message says how to make it.
        """
        arrays = _read(Path(path))
        regions = [str(name) for name in arrays["region_names"]]
        names = [str(name) for name in (*arrays["expr_names"], *arrays["expr_extra_names"])]
        # Not drawn: thin shells before the eyes, which need true transparency to look right.
        material = np.array([MATERIALS.get(name, -1) for name in regions])[arrays["tri_region"]]
        drawn = np.argsort(np.where(material < 0, 99, material == LASHES), kind="stable")[: int((material >= 0).sum())]
        vertices, uvs, material = arrays["tris"][drawn], arrays["tri_uv"][drawn], material[drawn]
        key = (vertices.astype(np.int64) * len(arrays["uv"]) + uvs) * len(MATERIALS) + material[:, None]
        corners, triangles = np.unique(key, return_inverse=True)
        vertex, uv = np.divmod(corners // len(MATERIALS), len(arrays["uv"]))
        return cls(
            neutral=arrays["neutral"].astype(np.float32),
            expressions=np.concatenate([arrays["expr"], arrays["expr_extra"]]).astype(np.float32),
            identities=arrays["ident"].astype(np.float32),
            shape={name: index for index, name in enumerate(names)},
            corner_vertex=vertex.astype(np.int32),
            corner_uv=arrays["uv"][uv].astype(np.float32),
            corner_material=(corners % len(MATERIALS)).astype(np.int32),
            triangles=triangles.reshape(-1, 3).astype(np.int32),
            lashes_from=int((material != LASHES).sum()),
            landmarks=arrays["landmarks68"].astype(np.int32),
            ambient=arrays["ao"].astype(np.float32),
            eye_centres=_eye_centres(arrays, regions),
            landmark_uv=arrays["vert_uv"][arrays["landmarks68"]].astype(np.float32),
        )


def behind_hairline(y: Any, z: Any, shift_cm: Any) -> Any:
    """Centimetres behind (positive) the hairline of places of the neutral head; `shift_cm` moves it down."""
    return 0.68 * (y - 10) - 0.73 * (z - 9) + shift_cm


def _eye_centres(arrays: dict[str, NDArray], regions: list[str]) -> Floats:
    centres = np.zeros(arrays["neutral"].shape, np.float32)
    for side in ("left", "right"):
        parts = [regions.index(f"{part}_{side}") for part in ("eyeball", "iris") if f"{part}_{side}" in regions]
        ball = np.isin(arrays["vert_region"], parts)
        points = arrays["neutral"][ball]
        centres[ball] = (points.min(axis=0) + points.max(axis=0)) / 2
    return centres


def _read(path: Path) -> dict[str, NDArray]:
    remedy = "make one from a clone of ICT-FaceKit: mdhr synthetic pack CLONE facekit.npz"
    if not path.is_file():
        raise DataError(f"no packed face model at '{path}'; {remedy}")
    try:
        arrays = read_arrays(path, tuple(NEEDED))
        _check(arrays)
    except ValueError as error:
        raise DataError(f"'{path}' is not a packed face model ({error}); {remedy}") from None
    return arrays


def _check(arrays: dict[str, NDArray]) -> None:
    """Compiled code checks no index: what it is given must be right. Raises ValueError."""
    if missing := [name for name in NEEDED if name not in arrays]:
        raise ValueError(f"it lacks {', '.join(missing)}")
    sides: dict[str | int, int] = {}
    for name, (kind, wanted) in NEEDED.items():
        array = arrays[name]
        fits = len(wanted) == array.ndim and array.dtype.kind in {"f": "f", "i": "iu", "U": "U"}[kind]
        if not fits or any(
            length != (side if isinstance(side, int) else sides.setdefault(side, length))
            for side, length in zip(wanted, array.shape, strict=True)
        ):
            raise ValueError(f"{name} is {array.dtype} of {array.shape}, not {kind} of {wanted}")
        if kind == "f" and not np.isfinite(array).all():
            raise ValueError(f"{name} has values that are no numbers")
    for name, side in POINTS_INTO.items():
        if arrays[name].size and not 0 <= arrays[name].min() <= arrays[name].max() < sides[side]:
            raise ValueError(f"{name} points outside 0 to {sides[side] - 1}")
    shapes = {*ONE_SHAPE, *(f"{name}_{side}" for name in TWO_SIDED for side in "LR")}
    known = {str(name) for name in (*arrays["expr_names"], *arrays["expr_extra_names"])}
    if missing := sorted((shapes - known) | (MATERIALS.keys() - {str(name) for name in arrays["region_names"]})):
        raise ValueError(f"it lacks the shapes or regions {', '.join(missing)}")
