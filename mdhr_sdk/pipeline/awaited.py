"""`async for` over results: a thread waits for the next one, so that the event loop does not."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import Future

from ..errors import InputError
from ..results import FrameResult


class Coming:
    """The result that a thread is waiting for. All loops over one stream share it.

    Attributes:
        future: its result, None at the end of the stream; None if no thread waits.
        told: done once a coroutine that awaits it knows of it, or was cancelled; None if none did.
    """

    def __init__(self) -> None:
        self.future: Future[FrameResult | None] | None = None
        self.told: asyncio.Future[None] | None = None


class Awaited(AsyncIterator[FrameResult]):
    """The results of a stream for a coroutine. One that comes after its `await` was cancelled is the next one's."""

    def __init__(self, results: Iterator[FrameResult], coming: Coming) -> None:
        self._results = results
        self._coming = coming

    async def __anext__(self) -> FrameResult:
        """The next result; InputError if another coroutine awaits it."""
        coming, future = self._coming, None
        while future is None or coming.future is not future:  # else another one has taken it
            if coming.told is not None and not coming.told.done():
                raise InputError(
                    "expected one coroutine at a time; got a second one that awaits the next result of this stream; "
                    "let one take the results and pass them on"
                )
            coming.future = future = coming.future or _in_thread(lambda: next(self._results, None))
            coming.told = told = _told_of(future)
            await told
        coming.future = None
        result = future.result()
        if result is None:
            raise StopAsyncIteration
        return result


def _told_of(future: Future[FrameResult | None]) -> asyncio.Future[None]:
    """What is done in this loop once a thread has its result."""
    loop = asyncio.get_running_loop()
    told: asyncio.Future[None] = loop.create_future()

    def end() -> None:
        if not told.done():
            told.set_result(None)

    def tell(_: object) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed, and nobody waits
            loop.call_soon_threadsafe(end)

    future.add_done_callback(tell)
    return told


def _in_thread(job: Callable[[], FrameResult | None]) -> Future[FrameResult | None]:
    """What a job returns. Its thread does not keep the interpreter from ending, as those of an executor would."""
    future: Future[FrameResult | None] = Future()

    def work() -> None:
        try:
            result = job()
        except BaseException as error:
            future.set_exception(error)
        else:
            future.set_result(result)

    threading.Thread(target=work, name="mdhr awaits a result", daemon=True).start()
    return future
