"""Cameras through OpenCV."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import cv2
import numpy as np

from ....errors import SourceError
from ..source import Opened, Picture
from .spec import LiveSpec
from .streams import stopped

log = logging.getLogger("mdhr_sdk")


@contextmanager
def open_camera(spec: LiveSpec, name: str) -> Iterator[Opened]:
    """Open a camera by its number, with the shortest queue its driver allows."""
    opened_s = time.perf_counter()
    capture = _camera(spec)
    try:
        got, first = capture.read() if capture.isOpened() else (False, None)
        if not got or first is None:  # a camera may say that it is open and give nothing
            raise SourceError(
                f"{name} gives no picture; check that it is plugged in, that no other program uses it, that you may "
                "access it, or try another number"
            )
        fps = capture.get(cv2.CAP_PROP_FPS)
        fps = fps if 0 < fps < float("inf") else 0.0
        _tell_what_came(spec, name, np.asarray(first).shape, fps)
        yield Opened(fps, None, True, _shown(capture, first, opened_s, name))
    finally:
        capture.release()


def _camera(spec: LiveSpec) -> cv2.VideoCapture:
    """The log level is the caller's; OpenCV's warnings about a camera that is not there say less than our error."""
    opencv: Any = cv2
    levels = opencv if hasattr(cv2, "getLogLevel") else opencv.utils.logging  # where OpenCV 4.14 has it
    level = levels.getLogLevel()
    levels.setLogLevel(0)
    try:
        capture = cv2.VideoCapture(int(spec.address))
        if spec.pixels is not None:  # first: a size may exist in one format only
            capture.set(cv2.CAP_PROP_FOURCC, cv2.VideoWriter.fourcc(*spec.pixels))
        if spec.size_px is not None:
            capture.set(cv2.CAP_PROP_FRAME_WIDTH, spec.size_px[0])
            capture.set(cv2.CAP_PROP_FRAME_HEIGHT, spec.size_px[1])
        if spec.fps is not None:
            capture.set(cv2.CAP_PROP_FPS, spec.fps)
        capture.set(cv2.CAP_PROP_BUFFERSIZE, 1)
    finally:
        levels.setLogLevel(level)
    return capture


def _tell_what_came(spec: LiveSpec, name: str, shape: tuple[int, ...], fps: float) -> None:
    """A camera that cannot do what it is asked for does something else, and does not say so."""
    size = (shape[1], shape[0])
    if spec.size_px not in (None, size):
        log.warning("%s was asked for %dx%d and gives %dx%d", name, *(spec.size_px or size), *size)
    if spec.fps is not None and abs(spec.fps - fps) > 0.5:
        log.warning("%s was asked for %g frames a second and says %g", name, spec.fps, fps)


def _shown(capture: cv2.VideoCapture, image: object, opened_s: float, name: str) -> Iterator[Picture]:
    got, count, size = True, 0, None
    while got and isinstance(image, np.ndarray):
        arrived_s = time.perf_counter()
        yield Picture(np.asarray(image, np.uint8), arrived_s - opened_s, arrived_s, size not in (None, image.shape))
        size = image.shape
        count += 1
        got, image = capture.read()
    raise stopped(name, count)
