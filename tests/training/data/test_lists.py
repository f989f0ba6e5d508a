"""List folders: what is written is read, what follows from labels, and every wrong file is refused with its line."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mdhr_sdk.aus import LABEL_SETS, label_set
from mdhr_sdk.errors import ConfigError, DataError, InputError
from mdhr_sdk.training.data.datasets import DATASETS, DatasetSpec
from mdhr_sdk.training.data.frames import au_weights, region_classes
from mdhr_sdk.training.data.lists import check_pictures, frame_list, read_fold, write_fold
from sample_lists import make_list, small_fold

DISFA = DATASETS["disfa"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_fold(tmp_path / "list", DISFA, 1, small_fold(DISFA))
    return tmp_path / "list"


def spoil(path: Path, change: Callable[[list[str]], list[str]]) -> None:
    path.write_text("".join(f"{line}\n" for line in change(path.read_text().splitlines())))


@pytest.mark.parametrize("dataset", DATASETS.values(), ids=DATASETS)
@pytest.mark.parametrize("zipped", [False, True])
def test_what_is_written_is_read(dataset: DatasetSpec, tmp_path: Path, zipped: bool) -> None:
    fold = small_fold(dataset)
    write_fold(tmp_path, dataset, 1, fold)
    assert not list(tmp_path.glob(".*"))
    if zipped:
        for path in list(tmp_path.iterdir()):
            path.with_name(f"{path.name}.gz").write_bytes(gzip.compress(path.read_bytes()))
            path.unlink()
    again = read_fold(tmp_path, dataset, 1)
    for ours, theirs in ((fold.train, again.train), (fold.test, again.test)):
        assert ours.paths == theirs.paths and ours.subjects == theirs.subjects
        for name in ("labels", "regions", "videos", "numbers"):
            np.testing.assert_array_equal(getattr(ours, name), getattr(theirs, name))
            assert getattr(ours, name).dtype == getattr(theirs, name).dtype


def test_the_files_look_as_in_the_field(tmp_path: Path) -> None:
    write_fold(tmp_path, DISFA, 1, small_fold(DISFA))
    assert len(list(tmp_path.iterdir())) == 7
    lines = {path.name: path.read_text().splitlines() for path in tmp_path.iterdir()}
    assert lines["DISFA_train_path_fold1.txt"][0] == "SN002/SN002_0.png"
    assert len(lines["DISFA_train_label_fold1.txt"][0].split(" ")) == 8
    assert len(lines["DISFA_train_sub_label_fold1.txt"][0].split(" ")) == 3
    (weights,) = lines["DISFA_train_weight_fold1.txt"]
    assert len(weights.split("\t")) == 8 and sum(map(float, weights.split("\t"))) == pytest.approx(8, abs=1e-5)


def test_windows_line_ends_and_a_missing_last_one_do_not_matter(folder: Path) -> None:
    before = read_fold(folder, DISFA, 1)
    for path in folder.iterdir():
        path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n").rstrip())
    assert read_fold(folder, DISFA, 1).train.paths == before.train.paths


def test_unknown_labels_are_read_and_make_their_region_unknown(folder: Path) -> None:
    (folder / "DISFA_test_sub_label_fold1.txt").unlink()
    spoil(folder / "DISFA_test_label_fold1.txt", lambda lines: ["0 0 0 -1 0 1 0 1", *lines[1:]])
    test = read_fold(folder, DISFA, 1).test
    assert test.labels[0].tolist() == [0, 0, 0, -1, 0, 1, 0, 1] and test.regions[0].tolist() == [0, -1, 5]


def test_runs_break_at_subjects_tasks_and_gaps() -> None:
    videos = [("F001", "T1", range(5, 9)), ("F001", "T2", range(9, 11)), ("F002", "T2", range(11, 12))]
    videos += [("F002", "T2", range(14, 20)), ("F001", "T1", range(9, 12))]
    frames = make_list(DATASETS["bp4d"], videos)
    assert [(run.start, run.stop) for run in frames.runs()] == [(0, 4), (4, 6), (6, 7), (7, 13), (13, 16)]
    assert frames.videos[[0, 4, 6, 7, 13]].tolist() == [0, 1, 2, 2, 0]


TRAIN_PATHS, TRAIN_LABELS = "DISFA_train_path_fold1.txt", "DISFA_train_label_fold1.txt"
TRAIN_REGIONS, WEIGHTS = "DISFA_train_sub_label_fold1.txt", "DISFA_train_weight_fold1.txt"


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        (
            TRAIN_LABELS,
            lambda r: r[:-1],
            r"label_fold1.txt has 332 rows and .*path_fold1.txt 333.*line 333 \(SN024/SN0",
        ),
        (TRAIN_PATHS, lambda r: r[:-1], r"label_fold1.txt, line 333 has no partner.*get or write both"),
        (TRAIN_LABELS, lambda r: [*r[:4], "0 0 0 7 0 0 0 0", *r[5:]], r"label_fold1.txt, line 5: .*got '7'; correct"),
        (TRAIN_LABELS, lambda r: [*r[:4], "0 0 0 x 0 0 0 0", *r[5:]], r"line 5: .*got 'x'"),
        (TRAIN_LABELS, lambda r: [*r[:4], "0 0 0 0 0 0 0", *r[5:]], r"line 5: expected 8 values.*got 7 values"),
        (TRAIN_LABELS, lambda r: [*r[:4], "", *r[5:]], r"line 5: the line is empty"),
        (TRAIN_LABELS, lambda r: [], "is empty; get"),
        (
            TRAIN_PATHS,
            lambda r: ["SN002/0.png", *r[1:]],
            r"line 1: expected a path like \{subject\}.*got 'SN002/0.png'",
        ),
        (TRAIN_PATHS, lambda r: [r[0], r[0], *r[2:]], r"line 2: SN002/SN002_0.png stands in line 1 already; remove"),
        (TRAIN_REGIONS, lambda r: [*r[:6], "9 9 9", *r[7:]], r"sub_label_fold1.txt, line 7: .*got '9 9 9'; correct"),
        (TRAIN_REGIONS, lambda r: r[1:], r"sub_label_fold1.txt has 332 rows"),
        (WEIGHTS, lambda r: ["\t".join(["1.0"] * 8)], r"weight_fold1.txt, line 1: the training labels make .*remove"),
        (WEIGHTS, lambda r: ["1 2 3"], "the training labels make"),
        (WEIGHTS, lambda r: ["a b"], "expected numbers"),
        (WEIGHTS, lambda r: ["nan " * 8], "the training labels make"),
    ],
)
def test_a_wrong_file_is_named_with_its_line(
    folder: Path, name: str, change: Callable[[list[str]], list[str]], message: str
) -> None:
    spoil(folder / name, change)
    with pytest.raises(DataError, match=message):
        read_fold(folder, DISFA, 1)


@pytest.mark.parametrize("off", [2e-6, 2e-5])
def test_weights_may_be_rounded_and_not_more(folder: Path, off: float) -> None:
    spoil(folder / WEIGHTS, lambda r: ["\t".join(f"{float(w) + off:.7f}" for w in r[0].split())])
    if off < 1e-5:
        read_fold(folder, DISFA, 1)
    else:
        with pytest.raises(DataError, match="weights"):
            read_fold(folder, DISFA, 1)


def test_region_and_weight_files_may_be_missing(folder: Path) -> None:
    before = read_fold(folder, DISFA, 1)
    for path in (*folder.glob("*sub_label*"), *folder.glob("*weight*")):
        path.unlink()
    after = read_fold(folder, DISFA, 1)
    np.testing.assert_array_equal(before.train.regions, after.train.regions)


def test_an_au_without_positives_is_named_with_its_file(folder: Path) -> None:
    spoil(folder / TRAIN_LABELS, lambda lines: ["0" + line[1:] for line in lines])
    with pytest.raises(DataError, match=r"DISFA_train_path_fold1.txt: no training frame shows AU01.*add subjects"):
        read_fold(folder, DISFA, 1)


def test_a_subject_in_both_halves_is_refused(folder: Path) -> None:
    for kind in ("path", "label", "sub_label"):
        test, train = (folder / f"DISFA_{part}_{kind}_fold1.txt" for part in ("test", "train"))
        extra = train.read_text().splitlines()[20]
        spoil(test, lambda lines, extra=extra: [*lines, extra])
    message = r"SN010 is tested \(DISFA_test_path_fold1.txt, line 127\) and trained on \(.*, line 11\)"
    with pytest.raises(DataError, match=message):
        read_fold(folder, DISFA, 1)


def test_a_missing_picture_is_named_with_its_line(folder: Path, tmp_path: Path) -> None:
    fold = read_fold(folder, DISFA, 1)
    for path in (*fold.train.paths, *fold.test.paths):
        (tmp_path / "img" / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "img" / path).touch()
    check_pictures(fold.test, tmp_path / "img")
    (tmp_path / "img" / fold.test.paths[3]).unlink()
    with pytest.raises(DataError, match=r"DISFA_test_path_fold1.txt, line 4: no picture .*SN003_3.png \(1 of 126"):
        check_pictures(fold.test, tmp_path / "img")
    with pytest.raises(DataError, match=r"\(333 of 333 are missing\); is this the image folder\?"):
        check_pictures(fold.train, tmp_path)


def test_missing_doubled_and_damaged_files(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"has no DISFA_train_path_fold2.txt \(or .*mdhr prepare, .*name their list"):
        read_fold(folder, DISFA, 2)
    with pytest.raises(ConfigError, match="folds 1 to 3"):
        read_fold(folder, DISFA, 4)
    zipped = folder / f"{TRAIN_LABELS}.gz"
    zipped.write_bytes(gzip.compress(b"0")[:-3])
    with pytest.raises(DataError, match="both"):
        read_fold(folder, DISFA, 1)
    (folder / TRAIN_LABELS).unlink()
    with pytest.raises(DataError, match=r"label_fold1.txt.gz cannot be read: .*; get"):
        read_fold(folder, DISFA, 1)
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match="cannot be written"):
        write_fold(tmp_path / "file", DISFA, 1, small_fold(DISFA))


def test_rows_are_what_a_program_gives_them() -> None:
    frames = frame_list(DISFA, "mine", ["SN001/SN001_3.png"], np.ones((1, 8), np.int8), train=False)
    assert (len(frames), frames.subjects, frames.numbers.tolist()) == (1, ("SN001",), [3])
    assert frames.regions.tolist() == [[7, 3, 7]]


ROWS = st.integers(0, 2**32 - 1)


def slow_class(row: dict[int, int], aus: tuple[int, ...]) -> int:
    if any(row[au] < 0 for au in aus):
        return -1
    return int("".join(str(row[au]) for au in aus), base=2)


@pytest.mark.parametrize("name", LABEL_SETS)
@given(seed=ROWS)
def test_every_class_is_the_binary_number_of_its_group(name: str, seed: int) -> None:
    labels_of = label_set(name)
    labels = np.random.default_rng(seed).choice([-1, 0, 1], size=(5, len(labels_of.aus)), p=[0.1, 0.5, 0.4])
    for layout in (labels_of.layout, labels_of.paper_layout or labels_of.layout):
        classes = region_classes(labels, layout)
        assert classes.dtype == np.int64 and classes.shape == (5, len(layout.groups))
        for row, found in zip(labels, classes, strict=True):
            named = dict(zip(labels_of.aus, row.tolist(), strict=True))
            assert found.tolist() == [slow_class(named, group.aus) for group in layout.groups]


def test_the_first_au_of_a_group_is_the_most_significant_bit() -> None:
    labels = np.zeros((1, 12), np.int8)
    labels[0, label_set("bp4d").aus.index(12)] = 1  # first of (12, 14, 15)
    labels[0, label_set("bp4d").aus.index(24)] = 1  # last of (10, 17, 23, 24)
    assert region_classes(labels, label_set("bp4d").layout).tolist() == [[0, 0, 4, 1]]


def test_columns_in_another_order_are_named() -> None:
    labels = np.array([[1, 0, 0, 0, 0, 0, 0, 0]], np.int8)
    reversed_aus = label_set("disfa").aus[::-1]
    assert region_classes(labels, label_set("disfa").layout, reversed_aus).tolist() == [[0, 0, 1]]


@pytest.mark.parametrize("labels", [np.zeros((2, 7), int), np.full((2, 8), 7), np.array(1)])
def test_other_arrays_are_refused(labels: np.ndarray) -> None:
    with pytest.raises(InputError, match=r"\(\.\.\., 8\) of -1, 0 and 1"):
        region_classes(labels, label_set("disfa").layout)


def test_weights_by_hand_and_unknown_labels_do_not_count() -> None:
    labels = np.array([[1, 1], [0, 1], [0, -1], [0, -1]], np.int8)  # shares 1/4 and 2/2
    np.testing.assert_allclose(au_weights(labels), [2 * 4 / 5, 2 * 1 / 5], rtol=1e-15)


def test_an_au_that_never_occurs_is_named() -> None:
    with pytest.raises(DataError, match=r"no training frame shows AU02, AU26.*add subjects"):
        au_weights(np.array([[1, 0, -1], [0, 0, -1]], np.int8), ("AU01", "AU02", "AU26"))
