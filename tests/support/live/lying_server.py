"""A web server on this machine that serves one file honestly, or lies about it in every way."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np

CONTENT = np.random.default_rng(0).bytes(150_000)
WRONG = CONTENT[:-1] + bytes([CONTENT[-1] ^ 1])


class LyingServer(ThreadingHTTPServer):
    """Its paths are the methods of `_Answers`; `asked` has the path and the Range of every request."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Answers)
        self.asked: list[tuple[str, str | None]] = []
        self.ended = threading.Event()

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.server_port}/{path}"


@contextmanager
def lying_server() -> Iterator[LyingServer]:
    with LyingServer() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server
        finally:
            server.ended.set()
            server.shutdown()
            thread.join()


class _Answers(BaseHTTPRequestHandler):
    server: LyingServer

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        path = self.path.rpartition("/")[2]
        asked = self.headers.get("Range")
        self.server.asked.append((self.path, asked))
        self.begin = int(re.fullmatch(r"bytes=(\d+)-", asked)[1]) if asked else 0
        with suppress(BrokenPipeError, ConnectionResetError):
            getattr(self, path)()

    def send(self, body: bytes, code: int = 200, length: int | None = None, **headers: str) -> None:
        self.send_response(code)
        self.send_header("Content-Length", str(len(body) if length is None else length))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def send_from(self, begin: int, end: int = len(CONTENT), said: int | None = None) -> None:
        span = f"bytes {begin if said is None else said}-{len(CONTENT) - 1}/{len(CONTENT)}"
        code = 206 if begin or said else 200
        self.send(CONTENT[begin:end], code, len(CONTENT) - begin, Content_Range=span)

    def good(self) -> None:
        self.send_from(self.begin)

    def cut(self) -> None:
        """Breaks off after another third, whatever is asked for."""
        self.send_from(self.begin, self.begin + 50_000)

    def shrinks(self) -> None:
        """Says that the file is shorter."""
        self.send(CONTENT[:1000])

    def grows(self) -> None:
        self.send(CONTENT + b"more")

    def wrong(self) -> None:
        self.send(WRONG[self.begin :], 206 if self.begin else 200, Content_Range=f"bytes {self.begin}-")

    def ignores_range(self) -> None:
        self.send(CONTENT, length=len(CONTENT)) if self.begin else self.send(CONTENT[:70_000], length=len(CONTENT))

    def other_range(self) -> None:
        """Sends from another place than it was asked to, once."""
        if self.begin:
            self.send_from(self.begin - 10, said=self.begin - 10)
        else:
            self.send_from(0, 70_000 if len(self.server.asked) == 1 else len(CONTENT))

    def no_such_range(self) -> None:
        self.send_error(416) if self.begin else self.send_from(0)

    def loop(self) -> None:
        self.send(b"", 302, Location="/loop")

    def moved(self) -> None:
        self.send(b"", 302, Location="/good")

    def to_a_file(self) -> None:
        self.send(b"", 302, Location="file:///etc/hostname")

    def missing(self) -> None:
        self.send_error(404)

    def busy(self) -> None:
        self.send_error(503)

    def busy_once(self) -> None:
        self.send_error(503) if len(self.server.asked) == 1 else self.send_from(0)

    def silent(self) -> None:
        self.server.ended.wait(60)

    def slow(self) -> None:
        """A byte now and then, for ever."""
        self.send(CONTENT[:1], length=len(CONTENT))
        while not self.server.ended.wait(0.02):
            self.wfile.write(b".")
