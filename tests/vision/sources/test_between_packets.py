"""What lies between the packets of whole files is no damage, and joined recordings are all read."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

import ebml
from made_videos import index_of, noisy, numbered, read, write_video
from mdhr_sdk.errors import SourceError, TruncatedSourceError
from mdhr_sdk.vision import list_sources
from mdhr_sdk.vision.sources.containers.joined import parts_of

ORDERED = {"g": "10", "bf": "0", "sc_threshold": "0"}
UNKEYED = [[0xFB, b"\xd8"]]  # refers to a picture 40 ms before


def assert_whole(path, count=60, breaks=()):
    frames, source = read(path)
    assert [index_of(frame.image) for frame in frames] == [number % 20 for number in range(count)]
    np.testing.assert_allclose([frame.timestamp_s for frame in frames], np.arange(count) / 25, atol=0.045)
    assert (source.damaged, [frame.index for frame in frames if frame.note]) == (0, [])
    assert [frame.index for frame in frames if frame.breaks] == [*breaks]


def filled(cluster, what):
    """A cluster with what other programs write into it."""
    head = [one for one in cluster if one[0] not in (ebml.BLOCK, ebml.GROUP, ebml.CHECK_SUM)]
    blocks, groups = ([one for one in cluster if one[0] == kind] for kind in (ebml.BLOCK, ebml.GROUP))
    if what == "all that a head can hold":
        return [[ebml.CHECK_SUM, bytes(4)], *head, [0xA7, bytes(8)], [0xAB, bytes(8)], *blocks, *groups]
    if what == "padding":
        return [*head, *(one for block in [*blocks, *groups] for one in (block, [ebml.VOID, bytes(200)]))]
    noted = ebml.put_together([[0xA6, ebml.put_together([[0xEE, b"\4"], [0xA5, bytes(100)]])]])
    made = [
        [[ebml.GROUPS_BLOCK, held[:3] + b"\0" + held[4:]], [ebml.ADDITIONS, noted], *UNKEYED[: not held[3] & 0x80]]
        for _, held in blocks
    ]
    return [*head, *([ebml.GROUP, one] for one in made), *groups]


@pytest.mark.parametrize("what", ["padding", "all that a head can hold", "notes beside pictures", "tags", "lacing"])
def test_a_matroska_of_another_program_has_lost_nothing(tmp_path, what):
    sound_s = 2.4 if what == "lacing" else 0.0
    images = [noisy(index % 20) for index in range(60)]
    path = write_video(tmp_path / "a.mkv", images, "libx264", codec_options=ORDERED, sound_s=sound_s)
    elements = ebml.taken_apart(path.read_bytes())
    for cluster in ebml.of_kind(elements, ebml.CLUSTER) if what != "tags" else ():
        cluster[1] = ebml.laced(cluster[1], 2) if what == "lacing" else filled(cluster[1], what)
    (segment,) = ebml.of_kind(elements, ebml.SEGMENT)
    if what == "tags":
        segment[1] = [one for part in segment[1] for one in (part, [ebml.TAGS, bytes(300)])]
    path.write_bytes(ebml.put_together(elements))
    assert_whole(path)


def test_a_browsers_recording_has_no_rate(tmp_path):
    stamps = np.cumsum(np.random.default_rng(0).integers(5, 90, 20)).tolist()
    path = write_video(tmp_path / "a.webm", 20, "libvpx", stamps_ms=stamps)
    bare = ebml.without(ebml.taken_apart(path.read_bytes()), ebml.DURATION, ebml.DEFAULT_DURATION, ebml.TAGS)
    path.write_bytes(ebml.put_together(bare))
    frames, source = read(path)
    assert source.info.fps == 0.0, "a thousand a second are those of the stamps"
    np.testing.assert_allclose([f.timestamp_s for f in frames], (np.array(stamps) - stamps[0]) / 1000, atol=1e-6)


OTHER_TRACK = {"container_options": {"mpegts_start_pid": "300"}}
OTHER_PROGRAM = {"container_options": {"mpegts_start_pid": "300", "mpegts_pmt_start_pid": "500"}}
FRAGMENTED = {"movflags": "frag_keyframe+empty_moov+default_base_moof"}


@pytest.mark.parametrize(
    ("name", "codec", "second", "more"),
    [
        ("a.ts", "libx264", "libx264", OTHER_TRACK), ("a.m2ts", "libx264", "mpeg2video", {}),
        ("a.ts", "mpeg2video", "libx264", OTHER_PROGRAM), ("a.mp4", "libx264", "libx264", {}),
        ("a.mp4", "libx264", "libx264", {"container_options": FRAGMENTED}), ("a.flv", "libx264", "libx264", {}),
        ("a.wmv", "wmv2", "wmv2", {}), ("a.mkv", "libx264", "libx264", {}), ("a.ivf", "libvpx", "libvpx-vp9", {}),
        ("a.mxf", "mpeg2video", "mpeg2video", {"pixels": "yuv422p"}),
    ],
)  # fmt: skip
def test_recordings_that_were_joined_end_to_end_are_all_read(tmp_path, name, codec, second, more):
    images = [numbered(index % 20) for index in range(30)]
    first = {} if name.endswith("ts") else more
    one = write_video(tmp_path / name, images, codec, **first)
    two = write_video(tmp_path / f"b{name}", [numbered(index % 20) for index in range(10, 40)], second, **more)
    junk = b"lost" * 10 if name.endswith("ts") else b""
    (tmp_path / f"joined_{name}").write_bytes(one.read_bytes() + junk + two.read_bytes())
    assert_whole(tmp_path / f"joined_{name}", breaks=[30])


@pytest.mark.parametrize("size", [(48, 80), (192, 128)])
def test_an_mpeg_2_keeps_its_last_picture_where_the_size_changes(tmp_path, size):
    for name, images in (("a.ts", 20), ("b.ts", [numbered(index, size) for index in range(20)])):
        write_video(tmp_path / name, images, "mpeg2video")
    (tmp_path / "c.ts").write_bytes((tmp_path / "a.ts").read_bytes() + (tmp_path / "b.ts").read_bytes())
    assert_whole(tmp_path / "c.ts", 40, breaks=[20])


@pytest.mark.parametrize("count", [1, 2, 3])
def test_a_broadcast_of_a_few_packets_is_known(tmp_path, count):
    path = write_video(tmp_path / "a.ts", [numbered(index, (16, 16)) for index in range(count)], "libx264")
    assert len(read(path)[0]) == count


@pytest.mark.parametrize("codec", ["mjpeg", "mpeg4"])
def test_pictures_after_a_loss_in_an_avi_keep_their_times(tmp_path, codec):
    pixels = "yuvj420p" if codec == "mjpeg" else "yuv420p"
    path = write_video(tmp_path / "a.avi", [noisy(index) for index in range(40)], codec, pixels=pixels)
    with av.open(str(path)) as container:
        places = [packet.pos for packet in container.demux(video=0) if packet.size]
    data = bytearray(path.read_bytes())
    data[places[15] - 8 : places[15]] = bytes(8)  # the head of the 16th picture
    path.write_bytes(data)
    frames, source = read(path)
    assert source.damaged == 40 - len(frames) >= 1
    gap = next(frame for frame in frames if frame.timestamp_s > 0.58)
    assert (gap.note, gap.breaks) == ("damaged", True)
    assert not any(frame.note for frame in frames if frame.timestamp_s < 0.55)
    assert frames[-1].timestamp_s == pytest.approx(39 / 25)


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.ts"])
def test_a_hole_that_was_filled_with_zeros_is_damage(tmp_path, name):
    path = write_video(tmp_path / name, [noisy(index) for index in range(40)], "libx264", codec_options=ORDERED)
    with av.open(str(path)) as container:
        place = [(packet.pos, packet.size) for packet in container.demux(video=0) if packet.size][15]
    data = bytearray(path.read_bytes())
    data[place[0] + 600 : place[0] + 700] = bytes(100)
    path.write_bytes(data)
    frames, source = read(path)
    assert source.damaged >= 1
    assert [round(25 * frame.timestamp_s) for frame in frames if frame.note] == [15, 16, 17, 18, 19]


@pytest.mark.parametrize("sound_s", [0.0, 1.6])
def test_pictures_that_an_flv_lost_are_told(tmp_path, sound_s):
    images = [noisy(index) for index in range(40)]
    path = write_video(tmp_path / "a.flv", images, "libx264", codec_options=ORDERED, sound_s=sound_s)
    assert read(path)[1].damaged == 0
    with av.open(str(path)) as container:
        places = [packet.pos for packet in container.demux(video=0) if packet.size]
    data = path.read_bytes()
    path.write_bytes(data[: places[14] + 200] + data[places[16] - 300 :])
    frames, source = read(path)
    assert len(frames) < 40 and source.damaged >= 1
    assert any(frame.note for frame in frames)


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.ts"])
def test_padding_between_the_parts_of_a_picture_is_no_damage(tmp_path, name):
    images = [noisy(index) for index in range(10)]
    raw = write_video(tmp_path / "a.h264", images, "libx264", codec_options={"slices": "4", "bf": "0"})
    raw.write_bytes(raw.read_bytes().replace(b"\0\0\1", bytes(24) + b"\0\0\1")[24:])
    with av.open(str(raw)) as given, av.open(str(tmp_path / name), "w") as container:
        track = container.add_stream_from_template(given.streams.video[0])
        for index, packet in enumerate(packet for packet in given.demux(video=0) if packet.size):
            packet.pts = packet.dts = round(index / 25 / packet.time_base)
            packet.stream = track
            container.mux(packet)
    assert_whole(tmp_path / name, 10)


def test_pictures_that_an_mpeg_4_does_not_code_are_not_lost(tmp_path):
    with av.open(str(tmp_path / "a.avi"), "w") as container:
        track = container.add_stream("mpeg4", rate=25, options={"bf": "0"})
        track.width, track.height, track.pix_fmt = 96, 64, "yuv420p"
        packets = []
        for index in range(20):
            frame = av.VideoFrame.from_ndarray(noisy(index), format="bgr24").reformat(format="yuv420p")
            frame.pts, frame.time_base = index, Fraction(1, 25)
            packets += track.encode(frame)
        for index, packet in enumerate([*packets, *track.encode()]):
            if index % 4 == 3:  # as programs do that record less than the camera gives
                bits = int(f"010{1:b}{index:05b}100111111", 2)
                before, packet = packet, av.Packet(b"\0\0\1\xb6" + bits.to_bytes(3, "big"))
                packet.pts, packet.dts, packet.time_base, packet.stream = before.pts, before.dts, Fraction(1, 25), track
            container.mux(packet)
    frames, source = read(tmp_path / "a.avi")
    assert (len(frames), source.damaged) == (15, 0)


@pytest.mark.parametrize(
    ("name", "codec"), [("a.wmv", "wmv2"), pytest.param("a.ivf", "libvpx-vp9", marks=pytest.mark.slow)]
)
def test_a_cut_video_of_rarer_kinds_is_told(tmp_path, name, codec):
    path = write_video(
        tmp_path / name, [noisy(index) for index in range(60)], codec, sound_s=4.0 if codec == "wmv2" else 0
    )
    assert len(read(path)[0]) == 60
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(TruncatedSourceError, match=r"of the (59|[6-9]\d) frames that it declares"):
        read(path)


@pytest.mark.parametrize("name", ["x.jpg", "x%03d.jpg", "%d.png", "x.gif"])
@pytest.mark.parametrize("kind", ["mpg", "mkv", "avi"])
def test_a_video_may_be_called_as_an_image(tmp_path, name, kind):
    path = write_video(tmp_path / f"a.{kind}", 10, "mpeg2video" if kind == "mpg" else "mpeg4")
    frames, _ = read(path.rename(tmp_path / name))
    assert [index_of(frame.image) for frame in frames] == [*range(10)]


def test_a_part_without_pictures_is_counted_and_the_others_are_read(tmp_path):
    path = write_video(tmp_path / "a.ts", 60, "libx264")
    other = write_video(tmp_path / "b.ts", 30, "libx264", container_options={"mpegts_start_pid": "300"})
    path.write_bytes(other.read_bytes()[: 4 * 188] + path.read_bytes())
    frames, source = read(path)
    assert [index_of(frame.image) for frame in frames] == [number % 20 for number in range(60)]
    assert source.damaged == 1


def test_a_long_broadcast_is_looked_into_at_some_places_first(tmp_path, monkeypatch):
    monkeypatch.setattr("mdhr_sdk.vision.sources.containers.joined.CHUNK_PACKETS", 4)
    monkeypatch.setattr("mdhr_sdk.vision.sources.containers.joined.SAMPLE_PACKETS", 12)
    images = [noisy(index) for index in range(30)]
    for name, pid in (("a.ts", "256"), ("b.ts", "300")):
        write_video(tmp_path / name, images, "libx264", container_options={"mpegts_start_pid": pid})
    one, other = (tmp_path / "a.ts").read_bytes(), (tmp_path / "b.ts").read_bytes()
    for both in (one + one, one + other):
        (tmp_path / "c.ts").write_bytes(both)
        assert len(parts_of(tmp_path / "c.ts")) == (2 if both.endswith(other) else 1)
        assert len(read(tmp_path / "c.ts")[0]) == 60


def table(data: bytes, pid: int) -> bytes:
    """The first packet of a broadcast that holds the table of this PID."""
    packets = (data[at : at + 188] for at in range(0, len(data), 188))
    return next(one for one in packets if int.from_bytes(one[1:3], "big") & 0x1FFF == pid)


@pytest.mark.parametrize("change", ["only announced", "of another kind"])
def test_a_table_of_tracks_counts_once_it_holds(tmp_path, change):
    path = write_video(tmp_path / "a.ts", 20, "libx264")
    other = write_video(tmp_path / "b.ts", 20, "libx264", **OTHER_TRACK)
    data, coming = path.read_bytes(), bytearray(table(other.read_bytes(), 4096))
    half = len(data) // 376 * 188
    for parts in (3, 1):  # then that of before comes again
        path.write_bytes(data[:half] + bytes(coming) + data[half:])
        assert len(parts_of(path)) == parts
        if change == "only announced":
            coming[5 + 5] &= 0xFE
        else:
            coming[5] = 0xC0
    assert_whole(path, 20)


def test_what_is_no_packet_is_passed_over(tmp_path):
    one = write_video(tmp_path / "a.ts", 20, "libx264").read_bytes()
    two = write_video(tmp_path / "b.ts", 20, "libx264", **OTHER_TRACK).read_bytes()
    path = tmp_path / "c.ts"
    path.write_bytes(one + bytes(30_000_001) + two)  # as of a recorder that makes its files before it fills them
    begins = len(one) + 30_000_001 + two.index(table(two, 0))
    assert parts_of(path) == [(0, begins), (begins, path.stat().st_size)]


def test_a_joined_file_whose_end_is_cut_off_is_told_with_the_frames_of_all_parts(tmp_path):
    path = write_video(tmp_path / "a.mp4", 60, "libx264", container_options={"movflags": "faststart"})
    data = path.read_bytes()
    path.write_bytes(data + data[: len(data) * 3 // 4])
    taken = []
    with pytest.raises(TruncatedSourceError) as told, list_sources(path)[0] as source:
        taken.extend(source)
    assert len(taken) > 60
    assert f"ended after {len(taken)} of the 120 frames" in str(told.value)
    assert (told.value.decoded, told.value.declared) == (len(taken), 120)


def test_a_part_is_closed_before_the_next_one(tmp_path):
    data = write_video(tmp_path / "a.ivf", [numbered(index) for index in range(2)], "libvpx").read_bytes()
    (tmp_path / "b.ivf").write_bytes(12 * data)
    with list_sources(tmp_path / "b.ivf")[0] as source:
        opened = [len([*Path("/dev/fd").iterdir()]) for _ in source]
    assert len(opened) == 24
    assert opened[-1] == opened[0]


def test_pictures_in_a_document_are_no_video_for_whom_asks_for_it(tmp_path):
    jpeg = write_video(tmp_path / "a.mjpeg", 20, "mjpeg", pixels="yuvj420p").read_bytes()
    for name, head in (("a.pdf", b"%PDF-1.7\n%\xe2\xe3\n"), ("a.docx", b"PK\3\4" + bytes(26))):
        (tmp_path / name).write_bytes(head + jpeg)
        with pytest.raises(SourceError, match=r"it holds a (PDF|zip)"):
            read(tmp_path / name)
