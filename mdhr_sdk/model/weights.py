"""Model folders in and out: `config.json` and `model.safetensors`."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import timm
import torch
from safetensors import SafetensorError
from safetensors.torch import load, save_file

from ..arguments import flag
from ..errors import ModelFolderError
from ..modelfolder.config import FolderConfig, ModelConfig, Preprocessing
from ..modelfolder.folder import WEIGHTS, ModelFolder
from ..modelfolder.new_folder import new_folder
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
        ConfigError: a value that `FolderConfig` refuses, or a word in the place of True or False.
        ModelFolderError: the folder holds something already, or cannot be written; or a weight is beyond fp16.
    """
    flag("half", half)
    config = FolderConfig(
        model=model.config,
        clip_length=clip_length,
        thresholds=tuple(float(t) for t in thresholds),
        preprocessing=Preprocessing(size_px=model.config.input_size_px),
        trained=flag("trained", trained),
        provenance=provenance,
        licence=licence,
    )
    with new_folder(folder) as building:
        _write(ModelFolder.create(building, config), model, half)
    return ModelFolder(Path(folder).resolve(), config)


MOST_HEADER = 8 << 20  # bytes


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
    path, shapes = source.path / WEIGHTS, _shapes_of(source.config.model)
    own = shapes.state_dict()
    most, told = MOST_HEADER + sum(8 * tensor.numel() for tensor in own.values()), source.manifest.get(WEIGHTS, {})
    if told.get("bytes", 0) > most:  # a file of zeros is small in an archive, and takes memory twice
        raise ModelFolderError(
            f"'{path}' has {told['bytes']:,} bytes, and the model of its config.json has at most {most:,}; take other "
            "weights"
        )
    content = source.read(WEIGHTS)
    try:
        tensors = load(content)
    except (SafetensorError, KeyError, TypeError, ValueError, RuntimeError) as error:  # also kinds that PyTorch lacks
        raise ModelFolderError(f"'{path}' is not a safetensors file of floats: {error}") from None
    config = source.config.model
    needed = {key: tensor.shape for key, tensor in own.items()}
    check_fit(f"'{path}'", config, {key: tensor.shape for key, tensor in tensors.items()}, needed)
    _check_numbers(path, tensors, shapes)
    digest = hashlib.sha256(content).hexdigest()
    del content  # before the model takes memory of its own
    model = MDHR(config)
    model.load_state_dict(tensors)
    return model.eval(), digest


def _shapes_of(config: ModelConfig) -> MDHR:
    """The model without memory for its weights: what a configuration asks for may be far larger than the file."""
    try:
        with torch.device("meta"):
            return MDHR(config)
    except (RuntimeError, NotImplementedError):  # a backbone that computes something while it is made
        return MDHR(config)


def _check_numbers(path: Path, tensors: Mapping[str, torch.Tensor], model: MDHR) -> None:
    """Weights are real and finite numbers, and only counters are whole ones."""
    for key, own in model.state_dict().items():
        if own.is_floating_point() != tensors[key].is_floating_point() or tensors[key].is_complex():
            kind = str(tensors[key].dtype).removeprefix("torch.")
            raise ModelFolderError(f"'{path}' does not fit its config.json: {key} holds {kind}, and must hold floats")
        if not tensors[key].float().isfinite().all():  # kinds of 8 bits have no such check
            raise ModelFolderError(f"'{path}' cannot be used: {key} holds NaN or infinity; take other weights")
