"""The weights themselves as what graphs are compared with. Needs PyTorch."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from ...model import MDHR, FrameFeatures, load_model
from ...model.dynamics import difference
from ...modelfolder.config import FolderConfig
from ...modelfolder.folder import WEIGHTS, ModelFolder
from ...runtime.session import graph_specs
from ..export.view import export_view
from .references import Array, Arrays, Reference, stream_windows


class WeightsReference(Reference):
    """The model in PyTorch.

    Attributes:
        model: the weights. Scores are its own, in the released order.
        view: its export view. Parts are the view's, whose maps are scaled.
    """

    against = WEIGHTS

    def __init__(self, config: FolderConfig, model: MDHR, view: MDHR) -> None:
        self.model, self.view = model, view
        self._names = {
            graph: [spec.name for spec in graph_specs(config, graph, None)[1]] for graph in ("clip", "encoder")
        }

    @classmethod
    def load(cls, folder: ModelFolder) -> WeightsReference:
        """Read a folder's weights; raises as `load_model`."""
        model = load_model(folder)
        return cls(folder.config, model, export_view(model, folder.config.clip_length))

    def clip(self, frames: Array) -> Arrays:
        with torch.inference_mode():
            return self._scores(self.model(torch.from_numpy(frames)))

    def features(self, frames: Array) -> Arrays:
        with torch.inference_mode():
            found = self.view.encode(torch.from_numpy(frames))
        return dict(zip(self._names["encoder"], (x.numpy() for x in (found.static, *found.maps)), strict=True))

    def head(self, features: Arrays) -> Arrays:
        static, *maps = self._tensors(features)
        with torch.inference_mode():
            return self._scores(self.view.head(FrameFeatures(static, tuple(maps))))

    def inputs(self, features: Arrays) -> Arrays:
        static, *maps = self._tensors(features)
        if (dynamics := self.view.head.dynamics) is None:
            return {"static": static.numpy()}
        with torch.inference_mode():
            motion = dynamics.fusion(dynamics.means([difference(m) for m in maps]))
        return {"static": static.numpy(), "motion": motion.unflatten(0, static.shape[:2]).numpy()}

    def nodes(self, inputs: Arrays) -> Array:
        static = torch.from_numpy(inputs["static"])
        with torch.inference_mode():
            tokens = static.flatten(0, 1)
            if (dynamics := self.view.head.dynamics) is not None:
                tokens = tokens + dynamics.tokens(torch.from_numpy(inputs["motion"]).flatten(0, 1))
            nodes, _ = self.view.head.nodes(tokens)
        return nodes.unflatten(0, static.shape[:2]).numpy()

    def scores(self, nodes: Array) -> Array:
        with torch.inference_mode():
            return self.view.head.scores(torch.from_numpy(nodes).float()).numpy()

    @torch.inference_mode()
    def in_windows(self, video: Array, lookahead: int, length: int) -> Array:
        """Differences come before convolutions. Frames are encoded and differences projected once, which changes no
        number of the released order."""
        scales = self.model.encoder.backbone(torch.from_numpy(video))
        static = self.model.encoder.static_tokens(scales.final)
        changes: tuple[torch.Tensor, ...] = ()
        if self.model.encoder.project is not None:
            changes = self.model.encoder.project([difference(m[None])[0] for m in scales.maps])
        rows = []
        for frame, window in stream_windows(len(video), lookahead, length):
            between = slice(window.start, window.stop - 1)
            output = self.model.head.from_differences(
                static[None, window], [change[None, between] for change in changes]
            )
            rows.append(output.scores[0, frame - window.start])
        return torch.stack(rows).numpy()

    def _scores(self, output: Any) -> Arrays:
        outputs = (x.numpy() for x in (output.scores, *output.region_logits))
        return dict(zip(self._names["clip"], outputs, strict=True))

    def _tensors(self, features: Arrays) -> list[torch.Tensor]:
        return [torch.from_numpy(np.asarray(features[name])).float() for name in self._names["encoder"]]
