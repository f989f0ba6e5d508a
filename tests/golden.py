"""Largest differences to the released implementation, model by model. Run as a script it prints the table."""

from __future__ import annotations

import gzip
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from mdhr_sdk.model import MDHR, build_mdhr
from mdhr_sdk.model.macs import graph_macs
from mdhr_sdk.model.released import released_parts
from mdhr_sdk.modelfolder.config import FolderConfig
from reference import clip, fill

DATA = Path(__file__).resolve().parent / "data"
MODELS = (("bp4d", "resnet50"), ("bp4d", "swin_base"), ("disfa", "resnet50"), ("disfa", "swin_base"))
SHAPES: dict[str, dict[str, list[int]]] = json.loads(gzip.decompress((DATA / "released_shapes.json.gz").read_bytes()))


@dataclass(frozen=True)
class GoldenErrors:
    """Against the released implementation; *_cached: head(encode(clip)) against forward(clip)."""

    parameters: int
    gmacs_a_frame: float
    scores: float
    small_motion_scores: float
    region_logits_relative: float
    scores_cached: float
    region_logits_cached: float


def golden(label_set: str, backbone: str) -> dict[str, np.ndarray]:
    """What the released implementation answered."""
    with np.load(DATA / "golden.npz") as arrays:
        prefix = f"{label_set}_{backbone}/"
        return {name.removeprefix(prefix): arrays[name] for name in arrays if name.startswith(prefix)}


def filled(label_set: str, backbone: str) -> MDHR:
    """The model with the reference weights."""
    model = build_mdhr(label_set, backbone).eval()
    own, shapes = model.state_dict(), SHAPES[f"{label_set}_{backbone}"]
    for key, parts in released_parts(model).items():
        values = [torch.from_numpy(fill(part.key, tuple(shapes[part.key]))) for part in parts]
        own[key].copy_(torch.cat([v.reshape(-1, *own[key].shape[1:]) for v in values]))
    return model


@torch.inference_mode()
def measure(label_set: str, backbone: str) -> GoldenErrors:
    """Run the reference clips."""
    model, wanted = filled(label_set, backbone), golden(label_set, backbone)
    frames = torch.from_numpy(clip())
    output = model(frames)
    cached = model.head(model.encode(frames))
    config = FolderConfig(model.config, clip_length=frames.shape[1])
    small = model(torch.from_numpy(clip(batch=2, motion=0.02, seed=7))).scores.flatten(0, 1)
    logits = [wanted[f"region_logits_{i}"] for i in range(len(output.region_logits))]
    ours = [x[0].numpy() for x in output.region_logits]
    return GoldenErrors(
        parameters=sum(p.numel() for p in model.parameters()),
        gmacs_a_frame=graph_macs(config, "clip")[""] / config.clip_length / 1e9,
        scores=_largest(output.scores[0], wanted["scores"]),
        small_motion_scores=_largest(small, wanted["small_motion_scores"]),
        region_logits_relative=max(np.abs(a - b).max() / np.abs(b).max() for a, b in zip(ours, logits, strict=True)),
        scores_cached=_largest(output.scores, cached.scores.numpy()),
        region_logits_cached=max(
            _largest(a, b.numpy()) for a, b in zip(output.region_logits, cached.region_logits, strict=True)
        ),
    )


def _largest(ours: torch.Tensor, wanted: np.ndarray) -> float:
    return float(np.abs(ours.numpy() - wanted).max())


if __name__ == "__main__":
    from rich.console import Console
    from rich.table import Table

    table = Table("model", *(name.replace("_", " ") for name in GoldenErrors.__annotations__))
    for names in MODELS:
        errors = measure(*names)
        values = vars(errors).items()
        cells = [
            f"{v:,}" if isinstance(v, int) else f"{v:.3f}" if n == "gmacs_a_frame" else f"{v:.1e}" for n, v in values
        ]
        table.add_row(" ".join(names), *cells)
    Console(width=150).print(table)
