"""Dynamics step by step: frames go in as they come, and out comes the frame whose window is complete.

The map of frame t brings difference t - 1, the last one in the window of frame t - k: so every step completes the
frame k before it, the first one frame 0 at t = k. After the last frame, k steps without change complete the rest with
zeros beyond the end. All frames are then exactly those of `fuse_dynamics` on the whole sequence.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from . import reference
from .dynamics import DynamicsParameters, check_counts, shared_arguments, where
from .extension import Backend, call, choose
from .maps import MapViews, dense, empty, like_maps, view_maps
from .views import FLOATS, View, itemsize, on_cpu, view_of


@dataclass(frozen=True)
class DynamicsState:
    """Room for N sequences, each at a position of its own. The arrays are the caller's; a step writes to them.

    A row whose count is 0 starts anew with its next map, whatever its other arrays hold: `state.counts[row] = 0` is all
    it takes to give a row to another sequence. Steps sum the 2k differences of the ring afresh every time, so nothing
    drifts however long a sequence runs.

    Attributes:
        counts: (N,) int64 on the CPU: maps and steps without change that a row has seen.
        previous: (N, L, C, h, w) float32: the last maps.
        ring: (N, 2k, L, C, h, w) float32, float16 or bfloat16: differences after BatchNorm and ReLU, difference j in
            slot j modulo 2k. Halves are rounded once, when a difference comes in; sums are float32 all the same.
        products: (N, 2k, L, O, h, w) float32: the same, squeezed; channels first always. Beside a ring of halves they
            are made from the exact differences on the CPU, from the rounded ones on CUDA (csrc/step.cu has the bound).
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
        dtype: str = "float32",
    ) -> DynamicsState:
        """Memory on the CPU for N = `states` sequences of L scales, C channels and (h, w) positions.

        A state takes 2k L C h w of `dtype`, the ring's, and L C h w float32: 17.7 MB at k = 5 for a ResNet-50, 9.6 MB
        in halves.

        Raises:
            InputError: a size below 1, or another dtype than float32, float16 or bfloat16.
        """
        if dtype not in FLOATS:
            raise InputError(f"expected the ring's dtype as one of {', '.join(FLOATS)}; got {dtype!r}")
        for name, size in (("states", states), ("scales", scales), ("channels", channels), ("squeezed", squeezed)):
            check_counts(size, None, name)
        check_counts(k, None)
        if len(positions) != 2:
            raise InputError(f"expected positions as (h, w); got {positions!r}")
        for side in positions:
            check_counts(side, None, "positions")
        inner = (scales, channels, *positions)
        previous = empty((states, *inner), "float32", channels_last)
        ring = empty((states, 2 * k, *inner), dtype, channels_last)
        products = np.empty((states, 2 * k, scales, squeezed, *positions), np.float32)
        return cls(np.zeros(states, np.int64), previous, ring, products)


def fuse_dynamics_step(
    maps: Sequence[Any] | None,
    state: DynamicsState | Sequence[DynamicsState],
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
        state: changed in place; its ring says k. Or several different ones that could be one: their rows, in order.
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
    states = _check_states([state] if isinstance(state, DynamicsState) else state)
    kind = states[0]
    chosen = _check_rows(rows, [len(one.counts) for one in states])
    views = _view_step(maps, kind.previous, len(chosen), kind.channels_last)
    arrays = parameters.views(views)
    if kind.products.shape[3] != arrays[3].shape[1]:
        raise InputError(f"expected a state for {arrays[3].shape[1]} squeezed channels; got {kind.products.shape[3]}")
    counts = np.array([states[one].counts[row] for one, row in chosen], np.int64)
    result = like_maps(views, views.shape, out, "out", "float32")
    if extension is None:
        (target,) = on_cpu([result])
        new = None if maps is None else on_cpu(views.views)
        for index, (one, row) in enumerate(chosen):
            own = None if new is None else [level[index] for level in new]
            memory = [states[one].counts, *on_cpu(states[one].arrays)]
            target[index] = reference.fuse_dynamics_step(
                own, on_cpu(arrays), [array[row : row + 1] for array in memory]
            )
    elif chosen:
        pointers = [address for one, row in chosen for address in states[one].addresses(row)]
        ring = FLOATS.index(kind.ring.dtype)
        shared = shared_arguments(views, arrays, 1, kind.k)
        call(extension.fuse_step, *shared, pointers, ring, result.address, *where(extension, views, stream, threads))
    return (result.owner if out is None else out), np.where(counts >= kind.k, counts - kind.k, -1)


@dataclass(frozen=True)
class _Places:
    """Where a state lies, checked: counts on the CPU, the others in one layout."""

    counts: NDArray[np.int64]
    previous: View
    ring: View
    products: View
    channels_last: bool

    @property
    def arrays(self) -> tuple[View, View, View]:
        return self.previous, self.ring, self.products

    @property
    def k(self) -> int:
        return self.ring.shape[1] // 2

    @property
    def kind(self) -> tuple[Any, ...]:
        """What states of one call have in common."""
        return (*(array.shape[1:] for array in self.arrays), self.ring.dtype, self.ring.device, self.channels_last)

    def addresses(self, row: int) -> tuple[int, ...]:
        return (
            self.counts.ctypes.data + row * self.counts.itemsize,
            *(view.address + row * (prod(view.shape[1:]) * itemsize(view.dtype)) for view in self.arrays),
        )


def _check_states(states: Sequence[DynamicsState]) -> list[_Places]:
    if not states or not all(isinstance(one, DynamicsState) for one in states):
        raise InputError(f"expected a DynamicsState or several; got {states!r}")
    found = [_check_state(one) for one in states]
    if len({one.ring.address for one in found}) < len(found) or len({one.kind for one in found}) > 1:
        kinds = ", ".join(str(one.ring) for one in found)
        raise InputError(f"expected different states of one shape, dtype, layout and device; got rings {kinds}")
    return found


def _check_state(state: DynamicsState) -> _Places:
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
    if any(view.address % itemsize(view.dtype) for view in (previous, ring, products)) or counts.ctypes.data % 8:
        raise InputError("expected a state whose arrays are aligned to their elements; see DynamicsState.empty")
    if (counts < 0).any():
        raise InputError(f"expected counts of at least 0; got {counts.min()}")
    arrays = (counts, state.previous, state.ring, state.products)
    if any(isinstance(array, np.ndarray) and not array.flags.writeable for array in arrays):
        raise InputError("expected a state that can be written to; an array of it is read-only")
    if len(products.shape) != 6 or (*products.shape[:3], *products.shape[4:]) != (*shape[:3], *shape[4:]):
        raise InputError(f"expected products (N, 2k, L, O, h, w) for a ring {shape}; got {products.shape}")
    if ring.dtype not in FLOATS or {(view.dtype, view.device) for view in (previous, products)} != {
        ("float32", ring.device)
    }:
        raise InputError(
            f"expected a state in float32, its ring in {', '.join(FLOATS)}, on one device; "
            f"got {previous}, {ring} and {products}"
        )
    for last in (False, True):
        if dense(previous, last) and dense(ring, last) and dense(products, False):
            return _Places(counts, previous, ring, products, last)
    raise InputError("expected a state without gaps, previous and ring of one layout; see DynamicsState.empty")


def _check_rows(rows: Sequence[int] | NDArray[np.int64] | None, sizes: Sequence[int]) -> list[tuple[int, int]]:
    """(state, row in it) of each sequence of a call."""
    there = [(one, row) for one, size in enumerate(sizes) for row in range(size)]
    if rows is None:
        return there
    chosen, states = np.asarray(rows), len(there)
    integers = chosen.ndim == 1 and (chosen.size == 0 or np.issubdtype(chosen.dtype, np.integer))
    if not integers or len(set(chosen.tolist())) < chosen.size or any(not 0 <= row < states for row in chosen.tolist()):
        raise InputError(f"expected rows as different integers from 0 to {states - 1}; got {rows!r}")
    return [there[row] for row in chosen.tolist()]


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
