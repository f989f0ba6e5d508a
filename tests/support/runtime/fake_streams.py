"""A model for streams whose every number is known beforehand, and sources that are live."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from fakes import CODES, CONFIG, INFO, FakeMesher
from mdhr_sdk import AUDetector
from mdhr_sdk.errors import BackendError, SourceError
from mdhr_sdk.modelfolder.config import FolderConfig
from mdhr_sdk.results import FrameResult
from mdhr_sdk.runtime.session import graph_specs
from mdhr_sdk.runtime.stream.stream_graphs import StreamGraphs
from mdhr_sdk.vision import Source
from mdhr_sdk.vision.sources.source import Opened
from ops_cases import parameters

STREAMING = dataclasses.replace(
    CONFIG, model=dataclasses.replace(CONFIG.model, k=1, projection_width=2), clip_length=7
)  # which has one lookahead without edges, 3
PARAMETERS = parameters(np.random.default_rng(0), 4, 2)


class FakeGraph:
    """The grey level of a crop goes through as features and, with its motion, node; scores tell all around a frame."""

    backend, device, precision = "fake", "cpu", "fp32"

    def __init__(self, graph: str) -> None:
        self.graph = graph
        self.inputs, self.outputs = graph_specs(STREAMING, graph, STREAMING.clip_length)
        self.batches: list[int] = []
        self.fails = False

    def run(self, inputs: Mapping[str, np.ndarray]) -> dict[str, Any]:
        value = inputs[self.inputs[0].name]
        self.batches.append(len(value))
        if self.fails:
            raise BackendError("out of memory")
        if self.graph == "encoder":
            mean, std = (np.reshape(v, (3, 1, 1)) for v in (CONFIG.preprocessing.mean, CONFIG.preprocessing.std))
            levels = np.rint((value * std + mean)[:, 0, 32, 32] * 255)
            return {spec.name: self._filled(spec.name, levels) for spec in self.outputs}
        if self.graph == "relations":
            value = value + inputs["motion"][:, :1, 0, :1]
            logits = {spec.name: self._filled(spec.name, value[:, 0, 0]) for spec in self.outputs[1:]}
            return {"nodes": self._filled("nodes", value[:, 0, 0]), **logits}
        around = value[:, :, 0, 0] @ (7.0 ** np.arange(value.shape[1]))
        return {"scores": ((around[:, None] + 13 * np.arange(len(CODES))) % 101 / 100).astype(np.float32)}

    def _filled(self, name: str, levels: np.ndarray) -> np.ndarray:
        (spec,) = (spec for spec in self.outputs if spec.name == name)
        shape = (len(levels), *(n or 0 for n in spec.shape[1:]))
        return np.broadcast_to(levels.reshape(-1, *[1] * (len(shape) - 1)), shape).astype(np.float32)

    def close(self) -> None:
        pass


def streaming(config: FolderConfig = STREAMING) -> AUDetector:
    graphs = StreamGraphs(config, *map(FakeGraph, ("encoder", "relations", "temporal")), PARAMETERS, "", 1)
    return AUDetector(config, graphs, INFO)


def of_each(frames: list[FrameResult]) -> dict[str, list[FrameResult]]:
    return {name: [one for one in frames if one.source == name] for name in dict.fromkeys(f.source for f in frames)}


def camera(frames: Iterable[np.ndarray], name: str = "camera", breaks: bool = False, hasty: bool = False) -> Source:
    """A live source that shows these frames and ends as cameras do, by breaking off.

    Only a hasty one goes on before its frame was looked at by a `FakeMesher`.
    """

    def shown() -> Iterator[tuple[np.ndarray, float]]:
        for index, image in enumerate(frames):
            yield image, index / 25
            assert hasty or FakeMesher.wait_until_found(image), "nobody looked at the frame"
        if breaks:
            raise SourceError(f"{name} stopped")

    return Source(name, "camera", lambda: contextlib.nullcontext(Opened(25.0, None, True, shown())))
