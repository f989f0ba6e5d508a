"""From surfaces to colours: the light on every pixel. Compiled by Numba."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ..kit import HEAD, Floats, Ints
from .raster import Single, compiled, f32
from .surface import ALBEDO, GLOSS, HEIGHT, NORMAL, OCCLUSION, PLACE, SHINE

SHADOW_PX, SHADOW_CM, SHADOW_BIAS_CM = 224, 36.0, f32(0.3)
TEXELS_PER_CM, SHADOW_MIDDLE = f32(SHADOW_PX / SHADOW_CM), f32(SHADOW_PX / 2 - 0.5)
WRAP = np.array((0.35, 0.2, 0.14), np.float32)  # red light spreads farthest under the skin


class Light(NamedTuple):
    """Three directional lights and an ambient one, in linear colours and in the directions of the picture.

    Attributes:
        directions: (3, 3) unit vectors towards the lights, the key light first.
        colours: (3, 3) red, green, blue.
        sky, ground: (3,) ambient light from above and below.
        shadow: how dark the key light's cast shadow is, 0 to 1.
        eye: (3,) where the camera is.
        across, up: (3,) axes across the key light, of its shadow map.
    """

    directions: Floats
    colours: Floats
    sky: Floats
    ground: Floats
    shadow: Single
    eye: Floats
    across: Floats
    up: Floats


@compiled
def _bend(surface: Floats, y: int, x: int, right: int, below: int, same: bool, strength: Single) -> None:
    """Tilt the normal by the slope of the height, times `strength`, between this pixel and its neighbours."""
    nx, ny, nz = surface[y, x, NORMAL], surface[y, x, NORMAL + 1], surface[y, x, NORMAL + 2]
    scale = f32(1) / np.sqrt(nx * nx + ny * ny + nz * nz + f32(1e-9))
    nx, ny, nz = nx * scale, ny * scale, nz * scale
    if same:
        steep = strength * max(nz, f32(0.2))
        height = surface[y, x, HEIGHT]
        slope_x, slope_y = steep * (surface[y, right, HEIGHT] - height), steep * (height - surface[below, x, HEIGHT])
        along = nx * slope_x + ny * slope_y
        nx, ny, nz = nx - slope_x + along * nx, ny - slope_y + along * ny, nz + along * nz
        scale = f32(1) / np.sqrt(nx * nx + ny * ny + nz * nz + f32(1e-9))
        nx, ny, nz = nx * scale, ny * scale, nz * scale
    surface[y, x, NORMAL], surface[y, x, NORMAL + 1], surface[y, x, NORMAL + 2] = nx, ny, nz


@compiled
def _lit(surface: Floats, y: int, x: int, shadows: Floats, light: Light) -> Single:
    """Share of the key light that arrives, 0 to 1, softened over the nearest four texels."""
    # A little off the surface, which must not shade itself.
    px = surface[y, x, PLACE] + SHADOW_BIAS_CM * surface[y, x, NORMAL]
    py = surface[y, x, PLACE + 1] + SHADOW_BIAS_CM * surface[y, x, NORMAL + 1]
    pz = surface[y, x, PLACE + 2] + SHADOW_BIAS_CM * surface[y, x, NORMAL + 2]
    u = (px * light.across[0] + py * light.across[1] + pz * light.across[2]) * TEXELS_PER_CM + SHADOW_MIDDLE
    v = (px * light.up[0] + py * light.up[1] + pz * light.up[2]) * TEXELS_PER_CM + SHADOW_MIDDLE
    depth = -(px * light.directions[0, 0] + py * light.directions[0, 1] + pz * light.directions[0, 2]) - SHADOW_BIAS_CM
    if not (1 <= u < SHADOW_PX - 2 and 1 <= v < SHADOW_PX - 2):
        return f32(1)
    i, j = int(u), int(v)
    f, g, arrives = u - f32(i), v - f32(j), f32(0)
    if depth <= shadows[j, i]:
        arrives += (f32(1) - f) * (f32(1) - g)
    if depth <= shadows[j, i + 1]:
        arrives += f * (f32(1) - g)
    if depth <= shadows[j + 1, i]:
        arrives += (f32(1) - f) * g
    if depth <= shadows[j + 1, i + 1]:
        arrives += f * g
    return arrives


@compiled
def illuminate(
    shown: Ints, materials: Ints, triangles: Ints, surface: Floats, shadows: Floats, light: Light, relief: Single,
    out: Floats,
) -> None:  # fmt: skip
    """(H, W, 4) linear red, green, blue and coverage into `out`.

    Wrapped diffuse light, a highlight (Blinn and Phong), ambient light from sky and ground, and a faint rim.

    Args:
        shown, surface: of `rasterise` and `surfaces`.
        materials, triangles: of the kit.
        shadows: depth map of the key light.
        light: the scene's.
        relief: by how much heights bend the normals, per centimetre and pixel.
        out: changed.
    """
    height, width = shown.shape
    for y in range(height):
        for x in range(width):
            if shown[y, x] < 0:
                for c in range(4):
                    out[y, x, c] = f32(0)
                continue
            material = materials[triangles[shown[y, x], 0]]
            right, below = min(x + 1, width - 1), min(y + 1, height - 1)
            same = material <= HEAD and shown[y, right] >= 0 and shown[below, x] >= 0
            _bend(surface, y, x, right, below, same, relief)
            _shade_pixel(surface, y, x, material, shadows, light, out)


@compiled
def _shade_pixel(surface: Floats, y: int, x: int, material: int, shadows: Floats, light: Light, out: Floats) -> None:
    nx, ny, nz = surface[y, x, NORMAL], surface[y, x, NORMAL + 1], surface[y, x, NORMAL + 2]
    px, py, pz = surface[y, x, PLACE], surface[y, x, PLACE + 1], surface[y, x, PLACE + 2]
    vx, vy, vz = light.eye[0] - px, light.eye[1] - py, light.eye[2] - pz
    near = f32(1) / np.sqrt(vx * vx + vy * vy + vz * vz)
    vx, vy, vz = vx * near, vy * near, vz * near
    facing = nx * vx + ny * vy + nz * vz
    if facing < 0 and material > HEAD:
        nx, ny, nz, facing = -nx, -ny, -nz, -facing
    seen, upward, grazing = surface[y, x, OCCLUSION], f32(0.5) * ny + f32(0.5), (f32(1) - max(facing, f32(0))) ** 2
    rim = f32(0.1) * grazing * grazing if material <= HEAD else f32(0)
    for c in range(3):
        ambient = light.ground[c] * (f32(1) - upward) + light.sky[c] * upward
        out[y, x, c] = seen * (surface[y, x, ALBEDO + c] * ambient + rim * light.sky[c])
    arrives = f32(1) - light.shadow * (f32(1) - _lit(surface, y, x, shadows, light)) if light.shadow > 0 else f32(1)
    hollow = f32(0.4) + (f32(1) - f32(0.4)) * seen
    for i in range(3):
        lx, ly, lz = light.directions[i, 0], light.directions[i, 1], light.directions[i, 2]
        cosine, open_ = nx * lx + ny * ly + nz * lz, arrives if i == 0 else f32(1)
        if cosine <= -WRAP[0] or open_ == 0:  # past where even red light spreads
            continue
        hx, hy, hz = lx + vx, ly + vy, lz + vz
        half = (nx * hx + ny * hy + nz * hz) / np.sqrt(hx * hx + hy * hy + hz * hz + f32(1e-9))
        glint = f32(0)
        gloss = surface[y, x, GLOSS]
        if cosine > 0 and half > f32(0.6) and gloss * (f32(1) - half) < f32(7):  # beyond, too little to see
            glint = surface[y, x, SHINE] * half**gloss * seen * open_
        for c in range(3):
            diffuse = max((cosine + WRAP[c]) / (f32(1) + WRAP[c]), f32(0)) * hollow * open_
            out[y, x, c] += light.colours[i, c] * (surface[y, x, ALBEDO + c] * diffuse + glint)
    out[y, x, 3] = f32(1)
