"""What each part of MDHR is for, on clips whose classes can be told in one way only.

    AU01  up   appearance: a patch with upright or level stripes
    AU02  up   motion: a patch of noise that drifts or stands still; no single frame tells which
    AU12  low  co-occurrence: nothing to see below; occurs with AU01
    AU15  low  time: a bar that lights up in every fifth frame of its stretch, so that five frames tell and three do not
    AU17  low  motion: as AU02

With --far two AUs alone, on pictures so large that the rows of AU12's region cannot see AU01's patch:

    AU01  up   appearance: as above
    AU12  low  co-occurrence, out of sight: occurs with AU01, and only the graph can bring word of it

Small networks from random weights, on the CPU in minutes: it says which part carries which kind of evidence, not how
well faces are read.
"""

from __future__ import annotations

import logging
import tempfile
import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Optional

import numpy as np
import torch
import typer
from rich.table import Table

from benchmarks.report import Json, console, write_json
from mdhr_sdk.aus import LabelSet, RegionGroup, RegionLayout
from mdhr_sdk.cli.app import run_app
from mdhr_sdk.errors import ConfigError
from mdhr_sdk.training.data.frames import au_weights, region_classes
from mdhr_sdk.training.evaluate.evaluation import judge
from mdhr_sdk.training.evaluate.predictions import Frames, Predictions
from mdhr_sdk.training.fit.fit import FoldData, epoch_stem, fit
from mdhr_sdk.training.fit.settings import read_settings

LAYOUT = RegionLayout((RegionGroup("up", "up", (1, 2)), RegionGroup("low", "low", (12, 15, 17))))
LABELS = LabelSet("patterns", (1, 2, 12, 15, 17), LAYOUT)
KINDS = ("appearance", "motion", "co-occurrence", "time", "motion")
T, SIZE, PATCH = 12, 64, 20
FAR_LABELS = LabelSet("far", (1, 12), RegionLayout((RegionGroup("up", "up", (1,)), RegionGroup("low", "low", (12,)))))
FAR_KINDS = ("appearance", "co-occurrence, out of sight")
FAR_T, FAR_SIZE = 4, 224
VARIANTS: dict[str, dict[str, Any]] = {
    "full model": {},
    "without MFD": {"mfd": False},
    "without temporal convolution": {"temporal": False},
    "without region heads (edges everywhere)": {"auxiliary": False, "edges": "cross_full"},
    "without region heads and graph": {"auxiliary": False, "graph": False},
    "backbone only": {"mfd": False, "extractors": False, "auxiliary": False, "graph": False, "temporal": False},
}


app = typer.Typer(add_completion=False, rich_markup_mode=None)


@dataclass
class Patterns:
    """A clip an item, drawn by (seed, epoch, index)."""

    clips: int
    seed: int
    label_set = LABELS
    frames, size = T, SIZE
    with_au01 = 2  # column of AU12, which goes with AU01

    def __len__(self) -> int:
        return self.clips

    def labels(self, rng: np.random.Generator) -> np.ndarray:
        """(T, N) int8: stretches of half a clip on average; AU12 goes with AU01."""
        count = len(self.label_set.aus)
        flips = rng.random((self.frames, count)) < 2 / self.frames
        flips[0] = rng.random(count) < 0.5
        labels = (np.cumsum(flips, axis=0) % 2).astype(np.int8)
        labels[:, self.with_au01] = labels[:, 0]
        return labels

    def draw(self, frames: np.ndarray, labels: np.ndarray, rng: np.random.Generator) -> None:
        """Add to frames (T, size, size) what the labels say."""
        frames[:, 4 : 4 + PATCH, 4 : 4 + PATCH] += _stripes(labels[:, 0], rng)
        frames[:, 4 : 4 + PATCH, 40 : 40 + PATCH] += _drifting(labels[:, 1], rng)
        flashes = labels[:, 3] * (np.arange(T) % 5 == rng.integers(5))
        frames[:, 40 : 40 + PATCH, 4 : 4 + PATCH] += 2.0 * flashes[:, None, None]
        frames[:, 40 : 40 + PATCH, 40 : 40 + PATCH] += _drifting(labels[:, 4], rng)

    def __getitem__(self, index: tuple[int, int]) -> dict[str, torch.Tensor]:
        rng = np.random.default_rng((self.seed, *index))
        labels, shape = self.labels(rng), (self.frames, self.size, self.size)
        frames = np.broadcast_to(rng.normal(0, 0.2, shape[1:]), shape).copy()
        self.draw(frames, labels, rng)
        frames += rng.normal(0, 0.05, shape)
        clip = np.repeat(frames[:, None].astype(np.float32), 3, axis=1)
        rows = np.arange(index[1] * self.frames, (index[1] + 1) * self.frames)
        regions = region_classes(labels, self.label_set.layout, self.label_set.aus)
        arrays = {"clip": clip, "labels": labels, "regions": regions, "rows": rows}
        return {name: torch.from_numpy(array) for name, array in arrays.items()}


@dataclass
class FarPatterns(Patterns):
    """AU01's patch at the top of a picture whose lower rows cannot see it."""

    label_set = FAR_LABELS
    frames, size = FAR_T, FAR_SIZE
    with_au01 = 1

    def draw(self, frames: np.ndarray, labels: np.ndarray, rng: np.random.Generator) -> None:
        frames[:, 4 : 4 + PATCH, 4 : 4 + PATCH] += _stripes(labels[:, 0], rng)


def _stripes(upright: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """(T, PATCH, PATCH): stripes of period 5, at a place of the clip's own."""
    wave = np.sign(np.sin((np.arange(PATCH) + rng.integers(5)) * 2 * np.pi / 5))
    level = np.broadcast_to(wave[:, None], (PATCH, PATCH))
    return np.where(upright[:, None, None] == 1, level.T, level)


def _drifting(moves: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """(T, PATCH, PATCH): a window on noise that goes on by two pixels in every frame in which it moves."""
    noise = rng.normal(0, 1, (PATCH, PATCH + 2 * T))
    places = np.cumsum(2 * moves)
    return np.stack([noise[:, place : place + PATCH] for place in places])


def data(seed: int, videos: int, tests: int, patterns: type[Patterns] = Patterns) -> FoldData:
    """Training clips of one seed; the test clips are the same for every seed."""
    train, test = patterns(videos, seed), patterns(tests, 10_000)
    labels, seen = (
        np.concatenate([clips[0, index]["labels"].numpy() for index in range(len(clips))]) for clips in (test, train)
    )
    length, label_set = patterns.frames, patterns.label_set
    names = tuple(f"{row // length:03d}" for row in range(len(labels)))
    starts = np.arange(0, len(labels), length)
    frames = Frames(label_set.codes, labels, names, tuple(map(str, range(len(labels)))), starts)
    weights = au_weights(seen)  # the first epoch stands for all
    return FoldData(label_set=label_set, train=train, validation=test, frames=frames, weights=weights)


def f1(
    variant: str, seed: int, epochs: int, videos: int, tests: int, patterns: type[Patterns] = Patterns
) -> list[float]:
    """F1 of each AU after the last epoch, at threshold 0.5."""
    words = {
        "model": {"backbone": "test_resnet", "input_size_px": patterns.size, "projection_width": 32, "au_width": 32,
                  "k": 1, "region_loss_weight": 0.1, **VARIANTS[variant]},
        "optimiser": {"learning_rate": 2e-3},
        "trainer": {"epochs": epochs, "validate_every": epochs, "seed": seed, "accelerator": "cpu", "progress": False},
        "data": {"clip_length": patterns.frames, "workers": 0},
        "start": {"pretrained": False},
    }  # fmt: skip
    changes = [f"{section}={values}" for section, values in words.items()]
    with tempfile.TemporaryDirectory() as folder:
        fit(read_settings(None, changes), data(seed, videos, tests, patterns), Path(folder))
        predictions = Predictions.load(epoch_stem(Path(folder), epochs).with_suffix(".npz"))
    return judge(predictions, (0.5,) * len(patterns.label_set.aus)).counts.f1.tolist()


def print_table(results: dict[str, list[list[float]]], codes: Sequence[str], kinds: Sequence[str]) -> None:
    table = Table("", *(f"{code}\n{kind}" for code, kind in zip(codes, kinds, strict=True)), "mean")
    for name, seeds in results.items():
        values = np.array(seeds)
        columns = np.column_stack([values, values.mean(axis=1)])
        table.add_row(name, *(_with_deviation(100 * column) for column in columns.T))
    table.title = f"F1 in percent, mean ± deviation over {len(next(iter(results.values())))} seeds"
    console.print(table)


def _with_deviation(values: np.ndarray) -> str:
    """Mean and sample deviation over seeds; one seed has none."""
    return f"{values.mean():.1f} ± {values.std(ddof=1):.1f}" if len(values) > 1 else f"{values.mean():.1f}"


@app.command()
def main(
    seeds: Annotated[int, typer.Option(help="Trainings of each variant.")] = 3,
    epochs: Annotated[int, typer.Option(help="Epochs of each training.")] = 60,
    videos: Annotated[int, typer.Option(help="Training clips per epoch.")] = 40,
    tests: Annotated[int, typer.Option(help="Test clips.")] = 100,
    only: Annotated[Optional[list[str]], typer.Option(help="Variants; all if not given.")] = None,
    far: Annotated[bool, typer.Option("--far", help="The two AUs that are out of each other's sight.")] = False,
    json: Json = None,
) -> None:
    """Train every variant with every seed and print their F1 a class of evidence."""
    if unknown := sorted(set(only or ()) - set(VARIANTS)):
        raise ConfigError(f"no variant '{unknown[0]}'; there are: {', '.join(VARIANTS)}")
    patterns, kinds = (FarPatterns, FAR_KINDS) if far else (Patterns, KINDS)
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    warnings.simplefilter("ignore")
    results: dict[str, list[list[float]]] = {}
    for variant in only or VARIANTS:
        for seed in range(seeds):
            start = time.perf_counter()
            results.setdefault(variant, []).append(f1(variant, seed, epochs, videos, tests, patterns))
            words = " ".join(f"{100 * value:.1f}" for value in results[variant][-1])
            console.print(f"{variant}, seed {seed}: {words} ({time.perf_counter() - start:.0f} s)")
    codes = patterns.label_set.codes
    print_table(results, codes, kinds)
    write_json(json, {"aus": codes, "kinds": kinds, "epochs": epochs, "videos": videos, "f1": results})


if __name__ == "__main__":
    run_app(app)
