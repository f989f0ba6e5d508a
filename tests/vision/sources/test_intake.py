"""Packets of a live stream that come faster than they are decoded."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import av
import cv2
import pytest
from av.container import InputContainer

from made_videos import index_of, numbered, write_video
from mdhr_sdk.vision.sources.arrivals import Arrived, Came, Pending
from mdhr_sdk.vision.sources.decode import Decoder
from mdhr_sdk.vision.sources.live import intake
from mdhr_sdk.vision.sources.live.intake import Asked, Intake
from mdhr_sdk.vision.sources.source import Damage
from processes import until

GROUP = 10  # pictures from one key frame to the next


@contextmanager
def all_waiting(path: Path) -> Iterator[tuple[InputContainer, Intake]]:
    """What is read from a file before anybody asks for it."""
    container = av.open(str(path))
    with Intake(container, container.streams.video[0], 5.0) as one:
        until(lambda: one._over)
        yield container, one


@pytest.fixture
def film(tmp_path: Path) -> Path:
    options = {"g": str(GROUP), "bf": "0", "sc_threshold": "0"}
    return write_video(tmp_path / "film.mp4", 3 * GROUP, "libx264", codec_options=options)


def test_of_pictures_that_stand_alone_only_the_newest_is_given(tmp_path: Path) -> None:
    path = write_video(tmp_path / "film.avi", 12, "mjpeg", pixels="yuvj420p")
    with all_waiting(path) as (container, one):
        (picture,) = Decoder(container, container.streams.video[0], Damage(), one)
    assert index_of(picture.image) == 11 and not picture.late
    assert picture.passed == {"newer": 11}


def test_the_others_are_decoded_and_those_that_were_overtaken_are_not_converted(film: Path) -> None:
    with all_waiting(film) as (container, one):
        pictures = list(Decoder(container, container.streams.video[0], Damage(), one))
    assert len(pictures) == 3 * GROUP and not any(one.passed or one.breaks or one.note for one in pictures)
    late = [number for number, one in enumerate(pictures) if one.late]
    assert late and 0 not in late and 3 * GROUP - 1 not in late
    assert all(one.image.shape == pictures[0].image.shape and not one.image.any() for one in pictures if one.late)
    assert all(index_of(one.image) == number % 20 for number, one in enumerate(pictures) if not one.late)


def test_decoding_that_is_behind_goes_on_from_a_key_frame(film: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(intake, "BEHIND_S", 0.0)
    damage = Damage()
    with all_waiting(film) as (container, one):
        pictures = list(Decoder(container, container.streams.video[0], damage, one))
    assert len(pictures) == GROUP and pictures[0].passed == {"newer": 2 * GROUP}
    assert index_of(next(one.image for one in pictures if not one.late)) == 0
    assert not damage.count and not any(one.note or one.breaks for one in pictures)


def test_what_waits_is_bounded_and_goes_on_from_a_key_frame(film: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with av.open(str(film)) as container:
        sizes = [packet.size for packet in container.demux(video=0) if packet.size]
    monkeypatch.setattr(intake, "MOST_BYTES", sum(sizes[: GROUP + 5]))
    with all_waiting(film) as (_, one):
        given = list(one)
    assert [packet.packet.is_keyframe for packet in given] == [True] + [False] * (GROUP - 1)
    assert [packet.passed for packet in given] == [{"newer": 2 * GROUP}] + [{}] * (GROUP - 1)


class Jumping:
    """All packets of a file but those between two, from a key frame on."""

    overtaken = False

    def __init__(self, container: InputContainer, since: int, until: int) -> None:
        self._packets = [packet for packet in container.demux(video=0) if packet.size]
        assert self._packets[until].is_keyframe
        self._since, self._until = since, until

    def __iter__(self) -> Iterator[Arrived]:
        for number, packet in enumerate(self._packets):
            passed = {"newer": self._until - self._since} if number == self._until else {}
            if not self._since <= number < self._until:
                yield Arrived(packet, Came(float(number)), passed)


@pytest.mark.parametrize(("since", "group"), [(14, "open"), (17, "closed"), (12, "open")])
def test_pictures_that_a_jump_takes_along_are_counted(tmp_path: Path, since: int, group: str) -> None:
    x264 = f"keyint={GROUP}:min-keyint={GROUP}:bframes=3:b-adapt=0:scenecut=0:open-gop={int(group == 'open')}"
    path = write_video(tmp_path / "film.mp4", 4 * GROUP, "libx264", codec_options={"x264-params": x264})
    with av.open(str(path)) as container:
        keys = [n for n, packet in enumerate(p for p in container.demux(video=0) if p.size) if packet.is_keyframe]
    with av.open(str(path)) as container:
        arrivals = Jumping(container, since, next(number for number in keys if number > since))
        pictures = list(Decoder(container, container.streams.video[0], Damage(), arrivals))
    passed = sum(sum(one.passed.values()) for one in pictures)
    assert passed > arrivals._until - since, "some had been decoded, or are made from what was passed over"
    assert len(pictures) + passed == 4 * GROUP


def test_no_picture_counts_as_come_before_the_one_that_is_shown_before_it() -> None:
    pending, came = Pending(), []
    for stamp, arrived_s in ((0, 0.0), (4, 0.1), (2, 0.2), (1, 0.3), (3, 0.4)):  # as they are sent
        pending.sent(stamp, Came(arrived_s))
    for stamp in range(5):
        one = pending.shown(stamp)
        assert one is not None
        came.append(one.arrived_s)
    assert came == [0.0, 0.3, 0.3, 0.4, 0.4] and not pending.passed


def test_two_fields_that_have_a_packet_each_are_one_picture() -> None:
    pending = Pending()
    for number in range(20):
        pending.sent(2 * number, Came(number))
        pending.sent(2 * number + 1, Came(number + 0.5))
        came = pending.shown(2 * number)
        assert came is not None and came.arrived_s == number
    pending.jumped(100, {"newer": 60, "start": 2})
    assert pending.passed == {"newer": 30, "start": 1}


class Endless:
    """A file of pictures without an end."""

    def __init__(self, picture: bytes) -> None:
        self._picture, self._rest = picture, b""

    def read(self, size: int) -> bytes:
        self._rest = self._rest or self._picture
        given, self._rest = self._rest[:size], self._rest[size:]
        return given


def test_leaving_ends_the_thread_while_packets_come() -> None:
    jpeg = cv2.imencode(".jpg", numbered(7))[1].tobytes()
    container = av.open(Endless(jpeg), format="mjpeg")
    with Intake(container, container.streams.video[0], 5.0) as one:
        assert next(iter(one)).packet.size and not one._over
    assert one._over and not one._thread.is_alive()
    with pytest.raises(AssertionError):
        next(container.demux(video=0))


def test_a_wait_for_an_empty_part_is_one_for_the_picture_after_it() -> None:
    """FFmpeg waits in the empty parts that some cameras send, and gives the picture at once."""
    waits: list[float] = []

    def demux(track: object) -> Iterator[SimpleNamespace]:
        for size in (0, 9, 9):
            time.sleep(0.0 if size else 0.05)
            yield SimpleNamespace(size=size, stream_index=0)

    track: Any = SimpleNamespace(index=0, codec_context=SimpleNamespace(name="mjpeg"))
    container: Any = SimpleNamespace(format=SimpleNamespace(name="mpjpeg"), demux=demux)
    backlog: Any = SimpleNamespace(late=lambda waited_s, now_s: waits.append(waited_s) or "")
    assert len(list(Asked(container, track, backlog))) == 2
    assert len(waits) == 2 and waits[0] >= 0.05
