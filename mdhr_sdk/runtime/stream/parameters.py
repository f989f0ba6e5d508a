"""The weights of the motion path (eq. 2-5) as `mdhr_sdk.ops` takes them, read without PyTorch."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import BackendError, ModelFolderError
from ...modelfolder.config import ModelConfig
from ...modelfolder.folder import WEIGHTS, ModelFolder
from ...ops import DynamicsParameters
from ...plain_json import parsed

EPSILON = 1e-5  # of PyTorch's BatchNorm
HEAD = "head.dynamics"
KINDS: dict[str, np.dtype[Any]] = {"BOOL": np.dtype("?"), "U8": np.dtype("u1"), "I8": np.dtype("i1")}
KINDS |= {f"{kind}{8 * size}": np.dtype(f"<{kind.lower()}{size}") for kind in "FIU" for size in (2, 4, 8)}
Array = NDArray[np.float32]


def read_parameters(folder: ModelFolder, scaled: bool) -> DynamicsParameters:
    """Fold the BatchNorms of a folder's weights.

    Args:
        scaled: whether the maps come from an exported encoder, whose projections hold the scale already.

    Raises:
        BackendError: the model fuses its scales in another way than the released one.
        ModelFolderError: the weights are missing, not what the manifest says, or not this model's.
    """
    model = folder.config.model
    if model.fusion != "adaptive" or len(model.scales) < 2:
        raise BackendError(
            f"a stream needs fusion='adaptive' of at least two scales; this model has fusion='{model.fusion}' of "
            f"{len(model.scales)}: use clip mode"
        )
    content = folder.read(WEIGHTS)  # compared with the manifest, and not read again
    path = folder.path / WEIGHTS
    try:
        tensors = _views(content)
    except (AttributeError, TypeError, KeyError, ValueError) as error:  # also kinds of numbers that NumPy lacks
        raise ModelFolderError(f"'{path}' is not a safetensors file of floats: {error}") from None
    if wrong := _misfit(tensors, model):
        raise ModelFolderError(f"'{path}' does not fit its config.json: {wrong}")
    return _parameters(tensors, len(model.scales), scaled)


def _views(content: bytes) -> dict[str, NDArray[Any]]:
    """The tensors of the motion path in a safetensors file, where they lie: the others may take gigabytes."""
    begin = 8 + int.from_bytes(content[:8], "little")
    if not 8 < begin <= len(content):
        raise ValueError("its header is longer than the file")
    found = {}
    for name, told in parsed(content[8:begin]).items():
        if name == "__metadata__":
            continue
        kind, (first, last), shape = KINDS[told["dtype"]], told["data_offsets"], told["shape"]
        if not all(type(size) is int for size in (first, last, *shape)):  # a text times a number is a longer text
            raise ValueError(f"{name} has a size or a place that is no whole number")
        count = math.prod(shape)
        if not 0 <= first <= last <= len(content) - begin or last - first != count * kind.itemsize:
            raise ValueError(f"{name} does not lie where its header says")
        if name.startswith(f"{HEAD}."):
            found[name] = np.frombuffer(content, kind, count, begin + first).reshape(shape)
    return found


def _misfit(tensors: Mapping[str, NDArray[Any]], model: ModelConfig) -> str | None:
    """Which tensor of the motion path is missing, or not of the shape or kind that the configuration wants."""
    scales, squeezed = len(model.scales), model.weight_width
    channels = model.projection_width or np.size(tensors.get(f"{HEAD}.biases.0", ()))
    shapes: dict[str, tuple[int, ...]] = {}
    for level in range(scales):
        shapes[f"biases.{level}"] = (channels,)
        shapes[f"fusion.squeeze.{level}.weight"] = (squeezed, channels, 1, 1)
        shapes[f"fusion.squeeze.{level}.bias"] = (squeezed,)
        for norm, width in ((f"norms.{level}", channels), (f"fusion.norms.{level}", squeezed)):
            shapes |= {f"{norm}.{name}": (width,) for name in ("weight", "bias", "running_mean", "running_var")}
    shapes |= {"fusion.weigh.weight": (scales, scales * squeezed, 1, 1), "fusion.weigh.bias": (scales,)}
    for name, shape in shapes.items():
        if (tensor := tensors.get(f"{HEAD}.{name}")) is None:
            return f"no tensor '{HEAD}.{name}'"
        if tensor.shape != shape or tensor.dtype.kind != "f":
            return f"{HEAD}.{name} must hold floats of the shape {shape}; it holds {tensor.dtype} of {tensor.shape}"
    return None


def _parameters(tensors: Mapping[str, NDArray[Any]], scales: int, scaled: bool) -> DynamicsParameters:
    def get(name: str) -> Array:
        return tensors[f"{HEAD}.{name}"].astype(np.float32)

    def affine(norm: str, bias: Array) -> tuple[Array, Array]:
        """BatchNorm of x + bias as x * scale + shift."""
        scale = get(f"{norm}.weight") / np.sqrt(get(f"{norm}.running_var") + np.float32(EPSILON))
        return scale, (bias - get(f"{norm}.running_mean")) * scale + get(f"{norm}.bias")

    levels = range(scales)
    norms = [affine(f"norms.{level}", get(f"biases.{level}")) for level in levels]
    squeezes = [affine(f"fusion.norms.{level}", get(f"fusion.squeeze.{level}.bias")) for level in levels]
    weights = [get(f"fusion.squeeze.{level}.weight")[:, :, 0, 0] * squeezes[level][0][:, None] for level in levels]
    scale = np.stack([scale for scale, _ in norms])
    return DynamicsParameters(
        scale=np.ones_like(scale) if scaled else scale,
        shift=np.stack([shift for _, shift in norms]),
        squeeze=np.stack(weights),
        squeeze_bias=np.stack([shift for _, shift in squeezes]),
        weigh=np.ascontiguousarray(get("fusion.weigh.weight")[:, :, 0, 0]),
        weigh_bias=get("fusion.weigh.bias"),
    )
