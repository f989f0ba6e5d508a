"""What may be given as a source, and what each kind of it yields."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from made_videos import index_of, read, write_video
from mdhr_sdk.errors import ConfigError, InputError, SourceError
from mdhr_sdk.vision import SourceInfo, check_image, list_sources


def test_a_still_array_is_one_frame():
    (frame,), source = read(np.zeros((4, 6, 3), np.uint8))
    assert source.info == SourceInfo("array", "array", 0.0, 1, False, still=True)
    assert (frame.index, frame.timestamp_s, frame.source) == (0, 0.0, "array")
    assert frame.image.shape == (4, 6, 3)


@pytest.mark.parametrize(("fps", "expected"), [(None, 25.0), (50, 50.0)])
def test_a_clip_array_is_timed_by_fps(fps, expected):
    frames, source = read(np.zeros((3, 4, 6, 3), np.uint8), fps=fps)
    assert [frame.timestamp_s for frame in frames] == pytest.approx([0, 1 / expected, 2 / expected])
    assert (source.info.fps, source.info.frame_count) == (expected, 3)
    assert len(read(source)[0]) == 3, "an array can be opened again"


def test_a_clip_or_sequence_of_one_frame_is_no_still(make_images):
    for clip in (np.zeros((1, 4, 6, 3), np.uint8), iter([np.zeros((4, 6, 3), np.uint8)]), make_images("only1.png")):
        frames, source = read(clip, sequence=True)
        assert len(frames) == 1 and not source.info.still


def test_an_iterator_is_passed_on_without_copies():
    buffer = np.zeros((4, 6, 3), np.uint8)

    def reuse():
        for value in (1, 2):
            buffer[:] = value
            yield buffer

    with list_sources(reuse())[0] as source:
        frames = iter(source)
        first = next(frames)
        assert first.image is buffer
        assert first.image.max() == 1
        next(frames)
    assert first.image.min() == 2, "as the docstring of Frame says"


def test_an_iterator_yields_its_images_and_checks_each():
    images = iter([np.zeros((4, 6, 3), np.uint8), np.zeros((8, 6, 3), np.uint8), np.zeros((4, 6))])
    (source,) = list_sources(images, fps=10)
    heights = []
    with source, pytest.raises(InputError, match=r"frame 2 of array .*float64 \(4, 6\)"):
        for frame in source:
            heights.append(frame.image.shape[0])
    assert heights == [4, 8]
    with source, pytest.raises(InputError, match="it gave none"):
        list(source)
    assert source.info.frame_count is None


def test_an_iterator_or_glob_without_anything_is_told_at_once(tmp_path):
    for empty in (iter([]), tmp_path.glob("*.mp4")):
        with pytest.raises(SourceError, match="expected array to give at least one image or path; it gave none; check"):
            list_sources(empty)
    assert len(list_sources([tmp_path.glob("*.mp4"), 0], on_error="skip")) == 2


def test_a_list_is_a_batch_with_a_name_for_each():
    still, clip = np.zeros((4, 6, 3), np.uint8), np.zeros((2, 4, 6, 3), np.uint8)
    sources = list_sources([still, (clip, still), 3])
    assert [source.name for source in sources] == ["array[0]", "array[1][0]", "array[1][1]", "camera 3"]
    assert list_sources(sources) == sources


@pytest.mark.parametrize(
    ("bad", "hint"),
    [
        (np.zeros((4, 6), np.uint8), "COLOR_GRAY2BGR"),
        (np.zeros((4, 6, 1), np.uint8), "COLOR_GRAY2BGR"),
        (np.zeros((4, 6, 4), np.uint8), "COLOR_BGRA2BGR"),
        (np.zeros((3, 4, 6), np.uint8), "transpose"),
        (np.zeros((4, 6, 3), np.float32), r"\* 255"),
        (np.zeros((2, 4, 6, 3), np.float32), r"\* 255"),
        (np.zeros((4, 6, 3), np.uint16), "uint16"),
        (np.zeros((0, 6, 3), np.uint8), "at least one pixel"),
        (np.zeros((0, 4, 6, 3), np.uint8), "at least one frame"),
        (np.zeros(5, np.uint8), r"\(5,\)"),
        (np.zeros((2, 4, 6, 3), object), r"array\.astype\('uint8'\)"),
    ],
)
def test_arrays_that_are_not_bgr_uint8_are_refused_with_a_remedy(bad, hint):
    with pytest.raises(InputError, match=hint) as caught:
        list_sources(bad)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("bad", [None, 1.5, True, -1, {}, {"a"}, object(), [], [[]], pd.Series([0.5])])
def test_other_types_are_refused(bad):
    with pytest.raises(InputError, match=r"set has no order: give sorted" if isinstance(bad, set) else "expected"):
        list_sources(bad)


@pytest.mark.parametrize("fps", [0, -1, float("nan"), float("inf"), "25"])
def test_fps_must_be_a_positive_number(fps):
    with pytest.raises(InputError, match="fps"):
        list_sources(np.zeros((4, 6, 3), np.uint8), fps=fps)


def test_check_image_makes_views_contiguous():
    view = np.zeros((4, 6, 3), np.uint8)[:, ::-1]
    assert check_image(view).flags.c_contiguous
    with pytest.raises(InputError, match="list"):
        check_image([[0]])


def test_an_image_file_is_a_still(make_images):
    path = make_images("ünï.png") / "ünï.png"
    (frame,), source = read(path)
    assert source.info == SourceInfo(str(path), "image", 0.0, 1, False, still=True)
    assert frame.image.shape == (64, 96, 3) and frame.image.dtype == np.uint8


def test_numbered_images_are_one_sequence_in_natural_order(make_images):
    folder = make_images("f8.png", "f9.png", "f10.png", "f12.png")
    frames, source = read(str(folder))
    assert source.info == SourceInfo(str(folder), "sequence", 25.0, 4, False, still=False)
    assert [index_of(frame.image) for frame in frames] == [0, 1, 2, 3]
    assert [frame.timestamp_s for frame in frames] == pytest.approx([0, 0.04, 0.08, 0.12])


@pytest.mark.parametrize(
    "names",
    [
        ("anna.png", "bert.png"),
        ("f1.png", "f2.bmp"),
        ("s1_f1.png", "s2_f2.png"),
        ("f1.png", "f01.png"),
        ("f1.png", "g2.png"),
        ("f1.png", "f2.png"),
        ("f5.png", "f40.png", "f60.png"),
        ("f1.png", "f2.png", "f10.png"),
        ("only1.png",),
    ],
)
def test_other_images_are_stills_unless_asked_for(make_images, names):
    folder = make_images(*names)
    assert [source.kind for source in list_sources(folder)] == ["image"] * len(names)
    assert [source.kind for source in list_sources(folder, sequence=True)] == ["sequence"]


def test_numbered_images_can_be_stills(make_images):
    sources = list_sources(make_images("f1.png", "f2.png", "f3.png"), sequence=False)
    assert [(source.kind, Path(source.name).name) for source in sources] == [
        ("image", f"f{number}.png") for number in (1, 2, 3)
    ]


def test_a_folder_gives_its_videos_and_its_images(make_images, tmp_path):
    make_images("f1.png", "f2.png", "f3.png", ".hidden4.png", folder=".")
    make_images("f4.png", folder="deeper")
    write_video(tmp_path / "clip.avi", 3)
    (tmp_path / "notes.txt").write_text("x")
    assert [source.kind for source in list_sources(tmp_path)] == ["video", "sequence"]


def test_globs_reach_into_folders(make_images, tmp_path):
    make_images("f1.png", "f3.png", "f5.png", folder="a")
    make_images("f3.png", folder="b/c")
    assert [source.kind for source in list_sources(f"{tmp_path}/a/*.png")] == ["sequence"]
    assert [source.kind for source in list_sources(f"{tmp_path}/**/*.png")] == ["image"] * 4
    joined, _ = read(f"{tmp_path}/**/*.png", sequence=True, fps=10)
    assert [frame.timestamp_s for frame in joined] == pytest.approx([0, 0.1, 0.2, 0.3])


def test_a_glob_enters_each_folder_once_where_links_lead_in_a_circle(make_images, tmp_path):
    make_images("a.png", folder="top")
    make_images("b.png", ".hidden/c.png", folder="top/below")
    for name in ("top/here", "top/below/up", "top/below/again"):
        (tmp_path / name).symlink_to(tmp_path / "top")
    names = [source.name for source in list_sources(f"{tmp_path}/**/*.png")]
    assert [name.rpartition("/")[2] for name in names] == ["a.png", "b.png"]


def test_a_path_with_brackets_is_taken_literally(make_images):
    folder = make_images("f[1].png")
    assert [source.kind for source in list_sources(folder / "f[1].png")] == ["image"]


def test_a_pattern_in_a_folder_with_brackets_and_accents_of_either_kind_are_found(make_images):
    folder = make_images("e\u0301.png", "f.png", folder="S[1]")
    assert len(list_sources(f"{folder}/*.png")) == len(list_sources(f"{folder}/**/*.png")) == 2
    (source,) = list_sources(folder / "\u00e9.png")
    assert source.name == str(folder / "e\u0301.png")


@pytest.mark.parametrize(
    "text", ["missing.mp4", "missing/*.jpg", "", "  ", "empty", "text", "x" * 5000, "a\0b", "~nobody-here/x"]
)
def test_paths_with_nothing_usable_are_refused_in_one_line(tmp_path, monkeypatch, text):
    (tmp_path / "empty").mkdir()
    (tmp_path / "text").mkdir()
    (tmp_path / "text" / "notes.txt").write_text("x")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SourceError) as caught:
        list_sources(text)
    assert "\n" not in str(caught.value)


def test_names_that_stand_for_cameras_and_streams():
    given = [0, "1", np.int64(2), "/dev/video3", "rtsp://user:secret@host/live", "https://host/a@b.mp4"]
    sources = list_sources(given)
    assert [source.kind for source in sources] == ["camera"] * 4 + ["stream"] * 2
    names = [source.name for source in sources]
    assert names == ["camera 0", "camera 1", "camera 2", "camera 3", "rtsp://host/live", "https://host/a@b.mp4"]


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("rtsp://user:pa@ss@host/x?token=SECRET", "rtsp://host/x"),
        (" RTSP://user:SECRET@host:554/x#SECRET", "rtsp://host:554/x"),
        ("https://SECRET@[fe80::1]:8443/a@b.m3u8?a=b&key=SECRET", "https://[fe80::1]:8443/a@b.m3u8"),
        ("srt://host:9000?passphrase=SECRET", "srt://host:9000"),
        ("udp://@239.0.0.1:1234", "udp://239.0.0.1:1234"),
        ("rtsp://user:SECR/ET@host/x", "rtsp://..."),
        ("rtsp://user:SECR?ET@host/x", "rtsp://..."),
        ("rtsp://user:SECR#ET@host/x", "rtsp://..."),
        ("rtsp://user:SE[CRET@host/x", "rtsp://..."),
    ],
)
def test_the_name_of_a_stream_tells_no_secret(url, name):
    (source,) = list_sources(url)
    assert (source.kind, source.name) == ("stream", name)
    assert "SECR" not in repr(source)


def test_an_address_of_another_kind_is_refused_without_its_secrets():
    with pytest.raises(SourceError, match=r"cannot open ftp:// addresses; give one of rtsp, .*") as caught:
        list_sources("ftp://user:SECRET@host/x.mp4?token=SECRET")
    assert "SECRET" not in str(caught.value)


def test_digits_that_name_a_file_or_folder_are_that_path(make_images, tmp_path, monkeypatch):
    make_images("a.png", folder="2024")
    (make_images("b.png", folder=".") / "b.png").rename(tmp_path / "7")
    monkeypatch.chdir(tmp_path)
    sources = list_sources(["2024", "7", "2025", 7])
    assert [source.kind for source in sources] == ["image", "image", "camera", "camera"]
    assert [source.name for source in sources[1:]] == ["7", "camera 2025", "camera 7"]


@pytest.mark.parametrize("path", ["0", "/dev/video99"])
def test_a_path_is_never_a_camera(tmp_path, monkeypatch, path):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SourceError, match=f"nothing exists at '{path}'"):
        list_sources(Path(path))


def test_a_number_never_makes_a_name_that_was_given(tmp_path, monkeypatch):
    for name in ("a", "a (2)", "a (4)"):
        (tmp_path / name).touch()
    monkeypatch.chdir(tmp_path)
    names = [source.name for source in list_sources(["a", "a", "a (2)", "a", "a (2)", "a (4)", "a", 0, "0"])]
    assert names == ["a", "a (3)", "a (2)", "a (5)", "a (2) (2)", "a (4)", "a (6)", "camera 0", "camera 0 (2)"]


def test_a_source_given_twice_can_be_read_twice():
    (given,) = list_sources([np.zeros((2, 4, 6, 3), np.uint8)])
    sources = list_sources([given, given, [np.zeros((4, 6, 3), np.uint8)]])
    assert sources[0] is given
    assert given.name == "array[0]"
    frames = [frame for source in sources for frame in read(source)[0]]
    assert [frame.source for frame in frames] == ["array[0]"] * 2 + ["array[0] (2)"] * 2 + ["array[2][0]"]
    assert sources[1].info.name == "array[0] (2)"


def test_a_source_is_used_inside_its_with_block():
    (source,) = list_sources(np.zeros((4, 4, 6, 3), np.uint8))
    with pytest.raises(SourceError, match="not opened yet"):
        _ = source.info
    with pytest.raises(SourceError, match="not open"):
        iter(source)
    with source:
        with pytest.raises(SourceError, match="open already"):
            source.__enter__()
        frames = iter(source)
        first = next(frames)
        rest = [frame.index for frame in source]
    assert (first.index, rest) == (0, [1, 2, 3])
    assert next(frames, None) is None
    assert "array" in repr(source)


def test_a_path_of_a_batch_that_leads_to_nothing_fails_when_it_is_opened(make_images):
    folder = make_images("a.png")
    sources = list_sources([folder / "no.png", [str(folder / "a.png"), "no/*.png"]], on_error="skip")
    assert [source.name for source in sources] == [str(folder / "no.png"), str(folder / "a.png"), "no/*.png"]
    assert len(read(sources[1])[0]) == 1
    for source in (sources[0], sources[2]):
        for _ in range(2):
            with pytest.raises(SourceError, match=r"nothing exists at|no image or video in"), source:
                pass
    with pytest.raises(SourceError, match="nothing exists at"):
        list_sources(folder / "no.png", on_error="skip")
    with pytest.raises(InputError):
        list_sources([1.5], on_error="skip")
    with pytest.raises(ConfigError, match="on_error must be one of raise, skip"):
        list_sources([], on_error="ignore")


def test_many_numbered_images_are_a_sequence_whatever_is_missing(make_images):
    folder = make_images(*(f"f{40 * index + index % 3}.png" for index in range(10) if index != 4), "f9999.png")
    assert [source.kind for source in list_sources(folder)] == ["sequence"]


def test_subfolders_are_not_entered_and_told(make_images, tmp_path):
    make_images("f1.png", folder="a")
    make_images("f1.png", folder="b [1]")
    (tmp_path / ".git").mkdir()
    with pytest.raises(SourceError, match=r"its 2 subfolders are not entered, for which give '.*/\*\*/\*'"):
        list_sources(tmp_path)


def test_a_damaged_frame_of_a_sequence_is_left_out_and_told(make_images, caplog):
    folder = make_images("f1.png", "f2.png", "f3.png", "f4.png")
    (folder / "f2.png").write_bytes(b"gone")
    frames, source = read(folder, fps=10)
    told = [(frame.timestamp_s, frame.note, frame.breaks) for frame in frames]
    assert told == [(0.0, "", False), (0.2, "damaged", True), (0.3, "", False)] and source.damaged == 1
    assert "f2.png" in caplog.text


def test_a_sequence_without_one_sound_frame_is_an_error(make_images):
    folder = make_images("f1.png", "f2.png", "f3.png")
    for path in folder.iterdir():
        path.write_bytes(b"gone")
    with pytest.raises(SourceError, match=r"f3\.png"):
        read(folder)
