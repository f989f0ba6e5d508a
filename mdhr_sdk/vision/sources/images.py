"""Image files, as stills or as the numbered frames of one sequence. Needs OpenCV."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np

from ...errors import SourceError
from ..quiet import quiet
from .source import Image, Opened


def read_image(path: Path) -> Image:
    """Read an image file as (H, W, 3) uint8 BGR, turned upright by its EXIF orientation.

    Raises:
        SourceError: the file cannot be read or is not an image that OpenCV knows.
    """
    try:
        data = np.fromfile(path, np.uint8)  # cv2.imread cannot open every non-ASCII path on Windows
    except OSError as error:
        raise SourceError(
            f"cannot read image {path}: {error.strerror or error}; check the file's permissions"
        ) from None
    try:
        with quiet:
            image = cv2.imdecode(data, cv2.IMREAD_COLOR)
    except cv2.error:
        image = None
    if image is None:
        raise SourceError(
            f"expected an image in {path}; its {data.size} bytes are damaged or of another format; "
            "save it again as JPEG or PNG"
        )
    return image.astype(np.uint8, copy=False)


@contextmanager
def open_still(path: Path) -> Iterator[Opened]:
    """Open one image."""
    yield Opened(0.0, 1, False, iter([(read_image(path), 0.0)]), still=True)


@contextmanager
def open_sequence(paths: Sequence[Path], fps: float) -> Iterator[Opened]:
    """Open images as the frames of one clip, in the order given; sizes may differ."""
    yield Opened(fps, len(paths), False, ((read_image(path), i / fps) for i, path in enumerate(paths)))
