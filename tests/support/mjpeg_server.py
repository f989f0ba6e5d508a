"""Live sources on loopback: a camera that sends JPEG pictures over HTTP, and a server that accepts and says nothing."""

from __future__ import annotations

import http.server
import itertools
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress

import numpy as np

PART = b"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n%s\r\n"


def jpegs(frames: Sequence[np.ndarray]) -> list[bytes]:
    """Pictures (H, W, 3) BGR as JPEG."""
    import cv2

    return [cv2.imencode(".jpg", frame)[1].tobytes() for frame in frames]


@contextmanager
def camera_at(pictures: Sequence[bytes], fps: float = 10.0, port: int = 0, length: int | None = None) -> Iterator[str]:
    """Serve the pictures again and again; gives the URL. With `length` each connection ends after so many."""
    stop = threading.Event()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
            self.end_headers()
            begin_s = time.monotonic()
            with suppress(OSError):
                for index, data in enumerate(itertools.islice(itertools.cycle(pictures), length)):
                    if stop.wait(max(0.0, begin_s + index / fps - time.monotonic())):
                        return
                    self.wfile.write(PART % (len(data), data))

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/"
    finally:
        stop.set()
        server.shutdown()
        server.server_close()


@contextmanager
def silent_server() -> Iterator[str]:
    """Accept connections and say nothing; gives the URL of an HTTP camera that hangs."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}/"
