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

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from ..config import FolderConfig
from ..ops import DynamicsParameters, DynamicsState, fuse_dynamics, fuse_dynamics_step

Array = NDArray[np.float32]


class Rows(NamedTuple):
    """Frames to relate: static tokens (R, P, W), and fused motion (R, C, h, w) or None without MFD."""

    static: Array
    motion: Array | None


class Window(NamedTuple):
    """Frame number in the stream, and the nodes (2 r + 1, N, W) that its scores are made from."""

    frame: int
    nodes: Array


class Ring(Protocol):
    """One face's memory. Every `push` or `finish` is followed by one `windows` with the nodes of the rows it gave."""

    def push(self, static: Array, maps: Sequence[Array]) -> Rows:
        """Take the next frame: static (P, W), maps (C, h, w) a scale."""
        ...

    def finish(self) -> Rows:
        """No frame follows."""
        ...

    def windows(self, nodes: Array) -> Iterator[Window]:
        """The frames that can now be scored, in order."""
        ...


@dataclass(frozen=True)
class RingSettings:
    """What all rings of a stream share.

    Attributes:
        lookahead: L.
        clip_length: T.
        k: frames on each side whose differences are averaged; 0 without MFD.
        reach: r.
        parameters: of the motion path; None without MFD.
        dtype: of the maps that a `WindowRing` keeps.
        threads: of the kernels.
    """

    lookahead: int
    clip_length: int
    k: int
    reach: int
    parameters: DynamicsParameters | None
    dtype: str = "float32"
    threads: int | None = None

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

    def ring_bytes(self, config: FolderConfig) -> int:
        """Memory of one face, which does not grow."""
        model, side = config.model, config.model.input_size_px // 32
        scales, positions = len(model.scales) if model.mfd else 0, side * side
        one_map = scales * (model.projection_width or 0) * positions
        static, nodes = positions * model.au_width, len(model.label_set.aus) * model.au_width
        if self.settled:
            squeezed = 2 * self.k * scales * model.weight_width * positions
            return 4 * ((2 * self.k + 1) * one_map + squeezed + (self.k + 1) * static + (2 * self.reach + 1) * nodes)
        return 2 * self.kept_frames * (np.dtype(self.dtype).itemsize * one_map + 4 * static)


class SettledRing:
    """Every frame's nodes once. Sums over the ring are taken afresh at each step, so that nothing drifts."""

    def __init__(self, settings: RingSettings) -> None:
        self._settings = settings
        self._state: DynamicsState | None = None
        self._statics: deque[Array] = deque(maxlen=settings.k + 1)
        self._nodes: deque[Array] = deque(maxlen=2 * settings.reach + 1)
        self._related = 0  # frames whose nodes are known
        self._ended = False

    def push(self, static: Array, maps: Sequence[Array]) -> Rows:
        self._statics.append(static.copy())  # which is a row of a batch
        if self._settings.parameters is None:
            return Rows(static[None], None)
        if self._state is None:
            channels, height, width = maps[0].shape
            squeezed = self._settings.parameters.squeeze.shape[1]
            self._state = DynamicsState.empty(1, len(maps), channels, (height, width), self._settings.k, squeezed)
        motion, frames = self._step([level[None] for level in maps])
        ready = int(frames[0] >= 0)
        return Rows(self._statics[0][None][:ready], motion[:ready])

    def finish(self) -> Rows:
        self._ended = True
        if self._settings.parameters is None:
            return Rows(self._statics[-1][None][:0], None)
        steps = [self._step(None) for _ in range(self._settings.k)]  # zeros beyond the end complete the last k frames
        motion = np.concatenate([motion[frames >= 0] for motion, frames in steps])
        return Rows(np.stack(self._statics)[len(self._statics) - len(motion) :], motion)

    def windows(self, nodes: Array) -> Iterator[Window]:
        for one in nodes:
            yield from self._window(one)
        if self._ended and self._nodes:
            for _ in range(self._settings.reach):
                yield from self._window(np.zeros_like(self._nodes[-1]))

    def _window(self, nodes: Array) -> Iterator[Window]:
        if not self._nodes:
            self._nodes.extend([np.zeros_like(nodes)] * (2 * self._settings.reach + 1))
        self._nodes.append(nodes.copy())  # which are a row of a batch
        self._related += 1
        frame = self._related - 1 - self._settings.reach
        if frame >= 0:
            yield Window(frame, np.stack(self._nodes))

    def _step(self, maps: Sequence[Array] | None) -> tuple[Array, NDArray[np.int64]]:
        assert self._state is not None and self._settings.parameters is not None
        return fuse_dynamics_step(maps, self._state, self._settings.parameters, threads=self._settings.threads)


class WindowRing:
    """The maps of the last frames, in arrays of twice that length: moved to the front when they are full."""

    def __init__(self, settings: RingSettings) -> None:
        self._settings = settings
        self._statics: Array | None = None
        self._maps: list[NDArray[np.floating]] = []
        self._first = 0  # frame number in slot 0
        self._seen = 0
        self._asked = range(0)  # frames to be scored
        self._related = range(0)  # frames whose nodes that takes

    def push(self, static: Array, maps: Sequence[Array]) -> Rows:
        slots = 2 * self._settings.kept_frames
        if self._statics is None:
            self._statics = np.empty((slots, *static.shape), np.float32)
            self._maps = [np.empty((1, slots, *level.shape), self._settings.dtype) for level in maps]
        if self._seen - self._first == slots:
            self._move_to_front(self._settings.kept_frames - 1)
        slot = self._seen - self._first
        self._statics[slot] = static
        for own, level in zip(self._maps, maps, strict=True):
            own[0, slot] = level
        self._seen += 1
        frame = self._seen - 1 - self._settings.lookahead
        return self._rows(range(frame, frame + 1) if frame >= 0 else range(0))

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
        motion = fuse_dynamics(part, self._settings.parameters, k, threads=self._settings.threads)[0]
        return Rows(static, motion[self._related.start - low : self._related.stop - low].astype(np.float32, copy=False))

    def _no_motion(self) -> Array | None:
        return self._maps[0][0, :0].astype(np.float32) if self._maps else None

    def _move_to_front(self, keep: int) -> None:
        assert self._statics is not None
        end = self._seen - self._first
        self._statics[:keep] = self._statics[end - keep : end]
        for level in self._maps:
            level[:, :keep] = level[:, end - keep : end]
        self._first = self._seen - keep
