"""Where a clip is seen: camera, lights, background, and what the sensor and the codec do to the picture."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from ..kit import Floats
from ..paint import blurred, clipped, noise, powered
from .raster import f32
from .shading import Light

FACE_HEIGHT_CM = 19.0
GRAIN_SHIFTS = 64  # pixels by which the noise of two frames may be shifted, down and across
PIVOT = np.array((0, 1.5, 4.0), np.float32)  # about which the head turns, and at which the camera looks


@dataclass(frozen=True, eq=False)
class Camera:
    """A pinhole that looks along -z at the head.

    Attributes:
        distance_cm: from the pivot.
        focal: focal length in heights of the picture, times two.
        shift: (2,) where the pivot lies, in heights of the picture from its middle, right and up.
        height_cm: what the picture spans at the pivot.
    """

    distance_cm: float
    focal: float
    shift: tuple[float, float]
    height_cm: float


@dataclass(frozen=True)
class Sensor:
    """What happens after the light: see `expose`."""

    gamma: float
    balance: tuple[float, float, float]
    saturation: float
    blur_px: float
    width_px: int
    noise: float
    jpeg: int


@dataclass(frozen=True, eq=False)
class Scene:
    """One clip's surroundings."""

    camera: Camera
    lights: Light
    background: Floats
    sensor: Sensor

    @classmethod
    def draw(cls, rng: np.random.Generator, size: int) -> Scene:
        """Any camera and light: frontal, from the side, dark, warm, cold."""
        angle, fill = np.deg2rad(rng.uniform(12, 36)), rng.uniform(0.6, 0.92)
        focal, height = 1 / np.tan(angle / 2), FACE_HEIGHT_CM / fill
        shift = rng.normal(0, 0.03, 2)
        camera = Camera(height / 2 * focal, focal, (shift[0], shift[1]), height)
        return cls(camera, _lights(rng, camera), _background(rng, size), _sensor(rng, size))


def _direction(azimuth: float, elevation: float) -> tuple[float, float, float]:
    across = np.cos(elevation)
    return across * np.sin(azimuth), np.sin(elevation), across * np.cos(azimuth)


def _lights(rng: np.random.Generator, camera: Camera) -> Light:
    side, dark = rng.random() < 0.2, rng.random() < 0.15
    key_from = rng.choice((-1, 1)) * rng.uniform(1.0, 1.7) if side else rng.uniform(-1.0, 1.0)
    directions = [
        _direction(key_from, rng.uniform(0, 1.0)),
        _direction(rng.uniform(-2.4, 2.4), rng.uniform(-0.2, 0.8)),
        _direction(rng.choice((-1, 1)) * rng.uniform(1.6, 2.6), rng.uniform(-0.1, 0.6)),
    ]
    warmth = 1 + rng.normal(0, 0.08, 3) * (1, 0.4, 1)
    colours = np.stack(
        [
            rng.uniform(0.35, 0.95) * warmth,
            rng.uniform(0, 0.15 if side else 0.45) * (1 + rng.normal(0, 0.1, 3)),
            rng.uniform(0, 0.6) * (1 + rng.normal(0, 0.15, 3)),
        ]
    )
    ambient = rng.uniform(0.05, 0.2) if side else rng.uniform(0.12, 0.45)
    dim = rng.uniform(0.15, 0.45) if dark else 1.0
    sky = dim * ambient * (1 + rng.normal(0, 0.08, 3))
    ground = dim * ambient * rng.uniform(0.35, 0.8) * (1 + rng.normal(0, 0.08, 3))
    shadow = rng.uniform(0.4, 1.0) if rng.random() < 0.7 else 0.0
    colours, sky, ground = (np.clip(a, 0, None).astype(np.float32) for a in (dim * colours, sky, ground))
    towards = np.array(directions, np.float32)
    key = towards[0].astype(np.float64)
    across = np.cross((0.0, 1.0, 0.0) if abs(key[1]) < 0.9 else (1.0, 0.0, 0.0), key)
    across /= np.linalg.norm(across)
    eye = np.array((-camera.shift[0] * camera.height_cm, -camera.shift[1] * camera.height_cm, camera.distance_cm))
    axes = (axis.astype(np.float32) for axis in (eye, across, np.cross(key, across)))
    return Light(towards, colours, sky, ground, f32(shadow), *axes)


def _background(rng: np.random.Generator, size: int) -> Floats:
    """(size, size, 3) in [0, 1]: a gradient, clouds of colour, some boxes, out of focus."""
    first, second = rng.uniform(0.05, 0.95, (2, 3))
    if rng.random() < 0.5:  # rooms are less colourful than that
        first, second = (0.75 * c.mean() + 0.25 * c for c in (first, second))
    turn = rng.uniform(0, 2 * np.pi)
    axis = (np.arange(size) / size - 0.5).astype(np.float32)
    ramp = (np.cos(turn) * axis[None, :] + np.sin(turn) * axis[:, None] + 0.5)[..., None]
    clouds = noise(rng, size, size / 3, 0.08) + noise(rng, size, size / 8, 0.05) + noise(rng, size, 5, 0.02)
    picture = first * (1 - ramp) + second * ramp
    picture = picture + clouds[..., None] * rng.uniform(0.2, 1.6) * (1 + rng.normal(0, 0.3, 3))
    picture = np.ascontiguousarray(picture, np.float32)
    for _ in range(rng.integers(0, 5)):
        a, b = rng.integers(-20, size + 20, (2, 2)).tolist()
        grey = rng.uniform(0, 1) * np.ones(3) if rng.random() < 0.6 else rng.uniform(0, 1, 3)
        cv2.rectangle(picture, a, b, grey.tolist(), -1 if rng.random() < 0.6 else int(rng.integers(2, 12)))
    return np.clip(blurred(picture, rng.uniform(1, 9)), 0, 1)


def _sensor(rng: np.random.Generator, size: int) -> Sensor:
    poor = rng.random() < 0.35
    return Sensor(
        gamma=float(np.exp(rng.uniform(-0.35, 0.35))),
        balance=tuple((1 + rng.uniform(-0.12, 0.12, 3)).tolist()),
        saturation=0.0 if rng.random() < 0.08 else rng.uniform(0.45, 1.15),
        blur_px=rng.uniform(0, 1.2) if poor else rng.uniform(0, 0.4),
        width_px=int(size * (rng.uniform(0.35, 0.8) if poor else 1)),
        noise=abs(rng.normal(0, 0.035 if poor else 0.012)),
        jpeg=int(rng.integers(30, 75) if poor else rng.integers(75, 97)),
    )


class Grain:
    """Sensor noise of a clip's frames: random parts of one large sheet, since new noise is slow to draw."""

    def __init__(self, rng: np.random.Generator, size: int) -> None:
        self._rng, self._size = rng, size
        side = size + GRAIN_SHIFTS
        self._sheet = rng.standard_normal((side, side, 3), dtype=np.float32)

    def next(self) -> Floats:
        """(S, S, 3) normal noise."""
        row, column = self._rng.integers(0, GRAIN_SHIFTS + 1, 2)
        return self._sheet[row : row + self._size, column : column + self._size]


def expose(picture: Floats, sensor: Sensor, drift_px: tuple[float, float], grain: Floats) -> NDArray[np.uint8]:
    """What the camera makes of a picture: (S, S, 3) uint8 BGR.

    Args:
        picture: (S, S, 3) red, green, blue in [0, 1], display-referred.
        drift_px: how far the face moves while the shutter is open, right and down.
        grain: (S, S, 3) normal noise.
    """
    size = len(picture)
    if np.hypot(*drift_px) > 1:
        picture = _smear(picture, drift_px)
    if sensor.blur_px > 0.2:
        picture = blurred(picture, sensor.blur_px)
    if sensor.width_px < size:
        small = cv2.resize(picture, (sensor.width_px, sensor.width_px), interpolation=cv2.INTER_AREA)
        picture = np.asarray(cv2.resize(small, (size, size), interpolation=cv2.INTER_LINEAR), np.float32)
    picture = np.asarray(cv2.transform(powered(clipped(picture), sensor.gamma), _colours(sensor)), np.float32)
    image = (clipped(picture + grain * np.float32(sensor.noise)) * 255 + np.float32(0.5)).astype(np.uint8)
    coded = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, sensor.jpeg])[1]
    return np.asarray(cv2.imdecode(coded, cv2.IMREAD_COLOR), np.uint8)


def _colours(sensor: Sensor) -> Floats:
    """(3, 3) from red, green, blue to the sensor's blue, green, red: first its balance, then its saturation."""
    grey = np.tile(np.array((0.299, 0.587, 0.114)), (3, 1))
    saturated = sensor.saturation * np.eye(3) + (1 - sensor.saturation) * grey
    return (saturated * sensor.balance)[::-1].astype(np.float32)


def _smear(picture: Floats, drift_px: tuple[float, float]) -> Floats:
    side = 2 * int(np.ceil(max(map(abs, drift_px)) / 2)) + 1
    kernel, centre = np.zeros((side, side), np.float32), side // 2
    end = (round(centre + drift_px[0] / 2), round(centre + drift_px[1] / 2))
    cv2.line(kernel, (2 * centre - end[0], 2 * centre - end[1]), end, (1.0,), 1)
    return np.asarray(cv2.filter2D(picture, -1, kernel / kernel.sum()), np.float32)
