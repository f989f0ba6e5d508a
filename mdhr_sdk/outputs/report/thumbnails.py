"""Small pictures of the moments at which AUs were strongest, out of the annotated video."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ...ending import at_work
from ...errors import import_cv2, require
from ...results import AUEvent

MOST = 12  # pictures a page
WIDTH_PX, MOST_HEIGHT_PX = 360, 1080
QUALITY = 80  # of JPEG


def apexes(events: Sequence[AUEvent], most: int = MOST) -> list[AUEvent]:
    """The strongest event of each face and AU, the strongest first, at most so many; in order of time."""
    best: dict[tuple[int, str], AUEvent] = {}
    for event in events:
        key = event.track_id, event.au
        if key not in best or event.peak_probability > best[key].peak_probability:
            best[key] = event
    chosen = sorted(best.values(), key=lambda event: -event.peak_probability)[:most]
    return sorted(chosen, key=lambda event: (event.apex_s, event.au))


def pictures(overlay: Path, events: Sequence[AUEvent]) -> dict[float, str]:
    """Apex in seconds -> 'data:image/jpeg;base64,...' of the frame of the annotated video or still that is nearest.

    Empty if there is no such file, or none of its pictures can be read.
    """
    if not overlay.is_file() or not events:
        return {}
    av = require("av", "")
    wanted, found = sorted({event.apex_s for event in events}), dict[float, str]()
    try:
        with av.open(str(overlay)) as container:
            for time_s in wanted:
                if (picture := _frame_at(container, time_s)) is not None:
                    found[time_s] = picture
    except (av.FFmpegError, LookupError, ValueError, ArithmeticError, TypeError):  # the rest: of damaged files
        return found
    return found


@at_work()
def _frame_at(container: Any, time_s: float) -> str | None:
    """The last frame that begins by a time; an overlay has the times of its source, from `--start` on."""
    cv2 = import_cv2()
    stream = container.streams.video[0]
    container.seek(int(time_s / stream.time_base), stream=stream)
    nearest = None
    for frame in container.decode(stream):
        if frame.time is not None and frame.time > time_s + 1e-3 and nearest is not None:
            break
        nearest = frame
    if nearest is None:
        return None
    image = nearest.to_ndarray(format="bgr24")
    scale = min(WIDTH_PX / image.shape[1], MOST_HEIGHT_PX / image.shape[0])
    size = [max(1, round(length * scale)) for length in image.shape[1::-1]]
    small = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    coded = cv2.imencode(".jpg", small, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])[1]
    return "data:image/jpeg;base64," + base64.b64encode(coded.tobytes()).decode()
