"""The same as the kernels, to be read: NumPy, float32."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

Array = NDArray[np.float32]


def fuse_dynamics(maps: Sequence[np.ndarray], parameters: Sequence[Array], k: int, changes: bool = False) -> Array:
    """L maps (B, T, C, h, w) -> their weighted motion (B, T, C, h, w)."""
    scale, shift, *weights = parameters
    wide = [x.astype(np.float32) for x in maps]
    differences = [x[:, 1:] if changes else np.diff(x, axis=1) for x in wide]
    means = [window_mean(activate(d, scale[i], shift[i]), k) for i, d in enumerate(differences)]
    return weighted_sum(means, adaptive_weights(means, weights))


def activate(difference: Array, scale: Array, shift: Array) -> Array:
    """The folded BatchNorm of eq. 2, then ReLU: (..., C, h, w) with scale and shift (C,)."""
    return np.maximum(difference * scale[:, None, None] + shift[:, None, None], 0)


def window_mean(rows: Array, k: int) -> Array:
    """Eq. 3: (B, T - 1, ...) -> (B, T, ...), row t the sum of rows t - k ... t + k - 1 over 2k, missing ones zero."""
    padded = np.pad(rows, [(0, 0), (k, k)] + [(0, 0)] * (rows.ndim - 2))
    return sliding_window_view(padded, 2 * k, axis=1).sum(axis=-1, dtype=np.float32) / np.float32(2 * k)


def adaptive_weights(means: Sequence[Array], parameters: Sequence[Array]) -> Array:
    """Eq. 4: L means (..., C, h, w) -> (..., L, h, w), the softmax over scales of what the squeezed means say."""
    squeeze, squeeze_bias, weigh, weigh_bias = parameters
    squeezed = [_pointwise(squeeze[i], squeeze_bias[i], mean) for i, mean in enumerate(means)]
    logits = _pointwise(weigh, weigh_bias, np.maximum(np.concatenate(squeezed, axis=-3), 0))
    powers = np.exp(logits - logits.max(axis=-3, keepdims=True))
    return powers / powers.sum(axis=-3, keepdims=True)


def weighted_sum(means: Sequence[Array], weights: Array) -> Array:
    """Eq. 5: L means (..., C, h, w) and weights (..., L, h, w) -> (..., C, h, w)."""
    total = means[0] * weights[..., :1, :, :]
    for index in range(1, len(means)):
        total += means[index] * weights[..., index : index + 1, :, :]
    return total


def _pointwise(weight: Array, bias: Array, x: Array) -> Array:
    """A 1x1 convolution: weight (O, C), bias (O,), x (..., C, h, w) -> (..., O, h, w)."""
    flat = weight @ x.reshape(*x.shape[:-2], x.shape[-2] * x.shape[-1]) + bias[:, None]
    return flat.reshape(*flat.shape[:-1], *x.shape[-2:])


def fuse_dynamics_step(
    maps: Sequence[np.ndarray] | None, parameters: Sequence[Array], count: int, memory: Sequence[np.ndarray]
) -> Array:
    """One step of a state that has seen `count`: its previous, ring and products, which are written to.

    L maps (C, h, w) -> (C, h, w), NaN where no window is complete yet.
    """
    scale, shift, *weights = parameters
    previous, ring, products = memory
    slots = len(ring)
    slot = (count - 1) % slots
    cleared = slice(None) if count == 0 else slot
    ring[cleared], products[cleared] = 0, 0
    for level, new in enumerate(maps or ()):
        if count > 0:
            active = activate(new - previous[level], scale[level], shift[level])
            ring[slot, level] = active
            products[slot, level] = (weights[0][level] @ active.reshape(len(active), -1)).reshape(products.shape[2:])
        previous[level] = new
    if count < slots // 2:
        return np.full(ring.shape[2:], np.nan, np.float32)
    means = list(ring.astype(np.float32).sum(axis=0) / np.float32(slots))
    return weighted_sum(means, adaptive_weights(means, weights))
