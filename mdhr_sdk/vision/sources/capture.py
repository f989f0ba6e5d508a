"""Videos, cameras and network streams through cv2.VideoCapture. Needs OpenCV."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import cv2

from ...errors import SourceError, TruncatedSourceError
from .containers import movie_duration_s
from .source import Image, Opened

TIMEOUT_MS = 10_000
DEFAULT_FPS = 25.0
# Containers that store how many frames they hold; elsewhere OpenCV estimates the number from the duration.
COUNTED = {".mp4", ".m4v", ".mov", ".avi"}

if "OPENCV_LOG_LEVEL" not in os.environ:
    cv2.setLogLevel(0)


@contextmanager
def open_video(path: Path) -> Iterator[Opened]:
    """Open a video file; see `Source` for what goes wrong."""
    failure = f"cannot decode {path} as a video: it is damaged, cut off or of another format; re-encode it as H.264 mp4"
    with _capturing(cv2.VideoCapture(str(path)), failure) as (capture, first):
        duration_s = movie_duration_s(path) if path.suffix.lower() in COUNTED else None
        yield _finite(capture, first, str(path), path.suffix, duration_s)


@contextmanager
def open_camera(number: int, name: str) -> Iterator[Opened]:
    """Open a camera by its number, with the shortest queue its driver allows."""
    failure = (
        f"{name} gives no picture; check that it is plugged in, that no other program uses it, that you may access it, "
        "or try another number"
    )
    opened_s = time.monotonic()
    capture = cv2.VideoCapture(number)
    capture.set(cv2.CAP_PROP_BUFFERSIZE, 1)
    with _capturing(capture, failure) as (_, first):
        yield Opened(_fps(capture), None, True, _live(capture, first, opened_s, time.monotonic(), name))


@contextmanager
def open_stream(url: str, name: str) -> Iterator[Opened]:
    """Open a network stream. One with a declared length (a file on a web server) is read like a video."""
    failure = f"cannot open stream {name}; check the address, the network and the login (waits {TIMEOUT_MS // 1000} s)"
    limits = [cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, TIMEOUT_MS, cv2.CAP_PROP_READ_TIMEOUT_MSEC, TIMEOUT_MS]
    opened_s = time.monotonic()
    with _capturing(cv2.VideoCapture(url, cv2.CAP_FFMPEG, limits), failure) as (capture, first):
        if _declared(capture):
            yield _finite(capture, first, name, Path(urlsplit(url).path).suffix)
        else:
            yield Opened(_fps(capture), None, True, _live(capture, first, opened_s, time.monotonic(), name))


@contextmanager
def _capturing(capture: cv2.VideoCapture, failure: str) -> Iterator[tuple[cv2.VideoCapture, Image]]:
    """Read the first frame, because a capture may say that it is open and have none; release at the end."""
    try:
        got, first = capture.read() if capture.isOpened() else (False, None)
        if not got or first is None:
            raise SourceError(failure)
        yield capture, first  # type: ignore[misc]
    finally:
        capture.release()


def _finite(capture: cv2.VideoCapture, first: Image, name: str, suffix: str, duration_s: float | None = None) -> Opened:
    declared, fps = _declared(capture), _fps(capture)
    promised = declared if suffix.lower() in COUNTED else 0
    if duration_s and fps:
        promised = min(promised, round(duration_s * fps))
    return Opened(fps, declared or None, False, _decode(capture, first, name, promised))


def _decode(capture: cv2.VideoCapture, image: Image, name: str, promised: int) -> Iterator[tuple[Image, float]]:
    period_s = 1 / (_fps(capture) or DEFAULT_FPS)
    timestamp_s, shift_s, decoded, got = -period_s, 0.0, 0, True
    while got:
        position_s = capture.get(cv2.CAP_PROP_POS_MSEC) / 1000 + shift_s
        if position_s <= timestamp_s or position_s < 0:
            # No clock (some backends), or one that starts again (joined files): go on from here, one period later.
            shift_s += timestamp_s + period_s - position_s
            position_s = timestamp_s + period_s
        timestamp_s = position_s
        yield image, timestamp_s
        decoded += 1
        got, image = capture.read()  # type: ignore[assignment]
    if promised - decoded > max(5, 0.05 * promised):
        raise TruncatedSourceError(
            f"{name} ended after {decoded} of the {promised} frames that it declares; the file is cut off or damaged: "
            "copy it again or re-encode it",
            decoded,
            promised,
        )


def _live(
    capture: cv2.VideoCapture, image: Image, opened_s: float, read_s: float, name: str
) -> Iterator[tuple[Image, float]]:
    got, count = True, 0
    while got:
        yield image, read_s - opened_s
        got, image = capture.read()  # type: ignore[assignment]
        read_s = time.monotonic()
        count += 1
    raise SourceError(f"{name} stopped after {count} frames; check its cable, power or network and open it again")


def _fps(capture: cv2.VideoCapture) -> float:
    fps = capture.get(cv2.CAP_PROP_FPS)
    return fps if 0 < fps < float("inf") else 0.0


def _declared(capture: cv2.VideoCapture) -> int:
    return max(0, int(capture.get(cv2.CAP_PROP_FRAME_COUNT)))
