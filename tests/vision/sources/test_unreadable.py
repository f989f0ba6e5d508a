"""What cannot be read is one line about one source, and the others are read."""

from __future__ import annotations

import contextlib
import io
import os
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pandas as pd
import pytest
from PIL import Image as Pillow

from made_videos import index_of, numbered, read, write_video
from mdhr_sdk.errors import InputError, SourceError
from mdhr_sdk.vision import list_sources
from mdhr_sdk.vision.sources.pixels import UPRIGHT, to_bgr
from mdhr_sdk.vision.sources.source import Opened, Source


@pytest.mark.parametrize("name", ["a.avi", "a.mov", "a.mkv"])
@pytest.mark.parametrize(("orientation", "turns"), [(1, 0), (3, 2), (6, 3), (8, 1)])
def test_a_cameras_jpeg_frames_with_exif_are_read_upright(tmp_path, name, orientation, turns):
    exif = Pillow.Exif()
    exif[0x112], exif[0x10F] = orientation, "Camera"
    jpeg = io.BytesIO()
    Pillow.fromarray(numbered(0)[:, :, ::-1]).save(jpeg, "jpeg", exif=exif, quality=95)
    with av.open(str(tmp_path / name), "w") as container:
        track = container.add_stream("mjpeg", rate=25)
        track.width, track.height, track.pix_fmt = 96, 64, "yuvj420p"
        for index in range(3):
            packet = av.Packet(jpeg.getvalue())
            packet.pts = packet.dts = index
            packet.time_base, packet.stream, packet.is_keyframe = Fraction(1, 25), track, True
            container.mux(packet)
    frames, _ = read(tmp_path / name)
    upright = np.rot90(numbered(0), turns)
    assert [frame.image.shape for frame in frames] == [upright.shape] * 3
    assert np.abs(frames[0].image.astype(int) - upright).mean() < 3


def test_a_codec_without_a_decoder_is_one_line_and_others_are_read(tmp_path):
    whole = write_video(tmp_path / "a.mp4", 3, "libx264")
    (tmp_path / "b.mp4").write_bytes(whole.read_bytes().replace(b"avc1", b"zzzz"))
    (tmp_path / "c.svg").write_text('<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg"/>\n')
    good, strange = list_sources(tmp_path)
    with good:
        assert len(list(good)) == 3
    with pytest.raises(SourceError, match=r"the codec of .*b\.mp4 cannot be decoded here; re-encode"), strange:
        pass


@pytest.mark.parametrize("when", ["opening", "reading"])
def test_what_nobody_expected_is_the_error_of_its_source(when):
    def images():
        yield numbered(0), 0.0
        raise ValueError("31 is\nnot a valid Type")

    @contextlib.contextmanager
    def opener():
        if when == "opening":
            raise ValueError("31 is\nnot a valid Type")
        yield Opened(25.0, None, False, images())

    source = Source("a.mp4", "video", opener)
    with pytest.raises(SourceError, match=r"cannot read a\.mp4: ValueError: 31 is not a valid") as caught, source:
        list(source)
    assert isinstance(caught.value.__cause__, ValueError)


@pytest.mark.parametrize("name", ["log", "log.png", "log.mp4"])
def test_a_file_that_the_kernel_makes_up_counts_as_empty(tmp_path, name):
    """Its size is 0; /proc/kmsg is one, and reading it may never end."""
    if not Path("/proc/version").exists():
        pytest.skip("Linux only")
    (tmp_path / name).symlink_to("/proc/version")
    with pytest.raises(SourceError, match="empty"), list_sources(tmp_path / name)[0]:
        pass


@pytest.mark.parametrize("kept", [0.3, 0.8, 0.99])
def test_a_cut_tiff_of_several_pages_is_not_read_as_its_first_page(tmp_path, kept):
    first, *others = [Pillow.fromarray(numbered(index)) for index in range(6)]
    first.save(tmp_path / "a.tif", save_all=True, append_images=others)
    data = (tmp_path / "a.tif").read_bytes()
    (tmp_path / "a.tif").write_bytes(data[: int(kept * len(data))])
    with pytest.raises(SourceError, match="damaged"), list_sources(tmp_path / "a.tif")[0] as source:
        list(source)


def test_only_what_pillow_does_not_know_goes_to_opencv(tmp_path, monkeypatch):
    """OpenCV's reader of animated PNG ends the process over some damage."""
    first, *others = [Pillow.fromarray(numbered(index)) for index in range(3)]
    first.save(tmp_path / "a.png", save_all=True, append_images=others)
    data = (tmp_path / "a.png").read_bytes()
    (tmp_path / "a.png").write_bytes(data.replace(b"IHDR", b"IHDS"))
    monkeypatch.setattr(cv2, "imdecodemulti", lambda *_: pytest.fail("OpenCV was asked"))
    with pytest.raises(SourceError, match="damaged"), list_sources(tmp_path / "a.png")[0]:
        pass


def test_an_error_of_the_callers_own_iterator_is_his():
    with pytest.raises(ZeroDivisionError):
        read(numbered(1 // (1 - index)) for index in range(2))


def test_a_picture_longer_than_mediapipe_takes_is_scaled_for_it(demo_frames, still_mesher):
    image = np.full((320, 40_000, 3), 90, np.uint8)
    image[:, 20_000:20_320] = demo_frames[0]
    (alone,), (found,) = still_mesher.find(demo_frames[0]), still_mesher.find(image)
    still_mesher.find(np.ascontiguousarray(image.transpose(1, 0, 2)))  # here it lies on its side, and need not be found
    assert np.abs(found.landmarks_px - alone.landmarks_px - (20_000, 0, 0))[:, :2].mean() < 6


def test_a_folder_names_its_broken_links_pipes_and_subfolders(tmp_path):
    write_video(tmp_path / "a.mp4", 2)
    (tmp_path / "link.mp4").symlink_to(tmp_path / "gone.mp4")
    os.mkfifo(tmp_path / "pipe.mp4")
    (tmp_path / "below").mkdir()
    sources = list_sources(tmp_path)
    assert len(sources) == 1
    assert [path.name for path in sources.skipped] == ["below", "link.mp4", "pipe.mp4"]


def test_a_pipe_given_as_a_path_is_refused_and_does_not_hang(tmp_path):
    os.mkfifo(tmp_path / "pipe.mp4")
    with pytest.raises(SourceError, match=r"pipe\.mp4'; it is a pipe, socket or device"):
        list_sources(tmp_path / "pipe.mp4")


def test_jpegs_in_documents_and_archives_are_no_videos(tmp_path):
    jpeg = cv2.imencode(".jpg", numbered(0))[1].tobytes()
    (tmp_path / "a.pdf").write_bytes(b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n" + jpeg * 20)
    (tmp_path / "a.zip").write_bytes(b"PK\x03\x04" + bytes(26) + jpeg * 20)
    Pillow.fromarray(numbered(0)).save(tmp_path / "a.ico")
    (tmp_path / "a.mjpeg").write_bytes(jpeg * 20)
    sources = list_sources(tmp_path)
    assert [path.name for path in sources.skipped] == ["a.ico", "a.pdf", "a.zip"]
    assert [source.kind for source in sources] == ["video"]
    with sources[0] as source:
        assert len(list(source)) == 20


def test_an_apng_does_not_play_its_picture_for_other_viewers(tmp_path):
    images = [Pillow.fromarray(numbered(index)) for index in (5, 0, 1, 2)]
    images[0].save(tmp_path / "a.png", save_all=True, append_images=images[1:], default_image=True, duration=40)
    assert [index_of(frame.image) for frame in read(tmp_path / "a.png")[0]] == [0, 1, 2]


def test_a_table_is_refused_and_its_column_asked_for():
    with pytest.raises(InputError, match=r"got a DataFrame; give a tensor's .numpy\(\), or one column of a table"):
        list_sources(pd.DataFrame({"path": ["a.mp4"]}))


@pytest.mark.parametrize(("lines", "matrix"), [(64, 5), (720, 1)])
def test_an_unnamed_matrix_goes_by_the_size(tmp_path, lines, matrix):
    colour = np.full((lines, 96, 3), (60, 110, 190), np.uint8)
    path = write_video(tmp_path / "a.mkv", [colour] * 2, "libx264", codec_options={"qp": "0"}, colorspace=matrix)
    with av.open(str(path)) as container:
        frame = next(container.decode(video=0)).reformat(format="yuv420p")
    frame.colorspace = 2
    assert np.abs(to_bgr(frame, UPRIGHT, Fraction(1)).astype(int) - colour).max() <= 4


def test_the_pictures_of_an_array_break_where_their_size_changes():
    frames, _ = read(iter([numbered(0), numbered(1), numbered(2, (48, 80)), numbered(3, (48, 80))]))
    assert [frame.breaks for frame in frames] == [False, False, True, False]


@pytest.mark.parametrize(
    ("bad", "hint"),
    [
        (b"x", r"cv2\.imdecode"),
        (io.BytesIO(b"x"), r"an open file \(BytesIO\); give its path"),
        (io.StringIO("a.mp4\n"), "give its path"),
        (Pillow.new("L", (2, 2)), r"convert\('RGB'\)"),
    ],
)
def test_what_is_nearly_a_source_is_told_what_to_give(bad, hint):
    with pytest.raises(InputError, match=hint):
        list_sources(bad)
