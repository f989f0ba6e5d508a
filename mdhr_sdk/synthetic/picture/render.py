"""One picture of one person: the mesh is shaped and turned, drawn, lit, and put before the background."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from ..face.brows import inner_brows, with_low_brows
from ..face.person import Person, lip_gaps_cm
from ..face.wrinkles import wrinkle_strengths
from ..kit import FaceKit, Floats
from ..paint import blurred, clipped, noise, powered
from .raster import FAR, blend_shapes, f32, rasterise, rasterise_depth, vertex_normals
from .scene import PIVOT, Camera, Scene
from .shading import SHADOW_CM, SHADOW_PX, Light, illuminate
from .surface import CHANNELS, STATIC, Look, surfaces

SUPERSAMPLING = 1.25


@dataclass(frozen=True, eq=False)
class View:
    """Where everything lies in the picture.

    Attributes:
        vertices: (V, 3) the shaped face, in its own directions, centimetres.
        placed: (V, 3) turned, about the pivot.
        points: (V, 3) pixels (x right, y down) and depth.
    """

    vertices: Floats
    placed: Floats
    points: Floats


class Renderer:
    """Draws faces of one kit in pictures of `size` x `size`. It keeps buffers, so use it in one thread at a time."""

    def __init__(self, kit: FaceKit, size: int = 256) -> None:
        self.kit, self.size, self.side = kit, size, int(size * SUPERSAMPLING)
        corners = kit.corner_vertex
        self._static = np.concatenate(
            [kit.corner_uv, kit.neutral[corners], kit.ambient[corners, None],
             kit.neutral[corners] - kit.eye_centres[corners]], axis=1,
        ).astype(np.float32)  # fmt: skip
        assert self._static.shape[1] == STATIC
        self._vertex_triangles = kit.corner_vertex[kit.triangles]
        side = self.side
        self._depth = np.empty((side, side), np.float32)
        self._shown = np.empty((side, side), np.int32)
        self._where = np.empty((side, side, 2), np.float32)
        self._surface = np.empty((side, side, CHANNELS), np.float32)
        self._lit = np.empty((side, side, 4), np.float32)
        self._normals = np.empty_like(kit.neutral)
        self._expressions = with_low_brows(kit)
        self._inner_brows = inner_brows(kit)

    def view(self, person: Person, camera: Camera, weights: Floats, pose_rad: Floats) -> View:
        """Shape the face by (E,) weights of its shapes, and turn it by (3,) yaw, pitch and roll."""
        vertices = np.empty_like(self.kit.neutral)
        blend_shapes(person.vertices, self._expressions, weights, vertices)
        turn = rotation(*pose_rad)
        placed = (vertices + person.hair_offset - PIVOT) @ turn.T
        return View(vertices, placed, project(placed, camera, self.side))

    def picture(self, person: Person, scene: Scene, view: View, halves: Floats, pose_rad: Floats) -> Floats:
        """(S, S, 3) red, green, blue in [0, 1], display-referred, before the sensor.

        Args:
            halves: (2, 15) intensities of the AUs in the left and the right half, which fold the skin.
            pose_rad: as given to `view`.
        """
        kit = self.kit
        self._draw(view, 0, kit.lashes_from, clear=True)
        vertex_normals(view.vertices, self._vertex_triangles, self._normals)
        moving = np.concatenate([view.placed, self._normals @ rotation(*pose_rad).T], axis=1)
        strengths = wrinkle_strengths(halves, person.wrinkle_gain, person.wrinkles_at_rest)
        light, look, triangles = scene.lights, look_of(person), kit.triangles
        surfaces(
            self._shown, self._where, triangles, kit.corner_vertex, kit.corner_material, self._static, moving,
            person.texture, person.wrinkles, strengths, look, self._surface,
        )  # fmt: skip
        relief = f32(person.relief * self.side / scene.camera.height_cm)
        illuminate(
            self._shown, kit.corner_material, triangles, self._surface, self._shadows(view, light), light, relief,
            self._lit,
        )  # fmt: skip
        self._lashes(person, view)
        lit = cv2.resize(self._lit, (self.size, self.size), interpolation=cv2.INTER_AREA)
        alpha = clipped(np.asarray(cv2.merge([lit[..., 3]] * 3), np.float32))
        face = powered(clipped(np.ascontiguousarray(lit[..., :3]) / np.maximum(alpha, np.float32(1e-3))), 1 / 2.2)
        behind = behind_head(person, scene, pose_rad, self.size)
        return behind + alpha * (face - behind)

    def landmarks(self, view: View) -> Floats:
        """(68, 2) the usual landmarks in pixels of the picture."""
        return view.points[self.kit.landmarks, :2] / np.float32(self.side / self.size)

    def lip_gap_cm(self, view: View) -> float:
        """Mean vertical gap between the lips; 0 where they are pressed past each other."""
        return float(np.maximum(lip_gaps_cm(view.vertices[self.kit.landmarks]), 0).mean())

    def brow_cm(self, view: View) -> float:
        """Height of the inner ends of the brows in the face, where most people's grow."""
        return float(view.vertices[self._inner_brows, 1].mean())

    def _draw(self, view: View, first: int, last: int, clear: bool) -> None:
        if clear:
            self._depth[:] = FAR
        self._shown[:] = -1
        points = view.points[self.kit.corner_vertex]
        rasterise(points, self.kit.triangles, first, last, not clear, self._depth, self._shown, self._where)

    def _shadows(self, view: View, light: Light) -> Floats:
        shadows = np.full((SHADOW_PX, SHADOW_PX), FAR, np.float32)
        if light.shadow > 0:
            axes = np.stack([light.across, light.up, -light.directions[0]])
            points = view.placed @ axes.T
            points[:, :2] = (points[:, :2] / SHADOW_CM + 0.5) * SHADOW_PX
            rasterise_depth(points, self._vertex_triangles, self.kit.lashes_from, shadows)
        return shadows

    def _lashes(self, person: Person, view: View) -> None:
        """Thin dark hair over what is drawn; the upper lid's is denser."""
        self._draw(view, self.kit.lashes_from, len(self.kit.triangles), clear=False)
        rows, columns = np.nonzero(self._shown >= 0)
        corner = self.kit.triangles[self._shown[rows, columns], 0]
        height = self.kit.neutral[self.kit.corner_vertex[corner], 1]
        upper = np.clip((height - 3.25) / 0.35, 0, 1)[:, None]
        alpha = (1 - upper) * person.lashes[0] + upper * person.lashes[1]
        dark = 0.12 * person.colours.hair**2 + 0.004
        self._lit[rows, columns, :3] += alpha * (dark - self._lit[rows, columns, :3])


def rotation(yaw: float, pitch: float, roll: float) -> Floats:
    """(3, 3) turn of the head: first yaw, then pitch, then roll, in radians."""
    (cy, cp, cr), (sy, sp, sr) = np.cos((yaw, pitch, roll)), np.sin((yaw, pitch, roll))
    about_y = np.array([(cy, 0, sy), (0, 1, 0), (-sy, 0, cy)])
    about_x = np.array([(1, 0, 0), (0, cp, -sp), (0, sp, cp)])
    about_z = np.array([(cr, -sr, 0), (sr, cr, 0), (0, 0, 1)])
    return (about_z @ about_x @ about_y).astype(np.float32)


def project(placed: Floats, camera: Camera, side: int) -> Floats:
    """(n, 3) pixels of a square picture of `side`, and depth, of points about the pivot."""
    depth = camera.distance_cm - placed[:, 2]
    x = 0.5 + 0.5 * camera.focal * placed[:, 0] / depth + camera.shift[0]
    y = 0.5 - 0.5 * camera.focal * placed[:, 1] / depth - camera.shift[1]
    return np.stack([x * side, y * side, depth], axis=1).astype(np.float32)


def look_of(person: Person) -> Look:
    """A person's constants for shading, colours made linear."""
    hair = person.hair
    return Look(
        f32(hair.shift_cm), f32(hair.ragged_cm), f32(hair.lowest_cm), bool(hair.bald), person.colours.skin**2,
        person.colours.hair**2, person.colours.iris**2, f32(person.iris_radius_cm), person.teeth**2,
        person.cloth**2, f32(person.gloss[0]), f32(person.gloss[1]),
    )  # fmt: skip


def behind_head(person: Person, scene: Scene, pose_rad: Floats, size: int) -> NDArray[np.float32]:
    """The background, with long hair before it."""
    if not person.hair.long or person.hair.bald:
        return scene.background
    middle = project(np.zeros((1, 3), np.float32), scene.camera, size)[0, :2]
    x, y, px = int(middle[0]), int(middle[1]), size / scene.camera.height_cm
    mask = np.zeros((size, size), np.float32)
    cv2.ellipse(mask, (x, y), (int(9.2 * px), int(13 * px)), -float(np.rad2deg(pose_rad[2])), 0, 360, (1.0,), -1)
    cv2.rectangle(mask, (x - int(8.8 * px), y), (x + int(8.8 * px), y + int(14 * px)), (1.0,), -1)
    mask = blurred(mask, 2)[..., None]
    light = float(scene.lights.sky.mean() + 0.4 * scene.lights.colours.mean())
    colour = np.sqrt(np.clip(person.colours.hair**2 * light, 0, 1)) * _strands(person.seed, size)
    return scene.background * (1 - mask) + mask * np.clip(colour, 0, 1).astype(np.float32)


@lru_cache(maxsize=1)
def _strands(seed: int, size: int) -> Floats:
    """(S, S, 1) about 1: how bright a person's long hair is, the same in every frame."""
    return 1 + noise(np.random.default_rng(seed), size, 6, 0.25)[..., None]
