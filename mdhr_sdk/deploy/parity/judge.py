"""The gate: an exported graph must answer what the weights answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from ...model import MDHR, FrameFeatures
from ...model.dynamics import difference
from ...modelfolder.config import FolderConfig
from ...runtime import Session
from ...runtime.session import graph_specs
from .footage import as_input
from .report import ParityReport, report_on

BATCHES = (1, 2, 3, 5)  # the export's example has batch 2; a batch baked into a graph gives wrong numbers at others
Arrays = dict[str, NDArray[Any]]


@dataclass(frozen=True, eq=False)
class Judge:
    """Compares sessions with the weights they were made from.

    Attributes:
        model: the weights. Scores are compared with its own, in the released order.
        view: its export view. Features are compared with the view's, whose maps are scaled.
        clips: uint8 crops (n, T, S, S, 3) to judge by; None for random pictures in motion.
    """

    config: FolderConfig
    model: MDHR
    view: MDHR
    clips: NDArray[np.uint8] | None = None
    _kept: dict[tuple[str, int, bool], Any] = field(default_factory=dict, repr=False)

    def compare(self, session: Session, graph: str, batches: Sequence[int] = BATCHES) -> ParityReport:
        """Run a session and the model in fp32 on the same clips, at every batch of `batches`.

        Raises:
            ExportError: an output has another shape than the model's.
        """
        pairs = [self._pair(session, graph, batch) for batch in batches]
        thresholds = self.thresholds([wanted["scores"] for wanted, _ in pairs])
        return report_on(session.precision, self.distinct(batches), thresholds, pairs)

    def distinct(self, batches: Sequence[int]) -> int:
        """How many different clips `probe` gives at these batches."""
        if self.clips is None:
            return sum(batches)
        return len({int(index) for batch in batches for index in _turn(batch, len(self.clips))})

    def thresholds(self, scores: Sequence[NDArray[Any]]) -> NDArray[Any]:
        """Those of the folder; of an untrained model the medians of `scores`, each (B, T, N)."""
        if self.config.trained:
            return np.asarray(self.config.thresholds, np.float32)
        return np.median(np.concatenate(scores), axis=(0, 1))

    def _pair(self, session: Session, graph: str, batch: int) -> tuple[Arrays, Arrays]:
        """What the weights answer, and what the session does."""
        clip, frames, wanted = self._once(batch, graph.endswith("_u8"))
        if graph.startswith("clip"):
            return wanted, session.run({"clip": clip})
        features = self._features_once(batch, graph.endswith("_u8"), frames)
        if graph == "head":
            return wanted, session.run(features)
        if graph in ("relations", "temporal"):
            return self._parts(session, graph, batch, features, wanted)
        got = _in_turns(session, {"frames": clip})
        static, *maps = (torch.from_numpy(got[name]).float() for name in features)
        with torch.inference_mode():
            scores = _named_scores(self.config, self.view.head(FrameFeatures(static, tuple(maps))))
        return {**wanted, **features}, {**scores, **got}

    def _parts(
        self, session: Session, graph: str, batch: int, features: Arrays, wanted: Arrays
    ) -> tuple[Arrays, Arrays]:
        """The graphs of single frames, what they leave out the view does."""
        shape = (batch, self.config.clip_length)
        static, *maps = (torch.from_numpy(x) for x in features.values())
        with torch.inference_mode():
            inputs, tokens = {"static": static.flatten(0, 1).numpy()}, static
            if (dynamics := self.view.head.dynamics) is not None:
                motion = dynamics.fusion(dynamics.means([difference(m) for m in maps]))
                inputs["motion"], tokens = motion.numpy(), static + dynamics.tokens(motion).unflatten(0, shape)
            nodes, _ = self.view.head.nodes(tokens.flatten(0, 1))
        if graph == "temporal":
            windows = _windows(nodes.unflatten(0, shape).numpy(), self.config.model.temporal_reach)
            return wanted, _in_turns(session, {"nodes": windows})
        got = _in_turns(session, {name: value.reshape(*shape, *value.shape[1:]) for name, value in inputs.items()})
        with torch.inference_mode():
            scores = self.view.head.scores(torch.from_numpy(got["nodes"]).float()).numpy()
        return {**wanted, "nodes": nodes.unflatten(0, shape).numpy()}, {**got, "scores": scores}

    def _once(self, batch: int, bytes_in: bool) -> tuple[NDArray[Any], torch.Tensor, Arrays]:
        """Clips for a session, the same for the model, and its scores; computed for the first graph that asks."""
        key = ("scores", batch, bytes_in)
        if key not in self._kept:
            clip, frames = self.probe(batch, bytes_in)
            with torch.inference_mode():
                self._kept[key] = clip, frames, _named_scores(self.config, self.model(frames))
        return self._kept[key]

    def _features_once(self, batch: int, bytes_in: bool, frames: torch.Tensor) -> Arrays:
        """The view's features of the same clips, (B, T, ...) by name."""
        key = ("features", batch, bytes_in)
        if key not in self._kept:
            names = [spec.name for spec in graph_specs(self.config, "head", self.config.clip_length)[0]]
            with torch.inference_mode():
                features = self.view.encode(frames)
            arrays = (x.numpy() for x in (features.static, *features.maps))
            self._kept[key] = dict(zip(names, arrays, strict=True))
        return self._kept[key]

    def probe(self, batch: int, bytes_in: bool) -> tuple[NDArray[Any], torch.Tensor]:
        """Clips as a session takes them, and the same as the model does: (B, T, 3, S, S) float32."""
        if self.clips is None:
            clip = probe_clip(self.config, batch)
            crops = np.clip(128 + 50 * np.moveaxis(clip, 2, -1), 0, 255).astype(np.uint8)
        else:
            crops = self.clips[_turn(batch, len(self.clips))]
            clip = as_input(crops, self.config)
        if not bytes_in:
            return clip, torch.from_numpy(clip)
        return crops, torch.from_numpy(as_input(crops, self.config))


def _turn(batch: int, clips: int) -> NDArray[np.int_]:
    """Which of so many clips make a batch: another beginning at each, so that all get their turn."""
    return (np.arange(batch) + batch) % clips


def probe_clip(config: FolderConfig, batch: int) -> NDArray[np.float32]:
    """(batch, T, 3, S, S): coarse random pictures whose motion grows from subtle to large over the batch."""
    rng = np.random.default_rng(batch)
    size, frames = config.model.input_size_px, config.clip_length
    coarse = rng.standard_normal((2, batch, 1, 3, size // 8, size // 8), dtype=np.float32)
    still, move = coarse.repeat(8, axis=-1).repeat(8, axis=-2)
    strength = np.geomspace(0.02, 0.5, batch, dtype=np.float32).reshape(batch, 1, 1, 1, 1)
    phase = np.sin(np.arange(frames, dtype=np.float32) / 3).reshape(1, frames, 1, 1, 1)
    return still + strength * phase * move


def _named_scores(config: FolderConfig, output: Any) -> Arrays:
    names = [spec.name for spec in graph_specs(config, "clip", config.clip_length)[1]]
    return dict(zip(names, (x.numpy() for x in (output.scores, *output.region_logits)), strict=True))


def _windows(nodes: NDArray[np.float32], reach: int) -> NDArray[np.float32]:
    """(B, T, N, W) -> (B, T, 2 * reach + 1, N, W): each frame with those around it, zero beyond the clip."""
    padded = np.pad(nodes, ((0, 0), (reach, reach), (0, 0), (0, 0)))
    return np.ascontiguousarray(np.moveaxis(sliding_window_view(padded, 2 * reach + 1, axis=1), -1, 2))


def _in_turns(session: Session, inputs: Arrays) -> Arrays:
    """What a graph of single frames answers to (B, T, ...) inputs, asked for 1, 2, 3, 5, 1, ... frames at a time."""
    shape = next(iter(inputs.values())).shape[:2]
    flat = {name: value.reshape(-1, *value.shape[2:]) for name, value in inputs.items()}
    parts, start, turn = [], 0, 0
    while start < shape[0] * shape[1]:
        stop = start + BATCHES[turn % len(BATCHES)]
        parts.append(session.run({name: value[start:stop] for name, value in flat.items()}))
        start = stop
        turn += 1
    joined = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    return {name: value.reshape(*shape, *value.shape[1:]) for name, value in joined.items()}
