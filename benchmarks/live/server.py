"""A camera on the loopback: Motion JPEG over HTTP whose pictures carry the time, and faults when they are asked for.

    python -m benchmarks.live.server PORT [--fps 25] [--seconds 60]

plays the package's demo endlessly. Each picture bears, in blocks of 8 x 8 pixels along its top, the wall clock in
milliseconds (40 bits) and the number of the take (8 bits): after each gap it is another one. `read_stamp` reads them.
"""

from __future__ import annotations

import argparse
import contextlib
import http.server
import itertools
import random
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]
Fault = Literal["stall", "eof", "truncate", "corrupt", "size", "freeze", "garbage"]
FAULTS: tuple[Fault, ...] = ("stall", "eof", "truncate", "corrupt", "size", "freeze", "garbage")
BLOCK, TIME_BITS, TAKE_BITS = 8, 40, 8
GAP_S = 1.2  # what lasts longer is a gap for every reader
HEAD = b"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n"


def write_stamp(image: Image, time_ms: int, take: int = 0) -> None:
    """Draw both numbers into the picture, whose width is a multiple of eight."""
    value = (time_ms & ((1 << TIME_BITS) - 1)) | (take % (1 << TAKE_BITS)) << TIME_BITS
    across = image.shape[1] // BLOCK
    for bit in range(TIME_BITS + TAKE_BITS):
        y, x = BLOCK * (bit // across), BLOCK * (bit % across)
        image[y : y + BLOCK, x : x + BLOCK] = 255 * (value >> bit & 1)


def read_stamp(image: Image) -> tuple[int, int]:
    """The time in milliseconds, modulo 2**40, and the take."""
    across, value = image.shape[1] // BLOCK, 0
    for bit in range(TIME_BITS + TAKE_BITS):
        y, x = BLOCK * (bit // across) + BLOCK // 2, BLOCK * (bit % across) + BLOCK // 2
        value |= int(image[y, x].mean() > 127) << bit
    return value & ((1 << TIME_BITS) - 1), value >> TIME_BITS


def age_ms(image: Image) -> float:
    """How long ago a picture was stamped."""
    now = time.time() * 1000
    return now - (read_stamp(image)[0] | int(now) >> TIME_BITS << TIME_BITS)


class LiveServer:
    """Serves pictures to whoever connects, each connection its own loop. Use it as a context.

    Args:
        picture: the picture of a number; it is stamped before it is sent.
        port: 0 for any; the same one after `restart`.

    Attributes:
        sent: pictures that were sent.
        connections: how many there were.
    """

    def __init__(self, picture: Callable[[int], Image], fps: float = 25.0, port: int = 0, quality: int = 95) -> None:
        self.picture, self.fps, self.port, self.quality = picture, fps, port, quality
        self.sent = self.connections = 0
        self._takes = itertools.count()
        self._faults: list[tuple[Fault, float]] = []
        self._open: set[Any] = set()
        self._server: http.server.ThreadingHTTPServer | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/live"

    def __enter__(self) -> LiveServer:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Listen."""
        owner = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(200)
                self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
                self.end_headers()
                owner._open.add(self.connection)
                with contextlib.suppress(OSError):
                    owner._play(self.wfile.write)
                owner._open.discard(self.connection)
                self.close_connection = True

            def log_message(self, *_: Any) -> None:
                pass

        self._server = server = http.server.ThreadingHTTPServer(("127.0.0.1", self.port), Handler)
        server.daemon_threads = True
        self.port = server.server_address[1]
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()

    def stop(self) -> None:
        """Close everything at once, as a crash does."""
        server, self._server = self._server, None
        if server is None:
            return
        for connection in list(self._open):
            with contextlib.suppress(OSError):
                connection.shutdown(2)
        server.shutdown()
        server.server_close()

    def fault(self, kind: Fault, seconds: float = 0.0) -> None:
        """Let something go wrong with the next picture."""
        self._faults.append((kind, seconds))

    def _play(self, write: Callable[[bytes], object]) -> None:
        self.connections += 1
        count, next_s, server, take = 0, time.monotonic(), self._server, next(self._takes)
        size, frozen, thaw_s, thawed = 1.0, b"", 0.0, 0.0
        while self._server is server:
            image = self.picture(count).copy()
            count += 1
            kind, seconds = self._faults.pop(0) if self._faults else (None, 0.0)
            if kind == "stall":
                take = next(self._takes) if seconds > GAP_S else take
                time.sleep(seconds)
                next_s = time.monotonic()
            elif kind == "eof":
                return
            elif kind == "size":
                take = next(self._takes)
                size = 1.5 - size
            if size != 1.0:
                image = np.vstack([image, np.zeros_like(image[: image.shape[0] // 2])])
            write_stamp(image, int(time.time() * 1000), take)
            data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, self.quality])[1].tobytes()
            if kind == "freeze":
                frozen, thaw_s, thawed = data, time.monotonic() + seconds, seconds
            if frozen and time.monotonic() < thaw_s:
                data = frozen
            elif frozen:
                take, frozen = next(self._takes) if thawed > GAP_S else take, b""
                continue
            if kind == "garbage":
                write(random.Random(count).randbytes(5000))
            elif kind in ("truncate", "corrupt"):
                data = _spoilt(data, kind, count)
            write(HEAD % len(data) + data + b"\r\n")
            self.sent += 1
            next_s = max(next_s + 1 / self.fps, time.monotonic() - 1.0)
            time.sleep(max(0.0, next_s - time.monotonic()))


def _spoilt(data: bytes, kind: Fault, seed: int) -> bytes:
    if kind == "truncate":
        return data[: len(data) // 2]
    chosen, spoilt = random.Random(seed), bytearray(data)
    for _ in range(20):
        spoilt[chosen.randrange(len(data) // 2, len(data))] = chosen.randrange(256)
    return bytes(spoilt)


def demo(width: int = 640, height: int = 360) -> Callable[[int], Image]:
    """The frames of the demo, forwards and backwards."""
    import mdhr_sdk

    capture = cv2.VideoCapture(str(Path(mdhr_sdk.__file__).parent / "assets" / "demo.mp4"))
    frames = []
    while (read := capture.read())[0]:
        square = cv2.resize(np.asarray(read[1]), (height, height))
        side = (width - height) // 2
        frames.append(np.asarray(cv2.copyMakeBorder(square, 0, 0, side, width - height - side, 0), np.uint8))
    turn = 2 * len(frames) - 2
    return lambda index: frames[min(index % turn, turn - index % turn)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("port", type=int)
    parser.add_argument("--fps", type=float, default=25.0)
    parser.add_argument("--seconds", type=float, default=60.0)
    given = parser.parse_args()
    with LiveServer(demo(), given.fps, given.port) as server:
        print(server.url, flush=True)
        time.sleep(given.seconds)


if __name__ == "__main__":
    main()
