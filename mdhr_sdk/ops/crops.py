"""Aligned crops straight from a frame to the encoder's input, all faces in one call."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import InputError
from . import reference_crops
from .dynamics import check_counts
from .extension import Backend, call, choose, kernel_threads
from .views import CPU, FLOATS, View, contiguous_strides, itemsize, numpy_dtype, on_cpu, view_of

MOST_PX = 2**14 - 1
MAX_TAPS = 64


def warp_crops(
    image_bgr: Any,
    matrices: ArrayLike,
    size_px: int,
    mean: Sequence[float],
    std: Sequence[float],
    *,
    channels_last: bool = False,
    dtype: Literal["float32", "float16", "bfloat16"] = "float32",
    backend: Backend = "auto",
    out: Any | None = None,
    stream: int = 0,
    threads: int | None = None,
) -> Any:
    """Cut faces out of a frame and normalise them: affine warp, (x / 255 - mean) / std, RGB.

    Bilinear in floating point; beyond the frame's edge its border is repeated. Where a crop shrinks the frame n times
    or more, n >= 2 whole, every pixel is the mean of n x n samples, so that fine texture does not alias.

    Args:
        image_bgr: (H, W, 3) uint8 BGR.
        matrices: (M, 2, 3) from frame to crop, in pixels counted from the upper left corner: what
            `mdhr_sdk.vision.crop_matrix` gives. M may be 0.
        size_px: S, side of the crops in pixels.
        mean: of the red, green and blue channel, on the scale 0 to 1.
        std: likewise, above 0.
        channels_last: (M, S, S, 3) instead of (M, 3, S, S).
        dtype: of the result.
        backend, out, stream, threads: as for `fuse_dynamics`; `out` has the result's shape and no gaps.

    Returns:
        (M, 3, S, S) or (M, S, S, 3) of `dtype`, which is `out` where that is given.

    Raises:
        InputError: an image, matrices, size, mean or std of another kind, or a matrix that shrinks to a line.
        BackendError: 'compiled', or a CUDA image, and there is no such kernel.
    """
    extension = choose(backend)
    image = _view_image(image_bgr)
    to_image, taps = _to_image(matrices)
    gain, offset = _normalisation(mean, std)
    check_counts(size_px, threads, "size_px")
    if size_px > MOST_PX:
        raise InputError(f"expected size_px of at most {MOST_PX}; got {size_px}")
    if dtype not in FLOATS:
        raise InputError(f"unknown dtype {dtype!r}; expected one of {', '.join(FLOATS)}")
    shape = (len(taps), size_px, size_px, 3) if channels_last else (len(taps), 3, size_px, size_px)
    result = _result(image, shape, dtype, out)
    if extension is None:
        (array,) = on_cpu([result])
        (pixels,) = on_cpu([image])
        crops = reference_crops.warp_crops(pixels, to_image, taps, size_px) * gain + offset
        array[...] = crops if channels_last else np.moveaxis(crops, -1, 1)
    elif len(taps) > 0:
        where = [image.address, image.strides[0], *image.shape[:2]]
        numbers = [float(x) for x in gain], [float(x) for x in offset]
        target = (channels_last, FLOATS.index(dtype), result.address, image.device, stream)
        pointers = to_image.ctypes.data, taps.ctypes.data
        call(
            extension.warp, where, *pointers, len(taps), size_px, *numbers, *target, kernel_threads(extension, threads)
        )
    return result.owner if out is None else out


def _view_image(image_bgr: Any) -> View:
    """The image, at least two pixels wide and without gaps inside its rows."""
    view = view_of(image_bgr, "image")
    if len(view.shape) != 3 or view.shape[2] != 3 or 0 in view.shape or view.dtype != "uint8":
        raise InputError(f"expected an image (H, W, 3) uint8 BGR; got {view}")
    if max(view.shape) >= 2**20 or abs(view.strides[0]) * view.shape[0] + 3 * view.shape[1] >= 2**31:
        raise InputError(f"expected an image of less than 2 GiB and 2**20 pixels a side; got {view}")
    if view.shape[1] > 1 and view.strides[1:] == (3, 1):
        return view
    if view.device != CPU:
        raise InputError(f"expected a CUDA image at least two pixels wide, without gaps in its rows; got {view}")
    (array,) = on_cpu([view])
    return view_of(np.ascontiguousarray(array if view.shape[1] > 1 else array.repeat(2, axis=1)), "image")


def _to_image(matrices: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.int32]]:
    """From centres of crop pixels to centres of frame pixels; and the samples along each side of a crop pixel."""
    given = np.asarray(matrices, np.float64)
    if given.ndim != 3 or given.shape[1:] != (2, 3):
        raise InputError(f"expected matrices (M, 2, 3) from frame to crop; got shape {given.shape}")
    if not np.isfinite(given).all() or np.abs(given, where=True).max(initial=0) > 1e9:
        raise InputError("expected finite matrices of pixels; got NaN, infinity or values above 1e9; skip this face")
    scale = np.hypot(given[:, 0, 0], given[:, 1, 0])
    linear = given[:, :, :2]
    if (scale * MAX_TAPS < 1).any() or (
        np.abs(np.linalg.det(linear)) < 1e-6 * np.abs(linear).max(axis=(1, 2)) ** 2
    ).any():
        raise InputError(
            f"expected matrices that can be inverted and shrink less than {MAX_TAPS} times; skip this face"
        )
    inverse = np.linalg.inv(linear)
    corner = -inverse @ given[:, :, 2:]
    centre = corner + inverse.sum(axis=2, keepdims=True) / 2 - 0.5
    return np.ascontiguousarray(np.concatenate([inverse, centre], axis=2)), np.maximum(1, 1 / scale).astype(np.int32)


def _normalisation(mean: Sequence[float], std: Sequence[float]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Factor and summand of each channel for bytes."""
    if len(mean) != 3 or len(std) != 3 or not (np.isfinite(mean).all() and all(0 < s < np.inf for s in std)):
        raise InputError(f"expected three means and three stds above 0, in RGB order; got mean {mean} and std {std}")
    return 1 / (255 * np.array(std, np.float64)), -np.array(mean, np.float64) / np.array(std, np.float64)


def _result(image: View, shape: tuple[int, ...], dtype: str, out: Any | None) -> View:
    if out is None:
        if image.device != CPU:
            raise InputError(f"expected out= for an image on cuda:{image.device}: an array of shape {shape}, {dtype}")
        return view_of(np.empty(shape, numpy_dtype(dtype)), "out")
    view = view_of(out, "out")
    fits = view.shape == shape and view.strides == contiguous_strides(shape, itemsize(dtype))
    if not fits or (view.dtype, view.device) != (dtype, image.device):
        raise InputError(f"expected out as {dtype} {shape} without gaps; got {view} with strides {view.strides}")
    if isinstance(out, np.ndarray) and not out.flags.writeable:
        raise InputError("expected out to be writeable; it is read-only")
    return view
