"""Multi-scale facial dynamics (paper eq. 1, 3-5) after the projections: of whole clips, and step by step."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np

from ..arguments import flag
from ..errors import InputError
from . import reference
from .extension import MOST_THREADS, Backend, Parameters, Shape, call, choose, maps_of, place
from .maps import like_maps, view_maps
from .views import CPU, View, dense, on_cpu, view_of


@dataclass(frozen=True)
class DynamicsParameters:
    """What the model has learned of this part, BatchNorms folded. L scales, C channels, O squeezed channels a scale.

    All are float32 without gaps, on one device: NumPy arrays, tensors of PyTorch, or a `DeviceArray` each.

    Attributes:
        scale: (L, C), and
        shift: (L, C): the normalised difference is difference * scale + shift.
        squeeze: (L, O, C) 1x1 convolutions of the scales' means.
        squeeze_bias: (L, O).
        weigh: (L, L * O) 1x1 convolution from all squeezed channels to one logit a scale.
        weigh_bias: (L,).

    Raises:
        InputError: another shape, dtype or device, or gaps.
    """

    scale: Any
    shift: Any
    squeeze: Any
    squeeze_bias: Any
    weigh: Any
    weigh_bias: Any
    views: list[View] = field(init=False, repr=False, compare=False)
    memory: Parameters = field(init=False, repr=False, compare=False)  # as kernels take them

    def __post_init__(self) -> None:
        views = {name: view_of(array, name) for name, array in self.arrays().items()}
        squeeze = views["squeeze"]
        if len(squeeze.shape) != 3 or 0 in squeeze.shape:
            raise InputError(f"expected squeeze as float32 (L, O, C), none of them 0; got {squeeze}")
        scales, width, channels = squeeze.shape
        shapes = (scales, channels), (scales, channels), squeeze.shape, (scales, width), (scales, scales * width)
        for (name, view), shape in zip(views.items(), (*shapes, (scales,)), strict=True):
            if view.shape != shape or view.dtype != "float32" or view.device != squeeze.device:
                where = "the CPU" if squeeze.device == CPU else f"cuda:{squeeze.device}"
                raise InputError(f"expected {name} as float32 {shape} on {where}, as squeeze is; got {view}")
            if not dense(view, len(shape)) or view.address % 4:
                raise InputError(
                    f"expected {name} aligned and without gaps; got strides {view.strides} at address {view.address}; "
                    "copy it"
                )
        object.__setattr__(self, "views", list(views.values()))
        object.__setattr__(self, "memory", Parameters(*(view.address for view in views.values())))

    def __reduce__(self) -> tuple[Any, ...]:  # a copy has addresses of its own
        return type(self), tuple(self.arrays().values())

    def arrays(self) -> dict[str, Any]:
        """Name -> array, in the order of the attributes above."""
        return {one.name: getattr(self, one.name) for one in fields(self) if one.init}

    def shape_for(self, maps: Sequence[View], frames: int, k: int) -> Shape:
        """The sizes of a call.

        Raises:
            InputError: the maps are not those that these parameters are for.
        """
        squeeze, (batch, *_, channels, height, width) = self.views[2], maps[0].shape
        scales, squeezed, wanted = squeeze.shape
        if (len(maps), channels, maps[0].device) != (scales, wanted, squeeze.device):
            raise InputError(
                f"expected the maps of {scales} scales with {wanted} channels, where the parameters lie ({squeeze}); "
                f"got {len(maps)} scales, the first {maps[0]}"
            )
        return Shape(batch, frames, scales, channels, height * width, squeezed, k)


def fuse_dynamics(
    maps: Sequence[Any],
    parameters: DynamicsParameters,
    k: int,
    *,
    changes: bool = False,
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
        maps: L arrays (B, T, C, h, w) of one shape and dtype, float32, float16 or bfloat16, T >= 1; strides of B and T
            are free, other gaps are copied.
        parameters: for these L and C.
        k: frames on each side, at least 1.
        changes: whether the maps hold, in frame t, what changed since frame t - 1, and in the first one nothing that
            counts. Halves keep small changes where they would lose them in the difference of two large values.
        backend: 'compiled', 'reference' or 'auto'.
        out: where to write, like a map without gaps; CUDA needs it.
        stream: for CUDA, the cudaStream_t to queue the work on; inputs must be ready in its order. 0 is the default.
        threads: CPU threads of the kernel; None for OpenMP's own choice. In a process forked from one whose kernels had
            several it is always one, since OpenMP does not outlive a fork.

    Returns:
        (B, T, C, h, w) in the maps' dtype, which is `out` where that is given.

    Raises:
        InputError: arrays of another kind, shape, dtype or device, or k or threads below 1.
        ConfigError: `changes` is neither True nor False.
        BackendError: 'compiled', or a CUDA array, and there is no such kernel.
    """
    views = view_maps(maps, 5, "(B, T, C, h, w)")
    check_counts(k, threads)
    flag("changes", changes)
    library = choose(backend)
    shape = parameters.shape_for(views, views[0].shape[1], k)
    result = like_maps(views, out)
    if library is None:
        (target,) = on_cpu([result])
        target[...] = reference.fuse_dynamics(on_cpu(views), on_cpu(parameters.views), k, changes)
    elif shape.batch > 0:
        own = maps_of([v.address for v in views], [v.strides[:2] for v in views], views[0].dtype, changes)
        refs = map(ctypes.byref, (shape, parameters.memory, own))
        fused = ctypes.c_void_p(result.address)
        call(library, "mdhr_fuse_clip", *refs, fused, ctypes.byref(place(views[0].device, stream, threads)))
    return result.owner if out is None else out


MOST = 2**28 - 1  # of any size: the kernels count them as int


def check_counts(k: int, threads: int | None, name: str = "k") -> None:
    """k (or what `name` says), and the number of threads where one is given, are integers in range, or InputError."""
    for what, value, most in ((name, k, MOST), ("threads", 1 if threads is None else threads, MOST_THREADS)):
        if not isinstance(value, int | np.integer) or isinstance(value, bool) or not 1 <= value <= most:
            raise InputError(f"expected {what} to be an integer from 1 to {most}; got {value!r}")
