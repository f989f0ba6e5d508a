"""`async for` over results: a thread waits for the next one, so that the event loop does not."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator, Callable, Iterator

from ..results import FrameResult


class Awaited(AsyncIterator[FrameResult]):
    """The results of a stream for a coroutine. One that comes after its `await` was cancelled is the next one's."""

    def __init__(self, results: Iterator[FrameResult]) -> None:
        self._results = results
        self._coming: asyncio.Future[FrameResult | None] | None = None

    async def __anext__(self) -> FrameResult:
        if self._coming is None:
            self._coming = _in_thread(lambda: next(self._results, None))
        coming = self._coming
        try:
            result = await asyncio.shield(coming)
        finally:
            if coming.done():
                self._coming = None
        if result is None:
            raise StopAsyncIteration
        return result


def _in_thread(job: Callable[[], FrameResult | None]) -> asyncio.Future[FrameResult | None]:
    """What a job returns. Its thread does not keep the interpreter from ending, as those of an executor would."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[FrameResult | None] = loop.create_future()
    future.add_done_callback(lambda done: done.cancelled() or done.exception())  # else asyncio prints one nobody awaits

    def work() -> None:
        try:
            result = job()
        except BaseException as error:
            _tell(future.set_exception, error)
        else:
            _tell(future.set_result, result)

    def _tell(setter: Callable[..., None], value: object) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed, and nobody waits
            loop.call_soon_threadsafe(setter, value)

    threading.Thread(target=work, name="mdhr awaits a result", daemon=True).start()
    return future
