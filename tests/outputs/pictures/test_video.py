"""Overlay videos: frames and times as those of the source, in every codec, whole or readable as far as they go."""

from __future__ import annotations

import dataclasses
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import av
import numpy as np
import pytest

from mdhr_sdk.errors import OutputError
from mdhr_sdk.outputs import OverlaySink
from mdhr_sdk.outputs.pictures.encoder import CODECS, Codec

PAIRS = [(codec, suffix) for codec, known in CODECS.items() for suffix in known.suffixes]
STEADY = [index / 25 for index in range(60)]


def read(path: Path) -> tuple[list[np.ndarray], list[float]]:
    """All frames that can be read, and their times; what is cut off at the end is no error here."""
    images, times = [], []
    with av.open(str(path)) as file:
        try:
            for frame in file.decode(video=0):
                images.append(frame.to_ndarray(format="bgr24"))
                times.append(frame.time)
        except av.error.InvalidDataError:
            pass
    return images, times


def length_s(path: Path) -> float:
    """When the last frame ends."""
    with av.open(str(path)) as file:
        ends = [float((packet.pts + packet.duration) * packet.time_base) for packet in file.demux() if packet.size]
        return max(file.duration / av.time_base, *ends)  # fragments of VP9 have no packets with a duration


def write(sink: OverlaySink, frame, times: Sequence[float], size=(97, 121), source="clip.mp4") -> OverlaySink:
    for index, at_s in enumerate(times):
        sink.write(dataclasses.replace(frame(index, faces=0, size=size, source=source), timestamp_s=at_s))
    return sink


@pytest.mark.parametrize(("codec", "suffix"), PAIRS)
def test_a_video_reads_back_in_every_codec(tmp_path, frame, codec, suffix):
    path = tmp_path / f"clip{suffix}"
    times = [0.0, 0.04, 0.08, 2.0, 2.04, 2.08, 2.12, 2.16]
    with OverlaySink(path, codec=codec) as sink:
        write(sink, frame, times)
    images, found = read(path)
    assert [image.shape for image in images] == [(96, 120, 3)] * len(times)
    assert abs(float(np.mean([image[:70, 60:].mean() for image in images])) - 128) < 6
    np.testing.assert_allclose(found, times, atol=6e-4)
    assert length_s(path) == pytest.approx(2.2, abs=0.002)


@pytest.mark.parametrize(
    ("times", "end_s"),
    [
        ([0, 0.04, 0.08, *(5.3 + index / 25 for index in range(5))], 5.5),
        ([index / 10 for index in range(30)], 3.0),
        ([index / 189.154 for index in range(60)], 60 / 189.154),
        ([index * 1001 / 30000 for index in range(30)], 1.001),
        ([1.4, 1.44, 1.48], 1.52),
        ([0.0], 0.04),
    ],
)
def test_a_video_lasts_as_long_as_its_source(tmp_path, frame, times, end_s):
    with OverlaySink(tmp_path / "clip.mp4") as sink:
        write(sink, frame, times)
    found = read(sink.path)[1]
    np.testing.assert_allclose(found, times, atol=1e-5)
    assert length_s(sink.path) == pytest.approx(end_s, abs=1e-3)


def test_equal_times_are_told_apart_by_the_least(tmp_path, frame):
    times = [2 * (index // 2) / 25 for index in range(20)]
    for suffix in (".mp4", ".mkv"):
        with OverlaySink(tmp_path / f"clip{suffix}") as sink:
            write(sink, frame, times)
        found = read(sink.path)[1]
        np.testing.assert_allclose(found, times, atol=2e-3)
        assert len(found) == 20 and min(np.diff(found)) > 0


def test_a_clock_that_starts_again_goes_on(tmp_path, frame):
    with OverlaySink(tmp_path / "clip.mp4") as sink:
        write(sink, frame, [0, 0.1, 0.2, 0.3, 0.0, 0.1, 0.2])
        write(sink, frame, [0.2, 0.3], source="another.mp4")
        write(sink, frame, [0.0], source="still.png")
    np.testing.assert_allclose(read(sink.path)[1], np.arange(10) / 10, atol=1e-4)


@pytest.mark.parametrize("fps", [0.0, -1.0, float("nan"), float("inf"), None, 1e-9, 1e9])
def test_any_frame_rate_can_be_given(tmp_path, frame, fps):
    with OverlaySink(tmp_path / "clip.mp4", fps) as sink:
        write(sink, frame, [0, 0.5, 1.0])
    assert length_s(sink.path) == pytest.approx(1.5)


def test_frames_of_other_sizes_are_fitted_with_margins(tmp_path, frame):
    with OverlaySink(tmp_path / "clip.mp4", 25) as sink:
        for index, size in enumerate(((120, 160), (240, 320), (160, 120), (60, 200), (1, 1))):
            sink.write(frame(index, faces=0, size=size))
    images, _ = read(tmp_path / "clip.mp4")
    assert [image.shape for image in images] == [(120, 160, 3)] * 5
    assert images[1][60, 5].mean() > 100  # same aspect: no margin
    assert images[2][60, 5].mean() < 20 and images[2][60, 80].mean() > 100
    assert images[3][5, 80].mean() < 20 and images[3][60, 80].mean() > 100


def test_colours_stay(tmp_path, frame):
    colours = np.zeros((64, 96, 3), np.uint8)
    colours[:, :32], colours[:, 32:64], colours[:, 64:] = (200, 30, 30), (30, 200, 30), (30, 30, 200)
    result = dataclasses.replace(frame(0, faces=0), image=colours)
    with OverlaySink(tmp_path / "clip.mp4") as sink:
        sink.write(result)
    (image,), _ = read(sink.path)
    for left in (8, 40, 72):
        np.testing.assert_allclose(image[8:24, left : left + 16].mean((0, 1)), colours[0, left], atol=8)


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("share", [1.0, 0.9, 0.75, 0.6])
def test_a_video_that_is_cut_off_can_be_read_as_far_as_it_goes(tmp_path, frame, codec, share):
    times = [0.3 + index / 25 for index in range(130)]
    sink = write(OverlaySink(tmp_path / "clip.mp4", 25, codec), frame, times, size=(64, 96))
    (part,) = tmp_path.glob(".*/clip.mp4")
    content = part.read_bytes()
    cut = tmp_path / "cut.mp4"
    cut.write_bytes(content[: int(share * len(content))])
    found = read(cut)[1]
    assert len(found) >= 100 * (share - 0.35)
    np.testing.assert_allclose(found, times[: len(found)], atol=1e-4)
    sink.close()
    content = (tmp_path / "clip.mp4").read_bytes()
    assert len(read(tmp_path / "clip.mp4")[1]) == 130
    cut.write_bytes(content[: int(share * len(content))])  # of a finished file too
    assert len(read(cut)[1]) >= 130 * (share - 0.3)


KILLED = """
import dataclasses, os, signal, sys
sys.path.insert(0, sys.argv[2])
from conftest import CODES, make_frame
from mdhr_sdk.outputs import CsvSink, OverlaySink
video, table = OverlaySink(sys.argv[1] + "/clip.mp4", 25), CsvSink(sys.argv[1] + "/clip.csv", CODES)
for index in range(80):
    frame = make_frame(index, size=(64, 96))
    video.write(frame)
    table.write(frame)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_what_a_killed_process_wrote_is_there_when_the_next_one_writes(tmp_path, frame, codes):
    words = [sys.executable, "-c", KILLED, str(tmp_path), str(Path(__file__).parents[1])]
    assert subprocess.run(words, check=False).returncode == -signal.SIGKILL
    assert all(path.name.startswith(".") for path in tmp_path.iterdir())
    with OverlaySink(tmp_path / "clip.mp4") as sink:
        write(sink, frame, [0, 0.04])
    assert {path.name for path in tmp_path.iterdir()} == {"clip.mp4", "clip.incomplete.mp4", "clip.incomplete.csv"}
    assert len((tmp_path / "clip.incomplete.csv").read_text().splitlines()) == 81
    assert len(read(tmp_path / "clip.incomplete.mp4")[1]) >= 50


def test_an_exception_leaves_a_video_that_can_be_played(tmp_path, frame):
    with pytest.raises(ZeroDivisionError), OverlaySink(tmp_path / "clip.mp4", 25) as sink:
        write(sink, frame, STEADY[:4])
        raise ZeroDivisionError
    assert sink.final_path == tmp_path / "clip.incomplete.mp4"
    assert len(read(sink.final_path)[0]) == 4


@pytest.mark.parametrize(
    ("name", "codec", "said"),
    [
        ("clip.gif", "h264", "change the suffix"),
        ("clip", "h264", "change the suffix"),
        ("clip.avi", "h264", "avi keeps no frame times"),
        ("clip.webm", "h264", r"h264 video \(\.mp4, \.m4v, \.mov, \.mkv\), but 'clip.webm' is neither"),
        ("clip.mov", "vp9", r"vp9 video \(\.mp4, \.mkv, \.webm\)"),
        ("clip.mp4", "mpeg4", "one of h264, vp9, av1; got 'mpeg4'"),
    ],
)
def test_what_does_not_fit_is_refused_before_any_work(tmp_path, name, codec, said):
    with pytest.raises(OutputError, match=said) as caught:
        OverlaySink(tmp_path / name, codec=codec)
    assert "\n" not in str(caught.value)


def test_an_encoder_that_is_not_there_is_refused_before_any_work(tmp_path, monkeypatch):
    monkeypatch.setitem(CODECS, "h264", Codec("libx266", {}, (".mp4",)))
    with pytest.raises(OutputError, match="has no libx266, which h264 needs"):
        OverlaySink(tmp_path / "clip.mp4")


def test_an_encoder_that_does_not_open_is_one_line(tmp_path, frame, monkeypatch):
    monkeypatch.setitem(CODECS, "h264", Codec("libx264", {"preset": "no such preset"}, (".mp4",)))
    with pytest.raises(OutputError, match=r"FFmpeg cannot write 'clip\.mp4' as h264 video of 120x96") as caught:
        write(OverlaySink(tmp_path / "clip.mp4"), frame, [0])
    assert "\n" not in str(caught.value)


def test_an_encoder_that_prints_is_silenced(tmp_path):
    code = KILLED.replace('"/clip.mp4", 25)', '"/clip.mp4", 25, "av1")').replace(
        "os.kill", "video.close(); 0 and os.kill"
    )
    words = [sys.executable, "-c", code, str(tmp_path), str(Path(__file__).parents[1])]
    done = subprocess.run(words, check=True, capture_output=True, text=True)
    assert (done.stdout, [line for line in done.stderr.splitlines() if "Svt" in line]) == ("", [])
