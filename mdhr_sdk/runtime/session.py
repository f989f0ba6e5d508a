"""What every backend looks like to the detector: named NumPy arrays in, named NumPy arrays out."""

from __future__ import annotations

import functools
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..errors import BackendError, InputError, ModelFolderError, NotFiniteError
from ..modelfolder.config import FolderConfig
from ..ops import DeviceArray
from .forks import survive_forks

if TYPE_CHECKING:
    from typing_extensions import Self

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
        device: 'cpu', 'cuda' (also 'cuda:1'), or 'auto': CUDA where something of the folder runs on it.
        threads: CPU threads of the backend; None for its own choice.
        precision: one of `PRECISIONS`, or 'auto': fp32 on a CPU, on CUDA fp16 where such a graph was exported.
        unproven: take an engine, too, that was never compared with the weights: one built without its device. A
            backend that is asked for by name always takes it.
    """

    device: str = "auto"
    threads: int | None = None
    precision: str = "auto"
    unproven: bool = False


class Part(NamedTuple):
    """Some rows of a run: what came to the host, and what stays on the device until the next part."""

    rows: slice
    arrays: dict[str, NDArray[Any]]
    kept: dict[str, DeviceArray]


class Session(ABC):
    """A graph that is ready to run; `graph_specs` says what goes in and out.

    Attributes:
        backend, device, precision: what runs it, such as 'onnxruntime', 'cuda:0', 'fp16'.
        inputs, outputs: in the graph's order.
        keeps_outputs: whether `run_kept` can leave outputs on the device.
    """

    backend: str
    device: str
    precision: str
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    keeps_outputs: bool = False

    def __new__(cls, *_: Any, **__: Any) -> Self:
        session = super().__new__(cls)
        survive_forks(session)
        return session

    @abstractmethod
    def run(self, inputs: Arrays) -> dict[str, NDArray[Any]]:
        """Run once.

        Raises:
            InputError: a name, dtype or shape is not that of `inputs`, or the session is closed.
        """

    def run_kept(self, inputs: Arrays, kept: Collection[str]) -> Iterator[Part]:
        """As `run`, part by part; the outputs named in `kept` are complete on the device and not copied.

        Raises:
            InputError: as `run`.
            BackendError: as `run`; or the session cannot leave outputs on its device.
        """
        raise BackendError(f"{self.backend} cannot leave outputs on its device; use run()")

    def _check(self, inputs: Arrays, closed: bool) -> None:
        if closed:
            raise InputError("this session is closed; open a new one")
        check_inputs(self.inputs, inputs)

    @abstractmethod
    def close(self) -> None:
        """Free what the backend holds; may be called twice. A closed session cannot run."""


def graph_specs(
    config: FolderConfig, graph: str, frames: int | None
) -> tuple[tuple[TensorSpec, ...], tuple[TensorSpec, ...]]:
    """Inputs and outputs of a graph, the batch free and T fixed to `frames` (None: free too).

    - 'clip': frames of whole clips -> 'scores' and 'region_logits_i'.
    - 'encoder': frames -> what each contributes: 'static' tokens and a 'map_l' for each scale l.
    - 'head': those features of T frames -> 'scores' and 'region_logits_i'. Features and head must come from one
      export: normalisation that follows the maps is folded into them.
    - 'relations': single frames' 'static' tokens and fused 'motion' (eq. 5) -> 'nodes', and 'region_logits_i'.
    - 'temporal': the nodes of a frame and of those that the temporal convolution reads around it -> its 'scores'.
    - 'clip_u8', 'encoder_u8': the same from uint8 BGR crops (..., S, S, 3), normalised inside the graph.
    """
    model = config.model
    size, rows = model.input_size_px, model.input_size_px // 32
    groups = model.layout.groups if model.auxiliary else ()
    nodes, base, bytes_in = len(model.label_set.aus), graph.removesuffix("_u8"), graph.endswith("_u8")
    if base == "temporal":
        around = TensorSpec("nodes", "float32", (None, 2 * model.temporal_reach + 1, nodes, model.au_width))
        return (around,), (TensorSpec("scores", "float32", (None, nodes)),)
    lead = (None,) if base in ("encoder", "relations") else (None, frames)
    logits = tuple(TensorSpec(f"region_logits_{i}", "float32", (*lead, 2 ** len(g.aus))) for i, g in enumerate(groups))
    scores = (TensorSpec("scores", "float32", (*lead, nodes)), *logits)
    picture = ("uint8", (size, size, 3)) if bytes_in else ("float32", (3, size, size))
    if base == "clip":
        return (TensorSpec("clip", picture[0], (None, frames, *picture[1])),), scores
    scales = model.scales if model.mfd else ()
    static = TensorSpec("static", "float32", (*lead, rows * rows, model.au_width))
    if base == "relations":
        channels = (model.projection_width or 0) * (len(scales) if model.fusion == "concat" else 1)
        motion = (TensorSpec("motion", "float32", (*lead, channels, rows, rows)),) if model.mfd else ()
        return (static, *motion), (TensorSpec("nodes", "float32", (*lead, nodes, model.au_width)), *logits)
    features = (
        static,
        *(TensorSpec(f"map_{s}", "float32", (*lead, model.projection_width, rows, rows)) for s in scales),
    )
    if base == "encoder":
        return (TensorSpec("frames", picture[0], (None, *picture[1])),), features
    return features, scores


def check_specs(file: str, kind: str, specs: Sequence[TensorSpec], found: Sequence[TensorSpec]) -> None:
    """Refuse a graph whose 'inputs' or 'outputs' are not those of its kind: what reads them relies on every axis.

    Raises:
        ModelFolderError: another name, dtype or shape.
    """
    wanted, has = ({one.name: (one.dtype, one.shape) for one in some} for some in (specs, found))
    if wanted != has:
        raise ModelFolderError(f"{file} must have the {kind} {wanted}; it has {has!s:.1000}; export it again")


def joined(parts: Sequence[Arrays]) -> dict[str, NDArray[Any]]:
    """What several runs gave, as one run of all rows."""
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def check_finite(session: Session, *arrays: NDArray[Any]) -> None:
    """Refuse numbers that a model in order does not give.

    Raises:
        NotFiniteError: NaN or infinity among them.
    """
    if not finite(*arrays):
        raise NotFiniteError(not_finite(session))


def finite(*arrays: NDArray[Any]) -> bool:
    """Whether there is neither NaN nor infinity."""
    return all(bool(np.isfinite(array).all()) for array in arrays)


def not_finite(session: Session, ring_dtype: str = "float32") -> str:
    """What `NotFiniteError` says; a ring of halves may be the cause, too."""
    ring = "" if ring_dtype == "float32" else f", or ring_dtype='{ring_dtype}' cannot hold it"
    remedy = "" if ring_dtype == "float32" else "ring_dtype='float32', "
    return (
        f"the model answered NaN or infinity in {session.backend} {session.precision} on {session.device}; its weights "
        f"are broken, or its precision is too low{ring}: try {remedy}another backend or folder"
    )


def check_inputs(specs: tuple[TensorSpec, ...], inputs: Arrays) -> None:
    """Refuse arrays that do not fit `specs`.

    Raises:
        InputError: names what was expected and what came.
    """
    if len(inputs) != len(specs) or any(spec.name not in inputs for spec in specs):
        raise InputError(f"expected the inputs {[spec.name for spec in specs]}; got {sorted(inputs)}")
    for spec in specs:
        array = inputs[spec.name]
        if not isinstance(array, np.ndarray) or array.dtype != _dtype(spec.dtype):
            came = getattr(array, "dtype", type(array))
            raise InputError(f"input '{spec.name}' must be a {spec.dtype} array; got {came}")
        if array.ndim != len(spec.shape) or not _fits(array.shape, spec.shape):
            wanted = tuple("any" if n is None else n for n in spec.shape)
            raise InputError(f"input '{spec.name}' must have the shape {wanted}; got {array.shape}")


_dtype = functools.cache(np.dtype)


@functools.lru_cache(256)
def _fits(shape: tuple[int, ...], wanted: tuple[int | None, ...]) -> bool:
    return all(n >= 1 if want is None else n == want for n, want in zip(shape, wanted, strict=True))


def check_kept(outputs: tuple[TensorSpec, ...], kept: Collection[str]) -> None:
    """`kept` names outputs, or InputError."""
    if unknown := sorted(set(kept) - {spec.name for spec in outputs}):
        raise InputError(f"expected outputs to keep from {[spec.name for spec in outputs]}; got {unknown}")
