"""A data set of synthetic clips: what training reads of it, interruption, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from mdhr_sdk.cli import app
from mdhr_sdk.errors import ConfigError, DataError
from mdhr_sdk.synthetic import making
from mdhr_sdk.synthetic.clips import ClipOptions
from mdhr_sdk.synthetic.dataset import MakeOptions, make_dataset
from mdhr_sdk.training.clips import ClipDataset
from mdhr_sdk.training.datasets import dataset
from mdhr_sdk.training.lists import read_fold
from mdhr_sdk.vision.faces import Face

CLIP, PERSONS = ClipOptions(3, 0.2, 64), 14  # with seed 2 every action unit occurs


class ToyMesher:
    """Finds a face in the middle of every picture but the first of each clip."""

    def __init__(self, *_: object) -> None:
        self.reset()

    def reset(self) -> None:
        self.frames = 0

    def find(self, image: np.ndarray) -> list[Face]:
        self.frames += 1
        marks = np.full((478, 3), 32.0, np.float32)
        marks[[33, 133, 362, 263, 2], :2] = [(20, 26), (28, 26), (36, 26), (44, 26), (32, 40)]
        return [Face(marks)] if self.frames > 1 else []


@pytest.fixture
def made(kit_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(making, "FaceMesher", ToyMesher)
    result = make_dataset(kit_file, tmp_path / "out", MakeOptions(PERSONS, 2, 2, CLIP, 48, seed=2))
    assert (result.persons, result.frames, result.found) == ((PERSONS, 2), 96, 64)
    return tmp_path / "out"


def test_training_reads_it(made: Path) -> None:
    spec = dataset(made / "dataset.yaml")
    fold = read_fold(made / "list", spec, 1, check_images=made / "img")
    assert len(fold.train) == 56 and len(fold.test) == 8
    truth = pd.read_csv(made / "truth.csv").set_index("path")
    for path, labels in zip(fold.train.paths, fold.train.labels, strict=True):
        assert truth.loc[path, list(spec.label_set.codes)].tolist() == labels.tolist()
        assert truth.loc[path, "found"]
    mean, std = (0.5,) * 3, (0.25,) * 3
    clips = ClipDataset(
        fold.train, root=made / "img", clip_length=2, size_px=32, mean=mean, std=std, train=True, seed=0
    )
    assert len(clips) == 28 and clips[0]["clip"].shape == (2, 3, 32, 32)


def test_people_to_test_on_are_others(made: Path) -> None:
    truth = pd.read_csv(made / "truth.csv")
    lists = {
        part: (made / "list" / f"synthetic_{part}_path_fold1.txt").read_text().split() for part in ("train", "test")
    }
    people = {part: {path.split("/")[0] for path in paths} for part, paths in lists.items()}
    assert not people["train"] & people["test"]
    assert len(set(truth["person"])) == PERSONS + 2


def test_the_sheet_shows_crops(made: Path) -> None:
    sheet = cv2.imread(str(made / "sheet.jpg"))
    assert sheet is not None and sheet.std() > 5


def test_it_goes_on_where_it_stopped(made: Path, kit_file: Path) -> None:
    crop = made / "img" / "P002000003" / "1" / "2.jpg"
    before, times = crop.read_bytes(), {p: p.stat().st_mtime_ns for p in (made / "img").rglob("*.jpg")}
    crop.unlink()
    (made / "progress" / "P002000003.json").unlink()
    make_dataset(kit_file, made, MakeOptions(PERSONS, 2, 2, CLIP, 48, seed=2))
    assert crop.read_bytes() == before
    untouched = [p for p in times if "P002000003" not in str(p)]
    assert all(p.stat().st_mtime_ns == times[p] for p in untouched)


def test_more_people_are_added(made: Path, kit_file: Path) -> None:
    assert make_dataset(kit_file, made, MakeOptions(PERSONS + 1, 2, 2, CLIP, 48, seed=2)).persons == (PERSONS + 1, 2)
    assert len(read_fold(made / "list", dataset(made / "dataset.yaml"), 1).train) == 60


def test_two_kinds_are_not_mixed(made: Path, kit_file: Path) -> None:
    with pytest.raises(DataError, match="other options"):
        make_dataset(kit_file, made, MakeOptions(PERSONS, 2, 2, ClipOptions(3, 0.08, 64), 48, seed=2))


def test_a_damaged_record_is_named(made: Path, kit_file: Path) -> None:
    (made / "progress" / "P002000002.json").write_text('{"half"')
    with pytest.raises(DataError, match=r"P002000002\.json' is damaged"):
        make_dataset(kit_file, made, MakeOptions(PERSONS, 2, 2, CLIP, 48, seed=2))


@pytest.mark.parametrize("bad", [{"persons": 0}, {"seed": -1}, {"workers": 0}, {"persons": 600_000}])
def test_bad_amounts_are_refused(bad: dict[str, int]) -> None:
    with pytest.raises(ConfigError, match="expected at least one person"):
        MakeOptions(**{"persons": 1, "test_persons": 1, **bad})


def test_the_command_says_what_it_made(kit_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(making, "FaceMesher", ToyMesher)
    words = ["synthetic", "make", str(kit_file), "--out", str(tmp_path / "out"), "--persons", str(PERSONS)]
    words += ["--test-persons", "2", "--spacing", "0.2", "--seed", "2"]
    words += ["--frames", "3", "--size", "64", "--crop", "48", "--workers", "1"]
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 0, result.output
    assert "96 frames of 16 people" in result.output and "66.67 %" in result.output
    note = json.loads((tmp_path / "out" / "synthetic.json").read_text())
    assert note["frames"] == 3 and len(note["facekit_sha256"]) == 64
