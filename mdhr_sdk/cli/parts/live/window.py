"""A window with the newest picture of each source, and keys to control the run."""

from __future__ import annotations

import os
import re
import socket
import sys
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from ....errors import OutputError, import_cv2
from ....results import FrameResult
from .controls import Controls

TITLE = "mdhr live: m mark, c neutral now, r record, p pause, q quit"
TILE = (640, 480)  # width and height of one of several
CONNECT_S = 1.0
_DISPLAY = re.compile(r"(?:unix)?([^:/]*):(\d+)(?:\.\d+)?")


def check_display() -> None:
    """Raise OutputError where no window can be opened: OpenCV would end the process."""
    if not sys.platform.startswith("linux"):
        return
    display = os.environ.get("DISPLAY", "")
    found = _DISPLAY.fullmatch(display)
    if found is None or not _answers(found[1], int(found[2])):
        came = f"DISPLAY is '{display}'" if display else "DISPLAY is not set"
        raise OutputError(f"--show needs a screen, and {came}; leave it out, or use --serve and a browser")


def _answers(host: str, number: int) -> bool:
    names = [] if host else [f"\0/tmp/.X11-unix/X{number}", f"/tmp/.X11-unix/X{number}"]
    for name in names:
        with socket.socket(socket.AF_UNIX) as server:
            server.settimeout(CONNECT_S)
            if not server.connect_ex(name):
                return True
    try:
        with socket.create_connection((host or "127.0.0.1", 6000 + number), CONNECT_S):
            return True
    except OSError:
        return False


class Window:
    """One window for all sources. Used in the main thread only.

    Args:
        leave: called when the user quits, by a key or by closing the window.
    """

    def __init__(self, controls: Controls, leave: Callable[[], None]) -> None:
        check_display()
        self._cv2 = import_cv2()
        keys: Mapping[str, Callable[[], None]] = {
            "m": controls.mark, "c": controls.calibrate, "r": controls.record, "p": controls.pause,
            "q": leave, "\x1b": leave,
        }  # fmt: skip
        self._keys, self._leave = keys, leave
        self._drawn: dict[str, tuple[int, NDArray[np.uint8]]] = {}
        self._shown = False

    def show(self, newest: Sequence[FrameResult]) -> None:
        """Draw what is new, and do what keys ask for."""
        for result in newest:
            if result.image is not None and self._drawn.get(result.source, (-1, None))[0] != result.index:
                self._drawn[result.source] = result.index, result.annotate()
        if self._drawn:
            if self._shown and self._cv2.getWindowProperty(TITLE, self._cv2.WND_PROP_VISIBLE) < 1:
                self._leave()  # it was closed
                return
            self._cv2.imshow(TITLE, tiled([image for _, image in self._drawn.values()]))
            self._shown = True
        key = self._cv2.waitKey(1)
        if key >= 0 and (act := self._keys.get(chr(key & 0xFF))):
            act()

    def close(self) -> None:
        """Close the window."""
        if self._shown:
            self._cv2.destroyAllWindows()


def tiled(images: Sequence[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    """One image as it is; several fitted into tiles, in as many columns as rows or one more."""
    from ....outputs.pictures.overlay_video import fitted

    if len(images) == 1:
        return images[0]
    columns = int(np.ceil(np.sqrt(len(images))))
    tiles = [fitted(image, TILE) for image in images]
    tiles += [np.zeros((TILE[1], TILE[0], 3), np.uint8)] * (-len(tiles) % columns)
    rows = [np.hstack(tiles[first : first + columns]) for first in range(0, len(tiles), columns)]
    return np.vstack(rows)
