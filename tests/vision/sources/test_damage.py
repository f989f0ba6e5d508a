"""Videos that are damaged, cut off, or nothing of the kind."""

from __future__ import annotations

import struct
from itertools import pairwise

import cv2
import numpy as np
import pytest

from made_videos import index_of, noisy, read, spoilt, write_video
from mdhr_sdk.errors import SourceError, TruncatedSourceError
from mdhr_sdk.vision import list_sources

ORDERED = {"g": "10", "bf": "0"}


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv"])
def test_damage_is_passed_over_counted_and_noted_until_the_next_key_frame(tmp_path, name, capfd):
    whole = write_video(tmp_path / name, 40, "libx264", codec_options=ORDERED)
    sound, (frames, source) = read(whole)[0], read(spoilt(whole, 13))
    for before in range(13):
        np.testing.assert_array_equal(frames[before].image, sound[before].image)
    assert [index_of(frame.image) for frame in frames[-20:]] == list(range(20))
    assert source.damaged >= 1 and 34 <= len(frames) <= 40
    noted = {round(frame.timestamp_s * 25) for frame in frames if frame.note}
    assert noted and noted <= set(range(13, 20)), "the key frame 20 is sound again"
    assert {frame.note for frame in frames} == {"", "damaged"}
    assert all(13 <= round(frame.timestamp_s * 25) <= 20 for frame in frames if frame.breaks)
    assert all(after.breaks for before, after in pairwise(frames) if after.timestamp_s - before.timestamp_s > 0.05)
    assert len(frames) + source.damaged == 40 if name == "a.mp4" else len(frames) + source.damaged >= 40
    assert capfd.readouterr() == ("", "")


def test_a_broadcast_with_lost_packets_is_counted(tmp_path):
    path = write_video(tmp_path / "a.ts", 40, "libx264", codec_options=ORDERED)
    data = path.read_bytes()
    middle = len(data) // 188 // 2 * 188
    path.write_bytes(data[:middle] + data[middle + 5 * 188 :])
    frames, source = read(path)
    assert 30 <= len(frames) < 40
    assert source.damaged >= 1
    assert any(frame.note == "damaged" for frame in frames)


def test_pictures_that_an_avi_lost_are_counted(tmp_path):
    path = write_video(tmp_path / "a.avi", 40, "mjpeg", pixels="yuvj420p")
    data = bytearray(path.read_bytes())
    at = data.index(b"00dc", len(data) // 2)
    size = struct.unpack_from("<I", data, at + 4)[0]
    data[at : at + size] = bytes(size)
    path.write_bytes(data)
    frames, source = read(path)
    assert source.damaged == 40 - len(frames) >= 1


def faststart(tmp_path, frames: int):
    front = {"movflags": "faststart"}
    images = [noisy(index) for index in range(frames)]
    return write_video(tmp_path / "whole.mp4", images, "libx264", container_options=front, codec_options=ORDERED)


@pytest.mark.parametrize("kind", ["mp4", "avi", "mkv"])
def test_a_cut_video_gives_what_it_has_and_then_an_error(tmp_path, kind, capfd):
    if kind == "mp4":
        whole = faststart(tmp_path, 100)
    else:
        codec = "mjpeg" if kind == "avi" else "libx264"
        pixels = "yuvj420p" if kind == "avi" else "yuv420p"
        whole = write_video(tmp_path / f"whole.{kind}", [noisy(index) for index in range(100)], codec, pixels=pixels)
    path = tmp_path / f"cut.{kind}"
    path.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    indices = []
    (source,) = list_sources(path)
    with source, pytest.raises(TruncatedSourceError, match=r"declares.*re-encode") as caught:
        for frame in source:
            indices.append(frame.index)
            assert index_of(frame.image) == frame.index % 20 or frame.note
    assert caught.value.declared == 100
    assert caught.value.decoded == len(indices)
    assert 30 < len(indices) < 70
    assert capfd.readouterr() == ("", "")


def test_a_few_missing_frames_are_no_cut(tmp_path):
    path = faststart(tmp_path, 40)
    path.write_bytes(path.read_bytes()[:-300])
    frames, source = read(path)
    assert 36 <= len(frames) < 40
    assert source.damaged >= 1


@pytest.mark.parametrize(
    ("name", "content", "held"),
    [
        ("README.md", b"# Read me\n", "it holds text; give another file"),
        ("a.mp4", b"not a video", "it holds text"),
        ("a.mp4", b"", "it is empty; give another file"),
        ("a.png", b"", "the file is empty; copy or save it again"),
        ("a.pdf", b"%PDF-1.7 \xff\xfe", "it holds a PDF document"),
        ("a.docx", b"PK\3\4\xff\xfe", "it holds a zip archive"),
        ("a.bin", bytes(range(250)) * 9, "it holds data of another kind"),
        ("a.mp4", bytes(range(250)) * 9, "it is damaged, cut off or of another format; re-encode it"),
        ("a.xyz", b"\0\0\0\x1cftypisom" + bytes(900), "it is damaged, cut off or of another format; re-encode it"),
    ],
)
def test_what_is_no_video_is_told_as_what_it_is_in_one_quiet_line(tmp_path, name, content, held, capfd):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(SourceError, match=rf"{name}.* {held}") as caught:
        read(tmp_path / name)
    assert "\n" not in str(caught.value) and capfd.readouterr() == ("", "")


@pytest.mark.parametrize("size", [1 << 62, (1 << 64) - 1, 1 << 40, 15])
@pytest.mark.parametrize("name", [b"moov", b"free", b"stsd"])
def test_a_box_of_64_bits_asks_for_no_memory(tmp_path, size, name):
    head = struct.pack(">I4s4sI4s", 20, b"ftyp", b"isom", 0, b"isom")
    path = tmp_path / "huge.mp4"
    path.write_bytes(head + struct.pack(">I4sQ", 1, name, size) + bytes(100))
    with pytest.raises(SourceError, match=r"huge\.mp4"), list_sources(path)[0]:
        pass


def test_a_playlist_reaches_no_network(tmp_path):
    import socket

    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.2)
        playlist = f"#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\nhttp://127.0.0.1:{server.getsockname()[1]}/a.ts\n"
        (tmp_path / "list.mp4").write_text(playlist)
        with pytest.raises(SourceError), list_sources(tmp_path / "list.mp4")[0]:
            pass
        with pytest.raises(TimeoutError):
            server.accept()


@pytest.mark.parametrize("name", ["list.ffconcat", "list.mp4"])
def test_a_list_of_files_opens_none_of_them(tmp_path, name):
    write_video(tmp_path / "a.mp4", 3)
    (tmp_path / name).write_text("ffconcat version 1.0\nfile a.mp4\n")
    with pytest.raises(SourceError, match="it holds a list of other files"), list_sources(tmp_path / name)[0]:
        pass


def test_reading_leaves_the_log_level_of_opencv_alone(tmp_path):
    levels = cv2 if hasattr(cv2, "getLogLevel") else cv2.utils.logging
    before = levels.getLogLevel()
    levels.setLogLevel(4)
    try:
        read(write_video(tmp_path / "a.mp4", 3))
        with pytest.raises(SourceError), list_sources(99)[0]:
            pass
        assert levels.getLogLevel() == 4
    finally:
        levels.setLogLevel(before)
