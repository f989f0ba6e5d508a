"""The table of data sets, and descriptions of one's own."""

from __future__ import annotations

import json
import textwrap
from pathlib import Path

import pytest

from mdhr_sdk.errors import ConfigError
from mdhr_sdk.training.data import datasets
from mdhr_sdk.training.data.datasets import DATASETS, FrameName, dataset

RAW = {"labels": "labels/{subject}_{task}.csv", "pictures": ["videos/{subject}_{task}.mp4"]}
OWN = {
    "name": "mylab",
    "aus": [1, 2, 6, 12, 25],
    "folds": [["anna", "ben"], ["chris"]],
    "raw": RAW,
}


def described(tmp_path: Path, **changes: object) -> Path:
    path = tmp_path / "own.json"
    path.write_text(json.dumps({**OWN, **changes}))
    return path


@pytest.mark.parametrize(("name", "subjects"), [("bp4d", 41), ("disfa", 27)])
def test_the_folds_of_the_field_test_everybody_once(name: str, subjects: int) -> None:
    spec = dataset(name)
    tested = [subject for fold in spec.folds for subject in fold]
    assert len(tested) == len(set(tested)) == len(spec.subjects) == subjects
    for fold in (1, 2, 3):
        train = spec.train_subjects(fold, spec.subjects)
        assert set(train) | set(spec.test_subjects(fold)) == set(tested)
        assert not set(train) & set(spec.test_subjects(fold))


def test_list_files_and_paths_are_those_of_the_field() -> None:
    bp4d, disfa = dataset("bp4d"), dataset("disfa")
    assert bp4d.list_file("train", "paths", 1) == "BP4D_train_img_path_fold1.txt"
    assert disfa.list_file("test", "paths", 3) == "DISFA_test_path_fold3.txt"
    assert bp4d.list_file("test", "sub_label", 2) == "BP4D_test_sub_label_fold2.txt"
    assert disfa.list_file("train", "weight", 1) == "DISFA_train_weight_fold1.txt"
    assert bp4d.parse("F001/T1/2440.jpg") == FrameName("F001", "T1", 2440)
    assert disfa.parse("SN001/SN001_0.png") == FrameName("SN001", "", 0)
    for spec, name in ((bp4d, FrameName("M005", "T8", 90)), (disfa, FrameName("SN024", "", 4844))):
        assert spec.parse(spec.crop_path(name)) == name


@pytest.mark.parametrize(
    "path", ["F001/T1/2440.png", "F001/T1/x.jpg", "F001/2440.jpg", "../T1/1.jpg", "/F001/T1/1.jpg"]
)
def test_other_paths_are_not_parsed(path: str) -> None:
    assert dataset("bp4d").parse(path) is None
    assert dataset("disfa").parse("SN001/SN002_0.png") is None


@pytest.mark.parametrize("fold", [0, 4])
@pytest.mark.parametrize("name", DATASETS)
def test_there_are_three_folds(fold: int, name: str) -> None:
    with pytest.raises(ConfigError, match=f"folds 1 to 3; got {fold}"):
        dataset(name).test_subjects(fold)


def test_the_example_of_the_documentation_is_read(tmp_path: Path) -> None:
    assert datasets.__doc__ is not None
    example = datasets.__doc__[datasets.__doc__.index("    name: mylab") : datasets.__doc__.index("Then `mdhr")]
    path = tmp_path / "mylab.yaml"
    path.write_text(textwrap.dedent(example))
    spec = dataset(path)
    assert spec.name == "mylab" and spec.label_set.aus == (1, 2, 4, 6, 12, 25)
    assert [(group.name, group.aus) for group in spec.label_set.layout.groups] == [
        ("up", (1, 2, 4)),
        ("mid", (6,)),
        ("low", (12, 25)),
    ]
    assert spec.crop_path(FrameName("anna", "smile", 4)) == "anna/smile/4.jpg"
    assert spec.list_file("train", "label", 2) == "mylab_train_label_fold2.txt"
    assert spec.train_subjects(1, {"chris", "zoe", "anna"}) == ("chris", "zoe")


def test_groups_names_and_one_video_a_subject_can_be_chosen(tmp_path: Path) -> None:
    groups = [{"name": "brows", "region": "up", "aus": [1, 2]}, {"name": "rest", "region": "low", "aus": [6, 12, 25]}]
    raw = {"labels": "{subject}.csv", "pictures": ["{subject}.*"], "first_frame": 1}
    spec = dataset(described(tmp_path, groups=groups, raw=raw, prefix="LAB", paths="img_path"))
    assert [group.aus for group in spec.label_set.layout.groups] == [(1, 2), (6, 12, 25)]
    assert spec.list_file("test", "paths", 1) == "LAB_test_img_path_fold1.txt"
    assert spec.crop_path(FrameName("anna", "", 4)) == "anna/4.jpg"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"colour": "red"}, "colour"),
        ({"aus": [2, 1]}, "rising AUs"),
        ({"aus": [1, 3]}, "not in the table"),
        ({"folds": []}, "at least one"),
        ({"folds": [[]]}, "at least one test subject"),
        ({"folds": [["anna", "anna"]]}, "once in each"),
        ({"folds": [[1, 2]]}, "quotes"),
        ({"crop": "{subject}/{task}/{frame}.gif"}, r"\.jpg or \.png"),
        ({"crop": "{subject}/{task}.jpg"}, "{frame}"),
        ({"crop": "{subject}/{frame}.jpg"}, "in all paths or in none"),
        ({"crop": "{subject}/{task}/{au}/{frame}.jpg"}, "no names but subject, task frame"),
        ({"raw": {"labels": "{subject}_{task}.csv", "pictures": ["{subject}.mp4"]}}, "in all paths or in none"),
        ({"raw": {"labels": "{subject}_{task}.csv", "pictures": []}}, "at least one place"),
        ({"raw": {**RAW, "highest": 9}}, "highest < unknown"),
        ({"raw": {**RAW, "positive_from": 2}}, "positive_from <= highest"),
        ({"crop": "../{subject}/{task}/{frame}.jpg"}, "inside"),
        ({"crop": "{subject!r}/{subject}/{task}/{frame}.jpg"}, "plain"),
        ({"raw": {"labels": "{person}.csv", "pictures": ["{subject}"]}}, "'{subject}' in"),
        ({"prefix": "a/b"}, "plain list names"),
        ({"aus": [10, 12, 14, 15, 16, 17, 18, 20, 22]}, "give 'groups'"),
        ({"raw": {}}, "labels"),
    ],
)
def test_a_wrong_description_is_refused_with_the_reason(
    tmp_path: Path, changes: dict[str, object], message: str
) -> None:
    path = described(tmp_path, **changes)
    with pytest.raises(ConfigError, match=message) as error:
        dataset(path)
    assert str(path) in str(error.value)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.json", "{", "not JSON"),
        ("a.json", '{"name": "mine", "auz": [1]}', "unknown setting 'auz'; did you mean 'aus'"),
        ("a.yaml", "a: [", "not YAML"),
        ("a.yml", "- 1", "must hold keys with values"),
        ("a.txt", "", "unknown data set .*a.txt'; known: bp4d, disfa, affwild2, bp4d_plus, casme2, gft, or"),
        ("missing.yaml", None, "cannot be read"),
    ],
)
def test_a_file_that_is_no_description(tmp_path: Path, name: str, text: str | None, message: str) -> None:
    path = tmp_path / name
    if text is not None:
        path.write_text(text)
    with pytest.raises(ConfigError, match=message):
        dataset(path)
