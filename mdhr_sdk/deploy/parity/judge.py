"""The gate: an exported graph must answer what the weights answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import ExportError
from ...modelfolder.config import FolderConfig
from ...runtime import Session
from ...runtime.session import joined
from ...runtime.stream.clip_of_parts import windows
from .footage import as_input
from .references import Array, Arrays, Reference
from .report import ParityReport, report_on

BATCHES = (1, 2, 3, 5)  # the export's example has batch 2; a batch baked into a graph gives wrong numbers at others


@dataclass(frozen=True, eq=False)
class Judge:
    """Compares sessions with what the weights answer.

    Attributes:
        reference: gives that answer.
        clips: uint8 crops (n, T, S, S, 3) to judge by; None for random pictures in motion.
    """

    config: FolderConfig
    reference: Reference
    clips: NDArray[np.uint8] | None = None
    _kept: dict[tuple[str, int, bool], Any] = field(default_factory=dict, repr=False)

    def compare(self, session: Session, graph: str, batches: Sequence[int] = BATCHES) -> ParityReport:
        """Run a session and the reference on the same clips, at every batch of `batches`.

        Raises:
            ExportError: an output has another shape than the model's.
            BackendError: the reference cannot be run for this graph.
        """
        pairs = [self._pair(session, graph, batch) for batch in batches]
        thresholds = self.thresholds([wanted["scores"] for wanted, _ in pairs])
        against = self.reference.against
        return report_on(session.precision, self.distinct(batches), thresholds, pairs, against)

    def gate(
        self,
        session: Session,
        graph: str,
        made: dict[str, Any],
        entry: str = "parity",
        batches: Sequence[int] = BATCHES,
    ) -> ParityReport:
        """Compare a session, note the figures in `made[entry]`, and close it.

        Raises:
            ExportError: it does not answer like the weights.
        """
        try:
            report = self.compare(session, graph, batches)
        finally:
            session.close()
        made[entry] = report.to_dict()
        if report.failure:
            on_noise = "; that was on random pictures: judge it on faces with --calibrate FOOTAGE"
            remedy = on_noise if self.clips is None else ""
            raise ExportError(f"the {graph} graph in {report.precision} was not kept: {report.failure}{remedy}")
        return report

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
        """What the reference answers, and what the session does."""
        clip, frames, wanted = self._once(batch, graph.endswith("_u8"))
        if graph.startswith("clip"):
            return wanted, session.run({"clip": clip})
        features = self._features_once(batch, graph.endswith("_u8"), frames)
        if graph == "head":
            return wanted, session.run(features)
        if graph in ("relations", "temporal"):
            return self._parts(session, graph, features, wanted)
        got = _in_turns(session, {"frames": clip})
        return {**wanted, **features}, {**self.reference.head(got), **got}

    def _parts(self, session: Session, graph: str, features: Arrays, wanted: Arrays) -> tuple[Arrays, Arrays]:
        """The graphs of single frames, what they leave out the reference does."""
        inputs = self.reference.inputs(features)
        nodes = self.reference.nodes(inputs)
        if graph == "temporal":
            return wanted, _in_turns(session, {"nodes": windows(nodes, self.config.model.temporal_reach)})
        got = _in_turns(session, inputs)
        return {**wanted, "nodes": nodes}, {**got, "scores": self.reference.scores(got["nodes"])}

    def _once(self, batch: int, bytes_in: bool) -> tuple[NDArray[Any], Array, Arrays]:
        """Clips for a session, the same for the reference, and its scores; computed for the first graph that asks."""
        key = ("scores", batch, bytes_in)
        if key not in self._kept:
            clip, frames = self.probe(batch, bytes_in)
            self._kept[key] = clip, frames, self.reference.clip(frames)
        return self._kept[key]

    def _features_once(self, batch: int, bytes_in: bool, frames: Array) -> Arrays:
        """The reference's features of the same clips."""
        key = ("features", batch, bytes_in)
        if key not in self._kept:
            self._kept[key] = self.reference.features(frames)
        return self._kept[key]

    def probe(self, batch: int, bytes_in: bool) -> tuple[NDArray[Any], Array]:
        """Clips as a session takes them, and the same as the model does: (B, T, 3, S, S) float32."""
        if self.clips is None:
            clip = probe_clip(self.config, batch)
            crops = np.clip(128 + 50 * np.moveaxis(clip, 2, -1), 0, 255).astype(np.uint8)
        else:
            crops = self.clips[_turn(batch, len(self.clips))]
            clip = as_input(crops, self.config)
        return (crops, as_input(crops, self.config)) if bytes_in else (clip, clip)


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
    return {name: value.reshape(*shape, *value.shape[1:]) for name, value in joined(parts).items()}
