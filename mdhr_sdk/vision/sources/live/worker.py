"""The process that reads a live source: pictures go into memory that it shares with its parent, words through pipes.

Whatever hangs in a driver or a library hangs here, and can be killed. It ends when its parent does, however that ends:
then the pipe on standard input is closed.
"""

from __future__ import annotations

import dataclasses
import json
import logging
import mmap
import os
import queue
import sys
import threading
import time
from typing import Any

import numpy as np

from ....errors import MDHRError, TruncatedSourceError, check_imaging
from ..source import Frame, Image, Source
from .address import source_of
from .spec import LiveSpec

SLOTS = 4  # pictures in the shared memory
SAME_S = 1.0  # a picture that is shown for longer is no news
GRACE_S = 0.3  # to close a camera properly before the process ends


class Slots:
    """Places for pictures in the shared memory. The parent gives each back when it has copied the picture."""

    def __init__(self, memory: int) -> None:
        self._memory = memory
        self._bytes = 0  # of one place
        self._map: mmap.mmap | None = None
        self._free: queue.SimpleQueue[int] = queue.SimpleQueue()
        for slot in range(SLOTS):
            self._free.put(slot)

    def freed(self, slot: int) -> None:
        self._free.put(slot)

    def put(self, image: Image) -> tuple[int, int]:
        """Copy a picture into a free place, for which it waits; returns the place and how large places are."""
        if image.nbytes > self._bytes:
            taken = [self._free.get() for _ in range(SLOTS)]  # nobody reads while the memory is laid out anew
            self._bytes = image.nbytes
            os.ftruncate(self._memory, SLOTS * self._bytes)
            self._map = mmap.mmap(self._memory, SLOTS * self._bytes)
            for slot in taken:
                self._free.put(slot)
        assert self._map is not None
        slot = self._free.get()
        place = np.frombuffer(self._map, np.uint8, image.nbytes, slot * self._bytes)
        place[:] = image.reshape(-1)
        return slot, self._bytes


class Repeats:
    """Tells for how long the picture has been the same, to the last bit."""

    def __init__(self) -> None:
        self._last: Image | None = None
        self._since_s = 0.0

    def lasted_s(self, image: Image, now_s: float) -> float:
        last, self._last = self._last, image
        if last is None or last.shape != image.shape or not _equal(last, image):
            self._since_s = now_s
        return now_s - self._since_s


def _equal(one: Image, other: Image) -> bool:
    return np.array_equal(one[::16], other[::16]) and np.array_equal(one, other)


class Worker:
    """Does what the parent says: opens one source after another, and reads each until it ends or breaks off."""

    def __init__(self, memory: int, out: int) -> None:
        self._slots = Slots(memory)
        self._out = out
        self._wanted: queue.SimpleQueue[dict[str, Any] | None] = queue.SimpleQueue()
        self._closing = False

    def run(self) -> None:
        threading.Thread(target=self._listen, daemon=True).start()
        check_imaging()
        self.tell("ready")
        while (wanted := self._wanted.get()) is not None:
            self._read(wanted)

    def _listen(self) -> None:
        for line in sys.stdin.buffer:
            message = json.loads(line)
            if message["is"] == "free":
                self._slots.freed(message["slot"])
            else:
                self._wanted.put(message)
        self._closing = True
        self._wanted.put(None)
        time.sleep(GRACE_S)
        os._exit(0)

    def tell(self, what: str, **more: Any) -> None:
        os.write(self._out, (json.dumps({"is": what, **more}) + "\n").encode())

    def _read(self, wanted: dict[str, Any]) -> None:
        values = wanted["spec"]
        if values["size_px"] is not None:
            values["size_px"] = tuple(values["size_px"])
        source = source_of(LiveSpec(**{**values, "ahead": True}), wanted["name"])
        try:
            with source:
                info = source.info
                self.tell("opened", fps=info.fps, frame_count=info.frame_count, live=info.live)
                self._show(source)
            self.tell("over")
        except MDHRError as error:
            counts = [error.decoded, error.declared] if isinstance(error, TruncatedSourceError) else []
            self.tell("failed", kind=type(error).__name__, message=str(error), counts=counts)

    def _show(self, source: Source) -> None:
        repeats = Repeats()
        for frame in source:
            if self._closing:
                return
            if frame.passed:
                self.tell("passed", counts=frame.passed, breaks=False, note="")
            why = frame.late
            if not why and source.live and repeats.lasted_s(frame.image, frame.read_s) >= SAME_S:
                why = "same"
            if why:
                self.tell("passed", counts={why: 1}, breaks=frame.breaks, note=frame.note)
            else:
                self._give(frame, source.damaged)

    def _give(self, frame: Frame, damaged: int) -> None:
        slot, size = self._slots.put(frame.image)
        self.tell(
            "frame", slot=slot, size=size, shape=frame.image.shape, time_s=frame.timestamp_s, arrived_s=frame.read_s,
            stream_s=frame.stream_time_s, breaks=frame.breaks, note=frame.note, damaged=damaged,
        )  # fmt: skip


class _Telling(logging.Handler):
    """What is logged here is logged by the parent."""

    def __init__(self, worker: Worker) -> None:
        super().__init__()
        self._worker = worker

    def emit(self, record: logging.LogRecord) -> None:
        self._worker.tell("log", level=record.levelno, message=record.getMessage())


def main(memory: int) -> None:
    """Run until standard input ends. Libraries that print have nowhere to print to."""
    out = os.dup(1)
    os.dup2(2, 1)
    worker = Worker(memory, out)
    logger = logging.getLogger("mdhr_sdk")
    logger.addHandler(_Telling(worker))
    logger.setLevel(logging.INFO)
    logger.propagate = False
    worker.run()
    os._exit(0)  # at once: what libraries do at the end of a process is in vain here, and may hang


def as_message(spec: LiveSpec, name: str) -> dict[str, Any]:
    """What makes a worker open a source."""
    return {"is": "open", "spec": dataclasses.asdict(spec), "name": name}
