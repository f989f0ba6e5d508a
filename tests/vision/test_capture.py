"""Videos, cameras and streams: times, cut files, silence of the native libraries."""

from __future__ import annotations

import http.server
import socket
import struct
import threading
import time
from functools import partial

import cv2
import numpy as np
import pytest

from mdhr_sdk.errors import SourceError, TruncatedSourceError
from mdhr_sdk.vision import SourceInfo, list_sources
from mdhr_sdk.vision.sources import capture


def read(source) -> list:
    with source:
        return list(source)


def boxes_of(data: bytes) -> dict[bytes, bytes]:
    """Top-level boxes of an mp4."""
    found, at = {}, 0
    while at < len(data):
        (size,) = struct.unpack_from(">I", data, at)
        found[data[at + 4 : at + 8]] = data[at : at + size]
        at += size
    return found


def faststart(data: bytes) -> bytes:
    """Move the index of an mp4 to its front, as for the web; a cut then takes frames and leaves their count."""
    boxes = boxes_of(data)
    assert list(boxes)[-1] == b"moov"
    moov = bytearray(boxes[b"moov"])
    at = moov.index(b"stco") + 8
    (count,) = struct.unpack_from(">I", moov, at)
    for entry in range(at + 4, at + 4 + 4 * count, 4):
        struct.pack_into(">I", moov, entry, struct.unpack_from(">I", moov, entry)[0] + len(moov))
    return boxes[b"ftyp"] + bytes(moov) + b"".join(box for name, box in boxes.items() if name not in (b"ftyp", b"moov"))


def with_durations(data: bytes, runs: list[tuple[int, int]]) -> bytes:
    """Give the frames of an mp4 other durations: (frames, periods each), which makes its rate variable."""
    at = data.index(b"stts") - 4
    size, _, _, count, _, period = struct.unpack_from(">IIIIII", data, at)
    assert count == 1
    table = b"".join(struct.pack(">II", frames, periods * period) for frames, periods in runs)
    fresh = struct.pack(">I4sII", 16 + len(table), b"stts", 0, len(runs)) + table
    patched = bytearray(data[:at] + fresh + data[at + size :])
    for parent in (b"moov", b"trak", b"mdia", b"minf", b"stbl"):
        where = patched.index(parent) - 4
        struct.pack_into(">I", patched, where, struct.unpack_from(">I", patched, where)[0] + len(fresh) - size)
    return play(bytes(patched), sum(frames * periods for frames, periods in runs) / sum(frames for frames, _ in runs))


def play(data: bytes, share: float) -> bytes:
    """Scale the playing time in the header and the edit list of an mp4; below 1 this trims it."""
    patched = bytearray(data)
    for offset in (data.index(b"mvhd") + 20, data.index(b"elst") + 12):
        struct.pack_into(">I", patched, offset, round(struct.unpack_from(">I", patched, offset)[0] * share))
    return bytes(patched)


class FakeCapture:
    """Stands in for cv2.VideoCapture: `frames` pictures and the clock given."""

    def __init__(self, frames: int = 5, clock_ms=None, fps: float = 20.0, count: int = 0):
        self.frames, self.clock_ms, self.released, self.at = frames, clock_ms, False, -1
        self.values = {cv2.CAP_PROP_FPS: fps, cv2.CAP_PROP_FRAME_COUNT: count}

    def isOpened(self):  # noqa: N802 (OpenCV's name)
        return True

    def read(self):
        self.at += 1
        return (True, np.zeros((4, 6, 3), np.uint8)) if self.at < self.frames else (False, None)

    def get(self, key):
        return self.clock_ms[self.at] if key == cv2.CAP_PROP_POS_MSEC else self.values.get(key, 0.0)

    def set(self, *_):
        return True

    def release(self):
        self.released = True


@pytest.fixture
def fake(monkeypatch):
    def install(**options):
        made = FakeCapture(**options)
        monkeypatch.setattr(capture.cv2, "VideoCapture", lambda *_: made)
        return made

    return install


def test_a_video_has_the_times_of_its_container(demo):
    (source,) = list_sources(demo)
    frames = read(source)
    assert source.info == SourceInfo(str(demo), "video", 25.0, 310, False, still=False)
    assert [frame.index for frame in frames] == list(range(310))
    np.testing.assert_allclose([frame.timestamp_s for frame in frames], np.arange(310) / 25, atol=1e-6)
    assert frames[0].image.shape == (320, 320, 3)
    assert frames[0].image.dtype == np.uint8
    assert not np.shares_memory(frames[0].image, frames[1].image)


@pytest.mark.parametrize("count", [0, 1, 5])
def test_a_video_that_declares_no_rate_is_no_still(fake, tmp_path, count):
    fake(frames=max(1, count), fps=0.0, count=count, clock_ms=np.arange(6) * 40.0)
    (tmp_path / "any.mkv").touch()
    (source,) = list_sources(tmp_path / "any.mkv")
    read(source)
    assert (source.info.fps, source.info.still) == (0.0, False)


def test_a_video_can_be_left_early_and_opened_again(demo):
    (source,) = list_sources(str(demo))
    with source:
        first = next(iter(source)).image
    with source:
        np.testing.assert_array_equal(next(iter(source)).image, first)


def test_variable_frame_rate_keeps_each_frames_own_time(make_video):
    path = make_video("vfr.mp4", frames=12, fps=25.0, fourcc="mp4v")
    path.write_bytes(with_durations(path.read_bytes(), [(3, 1), (4, 5), (5, 2)]))
    frames = read(list_sources(path)[0])
    periods = [0, 1, 2, 3, 8, 13, 18, 23, 25, 27, 29, 31]
    np.testing.assert_allclose([frame.timestamp_s for frame in frames], np.array(periods) / 25, atol=1e-4)
    assert [round(float(frame.image.mean()) / 10 - 1) for frame in frames] == list(range(12))


@pytest.mark.parametrize(
    ("clock_ms", "expected_s"),
    [
        ([0, 0, 0, 0, 0], [0, 0.05, 0.1, 0.15, 0.2]),
        ([-1, -1, -1, -1, -1], [0, 0.05, 0.1, 0.15, 0.2]),
        ([0, 70, 90, 250, 260], [0, 0.07, 0.09, 0.25, 0.26]),
        ([0, 50, 100, 0, 70], [0, 0.05, 0.1, 0.15, 0.22]),
        ([400, 450, 450, 500, 550], [0.4, 0.45, 0.5, 0.55, 0.6]),
    ],
)
def test_times_always_rise(fake, tmp_path, clock_ms, expected_s):
    fake(clock_ms=clock_ms)
    (tmp_path / "any.mkv").touch()
    frames = read(list_sources(tmp_path / "any.mkv")[0])
    np.testing.assert_allclose([frame.timestamp_s for frame in frames], expected_s, atol=1e-9)


def test_a_video_trimmed_by_its_edit_list_is_not_cut(tmp_path, demo):
    path = tmp_path / "trimmed.mp4"
    path.write_bytes(play(demo.read_bytes(), 0.5))
    (source,) = list_sources(path)
    assert 150 <= len(read(source)) <= 160
    assert source.info.frame_count == 310


@pytest.mark.parametrize("kind", ["avi", "mp4"])
def test_a_cut_video_gives_what_it_has_and_then_an_error(tmp_path, make_video, demo, capfd, kind):
    data = make_video("whole.avi", frames=100).read_bytes() if kind == "avi" else faststart(demo.read_bytes())
    declared = 100 if kind == "avi" else 310
    path = tmp_path / f"cut.{kind}"
    path.write_bytes(data)
    assert len(read(list_sources(path)[0])) == declared
    path.write_bytes(data[: len(data) // 2])
    indices = []
    (source,) = list_sources(path)
    with source, pytest.raises(TruncatedSourceError, match=r"declares.*re-encode") as caught:
        for frame in source:
            indices.append(frame.index)
    assert caught.value.declared == declared
    assert caught.value.decoded == len(indices)
    assert 0.3 * declared < len(indices) < 0.7 * declared
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("name", "promised", "frames", "error"),
    [
        ("few.mp4", 10, 5, False),
        ("few.mp4", 11, 5, True),
        ("many.mp4", 200, 190, False),
        ("many.MP4", 200, 189, True),
        ("estimate.mkv", 200, 100, False),
        ("unknown.mp4", 0, 3, False),
    ],
)
def test_a_few_missing_frames_are_no_cut(fake, tmp_path, name, promised, frames, error):
    fake(frames=frames, count=promised, clock_ms=np.arange(frames + 1) * 50.0)
    (tmp_path / name).touch()
    (source,) = list_sources(tmp_path / name)
    with source:
        assert source.info.frame_count == (promised or None)
        if error:
            with pytest.raises(TruncatedSourceError):
                list(source)
        else:
            assert len(list(source)) == frames


@pytest.mark.parametrize("name", ["text.mp4", "text.xyz", "cut.mp4", "empty.mp4"])
def test_files_that_are_no_video_are_one_quiet_error(tmp_path, demo, capfd, name):
    content = {"text": b"hello\n" * 100, "cut": demo.read_bytes()[:400_000], "empty": b""}[name.split(".")[0]]
    path = tmp_path / name
    path.write_bytes(content)
    (source,) = list_sources(path)
    with pytest.raises(SourceError, match=name) as caught, source:
        pass
    assert "\n" not in str(caught.value)
    assert capfd.readouterr() == ("", "")


def test_a_video_without_frames_is_refused(fake, tmp_path):
    made = fake(frames=0)
    (tmp_path / "empty.mp4").touch()
    with pytest.raises(SourceError, match=r"empty\.mp4"), list_sources(tmp_path / "empty.mp4")[0]:
        pass
    assert made.released


def test_a_missing_camera_is_one_quiet_error(capfd):
    with pytest.raises(SourceError, match=r"camera 99 gives no picture; check"), list_sources("99")[0]:
        pass
    assert capfd.readouterr() == ("", "")


def test_a_camera_is_timed_by_the_clock_and_says_when_it_stops(fake):
    made = fake(frames=3, fps=0.0)
    (source,) = list_sources(0)
    before = time.monotonic()
    times = []
    with source, pytest.raises(SourceError, match="stopped after 3 frames"):
        for frame in source:
            times.append(frame.timestamp_s)
            time.sleep(0.01)
    assert source.info == SourceInfo("camera 0", "camera", 0.0, None, True, still=False)
    assert 0 <= times[0] < times[1] < times[2] <= time.monotonic() - before
    assert times[2] >= 0.02
    assert made.released


def test_a_file_on_a_web_server_is_read_like_a_video(tmp_path, demo):
    (tmp_path / "web.mp4").write_bytes(faststart(demo.read_bytes()))

    class Silent(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(Silent, directory=str(tmp_path))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        (source,) = list_sources(f"http://127.0.0.1:{server.server_port}/web.mp4")
        with source:
            times = [frame.timestamp_s for _, frame in zip(range(3), source, strict=False)]
        server.shutdown()
    assert times == pytest.approx([0, 0.04, 0.08])
    assert (source.info.kind, source.info.frame_count, source.info.live) == ("stream", 310, False)


def test_a_stream_that_does_not_answer_fails_in_bounded_time(monkeypatch, capfd):
    monkeypatch.setattr(capture, "TIMEOUT_MS", 500)
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        started = time.monotonic()
        with pytest.raises(SourceError, match=rf"cannot open stream rtsp://127\.0\.0\.1:{port}/live;") as caught:
            list_sources(f"rtsp://me:pa@SECRET@127.0.0.1:{port}/live?token=SECRET")[0].__enter__()
    assert time.monotonic() - started < 5
    assert "SECRET" not in str(caught.value)
    with pytest.raises(SourceError, match="cannot open stream") as caught:
        list_sources(f"http://me:SECRET@127.0.0.1:{port}/gone.mp4?token=SECRET")[0].__enter__()
    assert "SECRET" not in str(caught.value)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(("count", "error"), [(100, "x.mp4 ended after 3 of the 100"), (0, "x.mp4 stopped after 3 ")])
def test_a_stream_that_breaks_off_is_named_without_its_secrets(fake, count, error):
    fake(frames=3, count=count, clock_ms=np.arange(4) * 40.0)
    (source,) = list_sources("https://me:SECRET@host/x.mp4?token=SECRET")
    with source, pytest.raises(SourceError, match=f"https://host/{error}") as caught:
        list(source)
    assert "SECRET" not in str(caught.value)


def test_a_live_stream_is_timed_by_the_clock(fake):
    fake(frames=2, count=-1)
    (source,) = list_sources("rtsp://host/live")
    with source, pytest.raises(SourceError, match="stopped after 2 frames"):
        list(source)
    assert source.info.live
