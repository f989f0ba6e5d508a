"""What every backend looks like to the detector: named NumPy arrays in, named NumPy arrays out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError, NotFiniteError
from ..modelfolder.config import FolderConfig
from ..modelfolder.folder import ModelFolder
from ..modelfolder.manifest import failed_on

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


class Session(Protocol):
    """A graph that is ready to run; `graph_specs` says what goes in and out."""

    backend: str
    device: str
    precision: str
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
    """One module (or object) a backend: it says whether it can run a folder here, and opens it.

    Attributes:
        NAME: what `backend=` calls it.
        AUTO: whether 'auto' considers it.
        DEVICES: 'cuda', 'cpu' or both; the best first.
        PRECISIONS: some of `PRECISIONS`. `open_session` calls the functions with nothing but these.
    """

    NAME: str
    AUTO: bool
    DEVICES: tuple[str, ...]
    PRECISIONS: tuple[str, ...]

    def obstacle(self, folder: ModelFolder, graph: str, options: SessionOptions) -> str | None:
        """Why this backend cannot run a graph of the folder on this machine, with the remedy; None if it can."""
        ...

    def open_graph(self, folder: ModelFolder, graph: str, options: SessionOptions) -> Session:
        """Open one of `GRAPHS`.

        Raises:
            BackendError: the device or precision turns out not to work here.
            ModelFolderError: the file is damaged, foreign or stale.
        """
        ...


# fp16 and int8 live in the graph that was exported; bf16 is how a CPU that has it computes an fp32 graph.
PRECISIONS = ("fp32", "fp16", "bf16", "int8")
GRAPHS = ("clip", "encoder", "head", "relations", "temporal", "clip_u8", "encoder_u8")
HEADS = ("head", "relations", "temporal")  # small parts: they have no int8 form, and stay in fp32 beside an encoder's


def artefact(graph: str, precision: str, suffix: str) -> str:
    """File name of an exported graph: 'clip.onnx' in fp32 and bf16, else 'clip.fp16.onnx'."""
    return f"{graph}.{suffix}" if precision in ("fp32", "bf16") else f"{graph}.{precision}.{suffix}"


def parity_entry(backend: str, precision: str) -> str:
    """Where the manifest keeps how a file answers in a backend beside the one that its export was judged in."""
    return f"parity_in_{backend}_{precision}"


def no_artefact(folder: ModelFolder, name: str, remedy: str, entry: str = "parity") -> str | None:
    """Why an exported file cannot be used, with the command that makes it; None if it can.

    Args:
        entry: of the manifest, a comparison that counts beside 'parity'.
    """
    if folder.has(name) and name not in folder.manifest:
        return f"the manifest does not vouch for {name} ({remedy})"
    if not folder.has(name):
        return f"the folder has no {name} ({remedy})"
    for kept in ("parity", entry):
        if failure := (folder.manifest.get(name, {}).get(kept) or {}).get("failure"):
            return f"{name} does not answer like the weights: {failure} ({_again(folder, name, kept)})"
    return folder.stale(name)


def _again(folder: ModelFolder, name: str, kept: str) -> str:
    """What lifts a failure that the manifest keeps."""
    on = failed_on(folder.manifest[name][kept])
    return f"take another, or compare again: mdhr verify {folder.path}{f' --on {on}' if on else ''}"


def stream_entry(backend: str, precision: str) -> str:
    """Where the manifest keeps how streams of an encoder answer in a backend."""
    return f"streams_in_{backend}_{precision}"


def no_stream(folder: ModelFolder, encoder: str, backend: str, precision: str) -> str | None:
    """Why streams do not run on an exported encoder in a backend although each of their graphs does.

    None if they do, and where they were never compared there.
    """
    streams = folder.manifest.get(encoder, {}).get(stream_entry(backend, precision)) or {}
    for lookahead, report in streams.items():
        if failure := report.get("failure"):
            return (
                f"streams of {encoder} do not answer like the weights in {backend} {precision} at lookahead "
                f"{lookahead}: {failure} (export it again)"
            )
    return None


def export_command(folder: ModelFolder, kind: str, graph: str, precision: str) -> str:
    """What a person types to make an artefact."""
    if graph in HEADS and precision == "int8":
        return f"a {graph} graph has no int8 form; take it in fp32"
    first, path = (f"mdhr copy {folder.path.name} FOLDER, then ", "FOLDER") if folder.bundled else ("", folder.path)
    words = f"{first}mdhr export {path} --format {kind} --graph {graph}"
    if precision == "int8":
        return f"{words} --precision int8 --calibrate VIDEO_OR_FOLDER"
    return words if precision in ("fp32", "bf16") else f"{words} --precision {precision}"


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
