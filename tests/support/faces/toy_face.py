"""A head of a few hundred vertices with every part, shape and landmark that the synthetic renderer asks for."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from mdhr_sdk.synthetic.face.muscles import SHAPES
from mdhr_sdk.synthetic.kit import MATERIALS
from mdhr_sdk.synthetic.pack import EXTRA, PARTS

PAIRS = (
    "browDown", "browInnerUp", "browOuterUp", "cheekPuff", "cheekSquint", "eyeBlink", "eyeLookDown", "eyeLookIn",
    "eyeLookOut", "eyeLookUp", "eyeSquint", "eyeWide", "mouthDimple", "mouthFrown", "mouthLowerDown", "mouthPress",
    "mouthSmile", "mouthStretch", "mouthUpperUp", "noseSneer",
)  # fmt: skip
SINGLES = (
    "jawForward", "jawLeft", "jawOpen", "jawRight", "mouthClose", "mouthFunnel", "mouthLeft", "mouthPucker",
    "mouthRight", "mouthRollLower", "mouthRollUpper", "mouthShrugLower", "mouthShrugUpper",
)  # fmt: skip
NAMES = [f"{name}_{side}" for name in PAIRS for side in "LR"] + list(SINGLES)


def _ball(centre: tuple[float, ...], radii: tuple[float, ...], rows: int, columns: int):
    """Vertices, texture coordinates and triangles of an ellipsoid whose front (+z) is the middle of its texture."""
    v, u = np.meshgrid(np.linspace(0.02, 0.98, rows), np.linspace(0, 1, columns), indexing="ij")
    height, turn = np.pi * (v - 0.5), 2 * np.pi * (u - 0.5)
    unit = np.stack([np.cos(height) * np.sin(turn), np.sin(height), np.cos(height) * np.cos(turn)], axis=-1)
    grid = np.arange(rows * columns).reshape(rows, columns)
    a, b, c, d = grid[:-1, :-1], grid[:-1, 1:], grid[1:, 1:], grid[1:, :-1]
    triangles = np.concatenate([np.stack(t, axis=-1).reshape(-1, 3) for t in ((a, b, c), (a, c, d))])
    return (unit * radii + centre).reshape(-1, 3), np.stack([u, v], axis=-1).reshape(-1, 2), triangles


def toy_arrays(rng: np.random.Generator) -> tuple[dict[str, np.ndarray], dict[str, tuple[int, int]]]:
    """The arrays of a packed face model, and the vertex range of every part."""
    eyes = {"left": (3.1, 3.3, 8.3), "right": (-3.1, 3.3, 8.3)}
    balls = {"face": ((0, 1, 2), (8, 11, 10), 24, 32), "head_neck": ((0, -12, 0), (6, 4, 6), 6, 10),
             "teeth": ((0, -3.4, 10.0), (1.5, 0.4, 0.4), 4, 6), "mouth_socket": ((0, -3.4, 9.0), (1.8, 1, 1), 4, 6),
             "gums_tongue": ((0, -3.6, 9.4), (1.4, 0.6, 0.6), 4, 6)}  # fmt: skip
    for side, centre in eyes.items():
        balls[f"eye_socket_{side}"] = (centre, (1.4, 1.4, 1.0), 4, 6)
        balls[f"eyeball_{side}"] = (centre, (1.2, 1.2, 1.2), 6, 8)
        balls[f"eyelashes_{side}"] = ((centre[0], 4.4, 9.6), (1.2, 0.2, 0.2), 4, 6)
    for name in sorted(set(PARTS) - set(MATERIALS)):  # thin shells before the eyes
        balls[name] = ((eyes["left"] if "left" in name else eyes["right"]), (0.5, 0.5, 0.5), 4, 5)
    assert set(balls) == set(PARTS)
    points, uvs, triangles, regions, ranges, start = [], [], [], [], {}, 0
    for index, (name, ball) in enumerate(balls.items()):
        own, uv, faces = _ball(*ball)
        points, uvs, triangles = [*points, own], [*uvs, uv], [*triangles, faces + start]
        regions += [index] * len(own)
        ranges[name] = (start, start + len(own) - 1)
        start += len(own)
    neutral, region = np.concatenate(points), np.array(regions, np.uint8)
    tris = np.concatenate(triangles).astype(np.int32)
    face = slice(*ranges["face"])
    marks = _landmarks()
    nearest = np.array([np.argmin(np.linalg.norm(neutral[face] - mark, axis=1)) for mark in marks], np.int32)
    neutral[nearest[62], 1] = -3.5  # the lips nearly touch, and the jaw parts them
    arrays = {
        "neutral": neutral.astype(np.float32), "tris": tris, "tri_uv": tris, "uv": np.concatenate(uvs).astype("f4"),
        "vert_uv": np.concatenate(uvs).astype("f4"), "tri_region": region[tris].max(axis=1), "vert_region": region,
        "region_names": np.array(list(balls)), "expr": _shapes(neutral, NAMES), "expr_names": np.array(NAMES),
        "expr_extra": _shapes(neutral, EXTRA), "expr_extra_names": np.array(EXTRA),
        "ident": (0.1 * rng.standard_normal((5, 1, 3)) * np.ones((5, len(neutral), 1))).astype(np.float16),
        "landmarks68": nearest, "ao": np.ones(len(neutral), np.float16),
    }  # fmt: skip
    return arrays, ranges


def _landmarks() -> np.ndarray:
    """(68, 3) roughly where they are on a face."""
    turn = np.linspace(-1, 1, 17)
    jaw = np.stack([7 * np.sin(1.4 * turn), -7 + 6 * np.abs(turn), 9 - 5 * np.abs(turn)], axis=1)
    brow = np.stack([np.linspace(1.2, 5, 5), 5.9 + 0 * np.arange(5), 10.5 - 0.4 * np.arange(5)], axis=1)
    nose = np.array(
        [(0, 3.7 - i, 11 + 0.4 * i) for i in range(4)] + [(x, -1.2, 11.5) for x in (-1.2, -0.6, 0, 0.6, 1.2)]
    )
    ring = np.linspace(np.pi, -np.pi, 6, endpoint=False)
    eye = np.stack([1.3 * np.cos(ring), 0.5 * np.sin(ring), 0 * ring], axis=1)
    around = np.linspace(np.pi, -np.pi, 12, endpoint=False)
    lips = np.stack([2.5 * np.cos(around), -3.5 + 0.9 * np.sin(around), 11 + 0 * around], axis=1)
    inner = np.stack([1.8 * np.cos(ring_ := np.linspace(np.pi, -np.pi, 8, endpoint=False)), -3.5 + 0.4 * np.sin(ring_),
                      11 + 0 * ring_], axis=1)  # fmt: skip
    left, side = np.array((-1, 1, 1)), np.array((3.1, 3.3, 9))
    return np.concatenate([jaw, brow[::-1] * left, brow, nose, eye + side * left, eye + side, lips, inner])


def _shapes(neutral: np.ndarray, names) -> np.ndarray:
    """Each shape lifts (or opens) what lies near its own spot."""
    rng = np.random.default_rng(len(names))
    offsets = np.zeros((len(names), *neutral.shape), np.float16)
    for offset, name in zip(offsets, names, strict=True):
        x = {"L": 3.0, "R": -3.0}.get(name[-1], 0.0) if name[-2] == "_" else 0.0
        y = 5.5 if name.startswith("brow") else 3.3 if name.startswith(("eye", "cheekS", "cheekR")) else -3.5
        near = np.exp(-(((neutral - (x, y, 10)) ** 2).sum(axis=1)) / 6)
        offset[:] = near[:, None] * rng.normal(0, 0.6, 3)
        if name == "jawOpen":
            offset[:] = np.where(neutral[:, 1:2] < -3.6, (0, -3, 0), 0) * (neutral[:, 2:] > 5)
    return offsets


def write_kit(path: Path, seed: int = 0) -> Path:
    """A packed toy face model."""
    np.savez(path, **toy_arrays(np.random.default_rng(seed))[0])
    return path


def write_clone(folder: Path, seed: int = 0) -> tuple[dict[str, np.ndarray], dict[str, tuple[int, int]]]:
    """The same as a clone of meshes; returns what a pack of it must hold, and the ranges."""
    arrays, ranges = toy_arrays(np.random.default_rng(seed))
    model = folder / "FaceXModel"
    model.mkdir(parents=True)
    neutral = arrays["neutral"].astype(np.float64)
    faces = [f"f {' '.join(f'{v + 1}/{t + 1}' for v, t in zip(*pair, strict=True))}"
             for pair in zip(arrays["tris"].tolist(), arrays["tri_uv"].tolist(), strict=True)]  # fmt: skip
    uv = [f"vt {u:.9g} {v:.9g}" for u, v in arrays["uv"].tolist()]
    _write_obj(model / "generic_neutral_mesh.obj", neutral, [*uv, *faces])
    for names, key in ((NAMES, "expr"), (EXTRA, "expr_extra"), ([f"identity{i:03d}" for i in range(5)], "ident")):
        for name, offset in zip(names, arrays[key], strict=True):
            _write_obj(model / f"{name}.obj", neutral + offset.astype(np.float64), [])
    marks = {"expressions": NAMES, "idx_to_landmark_verts": arrays["landmarks68"].tolist()}
    (model / "vertex_indices.json").write_text(json.dumps(marks))
    return arrays, ranges


def _write_obj(path: Path, points: np.ndarray, more: list[str]) -> None:
    path.write_text("\n".join([*(f"v {x:.9g} {y:.9g} {z:.9g}" for x, y, z in points), *more]) + "\n")


assert {name for shapes in SHAPES.values() for name in shapes} <= {*PAIRS, *SINGLES, "cheekRaiser"}
