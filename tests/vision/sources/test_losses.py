"""Damage that FFmpeg passes over without an error is counted, and noted where it shows."""

from __future__ import annotations

import struct
from fractions import Fraction
from itertools import pairwise

import av
import numpy as np
import pytest

from made_videos import index_of, noisy, numbered, read, write_video
from mdhr_sdk.errors import SourceError, TruncatedSourceError
from mdhr_sdk.vision import list_sources
from mdhr_sdk.vision.sources.decode import Decoded
from mdhr_sdk.vision.sources.video import _Clock, _tidied

ORDERED = {"g": "10", "bf": "0", "sc_threshold": "0"}
HEVC = {"x265-params": "log-level=none:keyint=10:min-keyint=10:bframes=0:scenecut=0"}


def made(path, codec="libx264", frames=60, **more):
    more.setdefault("codec_options", {"libx265": HEVC, "mjpeg": {}}.get(codec, ORDERED))
    pixels = "yuvj420p" if codec == "mjpeg" else "yuv420p"
    return write_video(path, [noisy(index) for index in range(frames)], codec, pixels=pixels, **more)


def packets(path) -> list[tuple[int, int]]:
    with av.open(str(path)) as container:
        return [(packet.pos, packet.size) for packet in container.demux(video=0) if packet.size]


def overwritten(path, start: int, end: int):
    data = bytearray(path.read_bytes())
    data[start:end] = np.random.default_rng(0).integers(0, 256, end - start, np.uint8).tobytes()
    path.write_bytes(data)
    return path


@pytest.mark.parametrize(("name", "codec"), [("a.mkv", "libx264"), ("a.mkv", "libx265"), ("a.webm", "libvpx-vp9")])
@pytest.mark.parametrize("sound_s", [0.0, 2.4])
def test_pictures_that_a_matroska_lost_are_told(tmp_path, name, codec, sound_s):
    sound_s = 0.0 if name == "a.webm" else sound_s
    path = made(tmp_path / name, codec, sound_s=sound_s)
    frames, source = read(path)
    assert (len(frames), source.damaged, any(frame.note for frame in frames)) == (60, 0, False)
    places = packets(path)
    overwritten(path, places[13][0] - 4, places[15][0] + 20)
    frames, source = read(path)
    assert 20 <= len(frames) < 60
    assert source.damaged >= 1
    gap = next(b for a, b in pairwise(frames) if b.timestamp_s - a.timestamp_s > 0.05)
    assert (gap.note, gap.breaks) == ("damaged", True)
    assert not any(frame.note for frame in frames[:12])


def test_a_damaged_key_frame_spoils_what_is_made_from_it(tmp_path):
    path = made(tmp_path / "a.mp4", frames=40)
    at, size = packets(path)[10]
    frames, source = read(overwritten(path, at + size // 3, at + size // 2))
    assert len(frames) == 40 and source.damaged == 1
    assert [frame.index for frame in frames if frame.note] == list(range(10, 20))


@pytest.mark.parametrize("name", ["a.avi", "a.mov", "a.mkv"])
def test_damage_inside_a_jpeg_is_told_and_the_picture_still_shown(tmp_path, name):
    path = made(tmp_path / name, "mjpeg", frames=20)
    at, size = packets(path)[8]
    frames, source = read(overwritten(path, at + size // 2, at + size - 4))
    assert len(frames) == 20 and source.damaged == 1
    assert [frame.index for frame in frames if frame.note] == [8]
    np.testing.assert_array_equal([index_of(frame.image) for frame in frames[:8]], range(8))


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.ts"])
def test_damage_inside_hevc_is_told(tmp_path, name):
    path = made(tmp_path / name, "libx265", frames=40)
    assert read(path)[1].damaged == 0
    places = packets(path)
    at, size = places[12]
    overwritten(path, *((at + 30, at + 150) if name == "a.ts" else (at + 7, at + size)))
    frames, source = read(path)
    assert source.damaged >= 1
    assert any(frame.note for frame in frames)


@pytest.mark.parametrize("codec", ["libx265", "libsvtav1"])
def test_what_is_made_from_damage_is_noted_until_the_next_key_frame(tmp_path, codec):
    options = HEVC if codec == "libx265" else {"g": "10", "preset": "12"}
    path = made(tmp_path / "a.mkv", codec, 40, codec_options=options)
    healthy, _ = read(path)
    at, size = packets(path)[11]
    overwritten(path, at + 7, at + size)
    frames, source = read(path)
    assert source.damaged >= 1
    by_time = {frame.timestamp_s: frame.image.astype(int) for frame in healthy}
    for frame in frames:
        if np.abs(frame.image - by_time[frame.timestamp_s]).mean() > 1:
            assert frame.note, frame.index
    assert not any(frame.note for frame in frames if not 0.4 <= frame.timestamp_s <= 0.8)


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.flv", "a.mxf"])
@pytest.mark.parametrize("sound_s", [0.0, 14.0])
def test_a_file_that_lacks_its_last_thirtieth_is_cut_off(tmp_path, name, sound_s):
    if name == "a.mxf" or (name == "a.flv" and sound_s):
        sound_s = 0.0
    codec = "mpeg2video" if name == "a.mxf" else "libx264"
    front = {"movflags": "faststart"} if name == "a.mp4" else {}
    path = made(tmp_path / name, codec, 300, sound_s=sound_s, container_options=front)
    frames, _ = read(path)
    assert len(frames) == 300, "a whole file is no cut one, whatever its sound"
    path.write_bytes(path.read_bytes()[: packets(path)[288][0]])
    (source,) = list_sources(path)
    with source, pytest.raises(TruncatedSourceError, match=r"of the (29[89]|30[01]) frames that it declares") as caught:
        list(source)
    assert 280 <= caught.value.decoded <= 289


def edited(data: bytes, edits: list[tuple[float, float]]) -> bytes:
    """Give an mp4 of one track another edit list: seconds shown, and where in the track (-1 for nothing)."""
    scale = struct.unpack_from(">I", data, data.index(b"mvhd") + 16)[0]
    track_scale = struct.unpack_from(">I", data, data.index(b"mdhd") + 16)[0]
    at = data.index(b"elst") - 4
    old = struct.unpack_from(">I", data, at)[0]
    rows = [(round(lasts * scale), -1 if start < 0 else round(start * track_scale)) for lasts, start in edits]
    new = struct.pack(">I4sII", 16 + 12 * len(rows), b"elst", 0, len(rows))
    new += b"".join(struct.pack(">IiI", *row, 1 << 16) for row in rows)
    patched = bytearray(data[:at] + new + data[at + old :])
    for box in (b"moov", b"trak", b"edts"):
        place = data.index(box) - 4
        struct.pack_into(">I", patched, place, struct.unpack_from(">I", data, place)[0] + len(new) - old)
    return bytes(patched)


@pytest.mark.parametrize(
    ("edits", "numbers"),
    [
        ([(1.5, -1), (2, 1)], [*range(25, 75)]),
        ([(1, 2), (1, 0)], [*range(50, 75), *range(25)]),
        ([(1, 1), (1, 1)], [*range(25, 50)] * 2),
        ([(1, 0), (1, -1), (1, 2)], [*range(25), *range(50, 75)]),
        ([(0.5, -1), (1, 0), (1, -1), (1, 2)], [*range(25), *range(50, 75)]),
    ],
)
def test_a_file_whose_edit_list_begins_late_or_goes_back_is_whole(tmp_path, edits, numbers):
    path = made(tmp_path / "a.mp4", "libx264", 100)
    path.write_bytes(edited(path.read_bytes(), edits))
    frames, source = read(path)
    assert [index_of(frame.image) for frame in frames] == [number % 20 for number in numbers]
    assert (source.info.frame_count, source.damaged) == (len(numbers), 0)
    paused = [25] if (1, -1) in edits[1:] else []
    assert [
        number for number, one in enumerate(pairwise(frames), 1) if one[1].timestamp_s - one[0].timestamp_s > 0.9
    ] == paused


def test_the_pictures_of_an_avi_with_b_frames_come_at_even_times(tmp_path):
    path = made(tmp_path / "a.avi", "libx264", 60, codec_options={"g": "20", "bf": "3", "sc_threshold": "0"})
    frames, source = read(path)
    assert [index_of(frame.image) for frame in frames] == [index % 20 for index in range(60)]
    np.testing.assert_allclose([frame.timestamp_s for frame in frames], np.arange(60) / 25, atol=1e-6)
    assert source.damaged == 0


def test_a_stamp_that_leaps_ahead_alone_is_not_believed():
    stamps = [0.0, 0.04, 0.08, 9.0, 0.16, 0.2, 2.0, 2.04, None, 2.12]
    pictures = [Decoded(numbered(0), stamp, 0.04, 0.0, False, "") for stamp in stamps]
    tidied = [picture.time_s for picture in _tidied(iter(pictures), 0.04)]
    assert tidied == [0.0, 0.04, 0.08, None, 0.16, 0.2, 2.0, 2.04, None, 2.12]


def test_pictures_without_a_stamp_come_before_the_first_one_that_has_one():
    clock = _Clock(0.0, 25.0, restarts=False)
    told = [clock.tell(stamp) for stamp in (None, None, None, 0.02, 0.06)]
    np.testing.assert_allclose([time_s for time_s, _ in told], np.arange(5) / 25, atol=1e-6)
    assert not any(again for _, again in told)


@pytest.mark.parametrize("kind", ["ts", "h264"])
def test_a_pixel_aspect_that_changes_holds_from_its_own_picture_on(tmp_path, kind):
    options = {"g": "15", "bf": "2", "sc_threshold": "0"}
    for name, aspect in ((f"a.{kind}", Fraction(1)), (f"b.{kind}", Fraction(2))):
        made(tmp_path / name, frames=30, aspect=aspect, codec_options=options)
    joined = tmp_path / f"joined.{kind}"
    joined.write_bytes((tmp_path / f"a.{kind}").read_bytes() + (tmp_path / f"b.{kind}").read_bytes())
    frames, _ = read(joined)
    assert [frame.image.shape[1] for frame in frames] == [96] * 30 + [192] * 30


def test_a_broadcast_that_is_joined_between_key_frames_is_not_damaged(tmp_path):
    path = made(tmp_path / "a.ts", "libx265", 40)
    data = path.read_bytes()
    at = packets(path)[13][0] // 188 * 188
    tables = data[: 3 * 188]
    path.write_bytes(tables + data[at:])
    frames, source = read(path)
    assert 20 <= len(frames) < 30
    assert (source.damaged, [frame.index for frame in frames if frame.note]) == (0, [])


def without(path, lost: int, name: str):
    """A copy of a video without one of its packets."""
    with av.open(str(path)) as given, av.open(str(path.with_name(name)), "w") as file:
        track = file.add_stream_from_template(given.streams.video[0])
        for number, packet in enumerate(packet for packet in given.demux(video=0) if packet.size):
            if number != lost:
                packet.stream = track
                file.mux(packet)
    return path.with_name(name)


@pytest.mark.parametrize("name", ["b.mp4", "b.mkv"])
@pytest.mark.parametrize("lost", [0, 10])
def test_pictures_that_lack_their_key_frame_are_counted(tmp_path, name, lost):
    """The decoder gives none of them back, without an error; the key frame after them tells."""
    frames, source = read(without(made(tmp_path / "a.mp4", frames=30), lost, name))
    times = [0.0, *(frame.timestamp_s for frame in frames)]
    gap = int(np.argmax(np.diff(times)))
    assert (times[gap + 1] - times[gap] > 0.3, len(frames) <= 22, source.damaged) == (True, True, 29 - len(frames))
    ((told, broken),) = [(frame.index, frame.breaks) for frame in frames if frame.note]
    assert told in (gap, gap + 1) and broken == (lost > 0)


def test_pictures_before_the_key_frame_with_which_a_cut_begins_are_no_loss(tmp_path):
    """x265 makes some of them from pictures before that key frame, which were cut off."""
    options = {"x265-params": "log-level=none:keyint=10:min-keyint=10:open-gop=1:bframes=3:b-adapt=0:scenecut=0"}
    path = made(tmp_path / "a.mkv", "libx265", frames=40, codec_options={**options, "preset": "ultrafast"})
    with av.open(str(path)) as given, av.open(str(tmp_path / "b.mkv"), "w") as file:
        track = file.add_stream_from_template(given.streams.video[0])
        found = [packet for packet in given.demux(video=0) if packet.size]
        cut = found[[number for number, packet in enumerate(found) if packet.is_keyframe][1] :]
        for packet in cut:
            packet.stream = track
            file.mux(packet)
    frames, source = read(tmp_path / "b.mkv")
    assert 20 < len(frames) < len(cut)
    assert (source.damaged, [frame.index for frame in frames if frame.note or frame.breaks]) == (0, [])


def test_a_fragment_that_is_missing_is_told(tmp_path):
    options = {"movflags": "frag_keyframe+empty_moov+default_base_moof"}
    path = made(tmp_path / "a.mp4", frames=40, container_options=options)
    assert read(path)[1].damaged == 0
    data = path.read_bytes()
    starts = [at - 4 for at in range(len(data)) if data[at : at + 4] == b"moof"]
    path.write_bytes(data[: starts[1]] + data[starts[2] :])
    frames, source = read(path)
    assert [round(25 * frame.timestamp_s) for frame in frames] == [*range(10), *range(20, 40)]
    assert source.damaged == 1
    assert [(frame.index, frame.breaks) for frame in frames if frame.note] == [(10, True)]


def test_a_pause_between_fragments_is_no_loss(tmp_path):
    """Some writers tell of a picture before a pause that it is as short as any other."""
    options = {"movflags": "frag_keyframe+empty_moov+default_base_moof"}
    path = made(tmp_path / "a.mp4", frames=40, container_options=options)
    with av.open(str(path)) as file:
        second = file.streams.video[0].time_base.denominator
    data = bytearray(path.read_bytes())
    times = [at + 8 for at in range(len(data)) if data[at : at + 5] == b"tfdt\1"]
    for at in times[2:]:
        struct.pack_into(">Q", data, at, struct.unpack_from(">Q", data, at)[0] + second)
    path.write_bytes(data)
    frames, source = read(path)
    assert [round(25 * frame.timestamp_s) for frame in frames] == [*range(20), *range(45, 65)]
    assert (source.damaged, [frame.index for frame in frames if frame.note]) == (0, [])


def test_a_file_that_cannot_be_read_to_its_end_is_an_error(tmp_path):
    path = write_video(tmp_path / "a.y4m", 10, "wrapped_avframe", pixels="yuv420p")
    data = path.read_bytes()
    path.write_bytes(data[: data.index(b"FRAME", len(data) // 2)] + b"NOISE" + data[len(data) // 2 :])
    (source,) = list_sources(path)
    with source, pytest.raises(SourceError, match=r"cannot be read beyond \d frames and 0\.\d\d s"):
        list(source)
