"""A small model to stream with, and what the clip model says of the same frames."""

from __future__ import annotations

from collections.abc import Hashable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from conftest import smooth_clips
from mdhr_sdk.model import MDHR, build_mdhr, calibrate, save_model
from mdhr_sdk.modelfolder.folder import ModelFolder
from mdhr_sdk.runtime import SessionOptions, open_streams
from mdhr_sdk.runtime.stream.scorer import StreamScore, StreamScorer

T, K, SIZE = 9, 2, 64
SETTLED = K + 2  # the only one: 2 (k + r) + 1 = T
CPU = SessionOptions("cpu", threads=1)


def small_model(**settings: Any) -> MDHR:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        size = {"input_size_px": SIZE, "projection_width": 24, "au_width": 16, "weight_width": 4, "k": K}
        model = build_mdhr("bp4d", "test_resnet", **{**size, **settings})
    calibrate(model, smooth_clips(0, batch=8, frames=8, size=SIZE))
    return model


def folder_of(path: Path, **settings: Any) -> ModelFolder:
    save_model(small_model(**settings), path, clip_length=T)
    return ModelFolder.open(path)


def open_scorer(folder: ModelFolder, backend: str = "torch", lookahead: int | None = None, **more: Any) -> StreamScorer:
    return StreamScorer(open_streams(folder, backend, CPU), lookahead, **more)


def video(frames: int, seed: int = 3) -> np.ndarray:
    return smooth_clips(seed, 1, frames, SIZE)[0]


@torch.inference_mode()
def expected(model: MDHR, frames: np.ndarray, lookahead: int, length: int = T) -> np.ndarray:
    """Frame by frame, what the clip model says in the window that ends `lookahead` frames later, or at the end."""
    rows = []
    for frame in range(len(frames)):
        newest = min(frame + lookahead, len(frames) - 1)
        oldest = max(0, newest - length + 1)
        rows.append(model(torch.from_numpy(frames[None, oldest : newest + 1])).scores[0, frame - oldest])
    return torch.stack(rows).numpy()


def streamed(scorer: StreamScorer, frames: np.ndarray, key: Hashable = 0) -> list[StreamScore]:
    scores = [score for frame in frames for score in scorer.push({key: frame})]
    return scores + scorer.finish([key])
