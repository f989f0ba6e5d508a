"""What every backend looks like to the detector: named NumPy arrays in, named NumPy arrays out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..folder import ModelFolder

Arrays = Mapping[str, NDArray[Any]]


@dataclass(frozen=True)
class TensorSpec:
    """Name, dtype and shape of an input or output; None is an axis that is free at call time."""

    name: str
    dtype: str
    shape: tuple[int | None, ...]


@dataclass(frozen=True)
class SessionOptions:
    """How to open a session.

    Attributes:
        device: 'auto', 'cpu' or 'cuda' (also 'cuda:1').
        threads: CPU threads of the backend; None for its own choice.
    """

    device: str = "auto"
    threads: int | None = None


class Session(Protocol):
    """A clip model that is ready to run.

    The input is 'clip' (B, T, 3, S, S) float32; the outputs are 'scores' (B, T, N) float32 in [0, 1] and
    'region_logits_0' ... (B, T, 2**n) float32.
    """

    backend: str
    device: str
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]

    def run(self, inputs: Arrays) -> dict[str, NDArray[Any]]:
        """Run once.

        Raises:
            InputError: a name, dtype or shape is not that of `inputs`, or the session is closed.
        """
        ...

    def close(self) -> None:
        """Free what the backend holds; may be called twice. A closed session cannot run."""
        ...


class Backend(Protocol):
    """One module a backend: it says whether it can run a folder here, and opens it."""

    NAME: str

    def obstacle(self, folder: ModelFolder, options: SessionOptions) -> str | None:
        """Why this backend cannot run the folder on this machine, with the remedy; None if it can."""
        ...

    def open_clip(self, folder: ModelFolder, options: SessionOptions) -> Session:
        """Open the clip model."""
        ...


def clip_specs(folder: ModelFolder, frames: int | None) -> tuple[tuple[TensorSpec, ...], tuple[TensorSpec, ...]]:
    """Inputs and outputs of a folder's clip model, with T fixed to `frames` or free."""
    model = folder.config.model
    size, groups = model.input_size_px, model.layout.groups if model.auxiliary else ()
    classes = (2 ** len(group.aus) for group in groups)
    logits = (TensorSpec(f"region_logits_{i}", "float32", (None, frames, n)) for i, n in enumerate(classes))
    scores = TensorSpec("scores", "float32", (None, frames, len(model.label_set.aus)))
    return (TensorSpec("clip", "float32", (None, frames, 3, size, size)),), (scores, *logits)


def check_inputs(specs: tuple[TensorSpec, ...], inputs: Arrays) -> None:
    """Refuse arrays that do not fit `specs`.

    Raises:
        InputError: names what was expected and what came.
    """
    names = [spec.name for spec in specs]
    if set(inputs) != set(names):
        raise InputError(f"expected the inputs {names}; got {sorted(inputs)}")
    for spec in specs:
        array = inputs[spec.name]
        if not isinstance(array, np.ndarray) or array.dtype != np.dtype(spec.dtype):
            came = getattr(array, "dtype", type(array))
            raise InputError(f"input '{spec.name}' must be a {spec.dtype} array; got {came}")
        free = array.ndim == len(spec.shape) and all(
            n >= 1 if want is None else n == want for n, want in zip(array.shape, spec.shape, strict=True)
        )
        if not free:
            wanted = tuple("any" if n is None else n for n in spec.shape)
            raise InputError(f"input '{spec.name}' must have the shape {wanted}; got {array.shape}")
