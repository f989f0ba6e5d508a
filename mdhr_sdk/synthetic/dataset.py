"""A data set of synthetic clips in the layout that training reads.

The output folder:

    img/            aligned crops, as img/P000000012/0/70.jpg: person, clip, frame
    list/           the lists of fold 1: persons to train on, and others to test on
    dataset.yaml    the description for `mdhr train` and `mdhr evaluate`
    truth.csv       a row a frame: intensities, labels, and facts of person and scene
    sheet.jpg       some of the crops with their AUs
    synthetic.json  options and the face model's hash; another kind is never mixed in
    progress/       one file for each person that is done
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from ..errors import ConfigError, DataError, require
from ..folder import sha256
from ..training.files import remove_leftovers, write_whole
from ..training.lists import Fold, FrameList, frame_list, write_fold
from ..training.spec import DatasetSpec, RawLayout
from ..training.workers import KILLED
from .clips import ClipOptions
from .kit import FaceKit
from .making import Maker, Task, read_record, settings_text
from .muscles import LABELS
from .sheet import contact_sheet

SETTINGS, DESCRIPTION, PREFIX = "synthetic.json", "dataset.yaml", "synthetic"
PERSONS_A_SEED = 1_000_000  # the first half of a seed's persons are for training, the second half for testing
RAW = RawLayout(labels="labels/{subject}_{task}.csv", pictures=("img/{subject}/{task}",), unknown=9)

_own: dict[str, Maker] = {}  # of a worker process


@dataclass(frozen=True)
class MakeOptions:
    """How much is made.

    Attributes:
        persons: to train on.
        test_persons: others, to test on.
        clips: of each person.
        clip: what kind.
        crop_px: side of the crops.
        seed: which persons; no two seeds share one.
        workers: processes.
    """

    persons: int
    test_persons: int
    clips: int = 2
    clip: ClipOptions = field(default_factory=ClipOptions)
    crop_px: int = 224
    seed: int = 0
    workers: int = 1

    def __post_init__(self) -> None:
        counts = (self.persons, self.test_persons, self.clips, self.crop_px, self.workers)
        if min(counts) < 1 or max(self.persons, self.test_persons) > PERSONS_A_SEED // 2 or self.seed < 0:
            raise ConfigError(
                f"expected at least one person, test person, clip and worker, at most {PERSONS_A_SEED // 2:,} persons, "
                f"and a seed from 0; got {self}"
            )


@dataclass(frozen=True)
class Made:
    """What `make_dataset` made.

    Attributes:
        persons: to train on, and to test on.
        frames: rendered.
        found: of them, with a face that FaceMesh found.
        rates: AU code -> share of the training frames in which it occurs.
    """

    persons: tuple[int, int]
    frames: int
    found: int
    rates: dict[str, float]


def make_dataset(
    facekit: Path, out: Path, options: MakeOptions, progress: Callable[[int, int], None] = lambda done, total: None
) -> Made:
    """Render the persons that are missing and write lists, description, table and sheet.

    Run again after an interruption, it goes on; with more persons, it adds them. With several workers the calling
    script needs the guard `if __name__ == "__main__":`.

    Args:
        facekit: the packed face model.
        out: the folder to fill.
        options: how much, and of what kind.
        progress: called with the persons done and the persons to do.

    Raises:
        DataError: no face model, a folder of another kind, or nothing can be written.
    """
    require("numba", "synthetic")
    kit = FaceKit.load(facekit)
    text = settings_text(sha256(facekit), options.clip, clips=options.clips, crop_px=options.crop_px, seed=options.seed)
    _check_settings(out, text)
    remove_leftovers(out)
    train, test = _tasks(out, options)
    tasks = [*train, *test]
    records = {task.name: rows for task in tasks if (rows := read_record(task)) is not None}
    missing = [task for task in tasks if task.name not in records]
    progress(len(records), len(tasks))
    for name, rows in _made(kit, facekit, missing, options):
        records[name] = rows
        progress(len(records), len(tasks))
    return _write(out, options, train, test, records)


def _tasks(out: Path, options: MakeOptions) -> tuple[list[Task], list[Task]]:
    first = options.seed * PERSONS_A_SEED
    starts = ((first, options.persons), (first + PERSONS_A_SEED // 2, options.test_persons))
    halves = [
        [Task(n, f"P{n:09d}", options.clips, options.clip, options.crop_px, out) for n in range(start, start + count)]
        for start, count in starts
    ]
    return halves[0], halves[1]


def _check_settings(out: Path, text: str) -> None:
    path = out / SETTINGS
    if path.is_file() and path.read_text(encoding="utf-8") != text:
        raise DataError(f"'{out}' was made with other options (see {SETTINGS}); take them again, or another folder")
    write_whole(path, text.encode())


def _made(
    kit: FaceKit, facekit: Path, tasks: Sequence[Task], options: MakeOptions
) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    if options.workers == 1 or len(tasks) < 2:
        maker = Maker(kit, options.clip)
        yield from ((task.name, maker.make(task)) for task in tasks)
        return
    context = multiprocessing.get_context("spawn")  # MediaPipe's threads do not survive a fork
    pool = ProcessPoolExecutor(min(options.workers, len(tasks)), context, _start, (facekit, options.clip))
    try:
        pending = {pool.submit(_work, task): task for task in tasks}
        while pending:
            for future in wait(pending, return_when=FIRST_COMPLETED).done:
                yield pending.pop(future).name, future.result()
    except BrokenProcessPool:
        raise DataError(KILLED) from None
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _start(facekit: Path, clip: ClipOptions) -> None:
    cv2.setNumThreads(1)
    _own["maker"] = Maker(FaceKit.load(facekit), clip)


def _work(task: Task) -> list[dict[str, Any]]:
    return _own["maker"].make(task)


def _write(
    out: Path, options: MakeOptions, train: list[Task], test: list[Task], records: dict[str, list[dict[str, Any]]]
) -> Made:
    yaml = require("yaml", "train")
    folds = (tuple(task.name for task in test),)
    spec = DatasetSpec(LABELS, folds, "{subject}/{task}/{frame}.jpg", RAW, PREFIX, "path")
    description = {
        "name": PREFIX, "aus": LABELS.name, "folds": [list(folds[0])],
        "raw": {"labels": RAW.labels, "pictures": list(RAW.pictures)},
    }  # fmt: skip
    halves = [_half(spec, part, [r for task in tasks for r in records[task.name] if r["found"]])
              for part, tasks in (("train", train), ("test", test))]  # fmt: skip
    write_fold(out / "list", spec, 1, Fold(*halves))
    write_whole(out / DESCRIPTION, yaml.safe_dump(description, sort_keys=False).encode())
    rows = [row for task in (*train, *test) for row in records[task.name]]
    _write_truth(out, rows)
    contact_sheet(out, rows, out / "sheet.jpg")
    rates = ((halves[0].labels == 1).sum(axis=0) / np.maximum((halves[0].labels >= 0).sum(axis=0), 1)).tolist()
    return Made(
        (options.persons, options.test_persons),
        len(rows),
        sum(row["found"] for row in rows),
        dict(zip(LABELS.codes, rates, strict=True)),
    )


def _half(spec: DatasetSpec, part: Any, rows: Sequence[dict[str, Any]]) -> FrameList:
    name = spec.list_file(part, "paths", 1)
    if not rows:
        raise DataError(f"{name}: FaceMesh found no face in any frame; is this the right face model?")
    labels = np.array([row["labels"] for row in rows], np.int8)
    return frame_list(spec, name, [row["path"] for row in rows], labels, part == "train")


def _write_truth(out: Path, rows: Sequence[dict[str, Any]]) -> None:
    import pandas as pd

    codes = LABELS.codes
    table = pd.DataFrame(
        [
            {
                "path": row["path"],
                "found": row["found"],
                **row["clip"],
                "yaw_deg": row["yaw_deg"],
                **{f"{code}_intensity": value for code, value in zip(codes, row["intensities"], strict=True)},
                **dict(zip(codes, row["labels"], strict=True)),
            }
            for row in rows
        ]
    )
    write_whole(out / "truth.csv", table.to_csv(index=False).encode())
