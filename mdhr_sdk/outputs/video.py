"""Annotated frames as a video or a still."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError, OutputError
from ..results import FrameResult
from .drawing import Image
from .overlay import annotate
from .sinks import FileSink

if TYPE_CHECKING:
    import cv2

STILLS = (".png", ".jpg", ".jpeg")
VIDEOS = (".mp4", ".m4v", ".mov", ".avi", ".mkv")
FALLBACK_FPS = 25.0


class OverlaySink(FileSink[Image]):
    """Draws results on their frames and writes a video (MPEG-4 part 2, constant frame rate, no sound) or a still.

    The first frame sets the size, less a last odd row or column, which the codec cannot hold; frames of other
    sizes are fitted into it with black margins. See `FileSink` for when the file appears.

    Args:
        path: the file; the suffix chooses a video (mp4, m4v, mov, avi, mkv) or a still of one frame (png, jpg, jpeg).
        fps: frames a second, as played; 25 when it is not a positive number.

    Raises:
        OutputError: the suffix is none of those. On writing: the encoder refuses, or a still gets a second frame.
        InputError: on writing, a result that carries no image.
    """

    def __init__(self, path: str | os.PathLike[str], fps: float = FALLBACK_FPS) -> None:
        super().__init__(path)
        suffix = self.path.suffix.lower()
        if suffix not in STILLS + VIDEOS:
            raise OutputError(
                f"an overlay is a video ({', '.join(VIDEOS)}) or a still ({', '.join(STILLS)}), but '{self.path.name}' "
                "is neither; change the suffix"
            )
        self.fps = float(fps) if math.isfinite(fps) and fps > 0 else FALLBACK_FPS
        self._is_still = suffix in STILLS

    def _render(self, result: FrameResult) -> Image:
        if result.image is None:
            raise InputError(
                f"an overlay needs each result's image, but frame {result.index} of '{result.source}' has none; "
                "ask the detector to keep images"
            )
        if self._is_still and self._written:
            raise OutputError(f"'{self.path.name}' is a still and holds one frame; use a suffix of a video, as .mp4")
        return annotate(result.image, result)

    def _open(self, part: Path, first: Image) -> None:
        import cv2

        if self._is_still:
            return
        height, width = first.shape[:2]
        self._size = (width - width % 2, height - height % 2)
        fourcc = cv2.VideoWriter.fourcc(*"mp4v")
        self._video: cv2.VideoWriter = cv2.VideoWriter(str(part), fourcc, self.fps, self._size)
        if not self._video.isOpened():
            part.unlink(missing_ok=True)
            raise OutputError(
                f"OpenCV cannot write '{self.path}' as {self._size[0]}x{self._size[1]} mp4v video at {self.fps:g} fps; "
                "check that the folder can be written, or try a suffix of .avi or .mkv"
            )

    def _put(self, item: Image) -> None:
        import cv2

        if self._is_still:
            self._part.write_bytes(cv2.imencode(self.path.suffix.lower(), item)[1].tobytes())
        else:
            self._video.write(_fitted(item, self._size))

    def _finish(self) -> None:
        import cv2

        if self._is_still:
            return
        self._video.release()
        # The encoder reports no error, not even a full disk; a file that does not open again was not written whole.
        if not cv2.VideoCapture(str(self._part)).isOpened():
            raise OutputError(f"the encoder did not finish '{self.path}'; check that the disk has free space")


def _fitted(image: Image, size: tuple[int, int]) -> NDArray[np.uint8]:
    """The image at exactly `size` (width, height): as it is but for one odd row or column, else between margins."""
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
