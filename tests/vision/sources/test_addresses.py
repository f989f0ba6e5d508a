"""Live sources as they are typed: names, options, and what cannot be."""

from __future__ import annotations

from pathlib import Path

import pytest

from mdhr_sdk.errors import ConfigError, InputError, MDHRError, MissingDependencyError, SourceError
from mdhr_sdk.vision import list_sources
from mdhr_sdk.vision.sources.live.address import live_source, split_name
from mdhr_sdk.vision.sources.live.spec import LiveSpec

ADDRESSES = {
    "0": ("camera 0", LiveSpec("camera", "0")),
    "/dev/video2#size=1280x720&fps=30&pixels=MJPG": (
        "camera 2", LiveSpec("camera", "2", size_px=(1280, 720), fps=30.0, pixels="MJPG"),
    ),
    "rtsp://me:pa#ss@door/cam#transport=udp&timeout=2": (
        "rtsp://...", LiveSpec("stream", "rtsp://me:pa#ss@door/cam", transport="udp", timeout_s=2.0),
    ),
    "rtsp://me:pass@door/cam?key=1": ("rtsp://door/cam", LiveSpec("stream", "rtsp://me:pass@door/cam?key=1")),
    "udp://127.0.0.1:5000#format=mpegts": (
        "udp://127.0.0.1:5000", LiveSpec("stream", "udp://127.0.0.1:5000", format="mpegts"),
    ),
    "-": ("stdin", LiveSpec("pipe", "0")),
    "gst:videotestsrc ! video/x-raw,width=64 # 3": (
        "gstreamer", LiveSpec("gstreamer", "videotestsrc ! video/x-raw,width=64 # 3"),
    ),
}  # fmt: skip


@pytest.mark.parametrize("text", ADDRESSES)
def test_an_address_and_its_options(text: str):
    (source,) = list_sources(text)
    assert (source.name, source.spec) == ADDRESSES[text]
    assert source.kind == ("camera" if source.spec.way == "camera" else "stream")


def test_the_same_by_keywords():
    given = live_source(1, name="door", size_px=(640, 480), fps=15, pixels="YUYV", timeout_s=3)
    assert given.name == "door"
    assert given.spec == LiveSpec("camera", "1", size_px=(640, 480), fps=15, pixels="YUYV", timeout_s=3)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("0#size=big", "as in size=1280x720; got 'big'"),
        ("0#fps=0", "fps must be above 0"),
        ("0#speed=3", "a source has no option 'speed'; choose among size"),
        ("0#transport=udp", "transport does not belong to a camera"),
        ("0#pixels=JPEG2", "a code of four letters"),
        ("http://h/x#transport=udp", "transport belongs to rtsp"),
        ("rtsp://h/x#transport=pigeon", "transport must be one of tcp, udp"),
        ("rtsp://h/x#timeout=-1", "timeout must be seconds above 0"),
        ("-#format=rawvideo", "raw pictures need their size"),
        ("gone.mp4#realtime", "nothing exists at 'gone.mp4'"),
        ("ftp://me:SECRET@h/x", "cannot open ftp:// addresses"),
    ],
)
def test_what_cannot_be_is_said_in_one_line(text: str, says: str):
    with pytest.raises(MDHRError, match=says) as caught:
        list_sources(text)
    assert isinstance(caught.value, ConfigError | SourceError)
    assert "\n" not in str(caught.value) and "SECRET" not in str(caught.value)


def test_files_with_odd_names_stay_files(tmp_path: Path, demo_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    for name in ("a#realtime", "b=c.mp4", "clip.mp4"):
        (tmp_path / name).symlink_to(demo_path)
    assert [one.spec for name in ("a#realtime", "b=c.mp4") for one in list_sources(name)] == [None, None]
    assert list_sources("clip.mp4#realtime")[0].spec == LiveSpec("file", str(tmp_path / "clip.mp4"))
    with pytest.raises(ConfigError, match="a file has no option but realtime"):
        list_sources("clip.mp4#fps=3")
    assert split_name("cam.1=rtsp://h/x") == ("cam.1", "rtsp://h/x"), "as live.yaml may call it"
    assert split_name("b=c.mp4") == ("", "b=c.mp4") and split_name("door=0#size=1x1") == ("door", "0#size=1x1")
    assert split_name("rtsp://h/x?a=b") == ("", "rtsp://h/x?a=b")
    for name in ("a/b", "x y", "..", "", "1st", "a" * 41):
        with pytest.raises(ConfigError, match="a source's name begins with a letter") as caught:
            split_name(f"{name}=rtsp://me:SECRET@h/x")
        assert "SECRET" not in str(caught.value)
    with pytest.raises(SourceError, match="nothing exists at") as lost:
        list_sources("rtps//me:SECRET@h/x.mp4")
    assert "SECRET" not in str(lost.value)


def test_names_come_from_a_mapping(demo_path: Path):
    sources = list_sources({"door": "rtsp://me:pass@h/cam", "hall": 1, "film": demo_path})
    assert [(one.name, one.kind) for one in sources] == [("door", "stream"), ("hall", "camera"), ("film", "video")]
    with pytest.raises(InputError, match="at least one source"):
        list_sources({})


def test_a_pipeline_needs_gstreamer_and_says_what_brings_it(monkeypatch: pytest.MonkeyPatch):
    from mdhr_sdk.vision.sources.live import gstreamer

    monkeypatch.setattr(gstreamer, "_gst", lambda: None)
    monkeypatch.setattr(gstreamer.cv2.videoio_registry, "hasBackend", lambda _: False)
    with pytest.raises(MissingDependencyError, match="a gst: source needs OpenCV with GStreamer"):
        list_sources("gst:videotestsrc")[0].__enter__()
