"""Frames that are in memory already: one image, a clip, or an iterator of images."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import nullcontext

import numpy as np

from ...errors import InputError
from .source import Image, Opened, Source, check_image


def array_source(array: np.ndarray, name: str, fps: float) -> Source:
    """A still from (H, W, 3), or one clip from (T, H, W, 3); uint8 BGR, or InputError."""
    if array.ndim != 4:
        still = check_image(array, name)
        return Source(name, "array", lambda: nullcontext(Opened(0.0, 1, False, iter([(still, 0.0)]), still=True)))
    if len(array) == 0:
        raise InputError(f"expected {name} to hold at least one frame; got shape {array.shape}; give a longer clip")
    check_image(array[0], f"each frame of {name}")
    return Source(name, "array", lambda: nullcontext(Opened(fps, len(array), False, _timed(iter(array), name, fps))))


def iterator_source(images: Iterator[object], name: str, fps: float) -> Source:
    """Frames from an iterator of (H, W, 3) uint8 BGR arrays, each checked as it comes and passed on without a copy."""
    return Source(name, "array", lambda: nullcontext(Opened(fps, None, False, _timed(images, name, fps))))


def _timed(images: Iterator[object], name: str, fps: float) -> Iterator[tuple[Image, float]]:
    index = -1
    for index, image in enumerate(images):
        if isinstance(image, str | os.PathLike):
            raise InputError(f"expected {name} to give images; it gives paths, as {str(image)!r}; give a list of them")
        yield check_image(image, f"frame {index} of {name}"), index / fps
    if index < 0:
        raise InputError(f"expected {name} to give at least one frame; it gave none; was the iterator used before?")
