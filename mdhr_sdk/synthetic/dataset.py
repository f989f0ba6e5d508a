"""A data set of synthetic clips in the layout that training reads.

The output folder:

    img/            aligned crops, as img/P000000012/0/70.jpg: person, clip, frame
    list/           the lists of fold 1: persons to train on, if any, and others to test on
    dataset.yaml    the description for `mdhr train` and `mdhr evaluate`
    truth.csv       one row per frame: intensities, labels, and facts of person and scene
    sheet.jpg       some of the crops with their AUs
    synthetic.json  generator, options and the face model's hash; another kind is never mixed in
    progress/       one file for each person that is done
    .lock           held by the run that fills the folder; a second one is refused
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from pydantic import Field

from ..atomic import alone, sweep, write_whole
from ..errors import DataError, require
from ..modelfolder.folder import sha256
from ..modelfolder.strict import strict
from ..training.data.cut_videos import MakeMesher
from ..training.data.lists import FrameList, frame_list, write_half
from ..training.data.spec import DatasetSpec, Part, RawLayout
from ..training.pool import spread
from .face.muscles import LABELS
from .kit import FaceKit
from .labelled import ClipOptions
from .making import Maker, Task, check_settings, read_record
from .sheet import contact_sheet, write_truth

DESCRIPTION, PREFIX = "dataset.yaml", "synthetic"
WRITTEN = ("img", "list", "progress")  # folders of many files; of all others nothing is ever removed
PERSONS_A_SEED = 1_000_000  # the first half of a seed's persons are for training, the second half for testing
RAW = RawLayout(labels="labels/{subject}_{task}.csv", pictures=("img/{subject}/{task}",), unknown=9)


@strict
class MakeOptions:
    """How much is made.

    Attributes:
        persons: to train on; 0 for a test set only.
        test_persons: others to test on.
        clips: of each person.
        clip: what kind.
        crop_px: side of the crops.
        seed: which persons; no two seeds share one.
        workers: processes.
    """

    persons: Annotated[int, Field(ge=0, le=PERSONS_A_SEED // 2)]
    test_persons: Annotated[int, Field(ge=1, le=PERSONS_A_SEED // 2)]
    clips: Annotated[int, Field(ge=1, le=1000)] = 2
    clip: ClipOptions = field(default_factory=ClipOptions)
    crop_px: Annotated[int, Field(ge=32, le=1024)] = 224
    seed: Annotated[int, Field(ge=0, le=2**32)] = 0
    workers: Annotated[int, Field(ge=1, le=1024)] = 1


@dataclass(frozen=True)
class Made:
    """What `make_dataset` made.

    Attributes:
        persons: to train on, and to test on.
        frames: rendered, now or by an earlier run.
        new: of them, by this one.
        found: of them, with a face that FaceMesh found where it is.
        rates: AU code -> share of frames in which it occurs, of the training half, or of the other if there is no such.
    """

    persons: tuple[int, int]
    frames: int
    new: int
    found: int
    rates: dict[str, float]


def make_dataset(
    facekit: Path,
    out: Path,
    options: MakeOptions,
    progress: Callable[[int, int], None] = lambda done, total: None,
    make_mesher: MakeMesher | None = None,
) -> Made:
    """Render the persons that are missing and write lists, description, table and sheet.

    Run it again after an interruption to go on, or with more persons to add them. The lists hold the persons asked for
    last. With several workers the calling script needs the guard `if __name__ == "__main__":`.

    Args:
        progress: called with the persons done and the persons to do.
        make_mesher: makes what finds faces in place of `FaceMesher`; picklable.

    Raises:
        DataError: no face model, a folder of another kind or that another run fills, nothing can be written, a worker
            was killed, or the persons are too few to train on: what is made stays.
    """
    require("numba", "synthetic")
    FaceKit.load(facekit)  # or an error before anything is written
    kind = {"clips": options.clips, "crop_px": options.crop_px, "seed": options.seed}
    others = f"another run is filling '{out}'; wait for it, end it, or take another folder"
    with alone(out, others, DataError):
        check_settings(out, sha256(facekit), options.clip, **kind)
        for name in WRITTEN:
            sweep(out / name, below=True)
        train, test = _tasks(out, options)
        tasks = [*train, *test]
        records = {task.name: rows for task in tasks if (rows := read_record(task)) is not None}
        missing = [task for task in tasks if task.name not in records]
        progress(len(records), len(tasks))
        make = functools.partial(Maker, facekit, options.clip, make_mesher)
        for task, rows in spread(make, missing, options.workers):
            records[task.name] = rows
            progress(len(records), len(tasks))
        return _write(out, options, train, test, records, sum(len(records[task.name]) for task in missing))


def _tasks(out: Path, options: MakeOptions) -> tuple[list[Task], list[Task]]:
    first = options.seed * PERSONS_A_SEED
    starts = ((first, options.persons), (first + PERSONS_A_SEED // 2, options.test_persons))
    halves = [
        [Task(n, f"P{n:09d}", options.clips, options.clip, options.crop_px, out) for n in range(start, start + count)]
        for start, count in starts
    ]
    return halves[0], halves[1]


def _write(
    out: Path,
    options: MakeOptions,
    train: list[Task],
    test: list[Task],
    records: dict[str, list[dict[str, Any]]],
    new: int,
) -> Made:
    yaml = require("yaml", "train")
    rows = [row for task in (*train, *test) for row in records[task.name]]
    write_truth(out, rows)
    contact_sheet(out, rows, out / "sheet.jpg")
    folds = (tuple(task.name for task in test),)
    spec = DatasetSpec(LABELS, folds, "{subject}/{task}/{frame}.jpg", RAW, PREFIX, "path")
    description = {
        "name": PREFIX, "aus": LABELS.name, "folds": [list(folds[0])],
        "raw": {"labels": RAW.labels, "pictures": list(RAW.pictures)},
    }  # fmt: skip
    parts: tuple[tuple[Part, list[Task]], ...] = (("train", train), ("test", test))
    halves = {part: _half(spec, part, [r for task in tasks for r in records[task.name] if r["found"]])
              for part, tasks in parts if tasks}  # fmt: skip
    if not train:
        _remove_lists(out / "list")
    for part, half in halves.items():
        write_half(out / "list", spec, part, 1, half)
    write_whole(out / DESCRIPTION, yaml.safe_dump(description, sort_keys=False), DataError)
    labels = next(iter(halves.values())).labels
    rates = ((labels == 1).sum(axis=0) / np.maximum((labels >= 0).sum(axis=0), 1)).tolist()
    return Made(
        (options.persons, options.test_persons),
        len(rows),
        new,
        sum(row["found"] for row in rows),
        dict(zip(LABELS.codes, rates, strict=True)),
    )


def _remove_lists(folder: Path) -> None:
    """Remove the training lists of an earlier run: a set for tests alone has none."""
    for stale in folder.glob(f"{PREFIX}_train_*"):
        try:
            stale.unlink()
        except OSError as error:
            raise DataError(f"'{stale}' cannot be removed: {error.strerror or error}; remove it, run again") from None


def _half(spec: DatasetSpec, part: Part, rows: Sequence[dict[str, Any]]) -> FrameList:
    name, remedy = spec.list_file(part, "paths", 1), "run again with more --{}persons (what is made stays)"
    if not rows:
        more = remedy.format("test-" if part == "test" else "")
        raise DataError(f"{name}: no face was found in any frame; is this the right face model? or {more}")
    labels = np.array([row["labels"] for row in rows], np.int8)
    absent = [code for code, shown in zip(LABELS.codes, (labels == 1).any(axis=0), strict=True) if not shown]
    if part == "train" and absent:
        raise DataError(f"no training frame shows {', '.join(absent)}: {remedy.format('')}")
    return frame_list(spec, name, [row["path"] for row in rows], labels, part == "train")
