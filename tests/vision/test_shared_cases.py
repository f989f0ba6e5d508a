"""The collected cases, where they lie beside the checkout or MDHR_CASES names their folder."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from mdhr_sdk.vision import list_sources

CASES = Path(os.environ.get("MDHR_CASES", Path(__file__).parents[3] / "shared" / "cases"))

pytestmark = pytest.mark.skipif(not CASES.is_dir(), reason="no folder of cases")


@pytest.mark.parametrize(
    ("name", "rows", "last_s", "shape", "damaged"),
    [
        ("base.mp4", 60, 2.36, (320, 480, 3), 0),
        ("rot180.mp4", 60, 2.36, (320, 480, 3), 0),
        ("sar_pal.mp4", 60, 2.36, (320, 480, 3), 0),
        ("slowmo.mp4", 60, 0.279, (320, 480, 3), 0),
        ("trim_audio_longer.mp4", 110, 4.36, (160, 160, 3), 0),
        ("reschange.ts", 120, 4.68, (320, 480, 3), 0),
        ("dup.mkv", 60, 2.32, (320, 480, 3), 0),
        ("vfr.mkv", 60, 5.52, (320, 480, 3), 0),
        ("corrupt.mp4", 59, 2.36, (320, 480, 3), 1),
        ("multi.tif", 20, 0.76, (320, 480, 3), 0),
        ("photo.heic", 1, 0.0, (960, 1440, 3), 0),
        ("8k_small_face.jpg", 1, 0.0, (4320, 7680, 3), 0),
    ],
)
def test_a_case_is_read_whole_and_on_time(name, rows, last_s, shape, damaged):
    (source,) = list_sources(CASES / name)
    with source:
        frames = list(source)
    assert (len(frames), frames[0].image.shape, source.damaged) == (rows, shape, damaged)
    assert frames[-1].timestamp_s == pytest.approx(last_s, abs=1e-3)


def test_every_video_of_the_folder_is_taken():
    assert [Path(source.name).name for source in list_sources(CASES / "lab")] == ["S01.mp4", "S02.MTS", "S04.3gp"]
