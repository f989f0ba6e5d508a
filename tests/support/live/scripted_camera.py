"""A camera of a `World`, and the process that reads it: all of the worker's code but the decoder and the pipes."""

from __future__ import annotations

import contextlib
import json
import math
import struct
from collections import deque
from collections.abc import Iterator
from typing import Any, Literal, get_args

import numpy as np

from fakes import MAX_FRAMES, SLOT, level
from mdhr_sdk.errors import SourceError
from mdhr_sdk.vision.sources.decode import Decoded
from mdhr_sdk.vision.sources.live.capture import CaptureDied
from mdhr_sdk.vision.sources.live.spec import LiveSpec
from mdhr_sdk.vision.sources.live.streams import _arriving, _with
from mdhr_sdk.vision.sources.live.supervisor import KILL_S, START_S
from mdhr_sdk.vision.sources.live.timing import Backlog
from mdhr_sdk.vision.sources.live.worker import SLOTS, Worker, as_message
from mdhr_sdk.vision.sources.source import Damage, Opened, Source
from virtual_time import Task, World

Fault = Literal["stall", "hang", "eof", "truncate", "corrupt", "size", "freeze", "clock", "down", "mute", "people"]
FAULTS: tuple[Fault, ...] = get_args(Fault)
GAP_S = 1.2  # what lasts longer is a gap for every reader
SLACK_S = 0.2  # beyond a deadline, after which something hangs
MARK = struct.Struct("<IIQ")  # a number, its complement, and which picture it is
ONES = 0xFFFFFFFF
FORMATS = {"rtsp"}


def person(slot: int) -> np.ndarray:
    """What somebody looks like who cannot be taken for another: stripes, their own way, around the middle."""
    y, x = np.mgrid[:SLOT, :SLOT] // 8
    light = (y % 2, x % 2, (x + y) % 2)[slot].astype(bool)
    return np.where(light, 200, 60).astype(np.uint8)[..., None].repeat(3, axis=2)


LOOKS = [person(slot) for slot in range(3)]
MIDDLE = slice(SLOT // 2 - 6, SLOT // 2 + 6)  # whose grey tells the frame and the person


def scene(index: int, people: set[int]) -> np.ndarray:
    """A picture of these people."""
    image = np.zeros((SLOT, 3 * SLOT, 3), np.uint8)
    for slot in people:
        own = image[:, SLOT * slot : SLOT * (slot + 1)]
        own[...] = LOOKS[slot]
        own[MIDDLE, MIDDLE] = level(index % MAX_FRAMES, slot)
    return image


def marked(image: np.ndarray, take: int, count: int) -> np.ndarray:
    """The picture with the number of its take in its first row."""
    image[0, : MARK.size, 0] = np.frombuffer(MARK.pack(take, take ^ ONES, count), np.uint8)
    return image


def take_of(image: np.ndarray) -> int | None:
    """The take of a picture; None where damage has spoilt it."""
    take, complement, _ = MARK.unpack(image[0, : MARK.size, 0].tobytes())
    return take if take ^ ONES == complement else None


class Camera:
    """Gives a picture every so often, and has faults when they are asked for.

    Attributes:
        takes: how many there were: after a gap of any kind another one begins.
        people: the slots with a face.
    """

    def __init__(self, world: World, person: int, fps: float = 25.0) -> None:
        self.world, self.fps, self.person = world, fps, person
        self.people = {person}
        self.takes = self.count = 0
        self.faults: deque[tuple[Fault, float]] = deque()
        self.down_until_s = self.mute_until_s = 0.0
        self._tall = False

    def new_take(self) -> None:
        self.takes += 1

    def open(self, spec: LiveSpec, name: str) -> Source:
        """As `source_of`, but what it decodes is this camera."""

        @contextlib.contextmanager
        def opener() -> Iterator[Opened]:
            self.new_take()
            if self.world.now_s < self.mute_until_s:
                self.world.wait(lambda: False)
            if self.world.now_s < self.down_until_s:
                raise SourceError(f"cannot open stream {name}; check the address")
            self.world.sleep(self.world.random.uniform(0.0, 0.2))
            damage = Damage()
            backlog = None if spec.complete else Backlog(1 / self.fps)
            decoder: Any = ScriptedDecoder(self, damage, backlog)
            pictures = _arriving(decoder, FORMATS, name, f"cannot open stream {name}", False)
            yield Opened(self.fps, None, True, _with(next(pictures), pictures), damage=damage)

        return Source(name, "stream", opener)

    def picture(self) -> np.ndarray:
        """The next picture."""
        self.count += 1
        image = scene(self.count, self.people)
        if self._tall:
            image = np.vstack([image, np.zeros_like(image[:32])])
        return marked(image, self.takes, self.count)

    def turned(self) -> None:
        """Its pictures have another size from now on."""
        self._tall = not self._tall
        self.new_take()


class ScriptedDecoder:
    """One connection to a camera, in the place of `Decoder`."""

    def __init__(self, camera: Camera, damage: Damage, backlog: Backlog | None) -> None:
        self._camera, self._damage, self._backlog = camera, damage, backlog
        self._clock_s = camera.world.random.uniform(0.0, 1e4)

    def __iter__(self) -> Iterator[Decoded]:
        camera, world = self._camera, self._camera.world
        due_s = world.now_s - world.random.choice((0.0, 0.3))  # the server had kept some pictures
        shown, frozen_until_s, froze_s = None, 0.0, 0.0
        while True:
            due_s += 1 / camera.fps
            self._clock_s += 1 / camera.fps
            asked_s = world.now_s
            if due_s > asked_s:
                world.sleep(due_s - asked_s)
            note, breaks = "", False
            if world.now_s >= frozen_until_s > 0:
                frozen_until_s, shown = 0.0, None
                if froze_s > GAP_S:
                    camera.new_take()
            kind, seconds = camera.faults.popleft() if camera.faults and shown is None else (None, 0.0)
            if kind == "stall":
                world.sleep(seconds)
                if seconds > GAP_S:
                    camera.new_take()
                if world.random.random() < 0.5:  # what was made meanwhile is gone; else it comes at once
                    due_s = world.now_s
                    self._clock_s += seconds
            elif kind == "hang":
                world.wait(lambda: False)
            elif kind == "eof":
                return
            elif kind == "size":
                camera.turned()
            elif kind == "clock":
                self._clock_s -= world.random.uniform(0.1, 50.0)
                camera.new_take()
            elif kind == "down":
                camera.down_until_s = world.now_s + seconds
                return
            elif kind == "mute":  # it accepts from now on, and says nothing
                camera.mute_until_s = world.now_s + seconds
                return
            elif kind == "people":
                camera.people = {slot for slot in range(3) if world.random.random() < 0.4} or {camera.person}
            elif kind in ("truncate", "corrupt"):
                camera.new_take()
            late = self._backlog.late(world.now_s - asked_s, world.now_s) if self._backlog else ""
            image = camera.picture() if shown is None else shown
            if kind == "freeze":
                shown, frozen_until_s, froze_s = image, world.now_s + seconds, seconds
            if kind in ("truncate", "corrupt"):
                self._damage.count += 1
                image, note, breaks = _spoilt(image, kind, world), "damaged", True
            yield Decoded(image, self._clock_s, 1 / camera.fps, world.now_s, breaks, note, late)


def _spoilt(image: np.ndarray, kind: str, world: World) -> np.ndarray:
    """Cut off, or with another grey over a part of it."""
    spoilt = image.copy()
    if kind == "truncate":
        spoilt[world.random.randrange(image.shape[0]) :] = 0
    else:
        left = world.random.randrange(image.shape[1])
        spoilt[:, left : left + world.random.randrange(1, 100)] = world.random.randrange(256)
    return spoilt


class ScriptedCapture:
    """`Capture` of a camera in the same world. Its process is a task, and the pipe between them a list of JSON."""

    cameras: dict[str, Camera]  # by source
    world: World

    def __init__(self, stdin: int | None = None) -> None:
        self._lines: deque[str] = deque()
        self._woken = self.closed = self.dead = False
        self._deaf_s = self.world.now_s  # when it was last heard of
        self._timeout_s = START_S
        self._worker = _ScriptedWorker(self)
        self._task: Task = self.world.spawn(self._worker.run, "worker")

    def open(self, spec: LiveSpec, name: str) -> None:
        self._timeout_s, self._deaf_s = spec.timeout_s, self.world.now_s
        self._worker.ask(self.cameras[name], json.loads(json.dumps(as_message(spec, name))))

    def wait(self, timeout_s: float) -> dict[str, Any] | None:
        world, deadline_s = self.world, self._deaf_s + self._timeout_s + KILL_S + SLACK_S
        world.wait(lambda: bool(self._lines) or self._woken or self.dead, world.now_s + timeout_s)
        self._woken = False
        if self._lines:
            self._deaf_s = world.now_s
            return json.loads(self._lines.popleft())
        if self.dead:
            raise CaptureDied("its process ended by signal 9")
        assert world.now_s <= deadline_s, "a process that does not answer was not ended at its deadline"
        return None

    def told(self, line: str) -> None:
        self._lines.append(line)

    @property
    def overtaken(self) -> bool:
        return any(line.startswith('{"is": "frame"') for line in self._lines)

    def pass_over(self, message: dict[str, Any]) -> None:
        self._worker.slots.freed(message["slot"])

    def picture(self, message: dict[str, Any]) -> np.ndarray:
        image = self._worker.slots.pictures[message["slot"]]
        assert list(image.shape) == message["shape"]
        self.pass_over(message)
        return image

    def wake(self) -> None:
        self._woken = True

    def kill(self) -> None:
        """As by a signal from elsewhere."""
        self.dead = True
        self.world.kill(self._task)

    def close(self, politely: bool) -> None:
        self.closed = True
        self.world.kill(self._task)


class _Slots:
    """`Slots` without shared memory."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._free = set(range(SLOTS))
        self.pictures: dict[int, np.ndarray] = {}

    def freed(self, slot: int) -> None:
        assert slot not in self._free
        self._free.add(slot)

    def put(self, image: np.ndarray) -> tuple[int, int]:
        self._world.wait(lambda: bool(self._free))
        slot = self._free.pop()
        self.pictures[slot] = image.copy()
        return slot, image.nbytes


class _ScriptedWorker(Worker):
    def __init__(self, capture: ScriptedCapture) -> None:
        self._capture = capture
        self._slots: Any = _Slots(capture.world)
        self._closing = False
        self._asked: deque[tuple[Camera, dict[str, Any]]] = deque()
        self.camera: Camera | None = None

    @property
    def slots(self) -> _Slots:
        return self._slots

    def ask(self, camera: Camera, wanted: dict[str, Any]) -> None:
        self._asked.append((camera, wanted))

    def run(self) -> None:
        world = self._capture.world
        world.sleep(world.random.uniform(0.0, 0.3))
        self.tell("ready")
        while world.wait(lambda: bool(self._asked), math.inf):
            self.camera, wanted = self._asked.popleft()
            self._read(wanted)

    def tell(self, what: str, **more: Any) -> None:
        self._capture.told(json.dumps({"is": what, **more}))
