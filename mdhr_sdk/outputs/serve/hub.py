"""Hands messages to all clients. A client that falls behind is dropped, so that it costs nobody else anything."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager

WAITING = 256  # messages that may wait for a client; they are shared by all clients
CLIENTS = 512  # a page is one, and one more for each picture that it shows


class Client:
    """One reader of the messages.

    Attributes:
        kind: 'ws', 'sse' or 'frames'.
        address: of its end of the connection.
        waiting: its messages; None is the end.
        slow: set when it fell behind.
    """

    def __init__(self, kind: str, address: object) -> None:
        self.kind = kind
        self.address = address
        self.waiting: asyncio.Queue[str | None] = asyncio.Queue(WAITING)
        self.slow = asyncio.Event()


class Hub:
    """The clients that are there. Used in the server's thread only.

    Attributes:
        dropped: kind -> clients that were dropped since they were too slow.
        refused: reason -> requests that were refused.
        cut: closes the connection with an address at once, unsent bytes and all.
    """

    def __init__(self) -> None:
        self.clients: set[Client] = set()
        self.dropped: Counter[str] = Counter()
        self.refused: Counter[str] = Counter()
        self.ended = asyncio.Event()
        self.cut: Callable[[object], None] = lambda address: None

    @property
    def full(self) -> bool:
        """Whether no more clients are taken."""
        return len(self.clients) >= CLIENTS

    def count(self, kind: str) -> int:
        """How many clients of a kind are there."""
        return sum(client.kind == kind for client in self.clients)

    @contextmanager
    def client(self, kind: str, address: object) -> Iterator[Client]:
        """A client that gets the messages that are published in this block."""
        client = Client(kind, address)
        self.clients.add(client)
        try:
            yield client
        finally:
            self.clients.discard(client)

    def publish(self, message: str) -> None:
        """Give a message to every client; who has too many waiting is dropped."""
        for client in [one for one in self.clients if one.kind != "frames"]:
            try:
                client.waiting.put_nowait(message)
            except asyncio.QueueFull:
                self.drop(client)

    def drop(self, client: Client) -> None:
        """Drop a client that is too slow."""
        if not client.slow.is_set():
            client.slow.set()
            self.dropped[client.kind] += 1
            self.clients.discard(client)
            self.cut(client.address)

    def end(self) -> None:
        """Tell all clients that nothing follows."""
        self.ended.set()
        for client in self.clients:
            if not client.waiting.full():
                client.waiting.put_nowait(None)


async def first_of(*jobs: Awaitable[object]) -> None:
    """Wait until one of the jobs is done, and cancel the others. An error of the one that is done is raised."""
    tasks = [asyncio.ensure_future(job) for job in jobs]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    for task in done:
        task.result()
