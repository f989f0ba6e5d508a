"""Connects to a stream through FFmpeg, also to Motion JPEG of a form that its own reader does not understand."""

from __future__ import annotations

import logging
import time
from collections.abc import Set
from dataclasses import replace

import av
from av.container import InputContainer

from ....errors import MissingDependencyError, SourceError
from .causes import SilentError, refused
from .spec import LiveSpec

MOST_PIXELS = 36_000_000  # of a picture: 8K; a few of them are in memory at a time
FIRST_SHARE = 0.6  # of the time to open a stream: then it is read as one JPEG after the other
MARGIN_S = 0.2  # by which that ends before the process is killed
UNUSUAL = "%s sends Motion JPEG of an unusual form; it is read as one JPEG after the other"
FEW = 3  # pictures after which Motion JPEG that broke off is perhaps not of the usual form
JPEGS = {"analyzeduration": "1"}  # microseconds: one picture tells all; else 50 are read before the first is shown
_unusual: set[str] = set()  # names of streams whose parts are not as they should be, in this process
log = logging.getLogger("mdhr_sdk")


def connected(url: str, spec: LiveSpec, options: dict[str, str], name: str, failure: str = "") -> InputContainer:
    """An open container. No address may lead into local files.

    Args:
        failure: the message of the error; by default it tells the cause.
    """
    usual = spec.way != "stream" or spec.format or spec.fps or not url.lower().startswith("http")
    if usual:
        return _open(url, spec, options, name, failure, spec.timeout_s)
    if name in _unusual:
        return _open(url, replace(spec, format="mjpeg"), options, name, failure, spec.timeout_s)
    due_s = time.perf_counter() + spec.timeout_s - MARGIN_S
    error = SourceError(f"cannot open stream {name}: no JPEG in {spec.timeout_s:g} s; check what the server sends")
    try:
        container = _open(url, spec, options, name, failure, FIRST_SHARE * spec.timeout_s)
        single = container.format.name == "jpeg_pipe"  # pictures without anything between them, or only one
        if container.size > 0 if single else _shows(container) or container.format.name != "mpjpeg":
            return container
        container.close()
        told = "" if single else UNUSUAL
    except SourceError as caught:
        if not (isinstance(caught, SilentError) or isinstance(caught.__context__, av.error.InvalidDataError)):
            raise
        error, told = caught, UNUSUAL
    return _as_jpegs(url, spec, options, name, due_s - time.perf_counter(), error, told)


def one_picture(name: str) -> str:
    """What is told of an address that gives one picture and ends."""
    return f"{name} gives one picture and ends; add #fps=2 to ask for it twice a second, or give a stream's address"


def note_unusual(name: str, formats: Set[str], count: int) -> None:
    """Motion JPEG broke off after so many pictures: read it in another way when it is opened again."""
    if "mpjpeg" in formats and count <= FEW and name not in _unusual:
        _unusual.add(name)
        log.info(UNUSUAL, name)


def _as_jpegs(
    url: str, spec: LiveSpec, options: dict[str, str], name: str, left_s: float, error: SourceError, told: str
) -> InputContainer:
    """The same, if there are JPEGs in it, wherever they begin; else `error`."""
    try:
        container = _open(url, replace(spec, format="mjpeg"), options, name, "", max(MARGIN_S, left_s))
    except SourceError:
        raise error from None
    if not _shows(container):
        container.close()
        raise error
    if told:
        log.info(told, name)
    _unusual.add(name)
    return container


def _shows(container: InputContainer) -> bool:
    """Whether a picture has been seen in it."""
    return any(track.width for track in container.streams.video)


def _open(
    url: str, spec: LiveSpec, options: dict[str, str], name: str, failure: str, timeout_s: float
) -> InputContainer:
    options = {"fpsprobesize": "0", "live_start_index": "-1", **options}  # begin at once, and with the newest
    options |= {"max_pixels": str(MOST_PIXELS)} | (JPEGS if spec.format == "mjpeg" else {})
    timeout = None if spec.way == "pipe" else (timeout_s, spec.timeout_s)
    due_s = time.perf_counter() + timeout_s
    try:
        return av.open(url, format=spec.format, options=options, timeout=timeout, metadata_errors="ignore")
    except av.error.ProtocolNotFoundError:
        scheme = url.partition(":")[0]
        raise MissingDependencyError(
            f"PyAV's FFmpeg here cannot read {scheme}:// addresses; let another program receive it, as in "
            f"'ffmpeg -i {scheme}://... -c copy -f mpegts - | mdhr live -#format=mpegts'"
        ) from None
    except (av.error.FFmpegError, OSError, ValueError) as error:
        raise SourceError(failure) if failure else refused(error, spec, name, time.perf_counter() >= due_s)  # noqa: B904
