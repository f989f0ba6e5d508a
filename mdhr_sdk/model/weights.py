"""Model folders in and out: `config.json` and `model.safetensors`."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import timm
import torch
from safetensors import SafetensorError
from safetensors.torch import load, save_file

from ..atomic import scratch
from ..errors import ModelFolderError
from ..modelfolder.config import FolderConfig, Preprocessing
from ..modelfolder.folder import WEIGHTS, ModelFolder
from .keys import check_fit
from .mdhr import MDHR


def save_model(
    model: MDHR,
    folder: str | Path,
    *,
    clip_length: int = 16,
    thresholds: Sequence[float] = (),
    trained: bool = False,
    provenance: str = "",
    licence: str = "",
    half: bool = False,
) -> ModelFolder:
    """Write `model` into a new folder: `config.json`, `model.safetensors`, `manifest.json`.

    Args:
        clip_length: T, the window that the detector cuts and that exported graphs are fixed to.
        thresholds: one per AU; 0.5 for all when empty.
        trained: False marks every output made with the model as untrained.
        provenance, licence: where the weights come from and under which terms they stand.
        half: store matrices and kernels in fp16, in half the space. What is computed stays fp32, from rounded weights;
            graphs exported from the folder have the same ones. Norms and biases stay fp32: they are small, and
            a variance can be beyond halves.

    Raises:
        ModelFolderError: the folder holds something already, or cannot be written; or a weight is beyond fp16.
    """
    config = FolderConfig(
        model=model.config,
        clip_length=clip_length,
        thresholds=tuple(float(t) for t in thresholds),
        preprocessing=Preprocessing(size_px=model.config.input_size_px),
        trained=trained,
        provenance=provenance,
        licence=licence,
    )
    return _save_whole(model, Path(folder), config, half)


def _save_whole(model: MDHR, folder: Path, config: FolderConfig, half: bool) -> ModelFolder:
    ModelFolder.check_free(folder)
    folder = folder.resolve()
    # A new folder appears whole, under its name; an empty one of the user's is filled, and emptied if that fails.
    try:
        if folder.exists():
            _fill(folder, model, config, half)
        else:
            folder.parent.mkdir(parents=True, exist_ok=True)
            with scratch(folder.parent) as own:
                building = own / folder.name
                _write(ModelFolder.create(building, config), model, half)
                building.replace(folder)
    except OSError as error:
        raise ModelFolderError(f"model folder '{folder}' cannot be made: {error.strerror or error}") from None
    return ModelFolder(folder, config)


def _fill(folder: Path, model: MDHR, config: FolderConfig, half: bool) -> None:
    try:
        _write(ModelFolder.create(folder, config), model, half)
    except BaseException:
        for path in folder.glob("*"):
            path.unlink()
        raise


def _write(target: ModelFolder, model: MDHR, half: bool) -> None:
    made = {
        "tool": "mdhr_sdk.model.save_model",
        "options": {"stored": "fp16" if half else "fp32"},
        "versions": {"torch": torch.__version__, "timm": timm.__version__},
    }
    tensors = {key: tensor.detach().cpu().contiguous() for key, tensor in model.state_dict().items()}
    if half:
        tensors = {key: _halved(tensor) for key, tensor in tensors.items()}
        if beyond := [key for key, tensor in tensors.items() if not tensor.isfinite().all()]:
            raise ModelFolderError(f"{beyond[0]} does not fit into fp16; save the model with half=False")
    with target.writing(WEIGHTS, made) as path:
        try:
            save_file(tensors, path)
        except SafetensorError as error:
            raise ModelFolderError(f"'{target.path / WEIGHTS}' cannot be written: {error}") from None


def _halved(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.half() if tensor.is_floating_point() and tensor.ndim > 1 else tensor


def load_model(folder: str | Path | ModelFolder) -> MDHR:
    """The model of a folder, on the CPU, in evaluation mode and in fp32, however its file stores the weights.

    Raises:
        ModelFolderError: the folder is incomplete, or its files are not those of its manifest.
        CheckpointError: the weights do not fit `config.json`; the message names every key.
    """
    return load_with_digest(folder if isinstance(folder, ModelFolder) else ModelFolder.open(folder))[0]


def load_with_digest(source: ModelFolder) -> tuple[MDHR, str]:
    """As `load_model`, and the SHA-256 of the file that the weights were read from, which may be replaced later."""
    path, content = source.path / WEIGHTS, source.read(WEIGHTS)
    try:
        tensors = load(content)
    except SafetensorError as error:
        raise ModelFolderError(f"'{path}' is not a safetensors file: {error}") from None
    model = MDHR(source.config.model)
    needed = {key: tensor.shape for key, tensor in model.state_dict().items()}
    check_fit(f"'{path}'", source.config.model, {key: tensor.shape for key, tensor in tensors.items()}, needed)
    model.load_state_dict(tensors)
    return model.eval(), hashlib.sha256(content).hexdigest()
