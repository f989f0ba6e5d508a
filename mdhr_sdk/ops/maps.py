"""Projected maps as kernels read them, checked, and room for what is made of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..errors import InputError
from .extension import FLOATS, MAX_SCALES
from .views import CPU, View, check_writeable, contiguous_strides, dense, itemsize, numpy_dtype, on_cpu, view_of


def view_maps(maps: Sequence[Any], ndim: int, meaning: str, dtypes: Sequence[str] = FLOATS) -> list[View]:
    """Check the maps of all scales. Those on the CPU whose last three axes have gaps are copied.

    Args:
        ndim: axes of a map, which
        meaning: says in words.
        dtypes: that a map may have.

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
        if view.dtype not in dtypes:
            raise InputError(f"expected map {index} in {', '.join(dtypes)}; got {view}; convert it")
        if (view.shape, view.dtype, view.device) != (first.shape, first.dtype, first.device):
            raise InputError(
                f"expected all maps of one shape, dtype and device; map 0 is {first}, map {index} is {view}"
            )
    return [view if dense(view, 3) else _gathered(view, meaning) for view in views]


def like_maps(maps: Sequence[View], out: Any | None) -> View:
    """An array for a result like one of the maps, without gaps: `out`, or a new one for maps on the CPU.

    Raises:
        InputError: `out` is not such an array, or is read-only; or it is missing for CUDA maps.
    """
    shape, dtype, device = maps[0].shape, maps[0].dtype, maps[0].device
    if out is None:
        if device != CPU:
            raise InputError(f"expected out= for maps on cuda:{device}: an array of shape {shape}, {dtype}")
        return view_of(np.empty(shape, numpy_dtype(dtype)), "out")
    view = view_of(out, "out")
    if (view.shape, view.dtype, view.device) != (shape, dtype, device) or not dense(view, len(shape)):
        strides = contiguous_strides(shape, itemsize(dtype))
        raise InputError(f"expected out as {dtype} {shape} with strides {strides}; got {view}, {view.strides}")
    check_writeable(out, "out")
    return view


def _gathered(view: View, meaning: str) -> View:
    if view.device != CPU:
        raise InputError(f"expected CUDA maps {meaning}, C h w without gaps; make them contiguous")
    (source,) = on_cpu([view])
    return view_of(np.ascontiguousarray(source), "map")._replace(dtype=view.dtype)
