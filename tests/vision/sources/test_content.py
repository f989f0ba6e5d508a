"""What files are taken for, by their content, and what lists and folders may hold."""

from __future__ import annotations

import logging
import struct
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from made_videos import read, write_sound, write_video
from mdhr_sdk.errors import InputError, SourceError
from mdhr_sdk.vision import list_sources
from mdhr_sdk.vision.sources.content import held_by


def kinds(sources) -> list[tuple[str, str]]:
    return [(Path(source.name).name, source.kind) for source in sources]


@pytest.fixture
def lab(tmp_path, make_images) -> Path:
    """Two videos and an image under unusual names, and five files that are neither."""
    folder = make_images("face.png", folder="lab")
    write_video(folder / "S01.mp4", 10)
    write_video(folder / "video.ts", 20, "libx264")
    (folder / "video.ts").rename(folder / "S02")
    (folder / "face.png").rename(folder / "S03.dat")
    (folder / "a.txt").write_text("notes")
    (folder / "b.csv").write_text("frame,AU12\n0,0.5\n")
    (folder / "types.ts").write_text("export const x = 1\n")
    write_sound(folder / "tone.mp3", "libmp3lame")
    np.savez(folder / "c.npz", np.arange(9))
    return folder


def test_a_folder_takes_what_its_files_hold_and_names_what_it_skips(lab, caplog):
    with caplog.at_level(logging.WARNING, "mdhr_sdk"):
        sources = list_sources(lab)
    assert sorted(kinds(sources)) == [("S01.mp4", "video"), ("S02", "video"), ("S03.dat", "image")]
    assert [path.name for path in sources.skipped] == ["a.txt", "b.csv", "c.npz", "tone.mp3", "types.ts"]
    (record,) = caplog.records
    assert record.getMessage() == ("skipped 5 files without picture or video: a.txt, b.csv, c.npz, tone.mp3, types.ts")


def test_a_glob_names_what_it_skips_too_and_is_silent_where_it_skips_nothing(lab, caplog):
    assert list_sources(f"{lab}/S*").skipped == () and not caplog.records
    assert len(list_sources(f"{lab}/*").skipped) == 5
    with pytest.raises(SourceError, match=r"1 file looked at: b\.csv"):
        list_sources(f"{lab}/*.csv")


@pytest.mark.parametrize("name", ["damaged.mp4", "damaged.MTS", "damaged.png", "damaged.heic"])
@pytest.mark.parametrize("content", [b"", b"gone", bytes(5000)])
def test_a_damaged_picture_is_an_error_and_not_skipped(tmp_path, name, content):
    write_video(tmp_path / "a.mp4", 3)
    (tmp_path / name).write_bytes(content)
    sources = list_sources(tmp_path)
    assert len(sources) == 2 and sources.skipped == ()
    damaged = next(source for source in sources if source.name.endswith(name))
    with pytest.raises(SourceError, match=name), damaged:
        pass


@pytest.mark.parametrize(
    ("head", "held"),
    [
        (b"BM" + struct.pack("<IIII", 60, 0, 54, 40) + bytes(40), "image"),
        (b"BM is how this text begins", None),
        (b"\x1a\x45\xdf\xa3" + bytes(60), "video"),
        ("ünïcode text ".encode() * 400, None),
    ],
)
def test_what_a_file_holds_by_its_first_bytes(tmp_path, head, held):
    (tmp_path / "file").write_bytes(head)
    assert held_by(tmp_path / "file") == held


NAMES = [
    "a:b.mp4", "http:x.mp4", "file:y", "pipe:0", "%03d.mp4", "ünï 漢字 😀.mp4", "'q\".mp4", "-i.mp4",
    "x" * 251 + ".mp4", b"\xff\xfe.mp4".decode("utf-8", "surrogateescape"),
]  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_any_name_that_exists_is_that_file(tmp_path, monkeypatch, name):
    try:
        write_video(tmp_path / "plain.mp4", 3).rename(tmp_path / name)
    except OSError:
        pytest.skip("this file system has UTF-8 names only")
    monkeypatch.chdir(tmp_path)
    for given in (name, Path(name), tmp_path / name, str(tmp_path)):
        frames, source = read(given)
        assert len(frames) == 3 and source.name.encode()


def test_the_home_folder_may_be_a_tilde(tmp_path, monkeypatch):
    write_video(tmp_path / "a.mp4", 3)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert kinds(list_sources("~/a.mp4")) == [("a.mp4", "video")]


@pytest.mark.parametrize(
    "wrap",
    [
        lambda folder: folder.glob("*.mp4"),
        lambda folder: (path for path in folder.glob("*.mp4")),
        lambda folder: pd.Series(sorted(folder.glob("*.mp4")), index=[7, 8]),
        lambda folder: np.array(sorted(map(str, folder.glob("*.mp4")))),
        lambda folder: np.array(sorted(folder.glob("*.mp4")), dtype=object),
        lambda folder: {path.stem: path for path in sorted(folder.glob("*.mp4"))}.values(),
        lambda folder: iter(list_sources(folder)),
    ],
)
def test_whatever_gives_paths_is_a_list_of_them(tmp_path, wrap):
    for name in ("a.mp4", "b.mp4"):
        write_video(tmp_path / name, 2)
    assert sorted(kinds(list_sources(wrap(tmp_path)))) == [("a.mp4", "video"), ("b.mp4", "video")]


def test_a_generator_function_is_not_asked_before_it_is_read():
    asked = []

    def paths():
        asked.append(True)
        yield "a.mp4"

    (source,) = list_sources(paths())
    assert not asked
    with source, pytest.raises(InputError, match=r"it gives paths, as 'a\.mp4'; give a list of them"):
        list(source)


def test_an_array_may_hold_one_path(tmp_path):
    path = write_video(tmp_path / "a.mp4", 2)
    assert kinds(list_sources(np.array(str(path)))) == [("a.mp4", "video")]
