"""Multi-scale facial dynamics (paper eq. 1, 3-5) after the projections: of whole clips, and step by step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import InputError
from . import reference
from .extension import MOST_THREADS, Backend, call, choose, kernel_threads
from .maps import MapViews, like_maps, view_maps
from .views import CPU, FLOATS, View, contiguous_strides, on_cpu, view_of


@dataclass(frozen=True)
class DynamicsParameters:
    """What the model has learned of this part, BatchNorms folded. L scales, C channels, O squeezed channels a scale.

    All are float32 without gaps, on the device of the maps: NumPy arrays, or anything that `DeviceArray` names.

    Attributes:
        scale: (L, C), and
        shift: (L, C): the normalised difference is difference * scale + shift.
        squeeze: (L, O, C) 1x1 convolutions of the scales' means.
        squeeze_bias: (L, O).
        weigh: (L, L * O) 1x1 convolution from all squeezed channels to one logit a scale.
        weigh_bias: (L,).
    """

    scale: Any
    shift: Any
    squeeze: Any
    squeeze_bias: Any
    weigh: Any
    weigh_bias: Any

    def views(self, maps: MapViews) -> list[View]:
        """The arrays, checked against the maps that they are for.

        Raises:
            InputError: another shape, dtype or device, or gaps.
        """
        scales, channels = len(maps.views), maps.shape[-3]
        squeeze = view_of(self.squeeze, "squeeze")
        width = squeeze.shape[1] if len(squeeze.shape) == 3 and squeeze.shape[1] > 0 else 1
        shapes = {
            "scale": (scales, channels),
            "shift": (scales, channels),
            "squeeze": (scales, width, channels),
            "squeeze_bias": (scales, width),
            "weigh": (scales, scales * width),
            "weigh_bias": (scales,),
        }
        views = []
        for name, shape in shapes.items():
            view = view_of(getattr(self, name), name)
            if view.shape != shape or view.dtype != "float32" or view.device != maps.device:
                where = "the CPU" if maps.device == CPU else f"cuda:{maps.device}"
                raise InputError(f"expected {name} as float32 {shape} on {where} for these maps; got {view}")
            if view.strides != contiguous_strides(shape, 4) or view.address % 4:
                raise InputError(
                    f"expected {name} aligned and without gaps; got strides {view.strides} at address {view.address}; "
                    "copy it"
                )
            views.append(view)
        return views


def fuse_dynamics(
    maps: Sequence[Any],
    parameters: DynamicsParameters,
    k: int,
    *,
    changes: bool = False,
    means: bool | Sequence[Any] = False,
    backend: Backend = "auto",
    out: Any | None = None,
    stream: int = 0,
    threads: int | None = None,
) -> Any:
    """From the projected maps of a clip's frames to their weighted motion: eq. 1 and 3 to 5 as released.

    Difference to the frame before, folded BatchNorm, ReLU; mean of the 2k differences around every frame (frame t takes
    t - k ... t + k - 1, those outside the clip count as zero); from the squeezed means one weight a scale and
    position by softmax; the weighted sum. Arithmetic is float32 whatever the maps' dtype; NaN and infinity pass on.

    Args:
        maps: L arrays (B, T, C, h, w) of one shape and dtype, float32, float16 or bfloat16, T >= 1. Channels first
            or last (`np.moveaxis` or torch's channels_last), with any strides of B and T; other gaps are copied.
        parameters: for these L and C.
        k: frames on each side, at least 1.
        changes: whether the maps hold, in frame t, what changed since frame t - 1, and in the first one nothing that
            counts. Halves keep small changes where they would lose them in the difference of two large values.
        means: True to get the L means too; or L arrays to write them to, which CUDA needs.
        backend: 'compiled', 'reference' or 'auto'.
        out: where to write, like a map without gaps in B and T; CUDA needs it.
        stream: for CUDA, the cudaStream_t to queue the work on; inputs must be ready in its order. 0 is the default.
        threads: CPU threads of the kernel; None for OpenMP's own choice. In a process forked from one whose kernels had
            several it is always one, since OpenMP does not outlive a fork.

    Returns:
        (B, T, C, h, w) in the maps' dtype and layout, which is `out` where that is given; with `means` the pair of
        this and the list of L means.

    Raises:
        InputError: arrays of another kind, shape, dtype or device, or k or threads below 1.
        BackendError: 'compiled', or a CUDA array, and there is no such kernel.
    """
    views = view_maps(maps, 5, "(B, T, C, h, w)")
    check_counts(k, threads)
    extension = choose(backend)
    arrays = parameters.views(views)
    result = like_maps(views, views.shape, out, "out")
    pooled = [like_maps(views, views.shape, each, "means") for each in _wanted_means(means, len(views.views))]
    if extension is None:
        values = reference.fuse_dynamics(on_cpu(views.views), on_cpu(arrays), k, changes)
        for array, value in zip(on_cpu([result, *pooled]), values, strict=False):
            array[...] = value
    elif views.shape[0] > 0:
        strides = [view.strides[1] for view in views.views]
        targets = result.address, [view.address for view in pooled]
        shared = shared_arguments(views, arrays, views.shape[1], k)
        call(extension.fuse_clip, *shared, strides, changes, *targets, *where(extension, views, stream, threads))
    fused = result.owner if out is None else out
    if means is False:
        return fused
    return fused, [view.owner for view in pooled] if means is True else list(means)


def shared_arguments(maps: MapViews, parameters: list[View], frames: int, k: int) -> tuple[Any, ...]:
    """What the kernels for clips and for steps begin with."""
    channels, height, width = maps.shape[-3:]
    squeezed = parameters[3].shape[1]
    sizes = [maps.shape[0], frames, len(maps.views), channels, height * width, squeezed, k]
    addresses, strides = [view.address for view in maps.views], [view.strides[0] for view in maps.views]
    return sizes, maps.channels_last, FLOATS.index(maps.dtype), addresses, strides, [p.address for p in parameters]


def where(extension: Any, maps: MapViews, stream: int, threads: int | None) -> tuple[int, int, int]:
    """Device, stream and threads: what all kernels end with."""
    return maps.device, stream, kernel_threads(extension, threads)


MOST = 2**28 - 1  # of any size: csrc counts them as int


def check_counts(k: int, threads: int | None, name: str = "k") -> None:
    """k (or what `name` says), and the number of threads where one is given, are integers in range, or InputError."""
    for what, value, most in ((name, k, MOST), ("threads", 1 if threads is None else threads, MOST_THREADS)):
        if not isinstance(value, int | np.integer) or isinstance(value, bool) or not 1 <= value <= most:
            raise InputError(f"expected {what} to be an integer from 1 to {most}; got {value!r}")


def _wanted_means(means: bool | Sequence[Any], scales: int) -> list[Any]:
    if isinstance(means, bool):
        return [None] * scales if means else []
    if len(means) != scales:
        raise InputError(f"expected means as True, False or {scales} arrays; got {len(means)}")
    return list(means)
