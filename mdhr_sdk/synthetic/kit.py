"""The face model that is rendered: ICT Face Model Light (MIT, (c) 2020 USC ICT), as packed by `mdhr synthetic pack`."""

from __future__ import annotations

import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

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
NEEDED = {
    "neutral": 2, "tris": 2, "tri_uv": 2, "uv": 2, "tri_region": 1, "vert_region": 1, "region_names": 1, "expr": 3,
    "expr_names": 1, "expr_extra": 3, "expr_extra_names": 1, "ident": 3, "landmarks68": 1, "ao": 1, "vert_uv": 2,
}  # fmt: skip


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


def behind_hairline(y: Any, z: Any, shift_cm: float) -> Any:
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
        if not zipfile.is_zipfile(path):
            raise ValueError("not an .npz file, or not a whole one")
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in NEEDED if name in file.files}
    except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile, zlib.error) as error:
        raise DataError(f"'{path}' is not a packed face model ({error}); {remedy}") from None
    missing = [name for name, sides in NEEDED.items() if name not in arrays or arrays[name].ndim != sides]
    if missing:
        raise DataError(f"'{path}' is not a packed face model: it lacks {', '.join(missing)}; {remedy}")
    return arrays
