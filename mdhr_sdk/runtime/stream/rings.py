"""What a stream keeps of one face, and which frames' features it needs to relate next.

The scores of frame s are made from the nodes of frames s - r ... s + r (temporal convolution, r = 2), and those each
from the differences k frames to either side. Frames outside the window that ends at the newest frame t count as zero,
as beyond the edges of a clip. Two ways to the same numbers:

- `SettledRing`, for lookaheads L with k + r <= L <= T - 1 - (k + r): everything that frame t - L needs lies inside the
  window, so that a frame's nodes never change and are computed once, when its last difference has come.
- `WindowRing`, for every other L: the window's edge cuts into what the frame needs and moves on with every frame, so
  the up to 2 r + 1 nodes around frame t - L are computed anew from the maps that are kept.
"""

from __future__ import annotations

import copy
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol, cast

import numpy as np
from numpy.typing import NDArray

from ...modelfolder.config import FolderConfig
from ...ops import DeviceArray, DynamicsParameters, DynamicsState, fuse_dynamics, fuse_dynamics_step
from ...ops.extension import FLOATS
from ...ops.views import itemsize, numpy_dtype

RING_DTYPES = FLOATS
Array = NDArray[np.float32]
Map = Array | DeviceArray


class Rows(NamedTuple):
    """Frames to relate: static tokens (R, P, W), and fused motion (R, C, h, w) or None without MFD."""

    static: Array
    motion: Array | None


class Window(NamedTuple):
    """Frame number in the stream, and the nodes (2 r + 1, N, W) that its scores are made from."""

    frame: int
    nodes: Array


class Dynamics(Protocol):
    """The motion path of settled rings (eq. 2-5): what a ring keeps of it, and the kernel that goes one frame on.

    Attributes:
        on_device: whether maps may stay on a CUDA device.
    """

    on_device: bool

    def state_of(self, ring: object) -> DynamicsState:
        """Memory for a ring, for as long as that lives."""
        ...

    def step(self, maps: Sequence[Map] | None, states: Sequence[DynamicsState]) -> tuple[Array, NDArray[np.int64]]:
        """As `mdhr_sdk.ops.fuse_dynamics_step` of all states, the motion on the host."""
        ...


class HostDynamics:
    """`Dynamics` on the CPU."""

    on_device = False

    def __init__(
        self,
        config: FolderConfig,
        parameters: DynamicsParameters,
        k: int,
        dtype: str = "float32",
        threads: int | None = None,
    ) -> None:
        self._config, self._parameters, self._k, self._dtype, self._threads = config, parameters, k, dtype, threads

    def state_of(self, ring: object) -> DynamicsState:
        return empty_state(self._config, self._parameters, self._k, self._dtype)

    def step(self, maps: Sequence[Map] | None, states: Sequence[DynamicsState]) -> tuple[Array, NDArray[np.int64]]:
        return fuse_dynamics_step(maps, states, self._parameters, threads=self._threads)


def empty_state(config: FolderConfig, parameters: DynamicsParameters, k: int, dtype: str) -> DynamicsState:
    """A ring's memory on the host; what nobody writes to takes none."""
    side = config.model.input_size_px // 32
    scales, squeezed, channels = parameters.squeeze.shape
    return DynamicsState.empty(scales, channels, (side, side), k, squeezed, dtype)


@dataclass(frozen=True)
class RingSettings:
    """What all rings of a stream share.

    Attributes:
        lookahead: L.
        clip_length: T.
        k: frames on each side whose differences are averaged; 0 without MFD.
        reach: r.
        parameters: of the motion path; None without MFD.
        dtype: how maps' differences are kept, one of `RING_DTYPES`; 'float32' is exact.
        threads: of the kernels.
        dynamics: of settled rings; None without MFD, and where rings are not settled.
    """

    lookahead: int
    clip_length: int
    k: int
    reach: int
    parameters: DynamicsParameters | None
    dtype: str = "float32"
    threads: int | None = None
    dynamics: Dynamics | None = None

    @property
    def settled(self) -> bool:
        """Whether the window's edges never reach what a frame needs."""
        return self.k + self.reach <= self.lookahead <= self.clip_length - 1 - self.k - self.reach

    @property
    def kept_frames(self) -> int:
        """Frames of which maps are needed to score frame t - L."""
        return min(self.clip_length, self.lookahead + self.reach + self.k + 1)

    def ring(self) -> Ring:
        return SettledRing(self) if self.settled else WindowRing(self)

    def push(self, rings: Sequence[Ring], static: Array, maps: Sequence[Map]) -> list[Rows]:
        """Give each of M rings its next frame: static (M, P, W), maps (M, C, h, w) a scale."""
        if self.settled:
            return _push_settled(self, cast(Sequence[SettledRing], rings), static, maps)
        own, here = cast(Sequence[WindowRing], rings), cast(Sequence[Array], maps)
        return [ring.push(static[i], [level[i] for level in here]) for i, ring in enumerate(own)]

    def finish(self, rings: Sequence[Ring]) -> list[Rows]:
        """No frames follow for these rings."""
        if self.settled:
            return _finish_settled(self, cast(Sequence[SettledRing], rings))
        return [ring.finish() for ring in cast(Sequence[WindowRing], rings)]

    def ring_bytes(self, config: FolderConfig) -> int:
        """Memory of one face, which does not grow."""
        model, side = config.model, config.model.input_size_px // 32
        scales, positions = len(model.scales) if model.mfd else 0, side * side
        one_map, kept = scales * (model.projection_width or 0) * positions, itemsize(self.dtype)
        before = 4 * one_map if self.settled or self.dtype != "float32" else 0
        static, nodes = positions * model.au_width, len(model.label_set.aus) * model.au_width
        if self.settled:
            squeezed = 2 * self.k * scales * model.weight_width * positions
            exact = squeezed + (self.k + 1) * static + (2 * self.reach + 1) * nodes
            return before + kept * 2 * self.k * one_map + 4 * exact
        return before + 2 * self.kept_frames * (kept * one_map + 4 * static)


class SettledRing:
    """Every frame's nodes once. Sums over the ring are taken afresh at each step, so that nothing drifts."""

    def __init__(self, settings: RingSettings) -> None:
        self._settings = settings
        self.state: DynamicsState | None = None
        self.statics: deque[Array] = deque(maxlen=settings.k + 1)  # the last frames'
        self._nodes: Array | None = None  # (2 r + 1, N, W): the last frames', the newest last
        self._related = 0  # frames whose nodes are known
        self.ended = False

    def branch(self) -> SettledRing:
        """A copy that can be finished while this one goes on."""
        twin = copy.copy(self)
        twin.state = copy.deepcopy(self.state)
        twin._nodes = None if self._nodes is None else self._nodes.copy()
        return twin

    def windows(self, nodes: Array) -> Iterator[Window]:
        """The frames that can now be scored, in order, with the nodes of the rows that were given last."""
        for one in nodes:
            yield from self._window(one)
        if self.ended and self._nodes is not None:
            for _ in range(self._settings.reach):
                yield from self._window(np.zeros_like(self._nodes[-1]))

    def _window(self, nodes: Array) -> Iterator[Window]:
        if self._nodes is None:
            self._nodes = np.zeros((2 * self._settings.reach + 1, *nodes.shape), np.float32)
        self._nodes[:-1] = self._nodes[1:]
        self._nodes[-1] = nodes
        self._related += 1
        frame = self._related - 1 - self._settings.reach
        if frame >= 0:
            yield Window(frame, self._nodes.copy())


def _push_settled(
    settings: RingSettings, rings: Sequence[SettledRing], static: Array, maps: Sequence[Map]
) -> list[Rows]:
    for ring, row in zip(rings, static, strict=True):
        ring.statics.append(row.copy())  # not the batch
    if settings.dynamics is None:
        return [Rows(row[None], None) for row in static]
    for ring in rings:
        ring.state = ring.state or settings.dynamics.state_of(ring)
    motion, frames = _step(settings.dynamics, rings, maps)
    ends = np.arange(len(rings)) + (frames >= 0)
    return [
        Rows(ring.statics[0][None][: end - i], motion[i:end])
        for i, (ring, end) in enumerate(zip(rings, ends, strict=True))
    ]


def _finish_settled(settings: RingSettings, rings: Sequence[SettledRing]) -> list[Rows]:
    for ring in rings:
        ring.ended = True
    if settings.dynamics is None:
        return [Rows(ring.statics[-1][None][:0], None) for ring in rings]
    # zeros beyond the end complete the last k frames
    steps = [_step(settings.dynamics, rings, None) for _ in range(settings.k)]
    found = []
    for i, ring in enumerate(rings):
        motion = np.concatenate([motion[i : i + 1][frames[i : i + 1] >= 0] for motion, frames in steps])
        found.append(Rows(np.stack(ring.statics)[len(ring.statics) - len(motion) :], motion))
    return found


def _step(
    dynamics: Dynamics, rings: Sequence[SettledRing], maps: Sequence[Map] | None
) -> tuple[Array, NDArray[np.int64]]:
    """All rings one frame further by one call of the kernel."""
    return dynamics.step(maps, [ring.state for ring in rings if ring.state is not None])


class WindowRing:
    """The maps of the last frames, in arrays of twice that length: moved to the front when they are full.

    Rings of halves keep what changed from frame to frame: rounded maps would differ by as much as they have in common.
    """

    def __init__(self, settings: RingSettings) -> None:
        self._settings = settings
        self._statics: Array | None = None
        self._maps: list[NDArray[np.floating]] = []  # or their changes
        self._before: list[Array] = []  # the newest maps, where changes are kept
        self._changes = settings.dtype != "float32"
        self._first = 0  # frame number in slot 0
        self._seen = 0
        self._asked = range(0)  # frames to be scored
        self._related = range(0)  # frames whose nodes that takes

    def push(self, static: Array, maps: Sequence[Array]) -> Rows:
        slots = 2 * self._settings.kept_frames
        if self._statics is None:
            self._statics = np.empty((slots, *static.shape), np.float32)
            self._maps = [np.empty((1, slots, *level.shape), numpy_dtype(self._settings.dtype)) for level in maps]
            self._before = [level.copy() for level in maps if self._changes]
        if self._seen - self._first == slots:
            self._move_to_front(self._settings.kept_frames - 1)
        slot = self._seen - self._first
        self._statics[slot] = static
        with np.errstate(over="ignore"):  # infinity is found where it has become motion
            for i, level in enumerate(maps):
                self._maps[i][0, slot] = level - self._before[i] if self._changes else level
        for before, level in zip(self._before, maps, strict=False):
            before[...] = level
        self._seen += 1
        frame = self._seen - 1 - self._settings.lookahead
        return self._rows(range(frame, frame + 1) if frame >= 0 else range(0))

    def branch(self) -> WindowRing:
        """A copy that can be finished while this one goes on: finishing changes no array."""
        return copy.copy(self)

    def finish(self) -> Rows:
        return self._rows(range(max(0, self._seen - self._settings.lookahead), self._seen))

    def windows(self, nodes: Array) -> Iterator[Window]:
        reach = self._settings.reach
        for frame in self._asked:
            window = np.zeros((2 * reach + 1, *nodes.shape[1:]), np.float32)
            for slot, near in enumerate(range(frame - reach, frame + reach + 1)):
                if near in self._related:
                    window[slot] = nodes[near - self._related.start]
            yield Window(frame, window)

    def _rows(self, asked: range) -> Rows:
        assert self._statics is not None
        newest, oldest = self._seen - 1, max(0, self._seen - self._settings.clip_length)
        reach, k = self._settings.reach, self._settings.k
        self._asked = asked
        self._related = range(max(oldest, asked.start - reach), min(newest, asked[-1] + reach) + 1) if asked else asked
        static = self._statics[self._related.start - self._first : self._related.stop - self._first]
        if self._settings.parameters is None or not asked:
            return Rows(static if asked else self._statics[:0], self._no_motion())
        low, high = max(oldest, self._related.start - k), min(newest, self._related.stop - 1 + k)
        part = [level[:, low - self._first : high + 1 - self._first] for level in self._maps]
        if self._changes:  # the fused motion comes in the maps' dtype, and is not to be rounded a second time
            part = [level.astype(np.float32) for level in part]
        threads = self._settings.threads
        motion = fuse_dynamics(part, self._settings.parameters, k, changes=self._changes, threads=threads)[0]
        return Rows(static, motion[self._related.start - low : self._related.stop - low])

    def _no_motion(self) -> Array | None:
        return self._maps[0][0, :0].astype(np.float32) if self._maps else None

    def _move_to_front(self, keep: int) -> None:
        assert self._statics is not None
        end = self._seen - self._first
        self._statics[:keep] = self._statics[end - keep : end]
        for level in self._maps:
            level[:, :keep] = level[:, end - keep : end]
        self._first = self._seen - keep


Ring = SettledRing | WindowRing  # one face's memory; `RingSettings` pushes and finishes several at once
