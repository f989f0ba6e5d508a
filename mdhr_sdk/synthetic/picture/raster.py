"""A z-buffer for triangles on the CPU, compiled by Numba: which triangle each pixel shows, and where on it."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeAlias, TypeVar, cast

import numba
import numpy as np

from ..kit import Floats, Ints

f32 = np.float32  # as in `f32(0.5)`: a plain 0.5 would turn all that it meets into double precision
Single: TypeAlias = np.float32
FAR = f32(1e9)
Function = TypeVar("Function", bound=Callable[..., Any])


def compiled(function: Function) -> Function:
    """The function as machine code: no index is checked, and a division by zero gives what C gives."""
    compile_: Any = functools.partial(numba.njit, fastmath=True, nogil=True, error_model="numpy")
    try:
        return cast(Function, compile_(cache=True)(function))
    except RuntimeError:  # no folder can be written to keep it in: every process compiles it anew
        return cast(Function, compile_()(function))


@compiled
def blend_shapes(base: Floats, shapes: Floats, weights: Floats, out: Floats) -> None:
    """out = base + sum over e of weights[e] * shapes[e]; all (V, 3), shapes (E, V, 3)."""
    out[:] = base
    for e in range(len(weights)):
        w = weights[e]
        if w != 0:
            for v in range(base.shape[0]):
                for axis in range(3):
                    out[v, axis] += w * shapes[e, v, axis]


@compiled
def vertex_normals(vertices: Floats, triangles: Ints, out: Floats) -> None:
    """(V, 3) unit normals, the mean over a vertex's triangles weighted by their area."""
    out[:] = 0
    for t in range(len(triangles)):
        a, b, c = triangles[t, 0], triangles[t, 1], triangles[t, 2]
        ux, uy, uz = (vertices[b, 0] - vertices[a, 0], vertices[b, 1] - vertices[a, 1], vertices[b, 2] - vertices[a, 2])
        wx, wy, wz = (vertices[c, 0] - vertices[a, 0], vertices[c, 1] - vertices[a, 1], vertices[c, 2] - vertices[a, 2])
        nx, ny, nz = uy * wz - uz * wy, uz * wx - ux * wz, ux * wy - uy * wx
        for v in (a, b, c):
            out[v, 0] += nx
            out[v, 1] += ny
            out[v, 2] += nz
    for v in range(len(out)):
        length = np.sqrt(out[v, 0] ** 2 + out[v, 1] ** 2 + out[v, 2] ** 2) + f32(1e-12)
        for axis in range(3):
            out[v, axis] /= length


@compiled
def rasterise(
    points: Floats, triangles: Ints, first: int, last: int, both_sides: bool, depth: Floats, shown: Ints, where: Floats
) -> None:
    """Draw triangles first to last into the buffers.

    Args:
        points: (n, 3) x and y in pixels (centres at .5), and depth, smaller is nearer.
        triangles: (F, 3) indices into `points`.
        both_sides: whether triangles that face away are drawn too; on a closed surface nearer ones hide them.
        depth: (H, W) changed; FAR where nothing is drawn yet.
        shown: (H, W) int32 changed: the triangle.
        where: (H, W, 2) changed: barycentric weights of its second and third corner.
    """
    height, width = depth.shape
    for t in range(first, last):
        a, b, c = triangles[t, 0], triangles[t, 1], triangles[t, 2]
        x0, y0, x1, y1, x2, y2 = (points[a, 0], points[a, 1], points[b, 0], points[b, 1], points[c, 0], points[c, 1])
        area = (x1 - x0) * (y2 - y0) - (x2 - x0) * (y1 - y0)
        if area == 0 or (area > 0 and not both_sides):
            continue
        left, right = max(int(min(x0, x1, x2) - f32(0.5)), 0), min(int(max(x0, x1, x2) + f32(0.5)), width - 1)
        top, bottom = max(int(min(y0, y1, y2) - f32(0.5)), 0), min(int(max(y0, y1, y2) + f32(0.5)), height - 1)
        scale, z0 = f32(1) / area, points[a, 2]
        across1, down1, across2, down2 = (y2 - y0) * scale, (x0 - x2) * scale, (y0 - y1) * scale, (x1 - x0) * scale
        z1, z2 = points[b, 2] - z0, points[c, 2] - z0
        for y in range(top, bottom + 1):
            py = f32(y) + f32(0.5) - y0
            for x in range(left, right + 1):
                px = f32(x) + f32(0.5) - x0
                w1, w2 = px * across1 + py * down1, px * across2 + py * down2
                if w1 < 0 or w2 < 0 or w1 + w2 > 1:
                    continue
                z = z0 + w1 * z1 + w2 * z2
                if z < depth[y, x]:
                    depth[y, x] = z
                    shown[y, x] = t
                    where[y, x, 0] = w1
                    where[y, x, 1] = w2


@compiled
def rasterise_depth(points: Floats, triangles: Ints, last: int, depth: Floats) -> None:
    """The nearest depth alone, for shadows, of triangles 0 to last."""
    height, width = depth.shape
    for t in range(last):
        a, b, c = triangles[t, 0], triangles[t, 1], triangles[t, 2]
        x0, y0, x1, y1, x2, y2 = (points[a, 0], points[a, 1], points[b, 0], points[b, 1], points[c, 0], points[c, 1])
        left, right = max(int(min(x0, x1, x2)), 0), min(int(max(x0, x1, x2)), width - 1)
        top, bottom = max(int(min(y0, y1, y2)), 0), min(int(max(y0, y1, y2)), height - 1)
        area = (x1 - x0) * (y2 - y0) - (x2 - x0) * (y1 - y0)
        if area <= 0:  # y is upwards here: it faces away from the light
            continue
        scale, slack, z0 = f32(1) / area, f32(-0.3), points[a, 2]  # slack closes holes between small triangles
        across1, down1, across2, down2 = (y2 - y0) * scale, (x0 - x2) * scale, (y0 - y1) * scale, (x1 - x0) * scale
        z1, z2, most = points[b, 2] - z0, points[c, 2] - z0, f32(1) - slack
        for y in range(top, bottom + 1):
            py = f32(y) + f32(0.5) - y0
            for x in range(left, right + 1):
                px = f32(x) + f32(0.5) - x0
                w1, w2 = px * across1 + py * down1, px * across2 + py * down2
                if w1 >= slack and w2 >= slack and w1 + w2 <= most:
                    depth[y, x] = min(depth[y, x], z0 + w1 * z1 + w2 * z2)
