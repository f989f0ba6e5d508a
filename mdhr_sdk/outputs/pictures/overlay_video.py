"""Annotated frames as a video or a still."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ...arguments import is_number
from ...ending import at_work
from ...errors import OutputError
from ...results import FrameResult
from ..sinks import FileSink
from .drawing import Image
from .encoder import USUAL_FPS, Encoder, check_codec, encoded_size

STILLS = (".png", ".jpg", ".jpeg")


class Drawn(NamedTuple):
    """A frame with its drawing."""

    image: Image
    time_s: float
    source: str


class OverlaySink(FileSink[Drawn]):
    """Draws results on their frames and writes a video (without sound) or a still.

    A video's frames have the times of their results, so it lasts as long as its source, at any frame rate. The first
    frame sets the size, without a last odd row or column, which the codecs cannot store; frames of other sizes are
    fitted into it with black margins. An mp4 that is cut off at any moment can be played up to about there. See
    `FileSink` for when the file appears.

    Args:
        path: the file; the suffix chooses a video (mp4, m4v, mov or mkv; webm with vp9 and av1) or a still of one
            frame (png, jpg, jpeg).
        fps: usual frames per second, which decides how long a video of one frame lasts; 25 if not a positive number.
        codec: 'h264', 'vp9' or 'av1'.

    Raises:
        OutputError: the suffix is unknown or does not fit the codec; the codec is unknown or cannot be encoded here. On
            writing: the encoder refuses, or a still gets a second frame.
        InputError: on writing, a result that carries no image.
    """

    def __init__(self, path: str | os.PathLike[str], fps: float | None = None, codec: str = "h264") -> None:
        super().__init__(path)
        self.fps = float(fps) if is_number(fps) and fps > 0 else USUAL_FPS
        self.codec = codec
        self._is_still = self.path.suffix.lower() in STILLS
        if not self._is_still:
            check_codec(self.path, codec)

    def _render(self, result: FrameResult) -> Drawn:
        if self._is_still and self._written:
            raise OutputError(f"'{self.path.name}' is a still and holds one frame; use a suffix of a video, as .mp4")
        return Drawn(result.annotate(), result.timestamp_s, result.source)

    def _open(self, part: Path, first: Drawn) -> None:
        self._source = first.source
        if self._is_still:
            self._still = part
            return
        height, width = first.image.shape[:2]
        self._size = encoded_size(width, height, self.codec)
        self._video = Encoder(part, self._size, self.fps, self.codec)

    @at_work()
    def _put(self, item: Drawn) -> None:
        import cv2

        if self._is_still:
            done, data = cv2.imencode(self.path.suffix.lower(), item.image)
            if not done:
                longest = max(item.image.shape)
                raise OutputError(f"'{self.path.name}' cannot hold a side of {longest} pixels; scale the image down")
            self._still.write_bytes(data.tobytes())
        else:
            self._video.write(fitted(item.image, self._size), item.time_s, anew=item.source != self._source)
            self._source = item.source

    def _finish(self) -> None:
        if not self._is_still:
            self._video.close()


def fitted(image: Image, size: tuple[int, int]) -> NDArray[np.uint8]:
    """The image at `size` (width, height): without one odd row or column, else scaled between margins."""
    import cv2

    width, height = size
    rows, columns = image.shape[:2]
    if 0 <= rows - height <= 1 and 0 <= columns - width <= 1:
        return np.ascontiguousarray(image[:height, :width])
    scale = min(width / columns, height / rows)
    inner = (max(1, round(columns * scale)), max(1, round(rows * scale)))
    canvas = np.zeros((height, width, 3), np.uint8)
    left, top = (width - inner[0]) // 2, (height - inner[1]) // 2
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    canvas[top : top + inner[1], left : left + inner[0]] = cv2.resize(image, inner, interpolation=method)
    return canvas
