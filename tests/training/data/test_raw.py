"""Label files as the distributions have them, and every way in which they can be wrong."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from mdhr_sdk.errors import DataError
from mdhr_sdk.training.data.datasets import DATASETS, dataset
from mdhr_sdk.training.data.raw import RawVideo, find_videos, picture_files
from raw_trees import write_disfa
from sample_lists import make_list

BP4D, DISFA = DATASETS["bp4d"], DATASETS["disfa"]
HEADER = "0,1,2,4,5,6,7,10,12,14,15,17,23,24"


def bp4d_table(raw: Path, *rows: str, header: str = HEADER, name: str = "F001_T1") -> Path:
    path = raw / f"AUCoding/AU_OCC/{name}.csv"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join((header, *rows)) + "\n")
    return path


def only(videos: list[RawVideo]) -> RawVideo:
    (video,) = videos
    return video


def test_nine_is_unknown_and_a_frame_without_any_known_au_is_not_listed(tmp_path: Path) -> None:
    bp4d_table(tmp_path, "7,0,1,0,9,1,0,9,1,0,1,0,1,0", "8,9,9,9,1,9,9,9,9,9,9,9,9,9", "10,0,0,0,9,0,0,0,0,0,0,0,0,1")
    video = only(find_videos(BP4D, tmp_path))
    assert (video.subject, video.task, video.name, video.pictures) == ("F001", "T1", "F001/T1", None)
    assert video.numbers.tolist() == [7, 10] and video.uncoded == (8,)
    assert video.labels.tolist() == [[0, 1, 0, 1, 0, -1, 1, 0, 1, 0, 1, 0], [0] * 11 + [1]]
    assert video.first_number == 1  # frames of a video file are counted from 1


@pytest.mark.parametrize("header", ["frame,AU01,AU02,AU12", '"frame", "au2","AU12" ,1', "n,12,other,2,1"])
def test_columns_are_found_by_their_au(tmp_path: Path, header: str) -> None:
    description = tmp_path / "own.yaml"
    description.write_text(
        "{name: own, aus: [1, 2, 12], folds: [[x]], raw: {labels: '{subject}.csv', pictures: ['{subject}.mp4']}}"
    )
    words = [word.strip(' "') for word in header.split(",")[1:]]
    values = ["1" if word.lower().endswith("2") else "0" for word in words]  # AU 2 and AU 12
    (tmp_path / "anna.csv").write_text(f"{header}\n0,{','.join(values)}\n")
    video = only(find_videos(dataset(description), tmp_path))
    assert video.labels.tolist() == [[0, 1, 1]] and video.numbers.tolist() == [0] and video.first_number == 0


def test_intensities_from_two_count_and_frames_are_counted_from_zero(tmp_path: Path) -> None:
    for au in DISFA.label_set.aus:
        path = tmp_path / f"ActionUnit_Labels/SN001/SN001_au{au}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(f"{frame},{frame - 1 if au == 12 else 0}\n" for frame in range(1, 7)))
    video = only(find_videos(DISFA, tmp_path))
    assert video.labels[:, DISFA.label_set.aus.index(12)].tolist() == [0, 0, 1, 1, 1, 1]
    assert video.labels.sum() == 4
    assert video.numbers.tolist() == list(range(6)) and video.first_number == 0


def test_videos_come_in_the_order_of_the_lists(tmp_path: Path) -> None:
    names = [("F007", "T1"), ("M007", "T10"), ("M007", "T2"), ("F001", "T1"), ("X001", "T1"), ("M011", "T1")]
    for subject, task in names:
        bp4d_table(tmp_path, "1" + ",0" * 13, name=f"{subject}_{task}")
    found = [(video.subject, video.task) for video in find_videos(BP4D, tmp_path)]
    assert found == [names[i] for i in (3, 2, 1, 5, 0, 4)]  # folds 3, 2 and 1, then whoever is in none


@pytest.mark.parametrize("place", ["2D+3D/F001/T1.mp4", "2D+3D/F001/T1.AVI", "2D+3D/F001_T1.mkv", "2D+3D/F001/T1/"])
def test_pictures_are_a_folder_or_any_video(tmp_path: Path, place: str) -> None:
    bp4d_table(tmp_path, "1" + ",0" * 13)
    path = tmp_path / place
    path.parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / "2D+3D/F001/T1").mkdir(parents=True, exist_ok=True)  # without an image it is passed over
    (path / "1.jpg" if place.endswith("/") else path).touch()
    assert only(find_videos(BP4D, tmp_path)).pictures == path


def test_pictures_are_told_by_the_number_their_name_ends_in(tmp_path: Path) -> None:
    for name in ("0007.jpg", "10.JPG", "face_12.png", "notes.txt", ".13.jpg", "x.jpg"):
        (tmp_path / name).touch()
    assert {number: path.name for number, path in picture_files(tmp_path).items()} == {
        7: "0007.jpg",
        10: "10.JPG",
        12: "face_12.png",
    }
    (tmp_path / "7.png").touch()
    with pytest.raises(DataError, match=r"two images of frame 7: 0007.jpg and 7.png; remove one"):
        picture_files(tmp_path)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (["1" + ",0" * 12 + ",7"], r"F001_T1.csv, line 2: expected values of 0, 1, 9; got '7'; correct"),
        (["1" + ",0" * 12 + ",x"], r"line 2: expected values of 0, 1, 9; got 'x'"),
        (["1" + ",0" * 13, "2" + ",0" * 12], r"line 3: expected a frame number and 13 values"),
        (["one" + ",0" * 13], r"line 2: expected a frame number"),
        (["2" + ",0" * 13, "2" + ",0" * 13], r"line 3: frame 2 comes after frame 2; numbers must rise"),
        ([], "a header and no frames"),
    ],
)
def test_a_wrong_row_of_a_table_is_named(tmp_path: Path, rows: list[str], message: str) -> None:
    bp4d_table(tmp_path, *rows)
    with pytest.raises(DataError, match=message):
        find_videos(BP4D, tmp_path)


def test_a_missing_column_is_named(tmp_path: Path) -> None:
    bp4d_table(tmp_path, "1" + ",0" * 12, header=HEADER.replace(",12", ""))
    with pytest.raises(DataError, match=r"F001_T1.csv, line 1: no column for AU 12"):
        find_videos(BP4D, tmp_path)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda path: path.write_text(path.read_text()[:-5]), r"SN001_au9.txt has no row for frame 10.*\(9 rows in"),
        (lambda path: path.write_text(path.read_text().replace("4,1", "4,6")), r"au9.txt, line 4: .* 4, 5, 9; got '6'"),
        (lambda path: path.unlink(), r"has no file for AU 9, as SN001_au"),
        (lambda path: path.write_text(""), r"au9.txt' is empty"),
        (lambda path: path.write_bytes(b"\xff\xfe"), r"au9.txt' cannot be read"),
    ],
)
def test_a_wrong_file_of_one_au_is_named(tmp_path: Path, spoil: Callable[[Path], object], message: str) -> None:
    frames = make_list(DISFA, [("SN001", "", range(10))])
    write_disfa(tmp_path, [frames])
    path = tmp_path / "ActionUnit_Labels/SN001/SN001_au9.txt"
    path.write_text("".join(f"{frame},{frame % 2 + (frame == 4)}\n" for frame in range(1, 11)))
    spoil(path)
    with pytest.raises(DataError, match=message):
        find_videos(DISFA, tmp_path)


def test_names_that_a_path_could_not_be_read_back_from_are_refused(tmp_path: Path) -> None:
    description = tmp_path / "own.json"
    raw = {"labels": "{subject}/{task}.csv", "pictures": ["{subject}/{task}.mp4"]}
    crop = "{subject}_{task}_{frame}.png"
    description.write_text(json.dumps({"name": "own", "aus": [12], "folds": [["a_b"]], "raw": raw, "crop": crop}))
    (tmp_path / "a_b").mkdir()
    (tmp_path / "a_b/smile.csv").write_text("frame,12\n0,1\n")
    with pytest.raises(DataError, match=r"crops of a_b/smile would be called a_b_smile_0.png.*choose another 'crop'"):
        find_videos(dataset(description), tmp_path)
