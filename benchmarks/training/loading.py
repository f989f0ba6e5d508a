"""Frames a second that a training run can be fed: read, decode, augment, normalise and collate."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Annotated, Any, Optional

import cv2
import numpy as np
import typer
from rich.table import Table

from benchmarks.machine import describe_machine
from benchmarks.report import Json, console, write_json
from mdhr_sdk.children import usable_cores
from mdhr_sdk.cli.app import run_app
from mdhr_sdk.cli.models.init import demo_crops
from mdhr_sdk.errors import ConfigError, require
from mdhr_sdk.modelfolder.config import Preprocessing
from mdhr_sdk.training.data.datasets import DATASETS, FrameName
from mdhr_sdk.training.data.frames import FrameList, frame_list

BATCH, CLIP_LENGTH = 8, 16
CROP_PX, SIZE_PX = 256, 224
SUFFIXES = {"bp4d": "JPEG", "disfa": "PNG"}
KINDS = ("train", "train, bytes", "test")
NOTE = (
    "An epoch of each in turns; median over the rounds, and the slowest and fastest. Crops are aligned faces of the "
    f"bundled clip, {CROP_PX} px, read from files that the system has in memory; a batch is {BATCH} clips of "
    f"{CLIP_LENGTH} frames at {SIZE_PX} px. bytes: normalised on the device later, which is not counted. 0 workers: in "
    "the process itself."
)

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@dataclass(frozen=True)
class Loading:
    """One row: how fast one loader was.

    Attributes:
        frames_s: frames per second, round by round.
        cpu_ms_a_frame: processor time, which a busy machine changes less; None where other processes spend it.
    """

    pictures: str
    kind: str
    workers: int
    frames_s: tuple[float, ...]
    cpu_ms_a_frame: float | None


def crops() -> list[np.ndarray]:
    """Aligned faces of the bundled clip, twice: a clip may start at any of them."""
    return [*demo_crops(CROP_PX)] * 2


def write_data(name: str, root: Path, videos: int, faces: list[np.ndarray]) -> FrameList:
    """A data set of the bundled face in the layout of `name`."""
    dataset = DATASETS[name]
    subjects = [f"X{number:03d}" for number in range(videos)]
    paths = [
        dataset.crop_path(FrameName(subject, "T1", number)) for subject in subjects for number in range(len(faces))
    ]
    encoded = [cv2.imencode(Path(dataset.crop).suffix, face, [cv2.IMWRITE_JPEG_QUALITY, 95])[1] for face in faces]
    for index, path in enumerate(paths):
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        encoded[index % len(faces)].tofile(root / path)
    labels = np.ones((len(paths), len(dataset.label_set.aus)), np.int8)
    return frame_list(dataset, "loading", paths, labels, train=True)


def clip_dataset(frames: FrameList, folder: Path, clip_length: int, size_px: int, **options: Any) -> Any:
    """Clips out of the files of `write_data`, normalised as in training."""
    from mdhr_sdk.training.data.clip_windows import ClipDataset

    normal = Preprocessing()
    return ClipDataset(
        frames, root=folder, clip_length=clip_length, size_px=size_px, mean=normal.mean, std=normal.std, **options
    )


def loaders(name: str, folder: Path, videos: int, workers: list[int], faces: list[np.ndarray]) -> Iterator[Any]:
    """(pictures, kind, workers, loader) of every row."""
    from torch.utils.data import DataLoader

    frames = write_data(name, folder, videos, faces)
    for kind in KINDS:
        options = {"train": kind != "test", "as_bytes": kind == "train, bytes"}
        clips = clip_dataset(frames, folder, CLIP_LENGTH, SIZE_PX, **options)
        for count in workers:
            loader = DataLoader(clips, batch_size=BATCH, num_workers=count, persistent_workers=count > 0)
            yield SUFFIXES[name], kind, count, loader


def measure(videos: int, workers: list[int], rounds: int) -> list[Loading]:
    """All loaders, an epoch each in turns; the first epoch of each is not counted."""
    faces = crops()
    with tempfile.TemporaryDirectory() as scratch:
        rows = [row for name in SUFFIXES for row in loaders(name, Path(scratch) / name, videos, workers, faces)]
        turns: list[list[tuple[float, float]]] = [[] for _ in rows]
        for round_number in range(rounds + 1):
            for (*_, loader), own in zip(rows, turns, strict=True):
                turn = _epoch(loader)
                if round_number:
                    own.append(turn)
    return [
        Loading(pictures, kind, count, tuple(1 / wall for wall, _ in own), _cpu_ms(own) if count == 0 else None)
        for (pictures, kind, count, _), own in zip(rows, turns, strict=True)
    ]


def _epoch(loader: Any) -> tuple[float, float]:
    """Seconds a frame, by the clock and of this process's processor time."""
    wall, cpu, frames = time.perf_counter(), time.process_time(), 0
    for batch in loader:
        frames += batch["clip"].shape[0] * CLIP_LENGTH
    return (time.perf_counter() - wall) / frames, (time.process_time() - cpu) / frames


def _cpu_ms(turns: list[tuple[float, float]]) -> float:
    return 1000 * median(cpu for _, cpu in turns)


def loading_table(found: list[Loading]) -> Table:
    table = Table("pictures", "clips", "workers", "frames/s", "slowest", "fastest", "CPU ms/frame")
    for column in table.columns[2:]:
        column.justify = "right"
    for row in found:
        numbers = (f"{f(row.frames_s):,.0f}" for f in (median, min, max))
        cpu = "" if row.cpu_ms_a_frame is None else f"{row.cpu_ms_a_frame:.2f}"
        table.add_row(row.pictures, row.kind, str(row.workers), *numbers, cpu)
    return table


@app.command()
def loading(
    videos: Annotated[int, typer.Option(help="Clips an epoch; a multiple of 8.")] = 48,
    workers: Annotated[Optional[list[int]], typer.Option(help="May be given again; 0 and all cores if not.")] = None,
    rounds: Annotated[int, typer.Option(help="Epochs of each.")] = 5,
    json: Json = None,
) -> None:
    """How many frames per second a training run can be fed with."""
    counts = workers or [0, usable_cores()]
    if videos < BATCH or videos % BATCH or rounds < 1 or min(counts) < 0:
        raise ConfigError(f"videos must be a multiple of {BATCH}, rounds at least 1 and workers at least 0")
    require("torch", "train")
    machine = describe_machine()
    console.print(machine.header())
    found = measure(videos, counts, rounds)
    console.print(loading_table(found))
    console.print(NOTE)
    write_json(json, {"benchmark": "loading", "machine": asdict(machine), "rows": [asdict(row) for row in found]})


if __name__ == "__main__":
    run_app(app)
