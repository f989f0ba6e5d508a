"""Distributions of BP4D and DISFA, rebuilt from lists with pictures of our own, and their way back."""

from __future__ import annotations

import gzip
import os
import time
from collections.abc import Iterable
from pathlib import Path

import cv2
import numpy as np

from mdhr_sdk.training.data.datasets import DATASETS, DatasetSpec
from mdhr_sdk.training.data.lists import Fold, FrameList
from mdhr_sdk.training.data.preparation import Prepared, PrepareOptions, prepare
from mdhr_sdk.vision import DEFAULT_TEMPLATE, TEMPLATES, Face

BP4D_COLUMNS = (1, 2, 4, 5, 6, 7, 9, 10, 11, 12, 14, 15, 16, 17, 23, 24, 27)  # some of the coded AUs; others are 9
DISFA_AUS = (1, 2, 4, 5, 6, 9, 12, 15, 17, 20, 25, 26)


class WholeFrame:
    """Stands for `FaceMesher`: the face is the whole frame, so that the crop is the frame."""

    seen = 1

    def find(self, image: np.ndarray) -> list[Face]:
        template = TEMPLATES[DEFAULT_TEMPLATE]
        points = np.zeros((478, 3), np.float32)
        points[list(template.landmarks), :2] = np.array(template.targets) * image.shape[1::-1]
        return [Face(points)]

    def reset(self) -> None:
        pass

    def close(self) -> None:
        pass


class SlowWholeFrame(WholeFrame):
    """As `WholeFrame`; where PIDS asks for it, slow enough to be killed, and says which process it lives in."""

    def __init__(self) -> None:
        if "PIDS" in os.environ:
            (Path(os.environ["PIDS"]) / f"worker.{os.getpid()}").touch()

    def find(self, image: np.ndarray) -> list[Face]:
        time.sleep(0.05 if "PIDS" in os.environ else 0)
        return super().find(image)


def picture(number: int, size: int = 16) -> np.ndarray:
    """(size, size, 3) uint8, one colour a number."""
    return np.full((size, size, 3), (number % 251, number // 251 % 251, 100), np.uint8)


def write_bp4d(raw: Path, halves: Iterable[FrameList], size: int = 16) -> None:
    """Tables and images; AUs that the lists do not have are 9."""
    dataset = DATASETS["bp4d"]
    for half in halves:
        for run in half.runs():
            name = dataset.parse(half.paths[run.start])
            assert name is not None
            table = raw / f"AUCoding/AU_OCC/{name.subject}_{name.task}.csv"
            images = raw / f"2D+3D/{name.subject}/{name.task}"
            table.parent.mkdir(parents=True, exist_ok=True)
            images.mkdir(parents=True)
            lines = [",".join(map(str, (0, *BP4D_COLUMNS)))]
            for row in range(run.start, run.stop):
                labels = dict(zip(dataset.label_set.aus, half.labels[row].tolist(), strict=True))
                values = (9 if labels.get(au, -1) < 0 else labels[au] for au in BP4D_COLUMNS)
                number = int(half.numbers[row])
                lines.append(",".join(map(str, (number, *values))))
                (images / f"{number}.jpg").write_bytes(cv2.imencode(".jpg", picture(number, size))[1].tobytes())
            table.write_text("\n".join(lines) + "\n")


def write_disfa(raw: Path, halves: Iterable[FrameList], label_rows: int | None = None, size: int = 16) -> None:
    """A file an AU with intensities of all kinds, and a video; `label_rows` may be more than the video has frames."""
    dataset = DATASETS["disfa"]
    for half in halves:
        for run in half.runs():
            subject = half.subjects[run.start]
            labels = half.labels[run].astype(int)
            count = len(labels)
            labels = np.pad(labels, ((0, max(count, label_rows or 0) - count), (0, 0)))
            rows = np.arange(len(labels))
            folder, videos = raw / "ActionUnit_Labels" / subject, raw / "Video_LeftCamera"
            folder.mkdir(parents=True)
            videos.mkdir(exist_ok=True)
            for au in DISFA_AUS:
                column = labels[:, dataset.label_set.aus.index(au)] if au in dataset.label_set.aus else 0 * rows
                values = np.where(column == 1, 2 + rows % 4, rows % 2)
                lines = (f"{row + 1},{value}\n" for row, value in zip(rows, values, strict=True))
                (folder / f"{subject}_au{au}.txt").write_text("".join(lines))
            path = str(videos / f"LeftVideo{subject}_comp.avi")
            video = cv2.VideoWriter(path, cv2.VideoWriter.fourcc(*"MJPG"), 20, (size, size))
            for number in range(count):
                video.write(picture(number, size))
            video.release()


def rebuild(dataset: DatasetSpec, fold: Fold, raw: Path, out: Path, workers: int = 1) -> Prepared:
    """A distribution from lists, prepared again with the frames as crops."""
    halves = (fold.train, fold.test)
    if dataset.name == "bp4d":
        write_bp4d(raw, halves)
    else:  # SN010 of the field has a label more than its video has frames
        longest = max(run.stop - run.start for half in halves for run in half.runs())
        write_disfa(raw, halves, label_rows=longest if longest > 4000 else None)
    options = PrepareOptions(size_px=16, workers=workers)
    return prepare(dataset, raw, out, options, make_mesher=WholeFrame)


def text(path: Path) -> str:
    """A list file's content, plain or gzipped, without carriage returns and end."""
    zipped = path.with_name(f"{path.name}.gz")
    data = path.read_bytes() if path.exists() else gzip.decompress(zipped.read_bytes())
    return data.decode().replace("\r", "").rstrip("\n")
