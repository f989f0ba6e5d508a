"""From a clone of ICT-FaceKit (github.com/ICT-VGL/ICT-FaceKit, MIT) to the one file that `FaceKit` reads."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..atomic import whole
from ..errors import DataError
from ..plain_json import parsed
from .kit import Floats, Ints
from .picture.raster import FAR, rasterise_depth, vertex_normals

MODEL, NEUTRAL, INDICES = "FaceXModel", "generic_neutral_mesh", "vertex_indices.json"
EXTRA = ("cheekRaiser_L", "cheekRaiser_R")  # in the folder, but not in the list of expressions
# First and last vertex of each part; later rows cut into earlier ones.
PARTS: dict[str, tuple[int, int]] = {
    "face": (0, 9408), "head_neck": (9409, 11247), "mouth_socket": (11248, 13293), "eye_socket_left": (13294, 13677),
    "eye_socket_right": (13678, 14061), "gums_tongue": (14062, 17038), "teeth": (17039, 21450),
    "eyeball_left": (21451, 23020), "eyeball_right": (23021, 24590), "lacrimal_left": (24591, 24794),
    "lacrimal_right": (24795, 24998), "eye_blend_left": (24999, 25022), "eye_blend_right": (25023, 25046),
    "eye_occlusion_left": (25047, 25198), "eye_occlusion_right": (25199, 25350), "eyelashes_left": (25351, 26034),
    "eyelashes_right": (26035, 26718), "iris_left": (22221, 23020), "iris_right": (23791, 24590),
}  # fmt: skip
SOLID = 9  # of the parts, the first so many keep light from others
DIRECTIONS, MAP_PX, MAP_CM, BIAS_CM = 160, 512, 52.0, 0.25


def pack(clone: Path, out: Path, parts: dict[str, tuple[int, int]] | None = None) -> dict[str, int]:
    """Read the clone's meshes and write the packed model; returns how many vertices and shapes it has.

    Args:
        clone: folder that holds FaceXModel/.
        out: the .npz to write.
        parts: vertex ranges, if not those of ICT Face Model Light.
    """
    parts, folder = parts or PARTS, clone / MODEL
    if not folder.is_dir():
        what = "does not exist" if not clone.exists() else f"has no folder {MODEL}"
        raise DataError(f"'{clone}' {what}; clone ICT-FaceKit whole: git clone https://github.com/ICT-VGL/ICT-FaceKit")
    meta = _indices(folder / INDICES)
    neutral, uv, vertices, uvs = _mesh(folder / f"{NEUTRAL}.obj")
    wanted = 1 + max(last for _, last in parts.values())
    if len(neutral) != wanted:
        raise DataError(f"expected {wanted} vertices, as ICT Face Model Light has; '{folder}' has {len(neutral)}")
    region = np.zeros(len(neutral), np.uint8)
    for index, (first, last) in enumerate(parts.values()):
        region[first : last + 1] = index
    identities = sorted(path.stem for path in folder.glob("identity*.obj"))
    expressions = [str(name) for name in meta["expressions"]]
    if not identities:
        raise DataError(f"'{folder}' has no identity*.obj; clone ICT-FaceKit whole")
    of_triangle = region[vertices].max(axis=1)
    vertex_uv = np.zeros((len(neutral), 2), np.float32)
    vertex_uv[vertices.ravel()[::-1]] = uv[uvs.ravel()[::-1]]
    arrays: dict[str, Any] = {
        "neutral": neutral.astype(np.float32), "tris": vertices, "tri_uv": uvs, "uv": uv, "vert_uv": vertex_uv,
        "tri_region": of_triangle, "vert_region": region, "region_names": np.array(list(parts)),
        "expr": _offsets(folder, expressions, neutral), "expr_names": np.array(expressions),
        "expr_extra": _offsets(folder, EXTRA, neutral), "expr_extra_names": np.array(EXTRA),
        "ident": _offsets(folder, identities, neutral),
        "landmarks68": np.array(meta["idx_to_landmark_verts"], np.int32),
        "ao": ambient(neutral.astype(np.float32), vertices[of_triangle < SOLID]).astype(np.float16),
        "license": np.array(_licence(clone)),
    }  # fmt: skip
    with whole(out, DataError, settled=True) as temporary, temporary.open("wb") as file:
        np.savez_compressed(file, **arrays)
    return {"vertices": len(neutral), "expressions": len(expressions) + len(EXTRA), "identities": len(identities)}


def ambient(vertices: Floats, triangles: Ints) -> Floats:
    """(V,) share of the sky that each vertex of the resting face sees, 0.25 to 1, from shadow maps all around."""
    normals = np.empty_like(vertices)
    vertex_normals(vertices, triangles, normals)
    k = np.arange(DIRECTIONS) + 0.5
    polar, turn = np.arccos(1 - 2 * k / DIRECTIONS), np.pi * (1 + 5**0.5) * k
    towards = np.stack([np.cos(turn) * np.sin(polar), np.cos(polar), np.sin(turn) * np.sin(polar)], axis=1)
    seen, all_ = np.zeros((2, len(vertices)))
    middle = (vertices.min(axis=0) + vertices.max(axis=0)) / 2
    for direction in towards:
        across = np.cross((0, 1, 0) if abs(direction[1]) < 0.9 else (1, 0, 0), direction)
        across /= np.linalg.norm(across)
        points = ((vertices - middle) @ np.stack([across, np.cross(direction, across), -direction], axis=1)).astype(
            "f4"
        )
        points[:, :2] = (points[:, :2] / MAP_CM + 0.5) * MAP_PX
        depth = np.full((MAP_PX, MAP_PX), FAR, np.float32)
        rasterise_depth(points, triangles, len(triangles), depth)
        columns, rows = np.clip(points[:, :2], 0, MAP_PX - 1).astype(int).T
        facing = np.clip(normals @ direction, 0, None)
        seen += facing * (points[:, 2] < depth[rows, columns] + BIAS_CM)
        all_ += facing
    share = np.clip(seen / np.maximum(all_, 1e-6), 0, 1)
    return np.clip(0.25 + 0.75 * share**0.8, 0, 1).astype(np.float32)


def _offsets(folder: Path, names: Any, neutral: NDArray[np.float64]) -> NDArray[np.float16]:
    offsets = []
    for name in names:
        points = _points(folder / f"{name}.obj")
        if points.shape != neutral.shape:
            raise DataError(
                f"'{folder / name}.obj' has {len(points)} vertices and {NEUTRAL} {len(neutral)}; clone again"
            )
        offsets.append((points - neutral).astype(np.float16))
    return np.stack(offsets)


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"'{path}' cannot be read ({error}); give the folder of a whole clone of ICT-FaceKit") from None


def _points(path: Path) -> NDArray[np.float64]:
    words = [line.split()[1:4] for line in _lines(path) if line.startswith("v ")]
    try:
        return np.array(words, np.float64).reshape(-1, 3)
    except ValueError as error:
        raise DataError(f"'{path}' holds a vertex that is not three numbers ({error}); clone again") from None


def _mesh(path: Path) -> tuple[NDArray[np.float64], Floats, Ints, Ints]:
    """Vertices, texture coordinates, and for every triangle its three of each; polygons are cut into fans."""
    points, lines = _points(path), _lines(path)
    try:
        uv = np.array([line.split()[1:3] for line in lines if line.startswith("vt ")], np.float32)
        corners = np.array([triangle for line in lines if line.startswith("f ") for triangle in _fan(line)], np.int64)
        whole = uv.shape[1:] == (2,) and corners.shape[1:] == (3, 2) and corners.min() >= 0
        whole = whole and bool((corners.max(axis=(0, 1)) < (len(points), len(uv))).all())
    except (ValueError, OverflowError):
        whole = False
    if not whole:
        raise DataError(f"'{path}' is no mesh with texture coordinates; clone ICT-FaceKit again")
    return points, uv, corners[..., 0].astype(np.int32), corners[..., 1].astype(np.int32)


def _fan(line: str) -> list[list[list[int]]]:
    """The triangles of a polygon: of each corner vertex and texture coordinate, from 0."""
    first, *others = [[int(word) - 1 for word in corner.split("/")[:2]] for corner in line.split()[1:]]
    return [[first, second, third] for second, third in itertools.pairwise(others)]


def _indices(path: Path) -> dict[str, Any]:
    try:
        meta = parsed("\n".join(_lines(path)).encode())
        complete = isinstance(meta["expressions"], list) and len(meta["idx_to_landmark_verts"]) == 68
    except (ValueError, KeyError, TypeError):
        complete = False
    if not complete:
        raise DataError(f"'{path}' does not list expressions and 68 landmarks; clone ICT-FaceKit again")
    return meta


def _licence(clone: Path) -> str:
    found = [path for path in (clone / "LICENSE", clone / "LICENSE.txt") if path.is_file()]
    return found[0].read_text(encoding="utf-8") if found else "ICT Face Model Light, MIT, (c) 2020 USC ICT"
