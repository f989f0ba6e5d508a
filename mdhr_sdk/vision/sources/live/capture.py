"""The parent's end of a process that reads a live source; see `worker`."""

from __future__ import annotations

import contextlib
import json
import mmap
import os
import select
import subprocess
import sys
import tempfile
import threading
import time
from collections import deque
from typing import Any

import numpy as np

from ....errors import SourceError
from ..source import Image
from .spec import LiveSpec
from .worker import GRACE_S, as_message

START = "import sys; sys.path[:] = [p for p in sys.path if p]; from {} import main; main({})"
READ_BYTES = 1 << 16
MOST_LINES = 256  # that wait to be handled; more wait in the pipe, and then the process waits

Message = dict[str, Any]


class CaptureDied(Exception):  # noqa: N818 (what happened, caught by the supervisor)
    """The process has ended, though nobody asked it to."""


class Capture:
    """A process that reads one live source at a time. Not safe in several threads, but for `wake`.

    Raises:
        SourceError: on construction, if no process can be started.
    """

    def __init__(self, stdin: int | None = None) -> None:
        """`stdin` is a descriptor that the process gets too, for a source that is a pipe."""
        if not sys.executable:
            raise SourceError("live sources are read by a second Python, and this program cannot tell where one is")
        self._memory = _anonymous()
        self._map: mmap.mmap | None = None
        self._heard = b""
        self._lines = deque[bytes]()
        self._lock, self._closed = threading.Lock(), False
        self._wake_read, self._wake_write = os.pipe()
        os.set_blocking(self._wake_write, False)
        package = __name__.rpartition(".")[0]
        here = [path or os.getcwd() for path in sys.path]  # noqa: PTH109 (sys.path holds text)
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-c", START.format(f"{package}.worker", self._memory)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                bufsize=0,
                pass_fds=[self._memory] if stdin is None else [self._memory, stdin],
                env={**os.environ, "PYTHONPATH": os.pathsep.join(here), "PYTHONSAFEPATH": "1"},
                start_new_session=True,  # Ctrl-C is for the parent
            )
        except OSError as error:
            self._close_files()
            raise SourceError(f"cannot start the process that reads live sources: {error}") from None
        assert self._process.stdin is not None and self._process.stdout is not None
        self._say, self._hear = self._process.stdin, self._process.stdout
        self._poll = select.poll()
        for fd in (self._hear.fileno(), self._wake_read):
            self._poll.register(fd, select.POLLIN)

    @property
    def pid(self) -> int:
        return self._process.pid

    def open(self, spec: LiveSpec, name: str) -> None:
        """Begin to read a source; the answers are messages."""
        self._send(as_message(spec, name))

    def wait(self, timeout_s: float) -> Message | None:
        """The next message; None if none came in time or `wake` was called; CaptureDied if none can come."""
        ready = dict(self._poll.poll(0 if self._lines else max(0.0, 1e3 * timeout_s)))
        if self._wake_read in ready:
            os.read(self._wake_read, READ_BYTES)
        if self._hear.fileno() in ready and len(self._lines) < MOST_LINES:
            self._listen()
        return json.loads(self._lines.popleft()) if self._lines else None

    def _listen(self) -> None:
        data = self._hear.read(READ_BYTES)
        if not data and self._lines:
            return  # what it said before it ended comes first
        if not data:
            code = self._process.wait()
            how = f"by signal {-code}" if code < 0 else f"with code {code}"
            raise CaptureDied(f"its process ended {how}")
        *lines, self._heard = (self._heard + data).split(b"\n")
        self._lines += lines

    @property
    def overtaken(self) -> bool:
        """Whether a newer picture has come since the last message."""
        return any(line.startswith(b'{"is": "frame"') for line in self._lines)

    def pass_over(self, message: Message) -> None:
        """Give the place of a picture back that nobody wants."""
        self._send({"is": "free", "slot": message["slot"]})

    def picture(self, message: Message) -> Image:
        """The picture of a 'frame', in memory of its own."""
        shape, slot, size = message["shape"], message["slot"], message["size"]
        if self._map is None or len(self._map) < (slot + 1) * size:
            self._map = mmap.mmap(self._memory, 0, access=mmap.ACCESS_READ)
        count = int(np.prod(shape))
        image = np.frombuffer(self._map, np.uint8, count, slot * size).reshape(shape).copy()
        self.pass_over(message)
        return image

    def wake(self) -> None:
        """End a `wait`; from any thread."""
        with self._lock, contextlib.suppress(BlockingIOError):  # it is full: enough to wake
            if not self._closed:
                os.write(self._wake_write, b"w")

    def close(self, politely: bool) -> None:
        """End the process; politely, it has a moment to close its source before it is killed."""
        with contextlib.suppress(OSError):
            self._say.close()
        if politely:
            _wait(self._process, GRACE_S)
        self._process.kill()  # nothing happens if it has ended
        with contextlib.suppress(subprocess.TimeoutExpired):  # in a driver; the kernel ends it when that answers
            self._process.wait(GRACE_S)
        self._hear.close()
        self._close_files()

    def _close_files(self) -> None:
        self._map = None
        with self._lock:
            self._closed = True
        for fd in (self._memory, self._wake_read, self._wake_write):
            os.close(fd)

    def _send(self, message: Message) -> None:
        try:
            self._say.write((json.dumps(message) + "\n").encode())
        except OSError:
            return  # it has ended, which the next `wait` tells


def _wait(process: subprocess.Popen[bytes], patience_s: float) -> None:
    """As `wait(timeout)`, which sleeps longer and longer between two looks."""
    end_s = time.monotonic() + patience_s
    while process.poll() is None and time.monotonic() < end_s:
        time.sleep(0.005)


def _anonymous() -> int:
    """A descriptor of memory without a name, which nothing can leave behind."""
    if hasattr(os, "memfd_create"):
        return os.memfd_create("mdhr_sdk", os.MFD_CLOEXEC)
    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())
