"""Cameras through OpenCV and network streams through PyAV. Needs both."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

import av
import cv2
import numpy as np
from av.container import InputContainer

from ...errors import SourceError, number_of
from .decode import Decoded, Decoder, known, picture_track, rate_of
from .source import Damage, Opened, Picture
from .video import finite

TIMEOUT_S = 10.0
ENDLESS = frozenset(("hls", "dash", "mpjpeg"))  # whose size is that of a list of what follows, or made up


@contextmanager
def open_camera(number: int, name: str) -> Iterator[Opened]:
    """Open a camera by its number, with the shortest queue its driver allows."""
    opened_s = time.perf_counter()
    capture = _camera(number)
    try:
        got, first = capture.read() if capture.isOpened() else (False, None)
        if not got or first is None:  # a camera may say that it is open and give nothing
            raise SourceError(
                f"{name} gives no picture; check that it is plugged in, that no other program uses it, that you may "
                "access it, or try another number"
            )
        fps = capture.get(cv2.CAP_PROP_FPS)
        fps = fps if 0 < fps < float("inf") else 0.0
        yield Opened(fps, None, True, _shown(capture, first, opened_s, name))
    finally:
        capture.release()


def _camera(number: int) -> cv2.VideoCapture:
    """The log level is the caller's; OpenCV's warnings about a camera that is not there say less than our error."""
    level = cv2.getLogLevel()
    cv2.setLogLevel(0)
    try:
        capture = cv2.VideoCapture(number)
        capture.set(cv2.CAP_PROP_BUFFERSIZE, 1)
    finally:
        cv2.setLogLevel(level)
    return capture


def _shown(capture: cv2.VideoCapture, image: object, opened_s: float, name: str) -> Iterator[Picture]:
    got, count, size = True, 0, None
    while got and isinstance(image, np.ndarray):
        arrived_s = time.perf_counter()
        yield Picture(np.asarray(image, np.uint8), arrived_s - opened_s, arrived_s, size not in (None, image.shape))
        size = image.shape
        count += 1
        got, image = capture.read()
    raise _stopped(name, count)


@contextmanager
def open_stream(url: str, name: str) -> Iterator[Opened]:
    """Open a network stream. One with a length or size (a file on a web server) is read like a video."""
    failure = f"cannot open stream {name}; check the address, the network and the login (waits {TIMEOUT_S:g} s)"
    opened_s = time.perf_counter()
    try:
        container = _connect(url)
    except (av.error.FFmpegError, OSError, ValueError):
        raise SourceError(failure) from None
    with container:
        damage = Damage()
        if container.duration or (container.size > 0 and container.format.name not in ENDLESS):
            opened = finite(container, name, damage, failure)
            assert opened is not None
            yield opened
            return
        track = picture_track(container)
        decoded = iter(Decoder(container, known(track, name), damage, live=True)) if track else iter(())
        first = next(decoded, None)
        if track is None or first is None:
            raise SourceError(failure)
        yield Opened(rate_of(track), None, True, _arriving(first, decoded, opened_s, name), damage=damage)


def _connect(url: str) -> InputContainer:
    """RTSP goes over TCP, which loses nothing on the way; no address may lead into local files."""
    options = {"protocol_whitelist": "rtsp,rtp,rtmp,rtmps,http,https,udp,tcp,tls,srt,crypto,data,hls,httpproxy"}
    if url.lower().startswith("rtsp"):
        options["rtsp_transport"] = "tcp"
    return av.open(url, options=options, timeout=(TIMEOUT_S, TIMEOUT_S), metadata_errors="ignore")


def _arriving(picture: Decoded | None, rest: Iterator[Decoded], opened_s: float, name: str) -> Iterator[Picture]:
    count = 0
    while picture is not None:
        arrived_s = picture.arrived_s
        yield Picture(picture.image, arrived_s - opened_s, arrived_s, picture.breaks, picture.note)
        count += 1
        picture = next(rest, None)
    raise _stopped(name, count)


def _stopped(name: str, count: int) -> SourceError:
    after = f"stopped after {number_of(count, 'frame')}"
    return SourceError(f"{name} {after}; check its cable, power or network and open it again")
