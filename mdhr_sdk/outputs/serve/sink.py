"""The sink that serves its results."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import logging
import os
import queue
import secrets
import socket
import threading
from collections import deque
from collections.abc import Sequence
from dataclasses import replace
from types import TracebackType
from typing import TYPE_CHECKING, Any

from ...errors import InputError, OutputError, plain, require
from ...results import FrameResult
from .board import Board, StatusOf
from .commands import Command
from .guard import Guard
from .hub import Hub
from .metrics import Metrics
from .pictures import Pictures
from .routes import Page

if TYPE_CHECKING:
    import uvicorn
    from typing_extensions import Self

EXTRA = "live"
TOKEN_LENGTH = 16
INBOX = 256  # results that may wait for the server's thread
LOOK_S, AWAKE_S = 0.008, 1.0  # between two looks for results; without any for so long, it sleeps
STATUS_S = 0.5  # between two messages about states
MESSAGE_BYTES = 4096  # of a client
CONNECTIONS = 600
BUFFER_BYTES = 1 << 18  # that the system keeps for a client: who reads slowly is not to see old results
OPEN_S, CLOSE_S = 10.0, 2.0

log = logging.getLogger("mdhr_sdk")


class ServeSink:
    """Shows results on a page in the browser, and gives them to other programs as JSON and metrics.

    The server runs in a thread of its own from entering the `with` block to its end. `write` never waits for it, nor
    for a client. Addresses: `/` the page; `/ws` (WebSocket) and `/events` (server-sent events) one JSON message a
    result; `/frames?source=NAME` (WebSocket) JPEG pictures; `POST /calibrate` and `/mark`; `/healthz`, `/readyz`;
    `/metrics` for Prometheus. Results that hold their image are shown with it.

    Args:
        host: address to listen on. Others than loopback let everybody in the network ask, so they need a token.
        port: 0 for any that is free.
        token: what every request must have, at least 16 characters. None for no token on loopback, and for a new one on
            other hosts; `url` holds it.
        hosts: names by which the server is asked for, beside this machine's own; a proxy's, for example.
        width_px: pictures that are wider are made smaller.

    Attributes:
        status: a callable that gives the `SourceStatus` of every source by its name, as `lambda: stream.status`. Set it
            so that the page shows states; without it, it shows what the results tell.
        commands: `Calibrate` and `Mark` of the page's buttons, for the caller to apply. A mark is shown at once.

    Raises:
        InputError: a port, token or width that cannot be.
        MissingDependencyError: the extra `live` is not installed.
        OutputError: on entering, the address cannot be had, for example since another program has the port; on writing,
            the sink is not open or its server has failed.
    """

    def __init__(
        self,
        host: str = "127.0.0.1",
        port: int = 8000,
        token: str | None = None,
        *,
        hosts: Sequence[str] = (),
        width_px: int = 640,
    ) -> None:
        for module in ("starlette", "uvicorn", "websockets", "prometheus_client"):
            require(module, EXTRA)
        if not isinstance(port, int) or isinstance(port, bool) or not 0 <= port <= 65535:
            raise InputError(f"a port is a number from 0 to 65535; got {port!r}")
        if token is not None and (len(token) < TOKEN_LENGTH or not token.isascii() or not token.isalnum()):
            raise InputError(
                f"a token needs at least {TOKEN_LENGTH} letters and digits, and nothing else; got {len(token)} "
                "characters; leave it out for a new one"
            )
        if not isinstance(width_px, int) or not 16 <= width_px <= 3840:
            raise InputError(f"width_px must be from 16 to 3840; got {width_px!r}")
        host = host[1:-1] if host.startswith("[") and host.endswith("]") else host  # as in an address
        self.host = host
        self.status: StatusOf | None = None
        self.commands: queue.SimpleQueue[Command] = queue.SimpleQueue()
        self._port = port
        self._loopback = _is_loopback(host)
        self._token = secrets.token_hex(16) if token is None and not self._loopback else token
        self._hosts = hosts
        self._width_px = width_px
        self._inbox: deque[FrameResult] = deque()
        self._late = 0
        self._pictures = Pictures(width_px)
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._wake = asyncio.Event()
        self._asleep = False
        self._ready = threading.Event()
        self._ending = False
        self._error: BaseException | None = None

    @property
    def port(self) -> int:
        """The port; known once the sink is open if any was asked for."""
        return self._port

    @property
    def url(self) -> str:
        """The page's address, with the token if there is one: show it to the user only, and log it nowhere."""
        name = socket.gethostname() if self.host in ("0.0.0.0", "::") else self.host
        name = f"[{name}]" if ":" in name else name
        return f"http://{name}:{self._port}/" + (f"?token={self._token}" if self._token else "")

    def write(self, result: FrameResult) -> None:
        """Show one result; never waits.

        Raises:
            OutputError: the sink is not open, or its server has failed.
        """
        if self._error is not None:
            raise OutputError(f"the served page has ended: {type(self._error).__name__}: {self._error}")
        if self._loop is None or self._ending:
            raise OutputError("the served page takes results inside its 'with' block only; open a new sink")
        if result.image is not None:
            self._pictures.show(result)
            result = replace(result, image=None)  # pictures that wait would fill the memory
        if len(self._inbox) >= INBOX:
            self._late += 1
            return
        self._inbox.append(result)
        if self._asleep:
            self._awaken()

    def __enter__(self) -> Self:
        if self._thread is not None:
            raise OutputError("a served page is opened once; make a new ServeSink")
        bound = self._bound()
        self._port = bound.getsockname()[1]
        self._thread = threading.Thread(target=self._run, args=(bound,), name="mdhr-serve", daemon=True)
        self._thread.start()
        if not self._ready.wait(OPEN_S) or self._error is not None:
            self.close()
            raise OutputError(f"the served page could not start: {self._error!r}")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Say goodbye to all clients and end the server, within two seconds; may be called twice."""
        self._ending = True
        self._awaken()
        if self._thread is not None:
            self._thread.join(CLOSE_S)
            if self._thread.is_alive():
                log.warning("the served page did not end within %g s; its thread is left behind", CLOSE_S)
        self._pictures.close()

    def _awaken(self) -> None:
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):  # the loop has ended
                self._loop.call_soon_threadsafe(self._wake.set)

    def _bound(self) -> socket.socket:
        """A socket that listens."""
        where = f"{plain(self.host)}:{self._port}"
        try:
            kind, _, _, _, address = socket.getaddrinfo(
                self.host, self._port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
            )[0]
            bound = socket.create_server(address[:2], family=kind, backlog=CONNECTIONS)
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, BUFFER_BYTES)  # its connections have it too
            return bound
        except (OSError, UnicodeError) as error:
            number = getattr(error, "errno", None) or 0  # below 0 for names that lead to no address
            reason = os.strerror(number) if number > 0 else getattr(error, "strerror", None) or str(error)
            raise OutputError(
                f"the page cannot be served on {where}: {reason.lower()}; choose another port or address, or stop the "
                "program that has it"
            ) from None

    def _run(self, bound: socket.socket) -> None:
        try:
            asyncio.run(self._serve(bound))
        except BaseException as error:  # told by the next `write`
            self._error = error
        finally:
            bound.close()
            self._ready.set()

    async def _serve(self, bound: socket.socket) -> None:
        board, hub = Board(), Hub()
        board.status_of = lambda: {} if self.status is None else self.status()
        page = Page(board, hub, self._pictures, Metrics(board, hub, self._pictures), self.commands)
        server = self._server(page)
        connections: set[Any] = server.server_state.connections

        def cut(address: object) -> None:
            for connection in [*connections]:
                if connection.client == address:
                    connection.transport.abort()

        hub.cut = cut
        self._loop = asyncio.get_running_loop()
        jobs = [asyncio.create_task(self._pump(page)), asyncio.create_task(_tell_states(page))]
        serving = asyncio.create_task(server.serve([bound]))
        self._ready.set()
        await asyncio.wait([jobs[0], serving], return_when=asyncio.FIRST_COMPLETED)
        server.should_exit = True
        hub.end()
        await serving
        for connection in [*connections]:  # of who does not answer
            connection.transport.abort()
        jobs[1].cancel()
        await jobs[0]

    def _server(self, page: Page) -> uvicorn.Server:
        import uvicorn

        guard = Guard(
            page.application(), hosts=self._names(), any_address=not self._loopback, token=self._token,
            cookie=f"mdhr_token_{self._port}", refused=page.hub.refused,
        )  # fmt: skip
        theirs = logging.getLogger("uvicorn.error").level != logging.NOTSET  # of a program that runs uvicorn itself
        level = None if theirs else "critical"  # else it tells of every client
        return uvicorn.Server(
            uvicorn.Config(
                guard, lifespan="off", loop="asyncio", http="h11", ws="websockets-sansio",
                ws_max_size=MESSAGE_BYTES, ws_per_message_deflate=False, ws_ping_interval=10, ws_ping_timeout=10,
                limit_concurrency=CONNECTIONS, timeout_graceful_shutdown=1, proxy_headers=False, server_header=False,
                log_config=None, log_level=level, access_log=False,
            )
        )  # fmt: skip

    async def _pump(self, page: Page) -> None:
        """Take the results that were written, until the sink is closed and all are taken.

        It looks for them again and again while they come: a writer that had to wake it each time would hand over the
        interpreter just then, and wait to get it back.
        """
        looks = 0
        while not self._ending or self._inbox:
            looks += 1
            while self._inbox:
                result = self._inbox.popleft()
                page.metrics.add(result)
                page.hub.publish(page.board.add(result))
                page.board.late = self._late
                page.pictures.tell()
                looks = 0
                await asyncio.sleep(0)  # so that clients take each message before the next one
            if looks * LOOK_S < AWAKE_S:
                await asyncio.sleep(LOOK_S)
                continue
            self._asleep = True
            if not self._inbox and not self._ending:
                await self._wake.wait()
            self._wake.clear()
            self._asleep, looks = False, 0
        for message in page.board.ends():
            page.hub.publish(message)

    def _names(self) -> list[str]:
        """The names by which this machine is asked for, as far as they are known."""
        name = socket.gethostname()
        own = [] if self._loopback else [name, f"{name}.local"]
        return [*own, self.host, *self._hosts]


async def _tell_states(page: Page) -> None:
    while True:
        page.hub.publish(page.board.status(len(page.hub.clients)))
        await asyncio.sleep(STATUS_S)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"
