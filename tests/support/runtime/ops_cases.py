"""Inputs, and an independent slow answer in float64, straight from the definitions."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mdhr_sdk.ops import DynamicsParameters


def parameters(rng: np.random.Generator, scales: int, channels: int, squeezed: int = 16) -> DynamicsParameters:
    def draw(*shape: int) -> np.ndarray:
        return rng.standard_normal(shape, dtype=np.float32)

    return DynamicsParameters(
        scale=rng.uniform(0.5, 1.5, (scales, channels)).astype(np.float32),
        shift=0.3 * draw(scales, channels),
        squeeze=draw(scales, squeezed, channels) / np.float32(channels**0.5),
        squeeze_bias=0.1 * draw(scales, squeezed),
        weigh=draw(scales, scales * squeezed) / np.float32((scales * squeezed) ** 0.5),
        weigh_bias=0.1 * draw(scales),
    )


def clip_maps(rng: np.random.Generator, scales: int, shape: Sequence[int], dtype: str = "float32") -> list[np.ndarray]:
    return [rng.standard_normal(shape, dtype=np.float32).astype(dtype) for _ in range(scales)]


def slow_dynamics(maps: Sequence[np.ndarray], p: DynamicsParameters, k: int) -> np.ndarray:
    """Eq. 1 and 3 to 5, frame by frame and window by window: the fused maps, float64."""
    scales, (batch, frames, channels, height, width) = len(maps), maps[0].shape
    means = [np.zeros((batch, frames, channels, height * width)) for _ in maps]
    for level, array in enumerate(maps):
        x = array.astype(np.float64).reshape(batch, frames, channels, -1)
        for t in range(frames):
            for j in range(max(t - k, 0), min(t + k, frames - 1)):
                y = (x[:, j + 1] - x[:, j]) * p.scale[level][:, None].astype(float) + p.shift[level][:, None]
                means[level][:, t] += np.where(y < 0, 0, y) / (2 * k)
    fused = np.zeros(means[0].shape)
    for b in range(batch):
        for t in range(frames):
            squeezed = []
            for level in range(scales):
                row = p.squeeze[level].astype(float) @ means[level][b, t] + p.squeeze_bias[level][:, None]
                squeezed.append(np.where(row < 0, 0, row))
            logits = p.weigh.astype(float) @ np.concatenate(squeezed) + p.weigh_bias[:, None]
            weights = np.exp(logits - logits.max(axis=0))
            weights /= weights.sum(axis=0)
            for level in range(scales):
                fused[b, t] += weights[level] * means[level][b, t]
    return fused.reshape(maps[0].shape)
