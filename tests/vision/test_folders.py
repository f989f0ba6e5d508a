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
