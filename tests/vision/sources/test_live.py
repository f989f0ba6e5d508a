"""Cameras and network streams."""

from __future__ import annotations

import contextlib
import http.server
import socket
import threading
import time
from itertools import islice

import cv2
import numpy as np
import pytest

from made_videos import index_of, noisy, numbered, read, write_video
from mdhr_sdk.errors import SourceError, TruncatedSourceError
from mdhr_sdk.vision import SourceInfo, list_sources
from mdhr_sdk.vision.sources.live import cameras

SECRET = "me:SECRET@"


class FakeCamera:
    """Stands in for cv2.VideoCapture."""

    def __init__(self, images: list[np.ndarray], fps: float = 20.0) -> None:
        self.images, self.fps, self.released = iter(images), fps, False

    def isOpened(self):  # noqa: N802 (OpenCV's name)
        return True

    def read(self):
        image = next(self.images, None)
        return image is not None, image

    def get(self, key):
        return self.fps if key == cv2.CAP_PROP_FPS else 0.0

    def set(self, *_):
        return True

    def release(self):
        self.released = True


@pytest.fixture
def camera(monkeypatch):
    def install(images, **options):
        made = FakeCamera(images, **options)
        monkeypatch.setattr(cameras.cv2, "VideoCapture", lambda *_: made)
        return made

    return install


@pytest.fixture
def serve():
    """Answers every request with the bytes given, piece by piece; returns its address without a scheme."""
    with contextlib.ExitStack() as stack:

        def start(pieces, kind: str = "video/mp4", length: int | None = None) -> str:
            class Handler(http.server.BaseHTTPRequestHandler):
                def do_GET(self):
                    self.send_response(200)
                    self.send_header("Content-Type", kind)
                    if length is not None:
                        self.send_header("Content-Length", str(length))
                    self.end_headers()
                    with contextlib.suppress(OSError):
                        for piece in pieces:
                            self.wfile.write(piece)

                def log_message(self, *_):
                    pass

            server = stack.enter_context(http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler))
            server.daemon_threads = True
            threading.Thread(target=server.serve_forever, daemon=True).start()
            stack.callback(server.shutdown)
            return f"127.0.0.1:{server.server_port}"

        yield start


def jpegs(images) -> list[bytes]:
    pieces = []
    for image in images:
        data = cv2.imencode(".jpg", image)[1].tobytes()
        pieces.append(b"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n%s\r\n" % (len(data), data))
    return pieces


MULTIPART = "multipart/x-mixed-replace; boundary=frame"


def test_a_missing_camera_is_one_quiet_error(capfd):
    with pytest.raises(SourceError, match=r"camera 99 gives no picture; check"), list_sources("99")[0]:
        pass
    assert capfd.readouterr() == ("", "")


def test_a_camera_is_timed_by_the_clock_and_says_when_it_stops(camera):
    made = camera([numbered(0)] * 2 + [numbered(0, (48, 32))], fps=0.0)
    (source,) = list_sources(0)
    before, times, breaks = time.perf_counter(), [], []
    with source, pytest.raises(SourceError, match="stopped after 3 frames"):
        for frame in source:
            times.append(frame.timestamp_s)
            breaks.append(frame.breaks)
            assert before <= frame.read_s <= time.perf_counter()
            time.sleep(0.01)
    assert breaks == [False, False, True], "its size changed"
    assert source.info == SourceInfo("camera 0", "camera", 0.0, None, True, still=False)
    assert 0 <= times[0] < times[1] < times[2] <= time.perf_counter() - before
    assert times[2] >= 0.02
    assert made.released


def test_a_camera_that_opens_and_gives_nothing_is_refused(camera):
    made = camera([])
    with pytest.raises(SourceError, match="gives no picture"), list_sources(0)[0]:
        pass
    assert made.released


@pytest.mark.parametrize(("suffix", "count"), [("mp4", 30), ("ts", None)])
def test_a_file_on_a_web_server_is_read_like_a_video(tmp_path, serve, suffix, count):
    front = {"movflags": "faststart"} if suffix == "mp4" else {}
    path = write_video(tmp_path / f"web.{suffix}", 30, "libx264", container_options=front)
    host = serve([path.read_bytes()], length=path.stat().st_size)
    frames, source = read(f"http://{host}/web.{suffix}")
    assert [frame.timestamp_s for frame in frames] == pytest.approx(np.arange(30) / 25)
    assert (source.info.kind, source.info.frame_count, source.info.live) == ("stream", count, False)


def test_a_playlist_without_an_end_is_live_and_shows_nothing_twice(tmp_path, serve):
    part = write_video(tmp_path / "part.ts", 15, "libx264").read_bytes()
    inside = serve([part], "video/mp2t", len(part))
    listed = f"#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:1.2,\nhttp://{inside}/part.ts\n".encode()
    pieces = [listed, b"# it goes on...\n"]
    host = serve(pieces, "application/vnd.apple.mpegurl", sum(map(len, pieces)))
    (source,) = list_sources(f"http://{host}/live.m3u8")
    for seen, taken in ((0, 5), (5, 7)):  # it is opened again, and has got nothing new meanwhile
        with source:
            assert source.info.live
            assert [frame.late for frame in islice(source, taken)] == ["same"] * seen + [""] * (taken - seen)
    pieces[1] = b"#EXT-X-ENDLIST\n\n"
    with source:  # the rest is shown, and then it is over
        frames = list(source)
    assert source.info.live and [frame.late for frame in frames] == ["same"] * 7 + [""] * 8
    assert [index_of(frame.image) for frame in frames] == list(range(15))


def test_segments_that_count_their_packets_anew_are_not_damaged(tmp_path, serve):
    listed = "#EXTM3U\n#EXT-X-TARGETDURATION:1\n"
    for start in (0, 10, 20):
        images = [numbered((start + index) % 20) for index in range(10)]
        more = {"stamps_ms": [40 * (start + index) for index in range(10)], "codec_options": {"bf": "0"}}
        part = write_video(tmp_path / f"{start}.ts", images, "libx264", **more).read_bytes()
        listed += f"#EXTINF:0.4,\nhttp://{serve([part], 'video/mp2t', len(part))}/{start}.ts\n"
    whole = f"{listed}#EXT-X-ENDLIST\n".encode()
    frames, source = read(f"http://{serve([whole], 'application/vnd.apple.mpegurl', len(whole))}/a.m3u8")
    assert [index_of(frame.image) for frame in frames] == [number % 20 for number in range(30)]
    assert (source.damaged, [frame.index for frame in frames if frame.note or frame.breaks]) == (0, [])


def test_a_file_on_a_web_server_that_breaks_off_is_named_without_its_secrets(tmp_path, serve):
    images = [noisy(index) for index in range(60)]
    whole = write_video(tmp_path / "w.mp4", images, "libx264", container_options={"movflags": "faststart"}).read_bytes()
    host = serve([whole[: len(whole) // 2]], length=len(whole))
    with pytest.raises(TruncatedSourceError, match=rf"http://{host}/x\.mp4 ended after") as caught:
        read(f"http://{SECRET}{host}/x.mp4?token=SECRET")
    assert "SECRET" not in str(caught.value)


def test_a_live_stream_is_timed_by_the_clock_and_named_when_it_stops(serve, capfd):
    host = serve(jpegs(numbered(index) for index in range(12)), MULTIPART)
    (source,) = list_sources(f"http://{SECRET}{host}/cam.mjpg?token=SECRET")
    frames = []
    with source, pytest.raises(SourceError, match=rf"http://{host}/cam\.mjpg stopped after 12 frames") as caught:
        for frame in source:
            frames.append(frame)
    assert source.info.live and source.info.frame_count is None
    assert [index_of(frame.image) for frame in frames] == list(range(12))
    times = [frame.timestamp_s for frame in frames]
    assert times == sorted(times) and times[0] >= 0
    assert "SECRET" not in str(caught.value) + repr(source)
    assert capfd.readouterr() == ("", "")


def test_a_stream_that_changes_its_size_shows_the_new_pictures(serve):
    images = [numbered(index) for index in range(8)] + [numbered(index, (64, 48)) for index in range(8)]
    host = serve(jpegs(images), MULTIPART)
    frames = []
    with list_sources(f"http://{host}/cam")[0] as source, pytest.raises(SourceError, match="stopped after 16 frames"):
        for frame in source:
            frames.append(frame)
    assert [frame.image.shape for frame in frames] == [(64, 96, 3)] * 8 + [(48, 64, 3)] * 8
    assert [index_of(frame.image) for frame in frames] == [*range(8), *range(8)]
    assert [frame.index for frame in frames if frame.breaks] == [8]


def test_pictures_beyond_8k_are_refused_before_they_take_memory(serve):
    data = bytearray(cv2.imencode(".jpg", numbered(0))[1].tobytes())
    at = data.index(b"\xff\xc0") + 5  # of the frame's height and width
    data[at : at + 4] = (20_000).to_bytes(2, "big") * 2
    piece = b"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n%s\r\n" % (len(data), data)
    host = serve([piece] * 5, MULTIPART)
    with (
        pytest.raises(SourceError, match=r"at most 36 megapixels|cannot open stream"),
        list_sources(f"http://{host}/cam")[0],
    ):
        pass


def test_a_stream_that_does_not_answer_fails_in_bounded_time(capfd):
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        started = time.monotonic()
        with pytest.raises(
            SourceError, match=rf"cannot open stream rtsp://127\.0\.0\.1:{port}/live: no stream within"
        ) as caught:
            list_sources(f"rtsp://me:pa@SECRET@127.0.0.1:{port}/live?token=SECRET#timeout=0.5")[0].__enter__()
    assert time.monotonic() - started < 30
    assert "SECRET" not in str(caught.value)
    with pytest.raises(SourceError, match="cannot open stream") as caught:
        list_sources(f"http://me:SECRET@127.0.0.1:{port}/gone.mp4?token=SECRET#timeout=0.5")[0].__enter__()
    assert "SECRET" not in str(caught.value)
    assert capfd.readouterr() == ("", "")


def test_a_stream_that_falls_silent_ends_in_bounded_time(serve):
    over = threading.Event()

    def pieces():
        yield from jpegs(numbered(index) for index in range(10))
        over.wait(60)

    host = serve(pieces(), MULTIPART)
    try:
        with list_sources(f"http://{host}/cam#timeout=1")[0] as source, pytest.raises(SourceError, match="stopped"):
            assert len(list(source)) <= 10
    finally:
        over.set()


def test_an_address_cannot_lead_into_local_files(tmp_path, serve, demo_path):
    playlist = f"#EXTM3U\n#EXT-X-TARGETDURATION:13\n#EXTINF:12,\nfile://{demo_path}\n#EXT-X-ENDLIST\n".encode()
    host = serve([playlist], "application/vnd.apple.mpegurl")
    with pytest.raises(SourceError, match="cannot open stream"), list_sources(f"http://{host}/list.m3u8")[0]:
        pass
