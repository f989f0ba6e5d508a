"""One open source from its first frame to its last."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext

from ..errors import MDHRError, SupersededError
from ..results import FrameResult
from ..vision import Source
from .ahead import Ahead
from .clock import StageClock
from .crops import Found
from .waiting import Pipeline

FRAMES_AHEAD = 16  # as many as a clip has, whose scores come all at once
BYTES_AHEAD = 128 << 20  # of pictures: 20 of 1920 x 1080, 5 of 3840 x 2160


def find_ahead(
    source: Source, pipeline: Pipeline, clock: StageClock, check: Callable[[], None]
) -> AbstractContextManager[Iterator[Found]]:
    """What is found in the frames of an open source, as a context to be left before the source is.

    A video file is read, and its faces found, in a thread of its own, while earlier frames are scored and written. What
    is live shows its newest frame, and what the caller makes is made when it is due: neither is read ahead. Nor are
    images in a folder, since the terminal is kept from what their decoder says.

    Args:
        check: raises once nobody is to go on.
    """
    found = _find(source, pipeline, clock, check)
    return Ahead(found, _depth) if source.kind == "video" and not source.info.live else nullcontext(found)


def _depth(found: Found) -> int:
    return min(FRAMES_AHEAD, BYTES_AHEAD // found.frame.image.nbytes)


def _find(source: Source, pipeline: Pipeline, clock: StageClock, check: Callable[[], None]) -> Iterator[Found]:
    for frame in clock.each("read", source):
        check()
        yield pipeline.find(frame)


def run(source: Source, pipeline: Pipeline, found: Iterator[Found], check: Callable[[], None]) -> Iterator[FrameResult]:
    """Yield the results of an open source; `check` as above.

    Where the source breaks off, its error comes after the results of the frames before, as Ctrl-C does of a live one.
    """
    broken: BaseException | None = None
    try:
        for one in found:
            check()
            yield from pipeline.push(one)
    except SupersededError:
        raise
    except MDHRError as error:
        broken = error
    except KeyboardInterrupt as stop:  # how a camera ends
        if not source.live:
            raise
        broken = stop
    check()
    yield from pipeline.flush()
    if broken is not None:
        raise broken
