"""Footage for int8 and for judging graphs: whole clips, of every source, as the detector reads them."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from mdhr_sdk.deploy.parity import footage as calibration
from mdhr_sdk.deploy.parity.footage import calibration_clips, demo_clips
from mdhr_sdk.errors import SourceError
from mdhr_sdk.modelfolder.config import FolderConfig
from mdhr_sdk.modelfolder.folder import ModelFolder


@pytest.mark.slow
def test_calibration_takes_full_clips_of_faces(tiny_folder: Path, demo_path: Path) -> None:
    config = ModelFolder.open(tiny_folder).config
    clips = calibration_clips(demo_path, config)
    assert clips.shape == (16, 4, 96, 96, 3) and clips.dtype == np.uint8
    assert np.array_equal(clips, demo_clips(config))
    assert len({clip.tobytes() for clip in clips}) == 16


def footage(monkeypatch: pytest.MonkeyPatch, clips: list[int], config: FolderConfig) -> list[int]:
    """From which source each calibration clip comes, of sources with so many clips each."""

    def clips_of(source: int, *_: object) -> Generator[SimpleNamespace, None, None]:
        for _ in range(clips[source]):
            yield SimpleNamespace(track_id=0, crops=np.full((4, 8, 8, 3), source, np.uint8))

    monkeypatch.setattr(calibration, "list_sources", lambda sources: sources)
    monkeypatch.setattr(calibration, "face_clips", clips_of)
    return [int(clip[0, 0, 0, 0]) for clip in calibration_clips(range(len(clips)), config)]


def test_calibration_takes_clips_of_every_source(tiny_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = ModelFolder.open(tiny_folder).config
    assert footage(monkeypatch, [110] * 2, config) == [0] * 8 + [1] * 8
    assert footage(monkeypatch, [110] * 16, config) == list(range(16))
    assert footage(monkeypatch, [110] * 250, config)[-1] > 200, "and of many, of the last ones too"
    assert footage(monkeypatch, [0] * 40 + [9], config) == [40, 40], "where only one shows a face"
    assert len(footage(monkeypatch, [3], config)) == 3


def test_footage_with_a_cut_and_two_people_is_read_as_the_detector_reads_it(
    tiny_folder: Path, demo_frames: np.ndarray
) -> None:
    """No clip holds both scenes or both people, and both people are measured on and judged by."""
    config = ModelFolder.open(tiny_folder).config
    two = np.concatenate([demo_frames[:18], demo_frames[:18, :, :, ::-1]], axis=2)  # the other one is blue
    alone = np.pad(demo_frames[18:24], ((0, 0), (0, 0), (160, 160), (0, 0)))
    clips = calibration_clips(np.concatenate([two, alone]), config)
    blue = clips[..., 0].astype(int).mean(axis=(2, 3)) > clips[..., 2].mean(axis=(2, 3))
    assert blue.shape == (9, 4) and all(len(set(clip)) == 1 for clip in blue.tolist())
    assert [int(clip[0]) for clip in blue] == [0] * 4 + [1] * 4 + [0]
    assert set(blue[::2, 0]) == set(blue[1::2, 0]) == {False, True}


def test_footage_without_faces_is_refused(tiny_folder: Path) -> None:
    config = ModelFolder.open(tiny_folder).config
    with pytest.raises(SourceError, match="2 x 4 consecutive frames; found 0"):
        calibration_clips(np.zeros((9, 64, 64, 3), np.uint8), config)
