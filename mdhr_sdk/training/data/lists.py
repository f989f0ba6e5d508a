"""A folder of list files, as the field keeps BP4D and DISFA: paths, labels, region classes and weights of each fold.

A fold has the files `PREFIX_train_label_fold1.txt`, ..., plain or as `.gz`: one row per frame; `weight` is one row for
the training half. Region classes (`sub_label`) and weights follow from the labels: their files may be missing, and must
agree with the labels if they are there. A data set that codes intensities has a file `intensity` of the form of `label`
with 0 to 5 or -1, which training does not read.
"""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ...atomic import write_whole
from ...errors import ConfigError, DataError, number_of
from .frames import Fold, FrameList, frame_list
from .spec import DatasetSpec, Kind, Part

__all__ = [
    "Fold", "FrameList", "check_pictures", "frame_list", "read_fold", "read_intensities", "read_test", "write_fold",
    "write_half", "write_intensities",
]  # fmt: skip

PARTS: tuple[Part, Part] = ("train", "test")
KINDS: tuple[Kind, ...] = ("paths", "label", "sub_label", "weight", "intensity")
WEIGHT_TOLERANCE = 1e-5
LABELS = {"0": 0, "1": 1, "-1": -1}


def read_fold(folder: Path, dataset: DatasetSpec, fold: int) -> Fold:
    """Read the lists of one fold, numbered from 1, in a folder of list files.

    Raises:
        ConfigError: there is no such fold.
        DataError: a file is missing or cannot be read, a row is missing or wrong, what follows from the labels
            differs, an AU has no positive training frame, or a subject is trained on and tested.
    """
    dataset.test_subjects(fold)
    train, test = (_read_half(folder, dataset, part, fold) for part in PARTS)
    first = {subject: line for line, subject in reversed(list(enumerate(train.subjects, 1)))}
    for line, subject in enumerate(test.subjects, 1):
        if subject in first:
            raise DataError(
                f"{subject} is tested ({test.name}, line {line}) and trained on ({train.name}, line {first[subject]}): "
                "the result would mean nothing; take the subject out of one of the two"
            )
    return Fold(train, test)


def read_test(folder: Path, dataset: DatasetSpec, fold: int) -> FrameList:
    """Read the test half of a fold; there may be no training half.

    If there is one, it is read too, to check that no subject is in both.

    Raises:
        ConfigError, DataError: as `read_fold`.
    """
    if any(_find(folder, dataset.list_file("train", kind, fold)) for kind in KINDS):
        return read_fold(folder, dataset, fold).test
    dataset.test_subjects(fold)
    return _read_half(folder, dataset, "test", fold)


def read_intensities(folder: Path, dataset: DatasetSpec, part: Part, fold: int) -> NDArray[np.int8]:
    """(n, N) int8 intensities of the frames that the label list of this half has, in its order; -1 unknown.

    Raises:
        ConfigError: the data set has none.
        DataError: the file is missing, a value is none, or it contradicts the labels.
    """
    if not dataset.has_intensities:
        raise ConfigError(f"{dataset.name} codes whether an AU occurs, and not how strongly; take a set that does")
    name = dataset.list_file(part, "intensity", fold)
    path = _find(folder, name)
    if path is None:
        raise DataError(f"'{folder}' has no {name} (or {name}.gz); mdhr prepare writes it: prepare the data again")
    half, codes = _read_half(folder, dataset, part, fold), dataset.label_set.codes
    allowed = {str(value): value for value in range(-1, dataset.raw.highest + 1)}
    values = _labels(path, codes, allowed)
    _same_length(path, len(values), path.with_name(dataset.list_file(part, "label", fold)), half.paths)
    labels = np.where(values < 0, -1, values >= dataset.raw.positive_from)
    if len(wrong := np.argwhere(labels != half.labels)):
        line, au = wrong[0]
        both = f"intensity {values[line, au]} of {codes[au]} and its label {half.labels[line, au]}"
        raise DataError(f"{name}, line {line + 1}: {both} contradict each other; prepare the data again")
    return values


def check_pictures(frames: FrameList, root: Path) -> None:
    """Check that every listed crop exists."""
    missing = [line for line, path in enumerate(frames.paths, 1) if not (root / path).is_file()]
    if missing:
        raise DataError(
            f"{frames.name}, line {missing[0]}: no picture {root / frames.paths[missing[0] - 1]} ({len(missing):,} of "
            f"{len(frames):,} are missing); is this the image folder? make crops with: mdhr prepare"
        )


def write_fold(folder: Path, dataset: DatasetSpec, fold: int, halves: Fold) -> None:
    """Write the lists of one fold in the field's format, each file whole or not at all."""
    for part, half in zip(PARTS, (halves.train, halves.test), strict=True):
        write_half(folder, dataset, part, fold, half)


def write_intensities(
    folder: Path, dataset: DatasetSpec, part: Part, fold: int, intensities: NDArray[np.integer]
) -> None:
    """Write intensities (n, N) of one half, rows as in its label list."""
    rows = (" ".join(map(str, row)) for row in intensities.tolist())
    _write(folder / dataset.list_file(part, "intensity", fold), rows)


def write_half(folder: Path, dataset: DatasetSpec, part: Part, fold: int, half: FrameList) -> None:
    """Write the lists of one half, as `write_fold`."""
    _write(folder / dataset.list_file(part, "paths", fold), half.paths)
    _write(folder / dataset.list_file(part, "label", fold), (" ".join(map(str, row)) for row in half.labels.tolist()))
    rows = (" ".join(map(str, row)) for row in half.regions.tolist())
    _write(folder / dataset.list_file(part, "sub_label", fold), rows)
    if part == "train":
        row = "\t".join(f"{weight:.6f}" for weight in half.weights)
        _write(folder / dataset.list_file(part, "weight", fold), [row])


def _read_half(folder: Path, dataset: DatasetSpec, part: Part, fold: int) -> FrameList:
    def find(kind: Kind) -> Path | None:
        return _find(folder, dataset.list_file(part, kind, fold))

    paths_file, labels_file = find("paths"), find("label")
    if paths_file is None or labels_file is None:
        wanted = dataset.list_file(part, "label" if paths_file else "paths", fold)
        tests = part == "train" and _find(folder, dataset.list_file("test", "paths", fold)) is not None
        alone = "it may be a set for tests alone, which mdhr evaluate takes; " if tests else ""
        raise DataError(
            f"'{folder}' has no {wanted} (or {wanted}.gz); {alone}make lists with mdhr prepare, or of synthetic faces "
            "with mdhr synthetic make, and name their list/"
        )
    paths = _rows(paths_file)
    labels = _labels(labels_file, dataset.label_set.codes)
    _same_length(labels_file, len(labels), paths_file, paths)
    half = frame_list(dataset, paths_file.name, paths, labels, part == "train")
    if (regions_file := find("sub_label")) is not None:
        _check_regions(regions_file, half, paths_file)
    if part == "train" and (weights_file := find("weight")) is not None:
        _check_weights(weights_file, half)
    return half


def _find(folder: Path, name: str) -> Path | None:
    found = [path for path in (folder / name, folder / f"{name}.gz") if path.is_file()]
    if len(found) > 1:
        raise DataError(f"'{folder}' has both {name} and {name}.gz; remove one of the two")
    return found[0] if found else None


def _rows(path: Path) -> list[str]:
    """Lines of a file, plain or gzipped, without their line ends and without blank lines at the end."""
    try:
        data = path.read_bytes()
        text = (gzip.decompress(data) if path.suffix == ".gz" else data).decode("utf-8")
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be read: {error}; get or write it again") from None
    rows = [line.strip() for line in text.rstrip().splitlines()]
    if not rows:
        raise DataError(f"{path} is empty; get or write it again")
    if "" in rows:
        raise DataError(f"{path.name}, line {rows.index('') + 1}: the line is empty; remove or fill it")
    return rows


def _labels(path: Path, codes: Sequence[str], allowed: Mapping[str, int] = LABELS) -> NDArray[np.int8]:
    rows, known = [], "0, 1 or -1" if allowed is LABELS else f"0 to {max(allowed.values())} or -1"
    for line, text in enumerate(_rows(path), 1):
        values = [allowed.get(word) for word in text.split()]
        if len(values) != len(codes) or None in values:
            wrong = (
                number_of(len(values), "value") if None not in values else f"'{text.split()[values.index(None)]:.20}'"
            )
            raise DataError(
                f"{path.name}, line {line}: expected {number_of(len(codes), 'value')} of {known} (unknown), one for "
                f"each of {' '.join(codes)}; got {wrong}; correct the line"
            )
        rows.append(values)
    return np.array(rows, np.int8)


def _same_length(path: Path, length: int, paths_file: Path, paths: Sequence[str]) -> None:
    if length == len(paths):
        return
    line = min(length, len(paths)) + 1
    which = (
        f"{paths_file.name}, line {line} ({paths[line - 1]})" if length < len(paths) else f"{path.name}, line {line}"
    )
    raise DataError(
        f"{path.name} has {number_of(length, 'row')} and {paths_file.name} {len(paths):,}: {which} has no partner, or "
        "a row before it is missing; get or write both files again"
    )


def _check_regions(path: Path, half: FrameList, paths_file: Path) -> None:
    rows = _rows(path)
    _same_length(path, len(rows), paths_file, half.paths)
    for line, (text, wanted) in enumerate(zip(rows, half.regions.tolist(), strict=True), 1):
        expected = " ".join(map(str, wanted))
        if " ".join(text.split()) != expected:
            raise DataError(
                f"{path.name}, line {line}: the labels of this row make region classes {expected}; got '{text:.40}'; "
                "correct the row, or remove the file (it follows from the labels)"
            )


def _check_weights(path: Path, half: FrameList) -> None:
    rows, weights = _rows(path), half.weights
    try:
        given = np.array([float(word) for row in rows for word in row.split()])
    except ValueError as error:
        raise DataError(f"{path.name}, line 1: expected numbers; {error}; remove the file, it follows") from None
    if given.shape != weights.shape or not np.allclose(given, weights, rtol=0, atol=WEIGHT_TOLERANCE):
        expected = " ".join(f"{weight:.6f}" for weight in weights)
        raise DataError(
            f"{path.name}, line 1: the training labels make the weights {expected}; got '{' '.join(rows):.200}'; "
            "correct them, or remove the file (it follows from the labels)"
        )


def _write(path: Path, rows: Iterable[str]) -> None:
    write_whole(path, "".join(f"{row}\n" for row in rows), DataError)
