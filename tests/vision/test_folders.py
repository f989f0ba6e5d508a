"""Which files of a folder are taken, and as what."""

from __future__ import annotations

import pytest

from mdhr_sdk.errors import SourceError
from mdhr_sdk.vision import list_sources


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
    (source,) = list_sources(folder, fps=10)
    with source:
        frames = list(source)
    assert [(frame.timestamp_s, frame.note, frame.breaks) for frame in frames] == [
        (0.0, "", False),
        (0.2, "damaged", True),
        (0.3, "", False),
    ]
    assert source.damaged == 1
    assert "f2.png" in caplog.text


def test_a_sequence_without_one_sound_frame_is_an_error(make_images):
    folder = make_images("f1.png", "f2.png", "f3.png")
    for path in folder.iterdir():
        path.write_bytes(b"gone")
    (source,) = list_sources(folder)
    with source, pytest.raises(SourceError, match=r"f3\.png"):
        list(source)
