"""Interlaced pictures without their combs. Needs PyAV."""

from __future__ import annotations

from fractions import Fraction

import av
from av.filter import Graph

TICK = Fraction(1, 1000)  # the filter wants a time base, and does not look at times
LEAST_PX = 16  # it takes no smaller pictures, which no face fits into


class Fields:
    """Makes interlaced pictures whole: the first field of each, and between its lines what FFmpeg's `bwdif` puts there.

    The two fields of a picture were filmed one after the other, so edges that move look like combs. The filter looks at
    the picture before and at the next one, and so answers one picture late. Here each picture is given twice and is its
    own next one: none waits, and its time, size and order stay.
    """

    def __init__(self) -> None:
        self._graph: Graph | None = None
        self._kind: tuple[int, int, str] | None = None

    def whole(self, frame: av.VideoFrame) -> av.VideoFrame:
        """The next picture of a track without combs; the same one if it is not interlaced."""
        if not frame.interlaced_frame or min(frame.width, frame.height) < LEAST_PX:
            self._graph = None  # the pictures before are not to mix with those to come
            return frame
        kind = frame.width, frame.height, frame.format.name
        if self._graph is None or kind != self._kind:
            self._graph, self._kind = _deinterlacer(frame), kind
            self._graph.vpush(frame)
        else:
            self._graph.vpush(frame)
            self._graph.vpull()  # the one before, once more
        self._graph.vpush(frame)
        return self._graph.vpull()


def _deinterlacer(frame: av.VideoFrame) -> Graph:
    graph = Graph()
    graph.threads = 1
    entry = graph.add_buffer(width=frame.width, height=frame.height, format=frame.format, time_base=TICK)
    graph.link_nodes(entry, graph.add("bwdif", "mode=send_frame"), graph.add("buffersink")).configure()
    return graph
