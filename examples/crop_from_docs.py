"""The part of docs/graphs.md that makes a crop of a picture and its mesh, in plain NumPy."""

from __future__ import annotations

import numpy as np

LANDMARKS = (33, 133, 362, 263, 2)
TARGETS = ((0.277, 0.2935), (0.408, 0.3025), (0.592, 0.3025), (0.723, 0.2935), (0.5, 0.525))


def similarity(mesh: np.ndarray, size: int) -> np.ndarray:
    z = mesh[list(LANDMARKS)] @ (1, 1j)
    w = size * np.array(TARGETS) @ (1, 1j)
    z0, w0 = z - z.mean(), w - w.mean()
    a = np.sum(np.conj(z0) * w0) / np.sum(np.abs(z0) ** 2)
    b = w.mean() - a * z.mean()
    return np.array([[a.real, -a.imag, b.real], [a.imag, a.real, b.imag]])


def area_table(count: int, wanted: int) -> np.ndarray:
    """(wanted, count): how much of each source pixel goes into each averaged one."""
    scale, table = count / wanted, np.zeros((wanted, count), np.float32)
    for i in range(wanted):
        begin, end = i * scale, min((i + 1) * scale, count)
        for j in range(int(begin), min(int(np.ceil(end)), count)):
            share = min(end, j + 1) - max(begin, j)
            if share > 1e-3:
                table[i, j] = share / min(scale, count - begin)
    return table


def reduce(image: np.ndarray, matrix: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    factor = int(1 / np.hypot(matrix[0, 0], matrix[1, 0]))
    if factor < 2:
        return image, matrix
    square = np.vstack([matrix, (0, 0, 1)])
    corners = np.array([(0, 0, 1), (size, 0, 1), (0, size, 1), (size, size, 1)]) @ np.linalg.inv(square)[:2].T
    limit = np.array([image.shape[1], image.shape[0]])
    low = np.clip(np.floor(corners.min(axis=0)) - 2 * factor, 0, limit - 1).astype(int)
    high = np.clip(np.ceil(corners.max(axis=0)) + 2 * factor, low + 1, limit).astype(int)
    small = np.maximum(1, np.rint((high - low) / factor)).astype(int)
    region, ratio = image[low[1] : high[1], low[0] : high[0]], (high - low) / small
    to_frame = np.array([[ratio[0], 0, low[0]], [0, ratio[1], low[1]], [0, 0, 1]])
    return averaged(region, small, ratio), matrix @ to_frame


def averaged(region: np.ndarray, small: np.ndarray, ratio: np.ndarray) -> np.ndarray:
    if (ratio % 1 == 0).all():  # whole boxes
        (x, y), (width, height) = ratio.astype(int), small
        total = region.astype(np.int64).reshape(height, y, width, x, 3).sum(axis=(1, 3))
        if x == y == 2:
            return ((total + 2) >> 2).astype(np.uint8)
        return np.rint(total.astype(np.float32) * np.float32(1 / (x * y))).astype(np.uint8)
    columns, rows = (area_table(n, int(m)) for n, m in zip(region.shape[1::-1], small, strict=True))
    narrow = np.zeros((len(region), len(columns), 3), np.float32)
    for j in range(region.shape[1]):  # float32 sums, one pixel after the other
        narrow += columns[:, j][None, :, None] * region[:, j, None].astype(np.float32)
    mean = np.zeros((len(rows), *narrow.shape[1:]), np.float32)
    for j in range(len(region)):
        mean += rows[:, j][:, None, None] * narrow[j]
    return np.rint(mean).astype(np.uint8)


def warp(image: np.ndarray, mesh: np.ndarray, size: int) -> np.ndarray:
    image, matrix = reduce(image, similarity(mesh, size), size)
    matrix[:, 2] += matrix[:, :2].sum(axis=1) / 2 - 0.5  # to centres of pixels
    (a, b, c), (d, e, f) = matrix
    inverse = np.array([[e, -b], [-d, a]]) * (1 / (a * e - b * d))
    offset = -inverse[:, 0] * c - inverse[:, 1] * f
    i = np.arange(size)
    # Positions in 1/32 of a pixel, from 1/1024, which each are rounded
    fixed = [
        (
            np.rint(inverse[axis, 0] * i * 1024)[None]
            + np.rint((inverse[axis, 1] * i + offset[axis]) * 1024)[:, None]
            + 16
        )
        for axis in (0, 1)
    ]
    x, y = (np.floor_divide(array.astype(np.int64), 32) for array in fixed)
    left, top, u, v = x >> 5, y >> 5, (x & 31)[..., None], (y & 31)[..., None]
    height, width = image.shape[:2]

    def pixel(row: np.ndarray, column: np.ndarray) -> np.ndarray:
        return image[np.clip(row, 0, height - 1), np.clip(column, 0, width - 1)].astype(np.int64)

    total = (32 - v) * ((32 - u) * pixel(top, left) + u * pixel(top, left + 1))
    total += v * ((32 - u) * pixel(top + 1, left) + u * pixel(top + 1, left + 1))
    return ((total + 512) >> 10).astype(np.uint8)


def normalise(crops: np.ndarray, mean: list[float], std: list[float]) -> np.ndarray:
    """Bytes (M, S, S, 3) in BGR -> (M, 3, S, S)."""
    rgb = np.moveaxis(crops[..., ::-1], -1, 1).astype(np.float32)
    m, s = (np.array(v)[:, None, None] for v in (mean, std))
    return rgb * (1 / (255 * s)).astype(np.float32) - (m / s).astype(np.float32)
