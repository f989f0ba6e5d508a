"""The addresses of the served page, and what each answers."""

from __future__ import annotations

import asyncio
import queue
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...errors import InputError
from ...plain_json import parsed
from .board import Board
from .commands import Command, Mark, read_command
from .hub import Client, Hub, first_of
from .metrics import Metrics
from .pictures import Pictures

if TYPE_CHECKING:
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.types import Receive, Scope, Send
    from starlette.websockets import WebSocket

ASSETS = Path(__file__).parents[2] / "assets" / "serve"
TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
BODY_BYTES = 4096
BODY_S = 5.0  # that a request may take to send its body
ANSWER_S = 15.0  # that a browser may take to ask for the next picture
READY_S = 3.0  # without a result a source is not ready
COMMANDS = 64  # that may wait


@dataclass(frozen=True, eq=False)
class Page:
    """What the page shows, and whom to."""

    board: Board
    hub: Hub
    pictures: Pictures
    metrics: Metrics
    commands: queue.SimpleQueue[Command]

    def application(self) -> Starlette:
        """The Starlette application."""
        from starlette.applications import Starlette
        from starlette.routing import Route, WebSocketRoute

        files = [Route("/" if path.name == "index.html" else f"/{path.name}", _file(path)) for path in ASSETS.iterdir()]
        return Starlette(
            routes=[
                *files,
                WebSocketRoute("/ws", self.results),
                WebSocketRoute("/frames", self.frames),
                Route("/events", self.events),
                Route("/calibrate", self.command, methods=["POST"]),
                Route("/mark", self.command, methods=["POST"]),
                Route("/healthz", self.healthy),
                Route("/readyz", self.ready),
                Route("/metrics", self.counts),
            ]
        )

    async def results(self, socket: WebSocket) -> None:
        """Every message, one WebSocket message each."""
        from starlette.websockets import WebSocketDisconnect

        if await self._full(socket):
            return
        await socket.accept()
        with self.hub.client("ws", socket.scope["client"]) as client, suppress(WebSocketDisconnect):
            hello = self.board.hello()  # now, so that nothing in it is published to this client again

            async def send() -> None:
                await socket.send_text(hello)
                while (message := await client.waiting.get()) is not None:
                    await socket.send_text(message)
                await socket.close(1001)

            await first_of(send(), _until_left(socket), client.slow.wait())

    async def frames(self, socket: WebSocket) -> None:
        """JPEG pictures of the source that the query names; the next one comes when the client has sent any text."""
        from starlette.websockets import WebSocketDisconnect

        if await self._full(socket):
            return
        await socket.accept()
        wanted = asyncio.Event()
        wanted.set()
        with self.hub.client("frames", socket.scope["client"]) as client, suppress(WebSocketDisconnect):
            sending, leaving = self._send_pictures(socket, client, wanted), _until_left(socket, wanted.set)
            await first_of(sending, leaving, self.hub.ended.wait())
            if self.hub.ended.is_set():
                await socket.close(1001)

    async def _send_pictures(self, socket: WebSocket, client: Client, wanted: asyncio.Event) -> None:
        source, number = socket.query_params.get("source", ""), 0
        while True:
            picture = await self.pictures.newer(source, number)
            number = picture.number
            wanted.clear()
            try:
                await asyncio.wait_for(socket.send_bytes(picture.jpeg), ANSWER_S)
                await asyncio.wait_for(wanted.wait(), ANSWER_S)
            except asyncio.TimeoutError:
                return self.hub.drop(client)

    async def events(self, request: Request) -> Any:
        """Every message as a server-sent event."""
        if self.hub.full:
            return await self._too_many()
        return self._event_stream

    async def _event_stream(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = [(b"content-type", b"text/event-stream; charset=utf-8"), (b"x-accel-buffering", b"no")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})

        async def put(text: str, more: bool = True) -> None:
            await send({"type": "http.response.body", "body": text.encode(), "more_body": more})

        async def left() -> None:
            while (await receive())["type"] != "http.disconnect":
                pass

        with self.hub.client("sse", scope["client"]) as client:
            hello = self.board.hello()

            async def stream() -> None:
                await put(f"retry: 1000\ndata: {hello}\n\n")
                while (message := await client.waiting.get()) is not None:
                    await put(f"data: {message}\n\n")
                await put("", more=False)

            await first_of(stream(), left(), client.slow.wait())

    async def command(self, request: Request) -> Response:
        """A button of the page: its command goes to whoever serves it."""
        from starlette.responses import JSONResponse

        def answer(words: str, status: int) -> Response:
            return JSONResponse({"ok": status == 202, "told": words}, status)

        if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
            return answer("send application/json", 415)
        body = await _body(request)
        if body is None:
            return answer(f"send at most {BODY_BYTES} bytes, within {BODY_S:g} s", 413)
        try:
            command = read_command(request.url.path[1:], parsed(body or b"{}"), self.board.sources)
        except ValueError:
            return answer("this is no JSON", 400)
        except InputError as error:
            return answer(str(error), 422)
        if self.commands.qsize() >= COMMANDS:
            return answer("the program that serves this page takes no commands now", 503)
        self.commands.put(command)
        if isinstance(command, Mark):
            self.hub.publish(self.board.mark(command.source, command.text, command.at))
        return answer("done" if isinstance(command, Mark) else "asked", 202)

    async def healthy(self, request: Request) -> Response:
        """Whether this server runs."""
        from starlette.responses import PlainTextResponse

        return PlainTextResponse("ok\n")

    async def ready(self, request: Request) -> Response:
        """Whether a source gives results now."""
        from starlette.responses import PlainTextResponse

        states = self.board.states().values()
        live = sum(one.get("state", "live") == "live" and one.get("silent_s", READY_S) < READY_S for one in states)
        return PlainTextResponse(f"{live} of {len(states)} sources give results\n", 200 if live else 503)

    async def counts(self, request: Request) -> Response:
        """What Prometheus asks for."""
        from starlette.responses import Response

        text, kind = self.metrics.text()
        return Response(text, media_type=kind)

    async def _full(self, socket: WebSocket) -> bool:
        if self.hub.full:
            await (await self._too_many())(socket.scope, socket.receive, socket.send)
            return True
        return False

    async def _too_many(self) -> Response:
        from starlette.responses import PlainTextResponse

        self.hub.refused["full"] += 1
        return PlainTextResponse("too many clients\n", 503, {"connection": "close"})


def _file(path: Path) -> Callable[[Request], Any]:
    body, kind = path.read_bytes(), TYPES[path.suffix]

    async def answer(request: Request) -> Response:
        from starlette.responses import Response

        return Response(body, media_type=kind)

    return answer


async def _until_left(socket: WebSocket, heard: Callable[[], None] = lambda: None) -> None:
    """Until the client closes; calls `heard` for each of its messages."""
    while (await socket.receive())["type"] != "websocket.disconnect":
        heard()


async def _body(request: Request) -> bytes | None:
    """The body; None if it is too long, or takes too long."""

    async def read() -> bytes | None:
        body = b""
        async for part in request.stream():
            body += part
            if len(body) > BODY_BYTES:
                return None
        return body

    try:
        return await asyncio.wait_for(read(), BODY_S)
    except asyncio.TimeoutError:
        return None
