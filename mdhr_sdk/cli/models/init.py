"""What `mdhr init` does: a model folder from random weights or from a released checkpoint."""

from __future__ import annotations

import itertools
from importlib.resources import as_file, files
from pathlib import Path
from typing import Annotated, Optional

import numpy as np
import typer
from numpy.typing import NDArray

from ...errors import require
from ...modelfolder.config import Preprocessing
from ...modelfolder.folder import ModelFolder, sha256
from ...pipeline.crops import CropFinder
from ...vision import FaceMesher, list_sources, prepare
from ..parts.options import command_app, say

CLIP_FRAMES = 16
app = command_app()


def make_folder(
    folder: Path, label_set: str, backbone: str, k: int, seed: int, pretrained: bool, checkpoint: Path | None
) -> tuple[ModelFolder, int]:
    """Build the model and save it; returns the folder and the parameter count.

    Random weights get BatchNorm statistics from the bundled demo clip. Without them activations shrink to a constant,
    and precision tests on such a model would mean nothing.
    """
    ModelFolder.check_free(folder)
    for module in ("torch", "timm", "safetensors"):
        require(module, "torch")
    import torch

    from ...model import build_mdhr, calibrate, load_released_checkpoint, save_model
    from ...model.released import read_checkpoint

    tensors = None if checkpoint is None else read_checkpoint(checkpoint)  # before the model, which takes a while
    torch.manual_seed(seed)
    model = build_mdhr(label_set, backbone, pretrained and checkpoint is None, k)
    licence = ""
    if checkpoint is not None:
        load_released_checkpoint(model, checkpoint, tensors)
        provenance = f"released checkpoint {checkpoint.name}, SHA-256 {sha256(checkpoint)}"
        licence = "that of the checkpoint; BP4D and DISFA are licensed for research"
    else:
        calibrate(model, demo_clip(model.config.input_size_px), skip_backbone=pretrained)
        provenance = (
            "ImageNet backbone, the rest random" if pretrained else f"random weights, seed {seed}"
        ) + "; not trained"
    saved = save_model(model, folder, trained=checkpoint is not None, provenance=provenance, licence=licence)
    return saved, sum(p.numel() for p in model.parameters())


def demo_clip(size_px: int) -> NDArray[np.float32]:
    """(1, 16, 3, S, S): `demo_crops` as the model reads them."""
    preprocessing = Preprocessing()
    return prepare(demo_crops(size_px), preprocessing.mean, preprocessing.std)[None]


def demo_crops(size_px: int) -> NDArray[np.uint8]:
    """(16, S, S, 3) uint8 BGR: aligned frames spread over the demo clip."""
    with as_file(files("mdhr_sdk") / "assets" / "demo.mp4") as path, FaceMesher(max_faces=1) as mesher:
        (source,) = list_sources(path)
        with source:
            step = (source.info.frame_count or CLIP_FRAMES) // CLIP_FRAMES
            finder = CropFinder(mesher, Preprocessing(size_px=size_px))
            spread = itertools.islice((frame for frame in source if frame.index % step == 0), CLIP_FRAMES)
            crops = [finder.largest(frame) for frame in spread]
        return np.stack([crop for crop in crops if crop is not None])


@app.command()
def init(
    folder: Annotated[Path, typer.Argument(help="New folder for the model.")],
    backbone: Annotated[str, typer.Option(help="resnet50, swin_base or a timm name.")] = "resnet50",
    label_set: Annotated[str, typer.Option(help="bp4d (12 AUs) or disfa (8 AUs).")] = "bp4d",
    k: Annotated[int, typer.Option(help="Frames on each side whose differences are averaged.")] = 5,
    seed: Annotated[int, typer.Option(help="Random seed.")] = 0,
    pretrained: Annotated[bool, typer.Option(help="ImageNet weights in the backbone (downloads them).")] = False,
    checkpoint: Annotated[Optional[Path], typer.Option(help="Weights of the released code (.pth) to load.")] = None,
) -> None:
    """Make a model folder, untrained or from a checkpoint."""
    made, parameters = make_folder(folder, label_set, backbone, k, seed, pretrained, checkpoint)
    note = "" if made.config.trained else " Untrained: its scores mean nothing."
    say(f"{made.path}: {label_set} {backbone}, {parameters:,} parameters.{note}")
