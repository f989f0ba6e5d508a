"""An address that gives one picture each time it is asked, as of many cameras: asked so often a second."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from ....errors import SourceError
from ..containers.picture import picture_track
from ..decode import Decoder
from ..source import Damage, Opened, Picture
from .connecting import connected
from .spec import LiveSpec

WEB = "http,https,httpproxy,tcp,tls,crypto"


@contextmanager
def open_snapshots(spec: LiveSpec, name: str) -> Iterator[Opened]:
    """Ask for the first picture, and then for the next ones, `spec.fps` a second."""
    assert spec.fps is not None
    damage, opened_s = Damage(), time.perf_counter()
    first = _asked(spec, name, damage, opened_s)
    yield Opened(spec.fps, None, True, _pictures(spec, name, first, damage, opened_s), damage=damage)


def _pictures(spec: LiveSpec, name: str, picture: Picture, damage: Damage, opened_s: float) -> Iterator[Picture]:
    assert spec.fps is not None
    due_s = time.perf_counter()
    while True:
        yield picture
        due_s = max(due_s + 1 / spec.fps, time.perf_counter())
        time.sleep(max(0.0, due_s - time.perf_counter()))
        shape = picture.image.shape
        picture = _asked(spec, name, damage, opened_s)
        picture = picture._replace(breaks=picture.image.shape != shape)


def _asked(spec: LiveSpec, name: str, damage: Damage, opened_s: float) -> Picture:
    """One picture; an error if there is none, or if more follow."""
    with connected(spec.address, spec, {"protocol_whitelist": WEB}, name) as container:
        track = picture_track(container)
        if track is None or not container.format.name.endswith(("_pipe", "mjpeg")):
            raise SourceError(f"{name} gives a stream, and no single pictures; leave out #fps")
        arrived_s = time.perf_counter()
        for one in Decoder(container, track, damage):
            return Picture(one.image, arrived_s - opened_s, arrived_s, False, one.note)
    raise SourceError(f"{name} gave no picture; check what the server sends")
