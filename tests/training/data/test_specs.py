"""Data sets that come as descriptions: prepared from small trees of the form that they describe."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from mdhr_sdk.errors import ConfigError, DataError
from mdhr_sdk.training.data.datasets import dataset, described, with_folds
from mdhr_sdk.training.data.lists import read_fold
from mdhr_sdk.training.data.preparation import PrepareOptions, prepare
from mdhr_sdk.training.data.spec import DatasetSpec
from raw_trees import WholeFrame


def picture(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.full((16, 16, 3), 90, np.uint8))


def table(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def bp4d_plus(root: Path) -> None:
    for subject in ("F001", "F002", "M001", "M002"):
        rows = "".join(f"{n},{','.join(str((n + au) % 2) for au in range(13))}\n" for n in (5, 6, 7))
        header = "frame,1,2,4,6,7,10,12,14,15,17,23,24,28"
        table(root / f"AUCoding/AU_OCC/{subject}_T1.csv", f"{header}\n{rows}")
        for number in (5, 6, 7):
            picture(root / f"2D+3D/{subject}/T1/{number:04d}.jpg")


def gft(root: Path) -> None:
    for subject in ("001A", "001B", "002A"):
        rows = "".join(f"{n},{','.join(str((n + au) % 2) for au in range(10))}\n" for n in (1, 2))
        table(root / f"labels/{subject}.csv", f"frame,1,2,4,6,10,12,14,15,23,24\n{rows}")
        for number in (1, 2):
            picture(root / f"videos/{subject}/{number}.jpg")


def affwild2(root: Path) -> None:
    header = "AU1,AU2,AU4,AU6,AU7,AU10,AU12,AU15,AU23,AU24,AU25,AU26"
    for part, video in (("Train", "12-24-1920x1080"), ("Validation", "video1_left")):
        rows = "\n".join(",".join(word) for word in ("010101010101", "101010101010", ["-1"] * 12))
        table(root / f"AU_Detection_Challenge/{part}_Set/{video}.txt", f"{header}\n{rows}\n")
        for number in (1, 2, 3):
            picture(root / f"cropped_aligned/{video}/{number:05d}.jpg")


def casme2(root: Path) -> None:
    rows = ["1,EP02_01f,,46,47,48,,1+4+L12,disgust", "2,EP01_01,,3,,4,,2+7+?+14+15+17,others", ",,,,,,,,"]
    rows += ["2,EP03_02,,3,,4,,1+2+4+7+R12A+14+15+17,others", "1,EP03_02,,3,,4,,2+7+14+15+17,others"]
    header = "Subject,Filename,,OnsetFrame,ApexFrame,OffsetFrame,,Action Units,Estimated Emotion"
    table(root / "CASME2-coding-20140508.csv", "\n".join([header, *rows]) + "\n")
    for name, numbers in (("sub01/EP02_01f", range(44, 50)), ("sub02/EP01_01", (3, 4)), ("sub02/EP03_02", (3, 4)),
                          ("sub01/EP03_02", (3, 4))):  # fmt: skip
        for number in numbers:
            picture(root / f"CASME2-RAW/{name}/img{number}.jpg")


TREES = {"bp4d_plus": bp4d_plus, "gft": gft, "affwild2": affwild2, "casme2": casme2}


@pytest.mark.parametrize("name", TREES)
def test_a_described_data_set_is_prepared_and_its_folds_are_named(name: str, tmp_path: Path) -> None:
    assert set(described()) == set(TREES)
    TREES[name](tmp_path / "raw")
    with pytest.raises(ConfigError, match=r"follow from who is there .*; name the dataset.yaml that"):
        dataset(name)
    spec: DatasetSpec = dataset(name, tmp_path / "raw")
    prepare(spec, tmp_path / "raw", tmp_path / "out", PrepareOptions(size_px=16), make_mesher=WholeFrame)
    text = with_folds(name, spec)
    assert text is not None
    table(tmp_path / "out" / "dataset.yaml", text)
    again = dataset(tmp_path / "out" / "dataset.yaml")
    assert again == spec and with_folds(tmp_path / "out" / "dataset.yaml", again) is None
    fold = read_fold(tmp_path / "out" / "list", again, 1)
    tested, trained = set(fold.test.subjects), set(fold.train.subjects)
    if name == "bp4d_plus":
        assert len(spec.folds) == 4 and tested == {"F001"} and fold.test.labels[0, :3].tolist() == [1, 0, 1]
    if name == "gft":
        assert spec.folds == (("001A",), ("001B",), ("002A",))
    if name == "affwild2":
        assert tested == {"video1_left"} and trained == {"12-24-1920x1080"}
        assert fold.test.paths == ("video1_left/1.jpg", "video1_left/2.jpg")  # nobody coded the third
        assert fold.test.labels[0].tolist() == [0, 1] * 6
    if name == "casme2":
        assert spec.folds == (("01",), ("02",)) and spec.raw.fps == 200
        assert fold.test.paths[:2] == ("sub01/EP02_01f/46.jpg", "sub01/EP02_01f/47.jpg") and len(fold.test) == 5
        assert fold.test.labels[0].tolist() == [1, 0, 1, 0, 1, 0, 0, 0]  # AU 1, 4 and 12 of the left side


def test_a_span_that_ends_before_it_begins_is_named(tmp_path: Path) -> None:
    text = "Subject,Filename,OnsetFrame,OffsetFrame,Action Units\n1,EP01,9,3,4\n"
    table(tmp_path / "CASME2-coding-20140508.csv", text)
    with pytest.raises(DataError, match=r"line 2: expected a subject, .* that rise; got '1,EP01,9,3'"):
        dataset("casme2", tmp_path)
