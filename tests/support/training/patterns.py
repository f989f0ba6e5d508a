"""Clips of moving patterns in memory, in the shape that the trainer reads, and settings of a run of seconds."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from mdhr_sdk.aus import LabelSet, RegionGroup, RegionLayout
from mdhr_sdk.training.evaluate.predictions import Frames
from mdhr_sdk.training.fit.fit import FoldData
from mdhr_sdk.training.fit.settings import Settings, read_settings

LABELS = LabelSet("mine", (1, 4, 12), RegionLayout((RegionGroup("up", "up", (1, 4)), RegionGroup("low", "low", (12,)))))
T, SIZE = 4, 64


class Clips:
    """Noise with a bright patch for every AU that occurs; every clip its own random stream, every epoch another."""

    def __init__(self, videos: int, seed: int = 0, unknown: float = 0.1) -> None:
        self.videos, self.seed, self.unknown = videos, seed, unknown
        self.asked: list[tuple[int, int]] = []

    def __len__(self) -> int:
        return self.videos

    def __getitem__(self, index: tuple[int, int]) -> dict[str, Any]:
        self.asked.append(index)
        rng = np.random.default_rng((self.seed, *index))
        labels = rng.integers(0, 2, (T, 3)).astype(np.int8)
        clip = rng.normal(0, 0.3, (T, 3, SIZE, SIZE)).astype(np.float32)
        for au, place in enumerate(((0, 0), (0, 32), (40, 16))):
            occurs = labels[:, au, None, None, None].astype(np.float32)
            clip[:, :, place[0] : place[0] + 20, place[1] : place[1] + 24] += occurs
        labels[rng.random(labels.shape) < self.unknown] = -1
        known = (labels[:, :2] >= 0).all(axis=1)
        up = np.where(known, 2 * labels[:, 0] + labels[:, 1], -1)
        regions = np.stack([up, labels[:, 2]], axis=1).astype(np.int64)
        rows = np.arange(index[1] * T, (index[1] + 1) * T)
        arrays = {"clip": clip, "labels": labels, "regions": regions, "rows": rows}
        return {name: torch.from_numpy(array) for name, array in arrays.items()}


def fold_data(videos: int = 10, tests: int = 4) -> FoldData:
    train, test = Clips(videos), Clips(tests, seed=1)
    trained_on, frames = _frames(Clips(videos), "F"), _frames(Clips(tests, seed=1), "M")
    return FoldData(
        label_set=LABELS,
        train=train,
        validation=test,
        frames=frames,
        weights=np.array([0.8, 1.0, 1.2]),
        trained_on=trained_on,
    )


def _frames(clips: Clips, letter: str) -> Frames:
    """Those of the first epoch, a clip a subject."""
    labels = np.concatenate([clips[0, index]["labels"].numpy() for index in range(len(clips))])
    subjects = tuple(f"{letter}{row // T:03d}" for row in range(len(labels)))
    paths = tuple(f"{subject}/T1/{row % T}.jpg" for row, subject in enumerate(subjects))
    return Frames(LABELS.codes, labels, subjects, paths, np.arange(0, len(labels), T))


def settings(*changes: str) -> Settings:
    """A network of seconds: three epochs of three batches."""
    words = (
        "model.backbone=test_resnet", f"model.input_size_px={SIZE}", "model.projection_width=16", "model.au_width=16",
        "model.weight_width=4", "start.pretrained=false", "trainer.epochs=3", "trainer.validate_every=2",
        "trainer.batch_size=4", "trainer.accelerator=cpu", "trainer.progress=false", f"data.clip_length={T}",
        "data.workers=0", "optimiser.learning_rate=1e-3", "trainer.log_every=1",
    )  # fmt: skip
    return read_settings(None, [*words, *changes])
