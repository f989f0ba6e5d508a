"""How the pictures of a track are shown, and when that changes on the way. Needs PyAV."""

from __future__ import annotations

from fractions import Fraction
from typing import NamedTuple

import av
from av.video.stream import VideoStream

from .pixels import SQUARE, UNNAMED, UPRIGHT, Turn, turn_of


class Look(NamedTuple):
    """How one picture is shown.

    Attributes:
        aspect: of its pixels.
        turn: as of `turn_of`.
        changed: whether the picture before was of another look, size or pixel format.
    """

    aspect: Fraction
    turn: Turn
    changed: bool


class Looks:
    """What the container, the codec and the pictures of a track say of how they are shown.

    Args:
        track: before anything of it was decoded.
    """

    def __init__(self, track: VideoStream) -> None:
        self._track = track
        self._codec_aspect = track.codec_context.sample_aspect_ratio
        self._colours = track.codec_context.colorspace, track.codec_context.color_trc  # before a decoder unnames them
        self._aspect_now: Fraction | None = None
        self._turn_now: Turn | None = None
        self._before: object = None

    def of(self, frame: av.VideoFrame) -> Look:
        """Give it every picture, in order. A picture without named colours gets those of the track."""
        if frame.colorspace == UNNAMED:
            frame.colorspace = self._colours[0]
        if frame.color_trc == UNNAMED:
            frame.color_trc = self._colours[1]
        aspect, turn = self._aspect(frame), self._turn(frame)
        now = frame.width, frame.height, frame.format.name, aspect, turn
        changed = self._before not in (None, now)
        self._before = now
        return Look(aspect, turn, changed)

    def _aspect(self, frame: av.VideoFrame) -> Fraction:
        """Pixel aspect: the container's before the codec's, unless the codec's changed on the way.

        The decoder knows of a change before it gives the last pictures of before; a key frame is the first one after.
        """
        if frame.key_frame or self._aspect_now is None:
            now = self._track.codec_context.sample_aspect_ratio
            declared = now if now != self._codec_aspect else self._track.sample_aspect_ratio
            self._aspect_now = declared or SQUARE
        return self._aspect_now

    def _turn(self, frame: av.VideoFrame) -> Turn:
        """A codec may tell the turn with key frames only: it holds up to the next one."""
        told = turn_of(frame)
        if told is not None or frame.key_frame or self._turn_now is None:
            self._turn_now = told or UPRIGHT
        return self._turn_now
