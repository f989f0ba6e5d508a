"""Whole clips by the graphs that streams run: a folder needs no second copy of its weights for them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from ...ops import fuse_dynamics
from ..session import Arrays, Session, graph_specs
from .stream_graphs import StreamGraphs


class ClipOfParts(Session):
    """'clip' as encoder, motion (eq. 3-5), relations and temporal one after the other.

    Scores are those of one graph but for the order of float32 sums. Closes the graphs.
    """

    def __init__(self, graphs: StreamGraphs) -> None:
        self._graphs, self._closed = graphs, False
        encoder, config = graphs.encoder, graphs.config
        self.backend, self.device, self.precision = encoder.backend, encoder.device, encoder.precision
        self.inputs, self.outputs = graph_specs(config, "clip", config.clip_length)

    def run(self, inputs: Arrays) -> dict[str, NDArray[Any]]:
        self._check(inputs, self._closed)
        graphs, clip = self._graphs, inputs["clip"]
        model, lead = graphs.config.model, clip.shape[:2]
        static, *maps = graphs.encoder.run({"frames": np.ascontiguousarray(_frames(clip))}).values()
        related = {"static": static}
        if graphs.parameters is not None:
            motion = fuse_dynamics(
                [_clips(one, lead) for one in maps], graphs.parameters, model.k, threads=graphs.threads
            )
            related["motion"] = _frames(motion)
        found = graphs.relations.run(related)
        around = windows(_clips(found.pop("nodes"), lead), model.temporal_reach)
        found |= graphs.temporal.run({"nodes": _frames(around)})
        return {spec.name: _clips(found[spec.name], lead) for spec in self.outputs}

    def close(self) -> None:
        self._closed = True
        self._graphs.close()


def windows(nodes: NDArray[np.float32], reach: int) -> NDArray[np.float32]:
    """(B, T, N, W) -> (B, T, 2 * reach + 1, N, W): each frame with those around it, zero beyond the clip."""
    padded = np.pad(nodes, ((0, 0), (reach, reach), (0, 0), (0, 0)))
    return np.ascontiguousarray(np.moveaxis(sliding_window_view(padded, 2 * reach + 1, axis=1), -1, 2))


def _frames(array: NDArray[Any]) -> NDArray[Any]:
    """(B, T, ...) -> (B * T, ...)."""
    return array.reshape(-1, *array.shape[2:])


def _clips(array: NDArray[Any], lead: tuple[int, ...]) -> NDArray[Any]:
    """(B * T, ...) -> (B, T, ...)."""
    return array.reshape(*lead, *array.shape[1:])
