"""From visible triangles to colours: what each pixel's surface is made of, then the light on it. Compiled by Numba."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from .kit import (
    EAR_BEGINS_CM,
    EAR_TOP_CM,
    EYE_SOCKET,
    EYEBALL,
    GUMS,
    HEAD,
    SKIN,
    SOCKET,
    TEETH,
    Floats,
    Ints,
)
from .kit import behind_hairline as plain_behind_hairline
from .raster import FAR, compiled

behind_hairline = compiled(plain_behind_hairline)

UV, CANONICAL, AMBIENT, FROM_EYE, STATIC = 0, 2, 5, 6, 9  # columns of a corner's fixed values
ALBEDO, NORMAL, PLACE, HEIGHT, SHINE, GLOSS, OCCLUSION, CHANNELS = 0, 3, 6, 9, 10, 11, 12, 13
INNER_LIPS = (0.42, 0.16, 0.15)  # linear red, green, blue
SHADOW_PX, SHADOW_CM, SHADOW_BIAS_CM = 224, 36.0, 0.3


class Look(NamedTuple):
    """A person's constants, linear colours; see `Person`."""

    hair_shift: float
    hair_ragged: float
    hair_lowest: float
    bald: bool
    skin: Floats
    hair: Floats
    iris: Floats
    iris_radius: float
    teeth: Floats
    cloth: Floats
    shine: float
    gloss: float
    relief: float


class Light(NamedTuple):
    """A scene's lights, in the directions of the picture; see `Lights`."""

    directions: Floats
    colours: Floats
    sky: Floats
    ground: Floats
    shadow: float
    eye: Floats
    across: Floats
    up: Floats


@compiled
def step(low: float, high: float, x: float) -> float:
    t = min(max((x - low) / (high - low), 0.0), 1.0)
    return t * t * (3 - 2 * t)


@compiled
def _hash(x: int, y: int, z: int) -> float:
    n = (x * 73856093) ^ (y * 19349663) ^ (z * 83492791)
    n = ((n ^ (n >> 13)) * 1274126177) & 0x7FFFFFFF
    return (n & 0xFFFF) / 65535.0


@compiled
def value_noise(x: float, y: float, z: float) -> float:
    """Smooth noise in [0, 1] with features of length 1."""
    i, j, k = int(np.floor(x)), int(np.floor(y)), int(np.floor(z))
    f, g, h = x - i, y - j, z - k
    f, g, h = f * f * (3 - 2 * f), g * g * (3 - 2 * g), h * h * (3 - 2 * h)
    total = 0.0
    for a in range(2):
        for b in range(2):
            for c in range(2):
                share = (f if a else 1 - f) * (g if b else 1 - g) * (h if c else 1 - h)
                total += share * _hash(i + a, j + b, k + c)
    return total


@compiled
def _sample(image: Any, u: float, v: float, channel: int) -> float:
    """Bilinear, in [0, 1], of a (S, S, n) uint8 texture."""
    size = image.shape[0]
    x, y = min(max(u * size - 0.5, 0.0), size - 1.001), min(max(v * size - 0.5, 0.0), size - 1.001)
    i, j = int(x), int(y)
    f, g = x - i, y - j
    top = image[j, i, channel] * (1 - f) + image[j, i + 1, channel] * f
    bottom = image[j + 1, i, channel] * (1 - f) + image[j + 1, i + 1, channel] * f
    return (top * (1 - g) + bottom * g) / 255.0


@compiled
def _skin(values: Floats, texture: Any, wrinkles: Any, strengths: Floats, out: Floats) -> None:
    u, v = values[UV], values[UV + 1]
    left, fold = min(max(0.5 + values[CANONICAL], 0.0), 1.0), 0.0  # the halves meet within a centimetre
    for channel in range(strengths.shape[1]):
        strength = left * strengths[0, channel] + (1 - left) * strengths[1, channel]
        if strength > 0.01:
            fold += strength * _sample(wrinkles, u, v, channel)
    dark = 1 - 0.42 * min(max(fold, 0.0), 1.0)
    for c in range(3):
        colour = _sample(texture, u, v, c)
        out[ALBEDO + c] = colour * colour * dark * (1.0 if c == 0 else 1 - 0.12 * min(fold, 1.0))
    out[HEIGHT] = 0.15 * _sample(texture, u, v, 3) - 0.9 * fold


@compiled
def _hair(values: Floats, on_face: bool, look: Look, out: Floats) -> None:
    """Hair over the surface that `out` holds, where it grows."""
    x, y, z = values[CANONICAL], values[CANONICAL + 1], values[CANONICAL + 2]
    behind = behind_hairline(y, z, look.hair_shift)
    if look.bald or behind < -0.5 * look.hair_ragged - 0.3 or y < look.hair_lowest - 0.6:
        return
    behind += (value_noise(6 * x, 1.5 * y, 1.5 * z) - 0.5) * look.hair_ragged
    ear = step(EAR_BEGINS_CM, EAR_BEGINS_CM + 0.6, abs(x)) if on_face and y < EAR_TOP_CM else 0.0
    cover = step(-0.25, 0.35, behind) * step(look.hair_lowest - 0.5, look.hair_lowest + 0.5, y) * (1 - ear)
    strand = 0.6 * value_noise(9 * x, 2.5 * y, 3 * z) + 0.5 * value_noise(22 * x, 5 * y, 6 * z)
    for c in range(3):
        out[ALBEDO + c] += cover * (look.hair[c] * (0.45 + strand) - out[ALBEDO + c])
    out[SHINE] += cover * (0.1 * strand - out[SHINE])
    out[HEIGHT] += cover * (0.3 * strand - out[HEIGHT])


@compiled
def _neck(values: Floats, look: Look, out: Floats) -> None:
    x, y, z = values[CANONICAL], values[CANONICAL + 1], values[CANONICAL + 2]
    cloth = 1 - step(-14.2, -13.9, y + 0.03 * x * x - 0.25 * (z - 3))
    for c in range(3):
        dyed = look.cloth[c] * (0.8 + 0.3 * value_noise(5 * x, 5 * y, 5 * z))
        out[ALBEDO + c] += cloth * (dyed - out[ALBEDO + c])
    out[SHINE] *= 1 - cloth


@compiled
def _eyeball(values: Floats, look: Look, out: Floats) -> None:
    x, y, front = values[FROM_EYE], values[FROM_EYE + 1], values[FROM_EYE + 2] >= 0
    radius, size = np.sqrt(x * x + y * y), look.iris_radius
    fibres = 0.55 + 0.9 * value_noise(9 * np.arctan2(y, x), 6 * radius, 1.0)
    rim = 1 - 0.55 * step(0.75 * size, size, radius)
    pupil = step(0.42 * size - 0.03, 0.42 * size + 0.03, radius)
    white = step(size - 0.04, size + 0.05, radius) if front else 1.0
    corner = 0.6 * step(1.0, 1.7, abs(x))
    for c in range(3):
        iris = 0.006 + pupil * (look.iris[c] * fibres * rim - 0.006)
        sclera = (0.62, 0.58, 0.56)[c] * (1 - corner) + (0.6, 0.3, 0.26)[c] * corner
        out[ALBEDO + c] = iris + white * (sclera - iris)
    out[SHINE], out[GLOSS] = 0.9, 180.0
    out[OCCLUSION] = 1 - 0.55 * step(0.05, 0.75, y)  # the upper lid's shade


@compiled
def _inside(values: Floats, material: int, look: Look, out: Floats) -> None:
    """Mouth, gums and teeth get darker towards the throat."""
    z = values[CANONICAL + 2]
    out[OCCLUSION] = 1.0
    for c in range(3):
        if material == SOCKET:
            out[ALBEDO + c] = INNER_LIPS[c] * (0.05 + 0.45 * step(6.0, 10.0, z))
        elif material == GUMS:
            out[ALBEDO + c] = (0.55, 0.2, 0.2)[c] * (0.12 + 0.63 * step(5.0, 9.8, z))
        elif material == TEETH:
            out[ALBEDO + c] = look.teeth[c] * (0.08 + 0.77 * step(6.0, 10.3, z))
        else:
            out[ALBEDO + c] = look.skin[c] * (0.75, 0.5, 0.45)[c]
    out[SHINE], out[GLOSS] = (0.05, 20.0) if material in (SOCKET, EYE_SOCKET) else (0.25, 45.0)


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
    values, at = np.zeros(STATIC, np.float32), np.zeros(6, np.float32)
    for y in range(height):
        for x in range(width):
            t = shown[y, x]
            if t < 0:
                continue
            a, b, c = triangles[t, 0], triangles[t, 1], triangles[t, 2]
            w1, w2 = where[y, x, 0], where[y, x, 1]
            w0 = 1 - w1 - w2
            for i in range(STATIC):
                values[i] = w0 * static[a, i] + w1 * static[b, i] + w2 * static[c, i]
            p, q, r = corner_vertex[a], corner_vertex[b], corner_vertex[c]
            for i in range(6):
                at[i] = w0 * moving[p, i] + w1 * moving[q, i] + w2 * moving[r, i]
            own, material = out[y, x], materials[a]
            own[SHINE], own[GLOSS], own[OCCLUSION], own[HEIGHT] = look.shine, look.gloss, values[AMBIENT], 0.0
            if material in (SKIN, HEAD):
                if material == SKIN:
                    _skin(values, texture, wrinkles, strengths, own)
                else:
                    own[ALBEDO : ALBEDO + 3] = look.skin
                _hair(values, material == SKIN, look, own)
                if material == HEAD:
                    _neck(values, look, own)
            elif material == EYEBALL:
                _eyeball(values, look, own)
            else:
                _inside(values, material, look, own)
            for i in range(3):
                own[PLACE + i], own[NORMAL + i] = at[i], at[3 + i]


@compiled
def _bend(own: Floats, right: Floats, below: Floats, same: bool, strength: float, pixel_cm: float) -> None:
    """Tilt the normal by the slope of the height between this pixel and its neighbours."""
    nx, ny, nz = own[NORMAL], own[NORMAL + 1], own[NORMAL + 2]
    length = np.sqrt(nx * nx + ny * ny + nz * nz) + 1e-9
    nx, ny, nz = nx / length, ny / length, nz / length
    if same:
        slope_x = strength * (right[HEIGHT] - own[HEIGHT]) / pixel_cm * max(nz, 0.2)
        slope_y = strength * (own[HEIGHT] - below[HEIGHT]) / pixel_cm * max(nz, 0.2)
        along = nx * slope_x + ny * slope_y
        nx, ny, nz = nx - slope_x + along * nx, ny - slope_y + along * ny, nz + along * nz
        length = np.sqrt(nx * nx + ny * ny + nz * nz) + 1e-9
        nx, ny, nz = nx / length, ny / length, nz / length
    own[NORMAL], own[NORMAL + 1], own[NORMAL + 2] = nx, ny, nz


@compiled
def _lit(own: Floats, shadows: Floats, light: Light) -> float:
    """Share of the key light that arrives, 0 to 1, softened over the nearest four texels."""
    px = own[PLACE] + SHADOW_BIAS_CM * own[NORMAL]  # a little off the surface, which must not shade itself
    py = own[PLACE + 1] + SHADOW_BIAS_CM * own[NORMAL + 1]
    pz = own[PLACE + 2] + SHADOW_BIAS_CM * own[NORMAL + 2]
    u = (px * light.across[0] + py * light.across[1] + pz * light.across[2]) / SHADOW_CM + 0.5
    v = (px * light.up[0] + py * light.up[1] + pz * light.up[2]) / SHADOW_CM + 0.5
    key = light.directions[0]
    depth = -(px * key[0] + py * key[1] + pz * key[2]) - SHADOW_BIAS_CM
    x, y = u * SHADOW_PX - 0.5, v * SHADOW_PX - 0.5
    if not (1 <= x < SHADOW_PX - 2 and 1 <= y < SHADOW_PX - 2):
        return 1.0
    i, j = int(x), int(y)
    f, g, arrives = x - i, y - j, 0.0
    for dy in range(2):
        for dx in range(2):
            share = (f if dx else 1 - f) * (g if dy else 1 - g)
            arrives += share * (0.0 if depth > shadows[j + dy, i + dx] else 1.0)
    return arrives


@compiled
def illuminate(
    shown: Ints, materials: Ints, triangles: Ints, surface: Floats, shadows: Floats, light: Light, relief: float,
    pixel_cm: float, out: Floats,
) -> None:  # fmt: skip
    """(H, W, 4) linear red, green, blue and coverage into `out`.

    Wrapped diffuse light, a highlight (Blinn and Phong), ambient light from sky and ground, and a faint rim.
    """
    height, width = shown.shape
    for y in range(height):
        for x in range(width):
            out[y, x] = 0
            if shown[y, x] < 0:
                continue
            own, material = surface[y, x], materials[triangles[shown[y, x], 0]]
            right, below = min(x + 1, width - 1), min(y + 1, height - 1)
            same = material <= HEAD and shown[y, right] >= 0 and shown[below, x] >= 0
            _bend(own, surface[y, right], surface[below, x], same, relief, pixel_cm)
            _shade_pixel(own, material, shadows, light, out[y, x])


@compiled
def _shade_pixel(own: Floats, material: int, shadows: Floats, light: Light, out: Floats) -> None:
    nx, ny, nz = own[NORMAL], own[NORMAL + 1], own[NORMAL + 2]
    vx, vy, vz = (light.eye[0] - own[PLACE], light.eye[1] - own[PLACE + 1], light.eye[2] - own[PLACE + 2])
    far = np.sqrt(vx * vx + vy * vy + vz * vz)
    vx, vy, vz = vx / far, vy / far, vz / far
    facing = nx * vx + ny * vy + nz * vz
    if facing < 0 and material > HEAD:
        nx, ny, nz, facing = -nx, -ny, -nz, -facing
    seen, upward, grazing = own[OCCLUSION], 0.5 * ny + 0.5, (1 - max(facing, 0.0)) ** 2
    rim = 0.1 * grazing * grazing if material <= HEAD else 0.0
    for c in range(3):
        ambient = light.ground[c] * (1 - upward) + light.sky[c] * upward
        out[c] = seen * (own[ALBEDO + c] * ambient + rim * light.sky[c])
    arrives = 1 - light.shadow * (1 - _lit(own, shadows, light)) if light.shadow > 0 else 1.0
    for i in range(3):
        lx, ly, lz = light.directions[i, 0], light.directions[i, 1], light.directions[i, 2]
        cosine, open_ = nx * lx + ny * ly + nz * lz, arrives if i == 0 else 1.0
        hx, hy, hz = lx + vx, ly + vy, lz + vz
        half = (nx * hx + ny * hy + nz * hz) / np.sqrt(hx * hx + hy * hy + hz * hz + 1e-9)
        glint = 0.0
        if cosine > 0 and half > 0.6:  # below, too little to see
            glint = own[SHINE] * half ** own[GLOSS] * seen * open_
        for c in range(3):
            wrap = (0.35, 0.2, 0.14)[c]  # red light spreads farthest under the skin
            diffuse = max((cosine + wrap) / (1 + wrap), 0.0) * (0.4 + 0.6 * seen) * open_
            out[c] += light.colours[i, c] * (own[ALBEDO + c] * diffuse + glint)
    out[3] = 1.0


def empty_shadows() -> Floats:
    """(SHADOW_PX, SHADOW_PX) with nothing in it."""
    return np.full((SHADOW_PX, SHADOW_PX), FAR, np.float32)
