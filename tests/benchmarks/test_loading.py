"""The benchmark of loading: what it measures and what it refuses."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import loading
from mdhr_sdk.modelfolder.config import Preprocessing
from mdhr_sdk.training.data.clip_windows import ClipDataset
from mdhr_sdk.training.fit.augment import Augmentation

Command = Callable[..., tuple[int, str, str]]


@pytest.mark.slow
def test_every_loader_is_a_row(command: Command, tmp_path: Path) -> None:
    code, out, _ = command(
        loading.app, "--videos", 8, "--workers", 0, "--rounds", 1, "--json", tmp_path / "loading.json"
    )
    assert code == 0 and "x torchvision" in re.sub(r"\s+", " ", out)
    content = json.loads((tmp_path / "loading.json").read_text())
    rows = content["rows"]
    assert [(row["pictures"], row["kind"]) for row in rows] == [
        (pictures, kind) for pictures in ("JPEG", "PNG") for kind in ("train", "train, bytes", "test", "torchvision")
    ]
    assert all(row["workers"] == 0 and len(row["frames_s"]) == 1 and row["frames_s"][0] > 0 for row in rows)
    assert content["machine"]["cores"] >= 1


def test_the_baseline_makes_clips_of_the_same_kind(tmp_path: Path) -> None:
    faces = [np.full((256, 256, 3), 100 + i, np.uint8) for i in range(loading.FRAMES_A_VIDEO)]
    frames, normal = loading.write_data("disfa", tmp_path, 1, faces), Preprocessing()
    clips = ClipDataset(
        frames,
        root=tmp_path,
        clip_length=16,
        size_px=224,
        mean=normal.mean,
        std=normal.std,
        train=True,
        augmentation=Augmentation(),
    )
    ours, theirs = clips[0]["clip"], loading.TorchvisionClips(clips)[0]["clip"]
    assert ours.shape == theirs.shape and ours.dtype == theirs.dtype
    assert float(theirs.min()) > -2.2 and float(theirs.max()) < 2.7


@pytest.mark.parametrize("words", [("--videos", 9), ("--videos", 0), ("--rounds", 0), ("--workers", -1)])
def test_wrong_options_are_one_line(command: Command, words: tuple[object, ...]) -> None:
    code, out, err = command(loading.app, *words)
    assert (code, out) == (2, "") and "multiple of 8" in err
