"""Dynamics step by step: frames go in as they come, and out comes the frame whose window is complete.

The map of frame t brings difference t - 1, the last one in the window of frame t - k: so every step completes the
frame k before it, the first one frame 0 at t = k. After the last frame, k steps without change complete the rest with
zeros beyond the end. All frames are then exactly those of `fuse_dynamics` on the whole sequence.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from . import reference
from .dynamics import DynamicsParameters, check_counts
from .extension import FLOATS, Backend, State, call, choose, maps_of, place
from .maps import like_maps, view_maps
from .views import View, check_writeable, dense, itemsize, numpy_dtype, on_cpu, view_of


class DynamicsState:
    """Room for one sequence. The arrays are the caller's; a step writes to them.

    A state whose count is 0 starts anew with its next map, whatever its arrays hold: `state.count = 0` is all it takes
    to give it to another sequence. Steps sum the 2k differences of the ring afresh every time, so nothing drifts
    however long a sequence runs.

    Attributes:
        count: maps and steps without change that it has seen.
        previous: (L, C, h, w) float32: the last maps.
        ring: (2k, L, C, h, w) float32, float16 or bfloat16: differences after BatchNorm and ReLU, difference j in slot
            j modulo 2k. Halves are rounded once, when a difference comes in; sums are float32 all the same.
        products: (2k, L, O, h, w) float32: the same, squeezed. Beside a ring of halves they are made from the exact
            differences on the CPU, from the rounded ones on CUDA (csrc/step.cu has the bound).
    """

    def __init__(self, previous: Any, ring: Any, products: Any, count: int = 0) -> None:
        """Take arrays: NumPy's, tensors of PyTorch, or a `DeviceArray` each; for a sequence that starts by default.

        Raises:
            InputError: other shapes, dtypes or devices, gaps, or an array that cannot be written to.
        """
        self.previous, self.ring, self.products = previous, ring, products
        arrays = {"previous": previous, "ring": ring, "products": products}
        self.views = [view_of(array, name) for name, array in arrays.items()]
        before, slots, squeezed = (view.shape for view in self.views)
        if len(slots) != 5 or slots[0] % 2 or 0 in slots or slots[1:] != before:
            raise InputError(
                f"expected previous (L, C, h, w) and ring (2k, L, C, h, w), none of them empty; got {before} and "
                f"{slots}; see DynamicsState.empty"
            )
        if len(squeezed) != 5 or 0 in squeezed or (*squeezed[:2], *squeezed[3:]) != (*slots[:2], *slots[3:]):
            raise InputError(f"expected products (2k, L, O, h, w) for a ring {slots}; got {squeezed}")
        device, dtypes = self.views[1].device, [view.dtype for view in self.views]
        if (
            dtypes[::2] != ["float32", "float32"]
            or dtypes[1] not in FLOATS
            or {v.device for v in self.views} != {device}
        ):
            raise InputError(
                f"expected a state in float32, its ring in {', '.join(FLOATS)}, on one device; "
                f"got {', '.join(map(str, self.views))}"
            )
        for view, (name, array) in zip(self.views, arrays.items(), strict=True):
            if not dense(view, len(view.shape)) or view.address % itemsize(view.dtype):
                raise InputError(f"expected {name} without gaps, aligned to its elements; see DynamicsState.empty")
            check_writeable(array, name)
        self.k = slots[0] // 2
        self.memory = State(count, *(view.address for view in self.views))  # as kernels take it

    def __reduce__(self) -> tuple[Any, ...]:  # a copy has addresses of its own
        return type(self), (self.previous, self.ring, self.products, self.count)

    @property
    def count(self) -> int:
        return self.memory.count

    @count.setter
    def count(self, value: int) -> None:
        self.memory.count = value

    @property
    def kind(self) -> tuple[Any, ...]:
        """What states of one call have in common."""
        _, ring, products = self.views
        return ring.shape, products.shape, ring.dtype, ring.device

    @classmethod
    def empty(
        cls, scales: int, channels: int, positions: tuple[int, int], k: int, squeezed: int = 16, dtype: str = "float32"
    ) -> DynamicsState:
        """Memory on the CPU for a sequence of L scales, C channels and (h, w) positions.

        It takes 2k L C h w of `dtype`, the ring's, and L C h w float32: 17.7 MB at k = 5 for a ResNet-50, 9.6 MB in
        halves.

        Raises:
            InputError: a size below 1, or another dtype than float32, float16 or bfloat16.
        """
        if dtype not in FLOATS:
            raise InputError(f"expected the ring's dtype as one of {', '.join(FLOATS)}; got {dtype!r}")
        if len(positions) != 2:
            raise InputError(f"expected positions as (h, w); got {positions!r}")
        sizes = {"scales": scales, "channels": channels, "squeezed": squeezed, "k": k}
        for name, size in [*sizes.items(), *(("positions", side) for side in positions)]:
            check_counts(size, None, name)
        inner = (scales, channels, *positions)
        products = np.empty((2 * k, scales, squeezed, *positions), np.float32)
        return cls(np.empty(inner, np.float32), np.empty((2 * k, *inner), numpy_dtype(dtype)), products)


def fuse_dynamics_step(
    maps: Sequence[Any] | None,
    states: Sequence[DynamicsState],
    parameters: DynamicsParameters,
    *,
    backend: Backend = "auto",
    out: Any | None = None,
    stream: int = 0,
    threads: int | None = None,
) -> tuple[Any, NDArray[np.int64]]:
    """Bring M sequences one frame further, each from where it is.

    Args:
        maps: L arrays (M, C, h, w) float32, the projected maps of each sequence's next frame; None for a step without
            change, which ends a sequence: k of them complete its last k frames.
        states: M different ones that could be one, changed in place; their rings say k.
        parameters: as for `fuse_dynamics`.
        backend, stream, threads: as for `fuse_dynamics`.
        out: (M, C, h, w) float32; CUDA needs it.

    Returns:
        The weighted motion (M, C, h, w), float32, of the frames that are now complete, NaN where there is none yet; and
        their numbers (M,), counted from 0 in each sequence, -1 where there is none.

    Raises:
        InputError: arrays of another kind, shape, dtype or device, or states that do not fit together.
        BackendError: 'compiled', or a CUDA array, and there is no such kernel.
    """
    check_counts(1, threads)
    library = choose(backend)
    first = _check_states(states)
    views = _view_step(maps, first, len(states))
    shape = parameters.shape_for(views, 1, first.k)
    if first.views[2].shape[2] != shape.squeezed:
        raise InputError(f"expected states for {shape.squeezed} squeezed channels; got {first.views[2].shape[2]}")
    result = like_maps(views, out)
    counts = np.array([state.count for state in states], np.int64)
    if library is None:
        (target,), arrays = on_cpu([result]), on_cpu(parameters.views)
        new = None if maps is None else on_cpu(views)
        for index, state in enumerate(states):
            row = None if new is None else [level[index] for level in new]
            target[index] = reference.fuse_dynamics_step(row, arrays, state.count, on_cpu(state.views))
            state.count += int(row is not None or state.count > 0)
    else:
        own = None
        if maps is not None:
            own = ctypes.byref(maps_of([v.address for v in views], [(v.strides[0], 0) for v in views], "float32"))
        pointers = (ctypes.POINTER(State) * len(states))(*(ctypes.pointer(state.memory) for state in states))
        refs = ctypes.byref(shape), ctypes.byref(parameters.memory), own
        fused, ring = ctypes.c_void_p(result.address), FLOATS.index(first.views[1].dtype)
        where = ctypes.byref(place(views[0].device, stream, threads))
        call(library, "mdhr_fuse_step", *refs, pointers, ring, fused, where)
    return (result.owner if out is None else out), np.where(counts >= first.k, counts - first.k, -1)


def _check_states(states: Sequence[DynamicsState]) -> DynamicsState:
    """The first of them, which tells for all."""
    if not isinstance(states, Sequence) or not states or not all(isinstance(one, DynamicsState) for one in states):
        raise InputError(f"expected a sequence of one DynamicsState or more; got {states!r}")
    several = len(states) > 1
    if several and (len({one.memory.ring for one in states}) < len(states) or len({one.kind for one in states}) > 1):
        kinds = ", ".join(str(one.views[1]) for one in states)
        raise InputError(f"expected different states of one shape, dtype and device; got rings {kinds}")
    if any(one.count < 0 for one in states):
        raise InputError(f"expected counts of at least 0; got {min(one.count for one in states)}")
    return states[0]


def _view_step(maps: Sequence[Any] | None, state: DynamicsState, sequences: int) -> list[View]:
    """The step's maps; for a step without change, views of no memory."""
    previous = state.views[0]
    scales, shape = previous.shape[0], (sequences, *previous.shape[1:])
    if maps is None:
        return [View(0, shape, (0, 0, 0, 0), "float32", previous.device, None)] * scales
    views = view_maps(maps, 4, "(M, C, h, w)", ("float32",))
    if (len(views), views[0].shape, views[0].device) != (scales, shape, previous.device):
        raise InputError(
            f"expected {scales} maps of shape {shape} where the states lie; got {len(views)}, the first {views[0]}"
        )
    return views
