"""Dynamics step by step: frames go in as they come, and out comes the frame whose window is complete.

The map of frame t brings difference t - 1, the last one in the window of frame t - k: so every step completes the
frame k before it, the first one frame 0 at t = k. After the last frame, k steps without change complete the rest with
zeros beyond the end. All frames are then exactly those of `fuse_dynamics` on the whole sequence.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from . import reference
from .arrays import View, on_cpu, view_of
from .dynamics import DynamicsParameters, check_counts, shared_arguments, where
from .extension import Backend, call, choose
from .maps import MapViews, dense, empty, like_maps, view_maps


@dataclass(frozen=True)
class DynamicsState:
    """Room for N sequences, each at a position of its own. The arrays are the caller's; a step writes to them.

    A row whose count is 0 starts anew with its next map, whatever its other arrays hold: `state.counts[row] = 0` is all
    it takes to give a row to another sequence. Steps sum the 2k differences of the ring afresh every time, so nothing
    drifts however long a sequence runs.

    Attributes:
        counts: (N,) int64 on the CPU: maps and steps without change that a row has seen.
        previous: (N, L, C, h, w) float32: the last maps.
        ring: (N, 2k, L, C, h, w) float32: differences after BatchNorm and ReLU, difference j in slot j modulo 2k.
        products: (N, 2k, L, O, h, w) float32: the same, squeezed; channels first always.
    """

    counts: NDArray[np.int64]
    previous: Any
    ring: Any
    products: Any

    @classmethod
    def empty(
        cls,
        states: int,
        scales: int,
        channels: int,
        positions: tuple[int, int],
        k: int,
        squeezed: int = 16,
        channels_last: bool = False,
    ) -> DynamicsState:
        """Memory on the CPU for N = `states` sequences of L scales, C channels and (h, w) positions.

        A state takes (2k + 1) L C h w float32: 17.7 MB at k = 5 for a ResNet-50.

        Raises:
            InputError: a size below 1.
        """
        for name, size in (("states", states), ("scales", scales), ("channels", channels), ("squeezed", squeezed)):
            check_counts(size, None, name)
        check_counts(k, None)
        inner = (scales, channels, *positions)
        previous = empty((states, *inner), "float32", channels_last)
        ring = empty((states, 2 * k, *inner), "float32", channels_last)
        products = np.empty((states, 2 * k, scales, squeezed, *positions), np.float32)
        return cls(np.zeros(states, np.int64), previous, ring, products)


def fuse_dynamics_step(
    maps: Sequence[Any] | None,
    state: DynamicsState,
    parameters: DynamicsParameters,
    *,
    rows: Sequence[int] | NDArray[np.int64] | None = None,
    backend: Backend = "auto",
    out: Any | None = None,
    stream: int = 0,
    threads: int | None = None,
) -> tuple[Any, NDArray[np.int64]]:
    """Bring M sequences one frame further, each from where it is.

    Args:
        maps: L arrays (M, C, h, w), the projected maps of each sequence's next frame, float32, float16 or bfloat16, in
            the layout of the state (others are copied); None for a step without change, which ends a sequence: k of
            them complete its last k frames.
        state: changed in place; its ring says k.
        parameters: as for `fuse_dynamics`.
        rows: the M rows of the state that these sequences have, none of them twice; None for all of them.
        backend, stream, threads: as for `fuse_dynamics`.
        out: (M, C, h, w) float32 in the state's layout; CUDA needs it.

    Returns:
        The weighted motion (M, C, h, w), float32, of the frames that are now complete, NaN where there is none yet; and
        their numbers (M,), counted from 0 in each sequence, -1 where there is none.

    Raises:
        InputError: arrays of another kind, shape, dtype or device, or rows that are none of the state's.
        BackendError: 'compiled', or a CUDA array, and there is no such kernel.
    """
    check_counts(1, threads)
    extension = choose(backend)
    places, channels_last = _check_state(state)
    k = places[1].shape[1] // 2
    chosen = _check_rows(rows, len(state.counts))
    views = _view_step(maps, places[0], len(chosen), channels_last)
    arrays = parameters.views(views)
    if places[2].shape[3] != arrays[3].shape[1]:
        raise InputError(f"expected a state for {arrays[3].shape[1]} squeezed channels; got {places[2].shape[3]}")
    frames = np.where(state.counts[chosen] >= k, state.counts[chosen] - k, -1)
    result = like_maps(views, views.shape, out, "out", "float32")
    if extension is None:
        new = None if maps is None else on_cpu(views.views)
        (target,) = on_cpu([result])
        target[...] = reference.fuse_dynamics_step(new, on_cpu(arrays), chosen, [state.counts, *on_cpu(places)])
    elif len(chosen) > 0:
        shared = shared_arguments(views, arrays, 1, k)
        pointers = [chosen.ctypes.data, state.counts.ctypes.data, *(place.address for place in places)]
        call(extension.fuse_step, *shared, pointers, result.address, *where(extension, views, stream, threads))
    return (result.owner if out is None else out), frames


def _check_state(state: DynamicsState) -> tuple[list[View], bool]:
    """previous, ring and products, whose shapes belong together; and whether channels are last."""
    previous, ring, products = (view_of(getattr(state, name), name) for name in ("previous", "ring", "products"))
    counts = state.counts
    if not isinstance(counts, np.ndarray) or counts.dtype != np.int64 or not counts.flags.c_contiguous:
        raise InputError(f"expected counts as an int64 NumPy array (N,) without gaps; got {type(counts).__name__}")
    shape = ring.shape
    if len(shape) != 6 or shape[1] % 2 or 0 in shape or (*counts.shape, *shape[2:]) != previous.shape:
        raise InputError(
            f"expected counts (N,), previous (N, L, C, h, w) and ring (N, 2k, L, C, h, w), none of them empty; "
            f"got {counts.shape}, {previous.shape} and {shape}; see DynamicsState.empty"
        )
    if (counts < 0).any():
        raise InputError(f"expected counts of at least 0; got {counts.min()}")
    arrays = (counts, state.previous, state.ring, state.products)
    if any(isinstance(array, np.ndarray) and not array.flags.writeable for array in arrays):
        raise InputError("expected a state that can be written to; an array of it is read-only")
    if len(products.shape) != 6 or (*products.shape[:3], *products.shape[4:]) != (*shape[:3], *shape[4:]):
        raise InputError(f"expected products (N, 2k, L, O, h, w) for a ring {shape}; got {products.shape}")
    if {(view.dtype, view.device) for view in (previous, ring, products)} != {("float32", ring.device)}:
        raise InputError(f"expected a state in float32, on one device; got {previous}, {ring} and {products}")
    for last in (False, True):
        if dense(previous, last) and dense(ring, last) and dense(products, False):
            return [previous, ring, products], last
    raise InputError("expected a state without gaps, previous and ring of one layout; see DynamicsState.empty")


def _check_rows(rows: Sequence[int] | NDArray[np.int64] | None, states: int) -> NDArray[np.int64]:
    if rows is None:
        return np.arange(states, dtype=np.int64)
    chosen = np.asarray(rows)
    integers = chosen.ndim == 1 and (chosen.size == 0 or np.issubdtype(chosen.dtype, np.integer))
    if not integers or len(set(chosen.tolist())) < chosen.size or any(not 0 <= row < states for row in chosen.tolist()):
        raise InputError(f"expected rows as different integers from 0 to {states - 1}; got {rows!r}")
    return np.ascontiguousarray(chosen, np.int64)


def _view_step(maps: Sequence[Any] | None, previous: View, sequences: int, channels_last: bool) -> MapViews:
    """The step's maps in the state's layout; for a step without change, views of no memory."""
    scales, shape = previous.shape[1], (sequences, *previous.shape[2:])
    if maps is None:
        return MapViews((View(0, shape, (0, 0, 0, 0), "float32", previous.device, None),) * scales, channels_last)
    views = view_maps(maps, 4, "(M, C, h, w)", channels_last)
    if (len(views.views), views.shape, views.device) != (scales, shape, previous.device):
        raise InputError(
            f"expected {scales} maps of shape {shape} where the state lies; "
            f"got {len(views.views)}, the first {views.views[0]}"
        )
    return views
