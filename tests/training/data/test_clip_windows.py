"""Clips: which frames a window holds, what is ignored, and that nothing depends on workers or order."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.data import DataLoader

from mdhr_sdk.errors import ConfigError, DataError
from mdhr_sdk.modelfolder.config import Preprocessing
from mdhr_sdk.training.data.clip_windows import ClipDataset, normalised
from mdhr_sdk.training.data.datasets import DATASETS
from mdhr_sdk.training.data.lists import FrameList
from mdhr_sdk.training.fit.augment import Augmentation
from sample_lists import make_list

BP4D = DATASETS["bp4d"]
STILL = Augmentation(scale=1, flip=0, brightness=(1, 1), contrast=(1, 1), saturation=(1, 1))
VIDEOS = [("F001", "T1", range(3, 13)), ("F001", "T1", range(15, 18)), ("F001", "T2", range(18, 24))]
SIZE = 8


def colour(row: int) -> tuple[int, int, int]:
    return 10 + row, 250 - row, (7 * row) % 256


def clips(
    frames: FrameList, root: Path = Path(), train: bool = True, length: int = 4, **options: object
) -> ClipDataset:
    arguments = {"clip_length": length, "size_px": SIZE, "mean": (0, 0, 0), "std": (1, 1, 1), **options}
    return ClipDataset(frames, root=root, train=train, **arguments)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def frames() -> FrameList:
    return make_list(BP4D, VIDEOS)


@pytest.fixture(scope="module")
def root(frames: FrameList, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every row's picture has its own colour, and a bright left half."""
    folder = tmp_path_factory.mktemp("img")
    for row, path in enumerate(frames.paths):
        image = np.full((SIZE, SIZE, 3), colour(row), np.uint8)
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        cv2.imencode(".png", image)[1].tofile(folder / path)  # lossless, whatever the name says
    return folder


def slow_windows(frames: FrameList, length: int) -> list[list[int]]:
    """Consecutive windows, row by row."""
    windows: list[list[int]] = []
    for row in range(len(frames)):
        follows = row > 0 and all(
            (frames.subjects[row] == frames.subjects[row - 1], frames.videos[row] == frames.videos[row - 1])
        )
        if not follows or frames.numbers[row] != frames.numbers[row - 1] + 1 or len(windows[-1]) == length:
            windows.append([])
        windows[-1].append(row)
    return [window + [-1] * (length - len(window)) for window in windows]


def test_test_windows_follow_one_another_and_break_at_gaps(frames: FrameList, root: Path) -> None:
    dataset = clips(frames, root, train=False)
    assert [dataset[index]["rows"].tolist() for index in range(len(dataset))] == [
        [0, 1, 2, 3], [4, 5, 6, 7], [8, 9, -1, -1], [10, 11, 12, -1], [13, 14, 15, 16], [17, 18, -1, -1],
    ]  # fmt: skip


def test_an_item_has_the_shapes_and_values_of_its_rows(frames: FrameList, root: Path) -> None:
    item = clips(frames, root, train=False, mean=(0.1, 0.2, 0.3), std=(0.5, 0.6, 0.7))[2]
    assert {name: (value.dtype, tuple(value.shape)) for name, value in item.items()} == {
        "clip": (torch.float32, (4, 3, SIZE, SIZE)),
        "labels": (torch.int8, (4, 12)),
        "regions": (torch.int64, (4, 4)),
        "rows": (torch.int64, (4,)),
    }
    for position, row in enumerate((8, 9, 9, 9)):
        red_green_blue = np.array(colour(row)[::-1]) / 255
        wanted = (red_green_blue - (0.1, 0.2, 0.3)) / (0.5, 0.6, 0.7)
        np.testing.assert_allclose(item["clip"][position].amax((1, 2)), wanted, atol=1e-6)
        np.testing.assert_allclose(item["clip"][position].amin((1, 2)), wanted, atol=1e-6)
    np.testing.assert_array_equal(item["labels"][:2], frames.labels[8:10])
    np.testing.assert_array_equal(item["regions"][:2], frames.regions[8:10])
    assert (item["labels"][2:] == -1).all() and (item["regions"][2:] == -1).all()
    assert item["rows"].tolist() == [8, 9, -1, -1]


@pytest.mark.parametrize("train", [False, True])
def test_bytes_become_the_same_clip_on_the_device(frames: FrameList, root: Path, train: bool) -> None:
    mean, std = Preprocessing().mean, Preprocessing().std
    plain = clips(frames, root, train=train, mean=mean, std=std)
    raw = clips(frames, root, train=train, mean=mean, std=std, as_bytes=True)
    for index in range(len(plain)):
        item, own = raw[index], plain[index]
        assert item["clip"].dtype == torch.uint8 and item["clip"].shape == (4, SIZE, SIZE, 3)
        assert torch.equal(normalised(item["clip"][None], mean, std)[0], own["clip"])
        assert all(torch.equal(item[name], own[name]) for name in ("labels", "regions", "rows"))


RUNS = st.lists(st.tuples(st.integers(0, 2), st.integers(1, 9), st.integers(0, 2)), min_size=1, max_size=6)


@settings(deadline=None)
@given(runs=RUNS, length=st.integers(1, 6))
def test_windows_of_any_list(runs: list[tuple[int, int, int]], length: int) -> None:
    videos, number = [], 0
    for task, count, gap in runs:
        videos.append(("F001", f"T{task}", range(number + gap, number + gap + count)))
        number += gap + count
    frames = make_list(BP4D, [*videos, ("F002", "T1", range(20))])  # enough rows for every AU
    test, train = clips(frames, train=False, length=length), clips(frames, length=length)
    windows = [test.window_rows(test._windows[index][0]).tolist() for index in range(len(test))]
    assert windows == slow_windows(frames, length)
    assert sorted(row for window in windows for row in window if row >= 0) == list(range(len(frames)))

    assert len(train) == len(set(zip(frames.subjects, frames.videos.tolist(), strict=True)))
    covered = set()
    for index in range(len(train)):
        for window in train._windows[index]:
            rows = [row for row in train.window_rows(window).tolist() if row >= 0]
            assert set(frames.videos[rows]) == {index} and len(rows) <= length
            assert (np.diff(frames.numbers[rows]) == 1).all()
            covered.update(rows)
            if len(rows) < length:  # only where the whole run is shorter
                assert any(rows == list(range(run.start, run.stop)) for run in frames.runs())
    assert covered == set(range(len(frames)))


def test_training_takes_one_window_a_video_and_another_each_epoch(frames: FrameList, root: Path) -> None:
    dataset = clips(frames, root, augmentation=STILL)
    assert len(dataset) == 2
    starts = [{int(dataset[epoch, index]["rows"][0]) for epoch in range(200)} for index in (0, 1)]
    assert starts == [{*range(7), 10}, {13, 14, 15}]


def test_a_clip_that_stands_still_is_one_frame_of_its_window(frames: FrameList, root: Path) -> None:
    held = clips(frames, root, augmentation=replace(STILL, hold=1.0))
    moving, seen = clips(frames, root, augmentation=STILL), set()
    for epoch in range(40):
        item, window = held[epoch, 0], moving[epoch, 0]["rows"].tolist()
        known = item["rows"] >= 0
        (row,) = set(item["rows"][known].tolist())
        assert row in window and (item["clip"] == item["clip"][:1]).all()
        assert (item["clip"][0].mean(dim=(1, 2)) * 255).round().int().tolist() == list(colour(row))[::-1]
        assert (item["labels"][known].numpy() == frames.labels[row]).all()
        seen.add(window.index(row))
    assert len(seen) == 4, "any frame of the window"
    often = clips(frames, root, augmentation=replace(STILL, hold=0.5))
    assert 0.35 < np.mean([len(set(often[epoch, 0]["rows"].tolist())) == 1 for epoch in range(200)]) < 0.65


@pytest.mark.slow
def test_a_clip_follows_from_seed_epoch_and_index_in_any_process(frames: FrameList, root: Path) -> None:
    alone, keys = clips(frames, root), [[(epoch, index) for index in (1, 0)] for epoch in (0, 5)]
    loader = DataLoader(alone, batch_sampler=keys, num_workers=2, multiprocessing_context="spawn")
    for batch, epoch in zip(loader, (0, 5), strict=True):
        assert batch["clip"].shape == (2, 4, 3, SIZE, SIZE) and batch["labels"].dtype == torch.int8
        for place, index in enumerate((1, 0)):
            assert torch.equal(batch["clip"][place], alone[epoch, index]["clip"])
            assert torch.equal(batch["rows"][place], alone[epoch, index]["rows"])
    first, others = alone[5, 0]["clip"], (alone[6, 0], clips(frames, root, seed=4)[5, 0])
    assert not any(torch.equal(first, other["clip"]) for other in others)
    assert torch.equal(alone[0]["clip"], alone[0, 0]["clip"])


def test_pictures_of_any_size_are_resized(frames: FrameList, tmp_path: Path) -> None:
    for row, path in enumerate(frames.paths):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(tmp_path / path), np.full((20 + row, 30, 3), 77, np.uint8))
    for train in (False, True):
        clip = clips(frames, tmp_path, train=train, augmentation=STILL if train else None)[0]["clip"]
        assert clip.shape == (4, 3, SIZE, SIZE)
        np.testing.assert_allclose(clip, 77 / 255, atol=1e-6)


def test_a_missing_or_damaged_picture_is_named(frames: FrameList, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"cannot read image .*3.jpg.*listed in some.txt; or prepare the data again"):
        clips(frames, tmp_path, train=False)[0]
    (tmp_path / frames.paths[4]).parent.mkdir(parents=True)
    (tmp_path / frames.paths[4]).write_bytes(b"?")
    with pytest.raises(DataError, match=r"expected an image in .*7.jpg.*listed in some.txt"):
        clips(frames, tmp_path, train=False)[1]


@pytest.mark.parametrize("options", [{"length": 0}, {"size_px": 0}, {"train": False, "augmentation": STILL}])
def test_wrong_settings_are_refused(frames: FrameList, options: dict[str, object]) -> None:
    with pytest.raises(ConfigError):
        clips(frames, **options)  # type: ignore[arg-type]
