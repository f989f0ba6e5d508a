"""Live sources as people write them: an address, and options after '#'."""

from __future__ import annotations

import os
import re
from contextlib import AbstractContextManager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, get_args
from urllib.parse import urlsplit, urlunsplit

from ....arguments import flag, is_number
from ....errors import ConfigError, SourceError
from ..source import Opened, Source
from .spec import LiveSpec, Transport, Way

SCHEMES = ("rtsp", "rtsps", "rtmp", "rtmps", "http", "https", "udp", "tcp", "srt")
MOST_S = 3600.0
MOST_PORT = 65_535
_URL = re.compile(r"([a-z][a-z0-9+.-]+)://", re.IGNORECASE)
_HOST = re.compile(r"(\[[^\]]*\]|[^:]*)(:[0-9]*)?")
_CAMERA = re.compile(r"/dev/video[0-9]{1,4}|[0-9]{1,4}")
_OPTION = re.compile(r"([a-z_]+)=([^&@/#]*)|realtime")
_LOGIN = re.compile(r"//[^/\s]*@")
_BADLY_NAMED = re.compile(r"([^=]*)=[a-z][a-z0-9+.-]+://.+", re.DOTALL | re.IGNORECASE)
_NAMED = re.compile(r"([A-Za-z][A-Za-z0-9_.-]{0,39})=(.+)", re.DOTALL)
_FITS: dict[Way, frozenset[str]] = {
    "camera": frozenset(("size_px", "fps", "pixels")),
    "stream": frozenset(("transport", "format", "fps")),
    "pipe": frozenset(("size_px", "fps", "pixels", "format")),
    "file": frozenset(("realtime",)),
    "gstreamer": frozenset(),
}


def split_name(text: str) -> tuple[str, str]:
    """'door=rtsp://...' -> ('door', 'rtsp://...'); ('', text) where there is no name, or a file is called so.

    Raises:
        ConfigError: a name that cannot be, before a URL.
    """
    if os.path.lexists(text):
        return "", text
    if found := _NAMED.fullmatch(text):
        return found[1], found[2]
    if not _URL.match(text) and (bad := _BADLY_NAMED.fullmatch(text)):
        raise ConfigError(
            "a source's name begins with a letter and is of at most 40 letters, digits, points, '_' and '-'; "
            f"got {bad[1]!r}"
        )
    return "", text


def live_or_none(text: str) -> Source | None:
    """The live source that a text means, or None for what may be a file, folder or glob.

    Raises:
        ConfigError: options that cannot be.
        SourceError: a URL of another kind.
    """
    text = text.strip()
    if os.path.lexists(text) and not _CAMERA.fullmatch(text):
        return None
    address, options = _split(text)
    live = address == "-" or address.startswith("gst:") or _URL.match(address) or _is_camera(address)
    if not live and not options:
        return None
    return _source(address, options, None)


def live_source(
    address: int | str | os.PathLike[str],
    *,
    name: str | None = None,
    size_px: tuple[int, int] | None = None,
    fps: float | None = None,
    pixels: str | None = None,
    transport: Transport | None = None,
    format: str | None = None,
    realtime: bool = False,
    timeout_s: float | None = None,
) -> Source:
    """A live source with options; not opened yet.

    Args:
        address: a camera's number or '/dev/video0'; a URL; '-' for standard input; 'gst:' and a GStreamer pipeline
            whose end is the picture ('gst:nvarguscamerasrc ! nvvidconv'); with `realtime`, a video file. The options
            below may also be in its text: 'rtsp://door/cam#transport=udp&timeout=3', '0#size=1280x720&pixels=MJPG'.
        name: of its results; by default the address without login, query and options.
        size_px: width and height. A camera is asked for it and may give another; raw pictures need it.
        fps: as `size_px`.
        pixels: a camera's FourCC, as 'MJPG' or 'YUYV'; of raw pictures FFmpeg's name, as 'bgr24'.
        transport: of RTSP: 'tcp', the default, 'udp', 'udp_multicast' or 'http'.
        format: FFmpeg's name of the container, if it cannot be told: 'mpegts', 'mjpeg', 'rawvideo'.
        realtime: play a file at its own speed, as if it were live.
        timeout_s: how long opening may take, and how long no frame may come before it counts as lost; 5 by default.

    Raises:
        ConfigError: an option that is unknown, has no such value, or does not belong to this kind of source.
        SourceError: an address that is no live source.
    """
    if name is not None and not isinstance(name, str):
        raise ConfigError(f"the name of a source must be a text; got {name!r}")
    typed = f"/dev/video{address}" if isinstance(address, int) else os.fspath(address)  # a file may be called 0
    text, options = _split(typed.strip())
    given = {"size_px": size_px, "fps": fps, "pixels": pixels, "transport": transport, "format": format}
    given |= {"realtime": flag("realtime", realtime) or None, "timeout_s": timeout_s}
    return _source(text, options | {key: value for key, value in given.items() if value is not None}, name)


def _split(text: str) -> tuple[str, dict[str, Any]]:
    """The address, and the options after its last '#'; what does not look like options belongs to the address."""
    address, mark, rest = text.rpartition("#")
    parts = rest.split("&")
    if not mark or text.startswith("gst:") or not all(_OPTION.fullmatch(part) for part in parts):
        return text, {}
    return address, dict(_option(*part.partition("=")[::2]) for part in parts)


def _option(key: str, value: str) -> tuple[str, Any]:
    try:
        if key == "size":
            width, height = value.lower().split("x")
            return "size_px", (int(width), int(height))
        if key in ("fps", "timeout"):
            return {"fps": "fps", "timeout": "timeout_s"}[key], float(value)
    except ValueError:
        example = {"size": "1280x720"}.get(key, "5")
        raise ConfigError(f"the option {key} of a source must be as in {key}={example}; got {value!r}") from None
    if key in ("pixels", "transport", "format"):
        return key, value
    if key == "realtime":
        return key, True
    raise ConfigError(
        f"a source has no option {key!r}; choose among size, fps, pixels, transport, format, timeout and realtime"
    )


def _source(address: str, options: dict[str, Any], name: str | None) -> Source:
    spec, own = _spec(address, options)
    for key in options.keys() - _FITS[spec.way] - {"timeout_s"}:
        what = {"stream": "an address", "pipe": "standard input"}.get(spec.way, f"a {spec.way}")
        raise ConfigError(f"the option {key.removesuffix('_px')} does not belong to {what}; leave it out")
    options = {key: value for key, value in options.items() if key != "realtime"}
    return source_of(_checked(replace(spec, **options)), name or own)


def _spec(address: str, options: dict[str, Any]) -> tuple[LiveSpec, str]:
    """What an address means, and its name in results."""
    if address == "-":
        return LiveSpec("pipe", "0"), "stdin"
    if address.startswith("gst:"):
        return LiveSpec("gstreamer", address.removeprefix("gst:").strip()), "gstreamer"
    if url := _URL.match(address):
        scheme = url[1].lower()
        if scheme not in SCHEMES:
            raise SourceError(f"cannot open {scheme}:// addresses; give one of {', '.join(SCHEMES)}, or a path")
        _check_port(address)
        return LiveSpec("stream", address), public(address)
    if _is_camera(address):
        number = address.removeprefix("/dev/video")
        return LiveSpec("camera", number), f"camera {int(number)}"
    if not Path(address).is_file():
        raise nothing_at(address)
    if not options.get("realtime"):
        raise ConfigError(f"a file has no option but realtime; got others for {address!r}: leave them out")
    return LiveSpec("file", str(Path(address).absolute())), address


def _check_port(address: str) -> None:
    """Refuse a port that cannot be, which no time mends."""
    host = address.partition("://")[2].partition("/")[0].rpartition("@")[2]
    found = _HOST.fullmatch(host)
    port = (found[2] or ":")[1:] if found else ""
    if port and int(port) > MOST_PORT:
        raise SourceError(f"a port is at most {MOST_PORT}; got {port} in {public(address)}")


def nothing_at(text: str) -> SourceError:
    """The error of a path that leads to nothing. What looks like a login in it is not repeated."""
    shown = _LOGIN.sub("//...@", text)
    return SourceError(f"nothing exists at {shown!r}; check the spelling and the working directory ({Path.cwd()})")


def _checked(spec: LiveSpec) -> LiveSpec:
    if spec.transport not in get_args(Transport):
        raise ConfigError(f"transport must be one of {', '.join(get_args(Transport))}; got {spec.transport!r}")
    if spec.transport != "tcp" and not spec.address.lower().startswith("rtsp"):
        raise ConfigError("transport belongs to rtsp:// addresses; leave it out")
    if spec.size_px is not None and not _is_size(spec.size_px):
        raise ConfigError(f"size must be a width and a height in pixels, as 1280x720; got {spec.size_px!r}")
    if spec.way == "stream" and spec.fps is not None and not spec.address.lower().startswith("http"):
        raise ConfigError("fps belongs to cameras, raw pictures and http:// addresses of single pictures; leave it out")
    if spec.fps is not None and not (is_number(spec.fps) and 0 < spec.fps <= 1000):
        raise ConfigError(f"fps must be above 0 and at most 1000; got {spec.fps!r}")
    if not (is_number(spec.timeout_s) and 0 < spec.timeout_s <= MOST_S):
        raise ConfigError(f"timeout must be seconds above 0 and at most {MOST_S:g}; got {spec.timeout_s!r}")
    for what, text in (("pixels", spec.pixels), ("format", spec.format)):
        if text is not None and not isinstance(text, str):
            raise ConfigError(f"{what} must be a text, as 'MJPG' or 'mpegts'; got {text!r}")
    if spec.way == "camera" and spec.pixels is not None and len(spec.pixels) != 4:
        raise ConfigError(f"pixels of a camera must be a code of four letters, as MJPG; got {spec.pixels!r}")
    if spec.format == "rawvideo" and (spec.size_px is None or spec.pixels is None):
        raise ConfigError("raw pictures need their size and pixels, as '-#format=rawvideo&size=640x480&pixels=bgr24'")
    return spec


def _is_size(size: object) -> bool:
    if not isinstance(size, tuple | list) or len(size) != 2:
        return False
    return all(isinstance(n, int) and not isinstance(n, bool) and 0 < n < 1 << 15 for n in size)


def source_of(spec: LiveSpec, name: str) -> Source:
    """The source; its opener reads it in this process."""

    def opener() -> AbstractContextManager[Opened]:
        from .opening import open_live  # needs OpenCV and PyAV, so at the first use

        return open_live(spec, name)

    return Source(name, spec.kind, opener, spec)


def unusable(item: object, error: SourceError) -> Source:
    """A source that cannot be opened, in place of a path or URL that leads to nothing."""
    text = os.fsdecode(item) if isinstance(item, str | os.PathLike) else str(item)
    name = public(text.strip()) if _URL.match(text.strip()) else _LOGIN.sub("//...@", text)
    return Source(name, "video", partial(_fails, error))


def _fails(error: SourceError) -> AbstractContextManager[Opened]:
    raise error


def _is_camera(text: str) -> bool:
    return bool(_CAMERA.fullmatch(text)) and (text.startswith("/dev/") or not os.path.lexists(text))


def public(url: str) -> str:
    """A URL's scheme, host, port and path: results and messages carry it, so no login, query or fragment."""
    found = _URL.match(url)
    scheme = found[1].lower() if found else "unknown"
    unknown = f"{scheme}://..."
    try:
        parts = urlsplit(url)
    except ValueError:
        return unknown
    host = parts.netloc.rpartition("@")[2]
    # What looks like a host with a strange port is the start of a login with a bare / ? or # in its password.
    return urlunsplit((scheme, host, parts.path, "", "")) if _HOST.fullmatch(host) else unknown
