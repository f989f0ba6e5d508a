"""The motion path of streams on a CUDA device: maps stay where the encoder leaves them, and so does every ring.

Of a step's features only the static tokens and the fused motion come to the host; of a ResNet-50's maps, four times as
large as that motion, nothing does.
"""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...modelfolder.config import FolderConfig
from ...ops import DeviceArray, DynamicsParameters, DynamicsState, fuse_dynamics_step, has_cuda_kernels
from ...ops.extension import OLDEST_CUDA
from ...ops.views import itemsize
from ..cuda.devices import cuda_device, device_number
from ..cuda.memory import DeviceMemory, memory_obstacle, open_memory
from ..session import Session
from .rings import Dynamics, HostDynamics, Map, RingSettings, empty_state
from .stream_graphs import StreamGraphs

ROOM = 16  # states a call


def device_obstacle(encoder: Session) -> str | None:
    """Why an encoder's maps must come to the host; None if streams can leave them on its device."""
    if not encoder.device.startswith("cuda"):
        return f"the encoder runs on '{encoder.device}'"
    if not encoder.keeps_outputs:
        return f"{encoder.backend} gives its outputs to the host"
    if not has_cuda_kernels():
        return "the kernels were built without CUDA (MDHR_CUDA=1 and nvcc, then install again)"
    device = cuda_device(device_number(encoder.device))
    if device is None or tuple(map(int, device.compute_capability.split("."))) < OLDEST_CUDA:
        return f"the kernels need compute capability {'.'.join(map(str, OLDEST_CUDA))}; the device is {device}"
    if not device.memory_pools:
        return f"{device.name} cannot allocate memory in a stream's order, as the kernels do"
    return memory_obstacle()


def place_rings(settings: RingSettings, graphs: StreamGraphs) -> tuple[str, Dynamics | None]:
    """Where rings lie, in words, and the motion path there; None where rings need none.

    Raises:
        BackendError: the device is there, and its memory cannot be used.
    """
    if settings.parameters is None:
        return "the host: there are no maps", None
    if not settings.settled:
        return f"the host: lookahead {settings.lookahead} relates frames more than once", None
    if obstacle := device_obstacle(graphs.encoder):
        host = HostDynamics(graphs.config, settings.parameters, settings.k, settings.dtype, settings.threads)
        return f"the host: {obstacle}", host
    number = device_number(graphs.encoder.device)
    return f"cuda:{number}", DeviceDynamics(number, graphs.config, settings.parameters, settings.k, settings.dtype)


class DeviceDynamics:
    """`Dynamics` on one CUDA device.

    A ring that is forgotten leaves its memory to the next one.
    """

    on_device = True

    def __init__(self, index: int, config: FolderConfig, parameters: DynamicsParameters, k: int, dtype: str) -> None:
        """Bring the parameters to CUDA device `index`.

        Raises:
            BackendError: the device or its memory cannot be used.
        """
        self._like = empty_state(config, parameters, k, dtype)
        self._memory: DeviceMemory = open_memory(index)
        self._free: list[DynamicsState] = []
        frame = (ROOM, *self._like.previous.shape[1:])
        with self._memory.active():
            self._parameters = DynamicsParameters(*map(self._sent, parameters.arrays().values()))
            self._motion = self._memory.host(frame, np.float32)
            self._fused = self._memory.device(self._motion.nbytes)
            self._staging: list[tuple[NDArray[Any], int]] = []

    def state_of(self, ring: object) -> DynamicsState:
        """Memory for a ring, for as long as that lives."""
        if self._free:
            state = self._free.pop()
            state.count = 0
        else:
            with self._memory.active():
                previous, slots, products = (self._array(view.shape, view.dtype) for view in self._like.views)
                state = DynamicsState(previous, slots, products)
        weakref.finalize(ring, self._free.append, state).atexit = False
        return state

    def step(
        self, maps: Sequence[Map] | None, states: Sequence[DynamicsState]
    ) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """As `fuse_dynamics_step`, the motion on the host; maps may lie on the host or on the device."""
        parts = []
        with self._memory.active():
            for first in range(0, len(states), ROOM):
                some = states[first : first + ROOM]
                own = None if maps is None else self._on_device(maps, slice(first, first + len(some)))
                parts.append(self._step(own, some))
        return np.concatenate([motion for motion, _ in parts]), np.concatenate([frames for _, frames in parts])

    def _step(
        self, maps: Sequence[DeviceArray] | None, states: Sequence[DynamicsState]
    ) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        motion = self._motion[: len(states)]
        fused = DeviceArray(self._fused, motion.shape, "float32", self._memory.number)
        _, frames = fuse_dynamics_step(maps, states, self._parameters, out=fused, stream=self._memory.stream)
        self._memory.download(motion, self._fused)
        self._memory.synchronize()
        return motion.copy(), frames

    def _on_device(self, maps: Sequence[Map], rows: slice) -> list[DeviceArray]:
        return [self._rows(level, rows) if isinstance(level, DeviceArray) else self._staged(i, level[rows])
                for i, level in enumerate(maps)]  # fmt: skip

    def _rows(self, level: DeviceArray, rows: slice) -> DeviceArray:
        row_bytes = int(np.prod(level.shape[1:])) * itemsize(level.dtype)
        shape = (rows.stop - rows.start, *level.shape[1:])
        return DeviceArray(level.address + rows.start * row_bytes, shape, level.dtype, level.device)

    def _staged(self, scale: int, level: NDArray[np.float32]) -> DeviceArray:
        """A map that came from the host."""
        while len(self._staging) <= scale:
            pinned = self._memory.host(self._motion.shape, np.float32)
            self._staging.append((pinned, self._memory.device(pinned.nbytes)))
        pinned, address = self._staging[scale]
        pinned[: len(level)] = level
        self._memory.upload(address, pinned[: len(level)])
        return DeviceArray(address, level.shape, "float32", self._memory.number)

    def _sent(self, array: NDArray[np.float32]) -> DeviceArray:
        pinned = self._memory.host(array.shape, array.dtype)
        pinned[...] = array
        sent = self._array(array.shape, "float32")
        self._memory.upload(sent.address, pinned)
        self._memory.synchronize()
        return sent

    def _array(self, shape: tuple[int, ...], dtype: str) -> DeviceArray:
        address = self._memory.device(int(np.prod(shape)) * itemsize(dtype))
        return DeviceArray(address, shape, dtype, self._memory.number)
