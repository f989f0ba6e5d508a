"""Pictures for the page: boxes drawn, made small, encoded once for all clients, and only when somebody watches."""

from __future__ import annotations

import asyncio
import itertools
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from ...ending import at_work
from ...results import FrameResult
from ..pictures import drawing
from ..pictures.drawing import Box, Colour, Image
from .board import SOURCES_KEPT

RATE_HZ = 25.0  # most pictures of a source
QUALITY = 80
OKABE_ITO = ("#56b4e9", "#e69f00", "#009e73", "#cc79a7", "#f0e442", "#d55e00")  # told apart by everybody, behind ink
_INK: Colour = (28, 20, 16)


@dataclass(frozen=True, eq=False)
class Picture:
    """A JPEG file, and the number of its result, which is greater than those of results before."""

    number: int
    jpeg: bytes


class Pictures:
    """The newest picture of every source.

    Attributes:
        made: how many pictures were encoded.
    """

    def __init__(self, width_px: int) -> None:
        self.made = 0
        self._width_px = width_px
        self._numbers = itertools.count(1)
        self._newest: dict[str, tuple[int, FrameResult]] = {}
        self._making: dict[str, tuple[int, asyncio.Task[Picture]]] = {}
        self._next_s: dict[str, float] = {}
        self._changed = asyncio.Event()
        self._worker = ThreadPoolExecutor(1, "mdhr-pictures")

    def show(self, result: FrameResult) -> None:
        """Keep a result with its image; may be called from any thread."""
        self._newest.pop(result.source, None)
        self._newest[result.source] = next(self._numbers), result
        if len(self._newest) > SOURCES_KEPT:
            del self._newest[next(iter(self._newest))]

    def tell(self) -> None:
        """Wake those who wait for a picture."""
        for source in [*self._making] if len(self._making) > SOURCES_KEPT else ():
            if source not in self._newest:
                del self._making[source], self._next_s[source]
        self._changed.set()
        self._changed = asyncio.Event()

    async def newer(self, source: str, after: int) -> Picture:
        """Wait for a picture of a source that is newer than number `after`."""
        while True:
            number, result = self._newest.get(source, (0, None))
            made, task = self._making.get(source, (0, None))
            wait_s = self._next_s.get(source, 0.0) - time.monotonic()
            if task is not None and made > after:
                return await asyncio.shield(task)
            if result is None or number <= after:
                await self._changed.wait()
            elif wait_s > 0:
                await asyncio.sleep(wait_s)
            else:
                self._next_s[source] = time.monotonic() + 1 / RATE_HZ
                self._making[source] = number, asyncio.ensure_future(self._make(number, result))

    async def _make(self, number: int, result: FrameResult) -> Picture:
        self.made += 1
        jpeg = await asyncio.get_running_loop().run_in_executor(self._worker, draw, result, self._width_px)
        return Picture(number, jpeg)

    def close(self) -> None:
        """End the thread that draws."""
        self._worker.shutdown(wait=False, cancel_futures=True)


@at_work()
def draw(result: FrameResult, width_px: int) -> bytes:
    """A result's image with the box and id of every face, as JPEG.

    Args:
        result: with an image.
        width_px: wider images are made smaller.
    """
    import cv2

    assert result.image is not None
    height, width = result.image.shape[:2]
    scale = min(1.0, width_px / width)
    canvas: Image = np.ascontiguousarray(result.image)
    if scale < 1:
        size = (width_px, max(1, round(height * scale)))
        canvas = np.asarray(cv2.resize(canvas, size, interpolation=cv2.INTER_AREA), np.uint8)
    else:
        canvas = canvas.copy()
    for face in result.faces:
        x0, y0, x1, y1 = (side * scale for side in face.box_px)
        _draw_face(canvas, (x0, y0, x1, y1), face.track_id)
    written, data = cv2.imencode(".jpg", canvas, (cv2.IMWRITE_JPEG_QUALITY, QUALITY))
    assert written
    return data.tobytes()


def _draw_face(canvas: Image, box: Box, track_id: int) -> None:
    """A box on a dark edge, so that it is seen on every ground, and its id on a label."""
    size = max(11, round(canvas.shape[1] / 40))
    colour = drawing.bgr(OKABE_ITO[track_id % len(OKABE_ITO)])
    line = max(2, size // 6)
    drawing.frame(canvas, box, _INK, 0.8 * size, line + 2)
    drawing.frame(canvas, box, colour, 0.8 * size, line)
    words = f"face {track_id}"
    wide, high = drawing.text_width(words, size, True) + 1.1 * size, 1.7 * size
    x, y = max(0.0, box[0]), box[1] - high - line
    if y < 0:
        y = max(0.0, box[1]) + line
    drawing.fill(canvas, (x, y, x + wide, y + high), colour, 0.4 * size)
    drawing.text(canvas, x + 0.55 * size, y + high / 2, words, size, _INK, True)
