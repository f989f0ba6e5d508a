"""From visible triangles to surfaces: what each pixel shows, skin, hair, eyes, teeth. Compiled by Numba."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from ..kit import EAR_BEGINS_CM, EAR_TOP_CM, EYE_SOCKET, EYEBALL, GUMS, HEAD, SKIN, SOCKET, TEETH, Floats, Ints
from ..kit import behind_hairline as plain_behind_hairline
from .raster import Single, compiled, f32

behind_hairline = compiled(plain_behind_hairline)

UV, CANONICAL, AMBIENT, FROM_EYE, STATIC = 0, 2, 5, 6, 9  # columns of a corner's fixed values
ALBEDO, NORMAL, PLACE, HEIGHT, SHINE, GLOSS, OCCLUSION, CHANNELS = 0, 3, 6, 9, 10, 11, 12, 13
# Linear red, green and blue.
INNER_LIPS, GUM, LID, SCLERA, SCLERA_CORNER = np.array(
    [(0.42, 0.16, 0.15), (0.55, 0.2, 0.2), (0.75, 0.5, 0.45), (0.62, 0.58, 0.56), (0.6, 0.3, 0.26)], np.float32
)
EAR_FROM, EAR_TO = f32(EAR_BEGINS_CM), f32(EAR_BEGINS_CM + 0.6)


class Look(NamedTuple):
    """A person's constants in single precision, linear colours; see `Person`."""

    hair_shift: Single
    hair_ragged: Single
    hair_lowest: Single
    bald: bool
    skin: Floats
    hair: Floats
    iris: Floats
    iris_radius: Single
    teeth: Floats
    cloth: Floats
    shine: Single
    gloss: Single


@compiled
def step(low: Single, high: Single, x: Single) -> Single:
    t = min(max((x - low) / (high - low), f32(0)), f32(1))
    return t * t * (f32(3) - f32(2) * t)


@compiled
def _hash(x: int, y: int, z: int) -> Single:
    n = (x * 73856093) ^ (y * 19349663) ^ (z * 83492791)
    n = ((n ^ (n >> 13)) * 1274126177) & 0x7FFFFFFF
    return f32(n & 0xFFFF) * f32(1 / 65535)


@compiled
def value_noise(x: Single, y: Single, z: Single) -> Single:
    """Smooth noise in [0, 1] with features of length 1."""
    i, j, k = int(np.floor(x)), int(np.floor(y)), int(np.floor(z))
    f, g, h = x - f32(i), y - f32(j), z - f32(k)
    f, g, h = f * f * (f32(3) - f32(2) * f), g * g * (f32(3) - f32(2) * g), h * h * (f32(3) - f32(2) * h)
    total = f32(0)
    for a in range(2):
        for b in range(2):
            for c in range(2):
                share = (f if a else f32(1) - f) * (g if b else f32(1) - g) * (h if c else f32(1) - h)
                total += share * _hash(i + a, j + b, k + c)
    return total


@compiled
def _texels(size: int, u: Single, v: Single) -> tuple[int, int, Single, Single, Single, Single]:
    """Column and row of the upper left of four texels about a place, and the share of each, by rows."""
    x = min(max(u * f32(size) - f32(0.5), f32(0)), f32(size) - f32(1.001))
    y = min(max(v * f32(size) - f32(0.5), f32(0)), f32(size) - f32(1.001))
    i, j = int(x), int(y)
    f, g = x - f32(i), y - f32(j)
    return i, j, (f32(1) - f) * (f32(1) - g), f * (f32(1) - g), (f32(1) - f) * g, f * g


@compiled
def _skin(values: Floats, texture: Any, wrinkles: Any, strengths: Floats, out: Floats, y: int, x: int) -> None:
    left, fold = min(max(f32(0.5) + values[CANONICAL], f32(0)), f32(1)), f32(0)  # the halves meet within a centimetre
    i, j, w00, w10, w01, w11 = _texels(wrinkles.shape[0], values[UV], values[UV + 1])
    for c in range(strengths.shape[1]):
        depth = w00 * f32(wrinkles[j, i, c]) + w10 * f32(wrinkles[j, i + 1, c])
        depth += w01 * f32(wrinkles[j + 1, i, c]) + w11 * f32(wrinkles[j + 1, i + 1, c])
        fold += (strengths[1, c] + left * (strengths[0, c] - strengths[1, c])) * depth
    fold *= f32(1 / 255)
    deep = min(max(fold, f32(0)), f32(1))
    i, j, w00, w10, w01, w11 = _texels(texture.shape[0], values[UV], values[UV + 1])
    for c in range(4):
        painted = w00 * f32(texture[j, i, c]) + w10 * f32(texture[j, i + 1, c])
        painted += w01 * f32(texture[j + 1, i, c]) + w11 * f32(texture[j + 1, i + 1, c])
        painted *= f32(1 / 255)
        if c == 3:
            out[y, x, HEIGHT] = f32(0.15) * painted - f32(0.9) * fold
        else:
            dark = (f32(1) - f32(0.42) * deep) * (f32(1) if c == 0 else f32(1) - f32(0.12) * deep)
            out[y, x, ALBEDO + c] = painted * painted * dark


@compiled
def _hair(values: Floats, on_face: bool, look: Look, out: Floats, row: int, column: int) -> None:
    """Hair over the surface that `out` holds, where it grows."""
    x, y, z = values[CANONICAL], values[CANONICAL + 1], values[CANONICAL + 2]
    behind = f32(behind_hairline(y, z, look.hair_shift))
    if look.bald or behind < f32(-0.5) * look.hair_ragged - f32(0.3) or y < look.hair_lowest - f32(0.6):
        return
    behind += (value_noise(f32(6) * x, f32(1.5) * y, f32(1.5) * z) - f32(0.5)) * look.hair_ragged
    ear = step(EAR_FROM, EAR_TO, abs(x)) if on_face and y < EAR_TOP_CM else f32(0)
    ends = step(look.hair_lowest - f32(0.5), look.hair_lowest + f32(0.5), y)
    cover = step(f32(-0.25), f32(0.35), behind) * ends * (f32(1) - ear)
    if cover == 0:
        return
    strand = f32(0.6) * value_noise(f32(9) * x, f32(2.5) * y, f32(3) * z)
    strand += f32(0.5) * value_noise(f32(22) * x, f32(5) * y, f32(6) * z)
    for c in range(3):
        out[row, column, ALBEDO + c] += cover * (look.hair[c] * (f32(0.45) + strand) - out[row, column, ALBEDO + c])
    out[row, column, SHINE] += cover * (f32(0.1) * strand - out[row, column, SHINE])
    out[row, column, HEIGHT] += cover * (f32(0.3) * strand - out[row, column, HEIGHT])


@compiled
def _neck(values: Floats, look: Look, out: Floats, row: int, column: int) -> None:
    x, y, z = values[CANONICAL], values[CANONICAL + 1], values[CANONICAL + 2]
    collar = y + f32(0.03) * x * x - f32(0.25) * (z - f32(3))
    cloth = f32(1) - step(f32(-14.2), f32(-13.9), collar)
    if cloth == 0:
        return
    woven = f32(0.8) + f32(0.3) * value_noise(f32(5) * x, f32(5) * y, f32(5) * z)
    for c in range(3):
        out[row, column, ALBEDO + c] += cloth * (look.cloth[c] * woven - out[row, column, ALBEDO + c])
    out[row, column, SHINE] *= f32(1) - cloth


@compiled
def _eyeball(values: Floats, look: Look, out: Floats, row: int, column: int) -> None:
    x, y, front = values[FROM_EYE], values[FROM_EYE + 1], values[FROM_EYE + 2] >= 0
    radius, size = np.sqrt(x * x + y * y), look.iris_radius
    fibres = f32(0.55) + f32(0.9) * value_noise(f32(9) * np.arctan2(y, x), f32(6) * radius, f32(1))
    rim = f32(1) - f32(0.55) * step(f32(0.75) * size, size, radius)
    pupil = step(f32(0.42) * size - f32(0.03), f32(0.42) * size + f32(0.03), radius)
    white = step(size - f32(0.04), size + f32(0.05), radius) if front else f32(1)
    corner = f32(0.6) * step(f32(1), f32(1.7), abs(x))
    for c in range(3):
        iris = f32(0.006) + pupil * (look.iris[c] * fibres * rim - f32(0.006))
        sclera = SCLERA[c] * (f32(1) - corner) + SCLERA_CORNER[c] * corner
        out[row, column, ALBEDO + c] = iris + white * (sclera - iris)
    out[row, column, SHINE], out[row, column, GLOSS] = f32(0.9), f32(180)
    out[row, column, OCCLUSION] = f32(1) - f32(0.55) * step(f32(0.05), f32(0.75), y)  # the upper lid's shade


@compiled
def _inside(values: Floats, material: int, look: Look, out: Floats, row: int, column: int) -> None:
    """Mouth, gums and teeth get darker towards the throat."""
    z = values[CANONICAL + 2]
    out[row, column, OCCLUSION] = f32(1)
    for c in range(3):
        if material == SOCKET:
            colour = INNER_LIPS[c] * (f32(0.05) + f32(0.45) * step(f32(6), f32(10), z))
        elif material == GUMS:
            colour = GUM[c] * (f32(0.12) + f32(0.63) * step(f32(5), f32(9.8), z))
        elif material == TEETH:
            colour = look.teeth[c] * (f32(0.08) + f32(0.77) * step(f32(6), f32(10.3), z))
        else:
            colour = look.skin[c] * LID[c]
        out[row, column, ALBEDO + c] = colour
    dull = material in (SOCKET, EYE_SOCKET)
    out[row, column, SHINE] = f32(0.05) if dull else f32(0.25)
    out[row, column, GLOSS] = f32(20) if dull else f32(45)


@compiled
def surfaces(
    shown: Ints, where: Floats, triangles: Ints, corner_vertex: Ints, materials: Ints, static: Floats, moving: Floats,
    texture: Any, wrinkles: Any, strengths: Floats, look: Look, out: Floats,
) -> None:  # fmt: skip
    """What every pixel's surface is: (H, W, CHANNELS) into `out`.

    Args:
        shown, where: of `rasterise`.
        triangles, corner_vertex, materials: of the kit.
        static: (C, STATIC) fixed values of each corner.
        moving: (V, 6) place and normal of each vertex in the picture's directions.
        texture, wrinkles, strengths: of the person.
    """
    height, width = shown.shape
    values = np.zeros(STATIC, np.float32)
    for y in range(height):
        for x in range(width):
            t = shown[y, x]
            if t < 0:
                continue
            a, b, c = triangles[t, 0], triangles[t, 1], triangles[t, 2]
            w1, w2 = where[y, x, 0], where[y, x, 1]
            w0 = f32(1) - w1 - w2
            for i in range(STATIC):
                values[i] = w0 * static[a, i] + w1 * static[b, i] + w2 * static[c, i]
            p, q, r = corner_vertex[a], corner_vertex[b], corner_vertex[c]
            for i in range(3):
                out[y, x, PLACE + i] = w0 * moving[p, i] + w1 * moving[q, i] + w2 * moving[r, i]
                out[y, x, NORMAL + i] = w0 * moving[p, 3 + i] + w1 * moving[q, 3 + i] + w2 * moving[r, 3 + i]
            material = materials[a]
            out[y, x, SHINE], out[y, x, GLOSS] = look.shine, look.gloss
            out[y, x, OCCLUSION], out[y, x, HEIGHT] = values[AMBIENT], f32(0)
            if material == SKIN:
                _skin(values, texture, wrinkles, strengths, out, y, x)
                _hair(values, True, look, out, y, x)
            elif material == HEAD:
                for i in range(3):
                    out[y, x, ALBEDO + i] = look.skin[i]
                _hair(values, False, look, out, y, x)
                _neck(values, look, out, y, x)
            elif material == EYEBALL:
                _eyeball(values, look, out, y, x)
            else:
                _inside(values, material, look, out, y, x)
