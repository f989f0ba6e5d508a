"""Video files: upright, with square pixels, in their own colours, and at their own times."""

from __future__ import annotations

import gc
import itertools
import time
from fractions import Fraction
from itertools import pairwise

import av
import cv2
import numpy as np
import pytest

from made_videos import index_of, numbered, read, trimmed, turned, write_sound, write_video
from mdhr_sdk.errors import SourceError
from mdhr_sdk.vision import SourceInfo, list_sources
from mdhr_sdk.vision.sources.pixels import UPRIGHT, to_bgr


def times(frames) -> list[float]:
    return [frame.timestamp_s for frame in frames]


def test_a_video_has_the_times_of_its_container(demo_path):
    began_s = time.perf_counter()
    frames, source = read(demo_path)
    assert source.info == SourceInfo(str(demo_path), "video", 25.0, 310, False, still=False)
    assert [frame.index for frame in frames] == list(range(310))
    np.testing.assert_allclose(times(frames), np.arange(310) / 25, atol=1e-6)
    assert frames[0].image.shape == (320, 320, 3)
    assert frames[0].image.dtype == np.uint8
    assert frames[0].image.flags.c_contiguous and frames[0].image.flags.writeable
    assert not np.shares_memory(frames[0].image, frames[1].image)
    assert all(before.read_s <= after.read_s for before, after in pairwise(frames))
    assert began_s <= frames[0].read_s
    assert (source.damaged, {frame.note for frame in frames}, any(frame.breaks for frame in frames)) == (0, {""}, False)


def test_a_video_can_be_left_early_and_opened_again(demo_path):
    (source,) = list_sources(str(demo_path))
    with source:
        first = next(iter(source)).image
    with source:
        np.testing.assert_array_equal(next(iter(source)).image, first)


def test_no_decoded_picture_waits_for_the_garbage_collector(demo_path):
    (source,) = list_sources(str(demo_path))
    gc.disable()
    try:
        with source:
            kept = [sum(type(one) is av.VideoFrame for one in gc.get_objects()) for _ in itertools.islice(source, 40)]
    finally:
        gc.enable()
    assert kept[39] == kept[9], "frames in a cycle of references are gigabytes with large pictures"


@pytest.mark.parametrize(
    ("name", "codec"),
    [
        ("a.mp4", "libx264"), ("a.mov", "mpeg4"), ("a.3gp", "mpeg4"), ("a.mkv", "libx265"), ("a.webm", "libvpx-vp9"),
        ("a.MTS", "libx264"), ("a.m2ts", "libx264"), ("a.ts", "mpeg2video"), ("a.avi", "mjpeg"),
        ("a.mpg", "mpeg2video"), ("a.wmv", "wmv2"), ("a.flv", "flv1"), ("a.y4m", "wrapped_avframe"),
        ("a.h264", "libx264"), ("a.mp4", "libsvtav1"), ("a.m2v", "mpeg2video"), ("a.mjpeg", "mjpeg"),
    ],
)  # fmt: skip
def test_every_container_and_codec_gives_all_frames_at_their_times(tmp_path, name, codec):
    container = {"MTS": "mpegts", "y4m": "yuv4mpegpipe"}.get(name.split(".")[1])
    pixels = "yuvj420p" if codec == "mjpeg" else "yuv420p"
    quiet = {"libx265": {"x265-params": "log-level=none"}}.get(codec, {})
    path = write_video(tmp_path / name, 30, codec, pixels=pixels, format_name=container, codec_options=quiet)
    (tmp_path / "named_like_nothing").write_bytes(path.read_bytes())
    for each in (path, *([tmp_path / "named_like_nothing"] if "mjpeg" not in name else [])):
        frames, _ = read(each)
        assert [index_of(frame.image) for frame in frames] == [index % 20 for index in range(30)]
        # a program stream of tiny pictures stamps several at once
        np.testing.assert_allclose(times(frames), np.arange(30) / 25, atol=0.041 if "mpg" in name else 2e-3)


def test_a_fragmented_mp4_is_read(tmp_path):
    fragmented = {"movflags": "frag_keyframe+empty_moov"}
    path = write_video(tmp_path / "a.mp4", 30, "libx264", container_options=fragmented)
    assert len(read(path)[0]) == 30
    path.write_bytes(path.read_bytes()[:-200])
    assert 1 <= len(read(path)[0]) <= 30


@pytest.mark.parametrize(
    ("matrix", "expected"),
    [
        ((1, 0, 0, 1), lambda image: image),
        ((0, 1, -1, 0), lambda image: np.rot90(image, -1)),
        ((-1, 0, 0, -1), lambda image: np.rot90(image, 2)),
        ((0, -1, 1, 0), lambda image: np.rot90(image)),
        ((-1, 0, 0, 1), np.fliplr),
        ((1, 0, 0, -1), np.flipud),
        ((0, 1, 1, 0), lambda image: image.transpose(1, 0, 2)),
        ((0, -1, -1, 0), lambda image: np.rot90(image, 2).transpose(1, 0, 2)),
    ],
)
def test_the_display_matrix_is_applied(tmp_path, matrix, expected):
    path = write_video(tmp_path / "phone.mp4", 3)
    path.write_bytes(turned(path.read_bytes(), matrix))
    frames, _ = read(path)
    upright = expected(numbered(0))
    assert frames[0].image.shape == upright.shape
    assert np.abs(frames[0].image.astype(int) - upright).mean() < 3


@pytest.mark.parametrize(
    ("aspect", "width"), [((64, 45), 136), ((8, 9), 86), ((1, 2), 48), ((2, 1), 192), ((481, 480), 96), ((1, 1), 96)]
)
@pytest.mark.parametrize("name", ["squeezed.mp4", "squeezed.mkv", "squeezed.ts", "squeezed.avi"])
def test_pixels_become_square(tmp_path, name, aspect, width):
    codec = "libx264" if name.endswith("ts") else "mpeg4"
    frames, _ = read(write_video(tmp_path / name, 10, codec, aspect=Fraction(*aspect)))
    assert [frame.image.shape for frame in frames] == [(64, width, 3)] * 10
    assert abs(int(frames[0].image[10, width // 4].mean())) < 5 < 35 < int(frames[0].image[10, -8].mean())


def test_an_absurd_pixel_aspect_is_not_believed(tmp_path):
    frames, _ = read(write_video(tmp_path / "a.mkv", 2, aspect=Fraction(60, 1)))
    assert frames[0].image.shape == (64, 96, 3)


def test_a_squeezed_phone_video_is_widened_before_it_is_turned(tmp_path):
    path = write_video(tmp_path / "a.mp4", 2, aspect=Fraction(2, 1))
    path.write_bytes(turned(path.read_bytes(), (0, 1, -1, 0)))
    assert read(path)[0][0].image.shape == (192, 64, 3)


def filtered(path, words: str):
    """A copy of a video whose packets went through a filter of FFmpeg."""
    with av.open(str(path)) as given, av.open(str(path.with_stem("filtered")), "w") as file:
        track = file.add_stream_from_template(given.streams.video[0])
        change = av.BitStreamFilterContext(words, given.streams.video[0], track)
        for packet in (packet for packet in given.demux(video=0) if packet.size):
            for changed in change.filter(packet):
                changed.stream = track
                file.mux(changed)
    return path.with_stem("filtered")


def test_columns_that_are_cut_off_at_the_left_are_not_shown(tmp_path):
    path = filtered(write_video(tmp_path / "a.mkv", 2, "libx264"), "h264_metadata=crop_left=18:crop_right=6:crop_top=4")
    image = read(path)[0][0].image
    assert np.abs(image.astype(int) - numbered(0)[4:, 18:90]).mean() < 3


def test_a_turn_that_is_told_with_key_frames_only_holds(tmp_path):
    path = write_video(tmp_path / "a.mkv", 12, "libx264", codec_options={"g": "50"})
    frames, _ = read(filtered(path, "h264_metadata=display_orientation=insert:rotate=90:flip=horizontal"))
    assert [frame.image.shape for frame in frames] == [(96, 64, 3)] * 12
    assert not any(frame.breaks for frame in frames)


COLOUR = np.full((64, 96, 3), (60, 110, 190), np.uint8)


@pytest.mark.parametrize("colours", [{}, {"colorspace": 5}, {"colorspace": 1}, {"color_range": 2}])
@pytest.mark.parametrize("pixels", ["yuv420p", "yuv444p", "yuv422p10le", "yuv420p10le"])
def test_colours_are_those_of_the_matrix_range_and_depth_that_the_file_names(tmp_path, colours, pixels):
    lossless = {"qp": "0"}
    path = write_video(tmp_path / "a.mkv", [COLOUR] * 2, "libx264", pixels=pixels, codec_options=lossless, **colours)
    frames, _ = read(path)
    assert np.abs(frames[0].image.astype(int) - COLOUR).max() <= 4


@pytest.mark.parametrize("matrix", [3, 10])
def test_a_matrix_that_ffmpeg_lacks_is_the_nearest_one(tmp_path, matrix):
    nearest = 9 if matrix == 10 else 5
    path = write_video(tmp_path / "a.mkv", [COLOUR] * 2, "libx264", codec_options={"qp": "0"}, colorspace=nearest)
    with av.open(str(path)) as container:
        frame = next(container.decode(video=0)).reformat(format="yuv444p10le")
    frame.colorspace = matrix
    assert np.abs(to_bgr(frame, UPRIGHT, Fraction(1)).astype(int) - COLOUR).max() <= 4
    frame.colorspace = 14
    with pytest.raises(SourceError, match="the pictures have those of matrix 14, as ICtCp"):
        to_bgr(frame, UPRIGHT, Fraction(1))


def test_luma_and_differences_to_green_and_orange_become_colours():
    blue, green, red = (int(value) for value in COLOUR[0, 0])
    planes = ((red + 2 * green + blue) / 4, 128 + (2 * green - red - blue) / 4, 128 + (red - blue) / 2)
    values = np.stack([np.full((64, 96), round(plane), np.uint8) for plane in planes])
    frame = av.VideoFrame.from_ndarray(values, format="yuv444p")
    frame.colorspace, frame.color_range = 8, 2
    assert np.abs(to_bgr(frame, UPRIGHT, Fraction(1)).astype(int) - COLOUR).max() <= 2


@pytest.mark.parametrize(("transfer", "share"), [(16, 0.581), (18, 0.75)])
def test_hdr_is_brought_to_a_normal_screen(tmp_path, transfer, share):
    """By BT.2408 the white of paper, 203 nits, is at 58 % of PQ and at 75 % of HLG."""
    paper = np.full((64, 96, 3), round(255 * share), np.uint8)
    path = write_video(tmp_path / "a.mkv", [paper] * 2, "libx264", pixels="yuv420p10le", color_trc=transfer)
    assert read(path)[0][0].image.mean() == pytest.approx(235, abs=4)


def test_a_transfer_that_only_the_container_names_counts(tmp_path):
    paper = np.full((64, 96, 3), round(255 * 0.581), np.uint8)
    named = {"color_trc": 16, "color_primaries": 9, "colorspace": 9}
    path = write_video(tmp_path / "a.mov", [paper] * 2, "prores_ks", pixels="yuv422p10le", **named)
    assert read(path)[0][0].image.mean() == pytest.approx(235, abs=4)


@pytest.mark.parametrize("stamps", [[0, 40, 80, 120, 2120, 2160, 2360, 2560], [80 * (i // 2) for i in range(30)]])
def test_variable_rates_and_repeated_stamps_are_each_frames_own_times(tmp_path, stamps):
    frames, _ = read(write_video(tmp_path / "a.mkv", len(stamps), stamps_ms=stamps))
    np.testing.assert_allclose(times(frames), np.array(stamps) / 1000, atol=1e-6)
    assert not any(frame.breaks for frame in frames)


def test_times_that_cannot_be_are_told(tmp_path, caplog):
    path = write_video(tmp_path / "a.mp4", 90, "libx264")
    data = path.read_bytes()
    at = data.index(b"stts") + 16  # the length of each frame
    assert int.from_bytes(data[at - 8 : at - 4], "big") == 1
    path.write_bytes(data[:at] + bytes(4) + data[at + 4 :])
    assert read(path)[0]
    assert "it declares 25 a second: the times are wrong" in caplog.text


def test_an_avi_that_shows_a_picture_longer_has_lost_nothing(tmp_path):
    stamps = [40 * (index + 5 * (index > 9)) for index in range(20)]
    frames, source = read(write_video(tmp_path / "a.avi", 20, "mjpeg", pixels="yuvj420p", stamps_ms=stamps))
    np.testing.assert_allclose(times(frames), np.array(stamps) / 1000, atol=1e-6)
    assert (source.damaged, source.info.frame_count) == (0, 20)
    assert source.info.fps == pytest.approx(19 / 24 * 25)


@pytest.mark.parametrize("name", ["late.mp4", "late.mkv", "late.ts", "late.mov"])
def test_a_picture_that_starts_later_than_the_sound_keeps_its_time(tmp_path, name):
    stamps = [500 + 40 * index for index in range(10)]
    frames, source = read(write_video(tmp_path / name, 10, stamps_ms=stamps, sound_s=1.0))
    np.testing.assert_allclose(times(frames), np.array(stamps) / 1000, atol=0.05)  # sound of AAC begins a little early
    assert len(frames) == 10 and source.damaged == 0


def test_a_track_that_starts_late_alone_starts_at_zero(tmp_path):
    frames, _ = read(write_video(tmp_path / "a.ts", 10, stamps_ms=[700 + 40 * index for index in range(10)]))
    np.testing.assert_allclose(times(frames), np.arange(10) / 25, atol=1e-3)


@pytest.mark.parametrize("second", [0, 100_000])
def test_a_clock_that_starts_again_goes_on(tmp_path, second):
    """Two recordings in one file; the second one's clock starts anew, or leaps."""
    for name, start in (("a.ts", 3000), ("b.ts", 3000 + second)):
        write_video(tmp_path / name, 30, "mpeg2video", stamps_ms=[start + 40 * index for index in range(30)])
    (tmp_path / "joined.ts").write_bytes((tmp_path / "a.ts").read_bytes() + (tmp_path / "b.ts").read_bytes())
    frames, source = read(tmp_path / "joined.ts")
    np.testing.assert_allclose(times(frames), np.arange(60) / 25, atol=2e-3)
    assert [frame.index for frame in frames if frame.breaks] == [30]
    assert source.damaged == 0


@pytest.mark.parametrize(("size", "pixels"), [((96, 64), "yuv444p"), ((48, 80), "yuv420p"), ((96, 64), "yuv420p10le")])
def test_a_size_or_pixel_format_that_changes_on_the_way_is_followed(tmp_path, size, pixels):
    write_video(tmp_path / "a.ts", 30, "libx264")
    write_video(tmp_path / "b.ts", [numbered(index, size) for index in range(30)], "libx264", pixels=pixels)
    (tmp_path / "joined.ts").write_bytes((tmp_path / "a.ts").read_bytes() + (tmp_path / "b.ts").read_bytes())
    frames, source = read(tmp_path / "joined.ts")
    assert [index_of(frame.image) for frame in frames] == [index % 20 for index in range(30)] * 2
    assert {frame.image.shape for frame in frames[30:]} == {(size[1], size[0], 3)}
    assert [frame.index for frame in frames if frame.breaks] == [30]
    assert source.damaged == 0


def test_sound_that_is_longer_than_the_picture_is_no_cut(tmp_path):
    frames, source = read(write_video(tmp_path / "a.mp4", 20, sound_s=3.0))
    assert (len(frames), source.info.frame_count) == (20, 20)


def test_a_video_trimmed_by_its_edit_list_is_whole(tmp_path, demo_path):
    path = tmp_path / "trimmed.mp4"
    path.write_bytes(trimmed(demo_path.read_bytes(), 0.5))
    frames, source = read(path)
    assert (len(frames), source.info.frame_count) == (155, 155)


def test_sound_without_a_picture_is_told_and_the_cover_of_a_song_is_none(tmp_path):
    song = write_sound(tmp_path / "a.mp3", "libmp3lame")
    with pytest.raises(SourceError, match="holds audio and no moving picture"):
        read(song)
    cover = cv2.imencode(".jpg", numbered(0))[1].tobytes()
    content = b"\0image/jpeg\0\3\0" + cover
    size = len(content) + 10
    head = b"ID3\3\0\0" + bytes([size >> 21 & 127, size >> 14 & 127, size >> 7 & 127, size & 127])
    song.write_bytes(head + b"APIC" + len(content).to_bytes(4, "big") + b"\0\0" + content + song.read_bytes())
    with pytest.raises(SourceError, match="holds audio, video and no moving picture"):
        read(song)
