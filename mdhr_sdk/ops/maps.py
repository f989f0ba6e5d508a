"""Projected maps as kernels read them: one layout for all scales, checked."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import InputError
from .views import CPU, FLOATS, View, contiguous_strides, itemsize, numpy_dtype, on_cpu, view_of

MAX_SCALES = 8


@dataclass(frozen=True)
class MapViews:
    """One view a scale, each (..., C, h, w), whose last three axes have no gaps in the same layout."""

    views: tuple[View, ...]
    channels_last: bool

    @property
    def shape(self) -> tuple[int, ...]:
        return self.views[0].shape

    @property
    def dtype(self) -> str:
        return self.views[0].dtype

    @property
    def device(self) -> int:
        return self.views[0].device


def view_maps(maps: Sequence[Any], ndim: int, meaning: str, channels_last: bool | None = None) -> MapViews:
    """Check the maps of all scales, and bring those on the CPU into one layout; a copy is made only where one must.

    Args:
        ndim: axes of a map, which
        meaning: says in words.
        channels_last: the layout that is wanted; None for the one that the maps have.

    Raises:
        InputError: shapes, dtypes or devices that are none of a map, or differ; a CUDA array with gaps.
    """
    views = [view_of(array, f"map {index}") for index, array in enumerate(maps)]
    if not 1 <= len(views) <= MAX_SCALES:
        raise InputError(f"expected the maps of 1 to {MAX_SCALES} scales; got {len(views)}")
    first = views[0]
    for index, view in enumerate(views):
        if len(view.shape) != ndim or 0 in view.shape[1:]:
            raise InputError(f"expected map {index} to be {meaning}, none of them empty; got {view}")
        if view.dtype not in FLOATS:
            raise InputError(f"expected map {index} in {', '.join(FLOATS)}; got {view}; convert it")
        if (view.shape, view.dtype, view.device) != (first.shape, first.dtype, first.device):
            raise InputError(
                f"expected all maps of one shape, dtype and device; map 0 is {first}, map {index} is {view}"
            )
    for last in (False, True) if channels_last is None else (channels_last,):
        if all(_fits(view, last) for view in views):
            return MapViews(tuple(views), last)
    if first.device != CPU:
        raise InputError(f"expected CUDA maps {meaning} of one layout, C h w without gaps; make them contiguous")
    last = _fits(first, True) if channels_last is None else channels_last
    return MapViews(tuple(view if _fits(view, last) else _gathered(view, last) for view in views), last)


def like_maps(maps: MapViews, shape: tuple[int, ...], out: Any | None, name: str, dtype: str | None = None) -> View:
    """An array for a result of this shape in the maps' layout: `out`, or a new one for maps on the CPU.

    Raises:
        InputError: `out` has another shape, dtype, device or layout, or is read-only; or it is missing for CUDA maps.
    """
    dtype = dtype or maps.dtype
    if out is None:
        if maps.device != CPU:
            raise InputError(f"expected {name}= for maps on cuda:{maps.device}: an array of shape {shape}, {dtype}")
        return view_of(empty(shape, dtype, maps.channels_last), name)
    view = view_of(out, name)
    if (view.shape, view.dtype, view.device) != (shape, dtype, maps.device) or not dense(view, maps.channels_last):
        strides = _strides(shape, itemsize(dtype), maps.channels_last)
        raise InputError(f"expected {name} as {dtype} {shape} with strides {strides}; got {view}, {view.strides}")
    if isinstance(out, np.ndarray) and not out.flags.writeable:
        raise InputError(f"expected {name} to be writeable; it is read-only")
    return view


def empty(shape: tuple[int, ...], dtype: str, channels_last: bool) -> np.ndarray:
    """A new array (..., C, h, w) in the layout that is wanted."""
    kind = numpy_dtype(dtype)
    if not channels_last:
        return np.empty(shape, kind)
    return np.moveaxis(np.empty((*shape[:-3], *shape[-2:], shape[-3]), kind), -1, -3)


def _strides(shape: tuple[int, ...], size: int, channels_last: bool) -> tuple[int, ...]:
    if not channels_last:
        return contiguous_strides(shape, size)
    strides = contiguous_strides((*shape[:-3], *shape[-2:], shape[-3]), size)
    return (*strides[:-3], strides[-1], *strides[-3:-1])


def dense(view: View, channels_last: bool) -> bool:
    """Whether a (..., C, h, w) array has no gaps in this layout; strides of axes of length 1 do not matter."""
    wanted = _strides(view.shape, itemsize(view.dtype), channels_last)
    return all(n == 1 or a == b for n, a, b in zip(view.shape, view.strides, wanted, strict=True))


def _fits(view: View, channels_last: bool) -> bool:
    return dense(dataclasses.replace(view, shape=view.shape[-3:], strides=view.strides[-3:]), channels_last)


def _gathered(view: View, channels_last: bool) -> View:
    (source,) = on_cpu([view])
    copy = empty(view.shape, view.dtype, channels_last)
    copy[...] = source
    return view_of(copy, "map")
