"""How a live source is opened, as plain values that another process understands."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Way = Literal["camera", "stream", "pipe", "file", "gstreamer"]
Transport = Literal["tcp", "udp", "udp_multicast", "http"]


@dataclass(frozen=True)
class LiveSpec:
    """How a live source is opened.

    Attributes:
        way: which opener.
        address: a camera's number or '/dev/video0', a URL with its login, a path, a GStreamer pipeline, or for a pipe
            the file descriptor.
        transport: of RTSP.
        size_px: width and height that a camera is asked for, or that raw pictures have.
        fps: frames a second that a camera is asked for, or at which raw pictures come; of a stream, how often an
            address that gives one picture is asked for it.
        pixels: FourCC that a camera is asked for, as 'MJPG', or FFmpeg's name for raw pictures, as 'bgr24'.
        format: FFmpeg's name of the container, where it cannot be told from the data: 'mpegts', 'rawvideo'.
        timeout_s: how long opening may take, and how long no frame may come before it is opened again.
        complete: nothing is dropped before it is read.
        ahead: packets are taken as they come, and those that newer ones overtake are not decoded; not with `complete`.
    """

    way: Way
    address: str
    transport: Transport = "tcp"
    size_px: tuple[int, int] | None = None
    fps: float | None = None
    pixels: str | None = None
    format: str | None = None
    timeout_s: float = 5.0
    complete: bool = False
    ahead: bool = False

    @property
    def kind(self) -> Literal["camera", "stream"]:
        """As `Source.kind`."""
        return "camera" if self.way == "camera" else "stream"
