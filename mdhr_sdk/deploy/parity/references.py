"""What graphs are compared with: the weights, or where they cannot run, graphs that were proven against them."""

from __future__ import annotations

import contextlib
import importlib.util
from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import BackendError, MDHRError, MissingDependencyError, install_hint
from ...modelfolder.artefacts import artefact, no_artefact
from ...modelfolder.folder import WEIGHTS, ModelFolder
from ...ops import fuse_dynamics
from ...runtime import Session, SessionOptions
from ...runtime.backends.onnxruntime import SUFFIX, OnnxRuntimeSession
from ...runtime.session import graph_specs
from ...runtime.stream.clip_of_parts import windows
from ...runtime.stream.parameters import read_parameters

Array = NDArray[np.float32]
Arrays = dict[str, NDArray[Any]]
GRAPHS = ("clip", "encoder", "head", "relations", "temporal")
NEEDED = ("torch", "timm", "safetensors")


class Reference(ABC):
    """What a model answers, whole and part by part, to (B, T, ...) float32 arrays.

    Attributes:
        against: what it is, as reports and the manifest call it.
    """

    against: str

    @abstractmethod
    def clip(self, frames: Array) -> Arrays:
        """Frames of clips -> 'scores' and 'region_logits_i'."""

    @abstractmethod
    def features(self, frames: Array) -> Arrays:
        """Frames -> 'static' and 'map_l', as an exported encoder gives them."""

    @abstractmethod
    def head(self, features: Arrays) -> Arrays:
        """Features -> 'scores' and 'region_logits_i'."""

    @abstractmethod
    def inputs(self, features: Arrays) -> Arrays:
        """Features -> what the relations of single frames read: 'static', and with dynamics 'motion'."""

    @abstractmethod
    def nodes(self, inputs: Arrays) -> Array:
        """`inputs` -> nodes."""

    @abstractmethod
    def scores(self, nodes: Array) -> Array:
        """Nodes of whole clips -> their scores."""

    @abstractmethod
    def in_windows(self, video: Array, lookahead: int, length: int) -> Array:
        """(F, 3, S, S) -> (F, N): each frame's scores in its window.

        A window has at most `length` frames, and ends `lookahead` frames after its frame, or with the video.
        """

    def lacks(self, graph: str) -> str:
        """Why it cannot tell what a graph is to answer; empty if it can."""
        return ""

    def is_it(self, session: Session, graph: str) -> bool:
        """Whether a session is this reference itself, so that to compare them would say nothing."""
        return False


def open_reference(folder: ModelFolder) -> Reference:
    """The weights, where PyTorch and they are here; else the folder's proven graphs.

    Raises:
        MissingDependencyError: there is no PyTorch, nor a graph that was compared with the weights.
        ModelFolderError: the weights cannot be used, and no graph was compared with them.
    """
    why = _no_weights(folder)
    if why:
        reference = OnnxReference(folder, why)
        if reference.files:
            return reference
        if folder.has(WEIGHTS):
            raise MissingDependencyError(
                f"nothing to compare with: {why} ({install_hint('export')}), and '{folder.path}' has no fp32 ONNX "
                "graph that was compared with the weights"
            )
    from .pytorch_reference import WeightsReference

    return WeightsReference.load(folder)


def reference_obstacle(folder: ModelFolder, graph: str) -> str:
    """Why nothing is here to compare a graph with; empty if something is."""
    if not _no_weights(folder):
        return ""
    try:
        return open_reference(folder).lacks(graph)
    except MDHRError as error:
        return str(error)


def _no_weights(folder: ModelFolder) -> str:
    """Why the weights cannot be run here; empty if they can."""
    missing = [module for module in NEEDED if importlib.util.find_spec(module) is None]
    if missing:
        return f"{', '.join(missing)} is not installed here, so the weights cannot be run"
    return "" if folder.has(WEIGHTS) else f"the folder has no {WEIGHTS}"


class OnnxReference(Reference):
    """The folder's fp32 ONNX graphs on the CPU, of those only that the manifest says answered like the weights.

    Attributes:
        files: graph -> file.
    """

    def __init__(self, folder: ModelFolder, why: str) -> None:
        """`why` the weights themselves are not taken."""
        self._folder, self._config, self._why = folder, folder.config, why
        self.files = {graph: artefact(graph, "fp32", SUFFIX) for graph in GRAPHS if _unproven(folder, graph) is None}
        self.against = f"{', '.join(self.files.values())} in onnxruntime on the CPU"
        self._sessions: dict[str, Session] = {}
        self._parameters: Any = None

    def clip(self, frames: Array) -> Arrays:
        return self._run("clip", {"clip": frames}) if "clip" in self.files else self.head(self.features(frames))

    def features(self, frames: Array) -> Arrays:
        return self._by_frame("encoder", {"frames": frames})

    def head(self, features: Arrays) -> Arrays:
        if "head" in self.files:
            return self._run("head", features)
        found = self._by_frame("relations", self.inputs(features))
        return {"scores": self.scores(found.pop("nodes")), **found}

    def inputs(self, features: Arrays) -> Arrays:
        static, *maps = (features[spec.name] for spec in graph_specs(self._config, "head", None)[0])
        model = self._config.model
        if not model.mfd:
            return {"static": static}
        if self._parameters is None:
            with self._told():
                self._parameters = read_parameters(self._folder, scaled=True)
        return {"static": static, "motion": fuse_dynamics(maps, self._parameters, model.k)}

    def nodes(self, inputs: Arrays) -> Array:
        return self._by_frame("relations", inputs)["nodes"]

    def scores(self, nodes: Array) -> Array:
        return self._by_frame("temporal", {"nodes": windows(nodes, self._config.model.temporal_reach)})["scores"]

    def in_windows(self, video: Array, lookahead: int, length: int) -> Array:
        features = {name: value[0] for name, value in self.features(video[None]).items()}
        rows = []
        for frame, window in stream_windows(len(video), lookahead, length):
            nodes = self.nodes(self.inputs({name: value[None, window] for name, value in features.items()}))
            rows.append(self.scores(nodes)[0, frame - window.start])
        return np.stack(rows)

    def lacks(self, graph: str) -> str:
        parts = ("relations", "temporal")
        head = ("head",) if "head" in self.files else parts
        whole = ("clip",) if "clip" in self.files else ("encoder", *head)
        needed = {"clip": whole, "encoder": (*whole, "encoder", *head), "head": (*whole, "encoder")}
        try:
            with self._told():
                for other in needed.get(graph.removesuffix("_u8"), ("encoder", *parts)):
                    if reason := _unproven(self._folder, other):
                        raise BackendError(reason)
                    if other == "relations" and self._config.model.mfd:
                        read_parameters(self._folder, scaled=True)
        except BackendError as error:
            return str(error)
        return ""

    def is_it(self, session: Session, graph: str) -> bool:
        own = (session.backend, session.device, session.precision) == ("onnxruntime", "cpu", "fp32")
        return own and graph in self.files

    def _by_frame(self, graph: str, inputs: Arrays) -> Arrays:
        """Run a graph of single frames."""
        shape = next(iter(inputs.values())).shape[:2]
        found = self._run(graph, {name: value.reshape(-1, *value.shape[2:]) for name, value in inputs.items()})
        return {name: value.reshape(*shape, *value.shape[1:]) for name, value in found.items()}

    def _run(self, graph: str, inputs: Arrays) -> Arrays:
        if graph not in self._sessions:
            with self._told():
                options = SessionOptions("cpu", precision="fp32")
                self._sessions[graph] = OnnxRuntimeSession(self._folder, graph, options)
        return self._sessions[graph].run({name: np.ascontiguousarray(value) for name, value in inputs.items()})

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        """What is wrong with the reference says nothing of what is compared with it."""
        try:
            yield
        except MDHRError as error:
            raise BackendError(f"{self._why}, and no other graph stands for them: {error}") from None


def stream_windows(frames: int, lookahead: int, length: int) -> list[tuple[int, slice]]:
    """Each frame of a video and its window; see `Reference.in_windows`."""
    ends = [min(frame + lookahead, frames - 1) + 1 for frame in range(frames)]
    return [(frame, slice(max(0, end - length), end)) for frame, end in enumerate(ends)]


def _unproven(folder: ModelFolder, graph: str) -> str | None:
    """Why a graph cannot stand for the weights; None if it can."""
    name = artefact(graph, "fp32", SUFFIX)
    if reason := no_artefact(folder, name, "export it where PyTorch is"):
        return reason
    report = folder.manifest[name].get("parity") or {}
    if report.get("max_score") is None or report.get("against", WEIGHTS) != WEIGHTS:
        return f"{name} was never compared with the weights (mdhr verify, where PyTorch is)"
    return None
