"""Frames a second and memory of a training step, beside the released one, and whether the loader keeps up with it."""

from __future__ import annotations

import logging
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from pathlib import Path
from statistics import mean, median
from typing import Annotated, Any, Optional, cast

import numpy as np
import pytorch_lightning as pl
import torch
import typer
from rich.table import Table
from torch.utils.data import DataLoader

from benchmarks.machine import describe_machine
from benchmarks.report import Json, console, write_json
from benchmarks.speed.released import pooled_as_released
from benchmarks.training.loading import clip_dataset, crops, write_data
from mdhr_sdk.cli.app import run_app
from mdhr_sdk.errors import ConfigError
from mdhr_sdk.model import MDHR
from mdhr_sdk.training.data.datasets import DATASETS
from mdhr_sdk.training.fit.module import MDHRTraining
from mdhr_sdk.training.fit.order import BlockBatches, Key, Plan
from mdhr_sdk.training.fit.settings import Settings, read_settings

RELEASED = "released"
ROWS: dict[str, tuple[str, ...]] = {
    RELEASED: (),
    "paper": (),
    "bf16-mixed": ("trainer.precision=bf16-mixed",),
    "16-mixed": ("trainer.precision=16-mixed",),
    "bf16-mixed, activation checkpointing": ("trainer.precision=bf16-mixed", "trainer.activation_checkpointing=true"),
    "bf16-mixed, frozen backbone": ("trainer.precision=bf16-mixed", "optimiser.freeze=[encoder.backbone]"),
}
NOTE = (
    "A step is forward, loss, backward and AdamW; median over all rounds, rows in turns, each in a process of its own, "
    "its first steps not counted, one batch over and over. From files: aligned faces of the bundled clip read, "
    "augmented and collated by worker processes on the same machine; 100 % means that the step never waits. released: "
    "differences before convolutions, average pooling, contiguous layout, fp32; the same loss and optimiser. Peak: "
    "what PyTorch had allocated of a GPU's memory; on a CPU all that the process held, libraries too."
)

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@dataclass(frozen=True)
class Speed:
    """One row: seconds of every counted step, fed from memory and from files, and the most memory that was held."""

    name: str
    memory_s: tuple[float, ...]
    files_s: tuple[float, ...]
    peak_bytes: int


class Clock(pl.Callback):
    """When each step ended, everything that was asked of the device done."""

    def __init__(self) -> None:
        self.ends: list[float] = []

    def on_train_batch_end(self, trainer: pl.Trainer, *_: object) -> None:
        if trainer.strategy.root_device.type == "cuda":
            torch.cuda.synchronize()
        self.ends.append(time.perf_counter())


@dataclass
class OneBatch:
    """The same clip, whatever is asked for."""

    clip: dict[str, Any]
    clips: int

    def __len__(self) -> int:
        return self.clips

    def __getitem__(self, index: Key) -> dict[str, Any]:
        return self.clip


def timed(settings: Settings, source: Any, steps: int, warm_up: int, released: bool) -> tuple[list[float], int]:
    """Train from random weights on `source`: seconds of the steps after the first `warm_up`, and peak memory, bytes."""
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    warnings.simplefilter("ignore")
    torch.manual_seed(0)
    dataset, chosen = DATASETS[settings.data.dataset], settings.trainer
    model = MDHR(settings.model_config(dataset.label_set))
    if released:
        pooled_as_released(model)
    else:
        model = model.to(memory_format=cast(Any, torch.channels_last))  # as `fit` does
    plan, clock = Plan(len(source), chosen.batch_size, 1, chosen.seed), Clock()
    loader: Any = DataLoader(
        source,
        batch_sampler=BlockBatches(plan, 0),
        num_workers=0 if isinstance(source, OneBatch) else settings.data.workers,
        prefetch_factor=None if isinstance(source, OneBatch) else 1,  # a full queue hides a slow loader
        pin_memory=torch.cuda.is_available(),
    )
    trainer = pl.Trainer(
        accelerator=chosen.accelerator, devices=1, precision=cast(Any, chosen.precision), max_epochs=1,
        max_steps=steps + warm_up,
        logger=False, enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
        use_distributed_sampler=False, callbacks=[clock],
    )  # fmt: skip
    trainer.fit(MDHRTraining(model, settings, [1.0] * len(dataset.label_set.aus), plan), loader)
    device = trainer.strategy.root_device
    peak = torch.cuda.max_memory_allocated(device) if device.type == "cuda" else _peak_rss()
    return np.diff(clock.ends[warm_up - 1 :]).tolist(), peak


def _peak_rss() -> int:
    import resource  # not on Windows

    held = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return held if sys.platform == "darwin" else 1024 * held


def sources(settings: Settings, folder: Path, videos: int) -> tuple[OneBatch, Any]:
    """Clips from memory and from files: the bundled face in the data set's layout."""
    size_px = settings.model_config(DATASETS[settings.data.dataset].label_set).input_size_px
    frames = write_data(settings.data.dataset, folder, videos, crops())
    clips = clip_dataset(frames, folder, settings.data.clip_length, size_px, train=True)
    return OneBatch(clips[0, 0], videos), clips


def measure(rows: dict[str, Settings], steps: int, warm_up: int, rounds: int) -> list[Speed]:
    """All rows in turns, from memory and from files."""
    base = next(iter(rows.values()))
    found: dict[str, list[tuple[list[float], int]]] = {name: [] for name in rows}
    with tempfile.TemporaryDirectory() as folder:
        batches = steps + warm_up + 2  # more than are asked for: workers that end would slow the last step
        feeds = sources(base, Path(folder), base.trainer.batch_size * batches)
        for _ in range(rounds):
            for name, settings in rows.items():
                # memory that an earlier row left behind would make starting the workers slow
                for feed in feeds:
                    with ProcessPoolExecutor(1, get_context("spawn")) as process:
                        turn = process.submit(timed, settings, feed, steps, warm_up, name == RELEASED)
                        found[name].append(turn.result())
    return [_speed(name, turns) for name, turns in found.items()]


def _speed(name: str, turns: list[tuple[list[float], int]]) -> Speed:
    """The turns of a row, from memory and from files by turns."""
    memory, files = (tuple(x for seconds, _ in turns[first::2] for x in seconds) for first in (0, 1))
    return Speed(name, memory, files, max(peak for _, peak in turns[::2]))


def speed_table(found: list[Speed], frames: int) -> Table:
    """Every row beside the first, frames per step given."""
    table = Table(
        "", "frames/s", "slowest", "fastest", f"x {found[0].name}", "from files", "of the step's speed", "peak, GiB"
    )
    for column in table.columns[1:]:
        column.justify = "right"
    base = median(found[0].memory_s)
    for row in found:
        seconds, fed = median(row.memory_s), mean(row.files_s)  # workers deliver in bursts
        numbers = (frames / x for x in (seconds, max(row.memory_s), min(row.memory_s)))
        words = (*(f"{x:,.1f}" for x in numbers), f"{base / seconds:.2f}", f"{frames / fed:,.1f}")
        share = mean(row.memory_s) / fed
        table.add_row(row.name, *words, f"{100 * share:.0f} %", f"{row.peak_bytes / 2**30:.2f}")
    return table


def chosen_rows(backbone: str, dataset: str, batch_size: int, workers: int) -> Iterator[tuple[str, Settings]]:
    """The rows that this machine can run: fp16 training needs a GPU."""
    common = (
        f"model.backbone={backbone}", f"data.dataset={dataset}", f"data.workers={workers}",
        f"trainer.batch_size={batch_size}", "start.pretrained=false",
    )  # fmt: skip
    for name, words in ROWS.items():
        if name != "16-mixed" or torch.cuda.is_available():
            yield name, read_settings(None, (*common, *words))


@app.command()
def step(
    backbone: Annotated[str, typer.Option(help="resnet50, swin_base or a timm name.")] = "resnet50",
    label_set: Annotated[str, typer.Option(help="bp4d or disfa.")] = "bp4d",
    batch_size: Annotated[Optional[int], typer.Option(min=1, help="Clips; 8 as in the paper, 1 on a CPU.")] = None,
    workers: Annotated[int, typer.Option(min=1, help="Processes that load clips.")] = 2,
    steps: Annotated[Optional[int], typer.Option(help="Steps a row and feed; 40, 8 on a CPU.")] = None,
    warm_up: Annotated[int, typer.Option(min=1, help="Steps before them.")] = 2,
    rounds: Annotated[int, typer.Option(min=1, help="How often all rows take turns.")] = 1,
    only: Annotated[Optional[list[str]], typer.Option(help="Rows; all if not given.")] = None,
    json: Json = None,
) -> None:
    """How fast a training step is, and whether files keep up with it."""
    clips = batch_size or (8 if torch.cuda.is_available() else 1)
    steps = (40 if torch.cuda.is_available() else 8) if steps is None else steps
    if steps < 2 * workers:
        raise ConfigError(f"--steps {steps}: the first batches were loaded before; take at least {2 * workers}")
    rows = dict(chosen_rows(backbone, label_set, clips, workers))
    if unknown := sorted(set(only or ()) - set(rows)):
        raise ConfigError(f"no row '{unknown[0]}' here; there are: {', '.join(rows)}")
    rows = {name: settings for name, settings in rows.items() if name in (only or rows)}
    machine = describe_machine()
    console.print(machine.header())
    with console.status("training"):
        found = measure(rows, steps, warm_up, rounds)
    frames = clips * next(iter(rows.values())).data.clip_length
    threads = torch.get_num_threads()
    console.print(f"{backbone}, {label_set}, {clips} clips of {frames // clips} frames, {threads} threads")
    console.print(speed_table(found, frames))
    console.print(NOTE)
    content = {"benchmark": "step", "backbone": backbone, "label_set": label_set, "frames_a_step": frames}
    write_json(json, {**content, "machine": asdict(machine), "rows": [asdict(row) for row in found]})


if __name__ == "__main__":
    run_app(app)
