"""MDHR assembled: what one frame contributes (`FrameEncoder`), and what a sequence of those says (`ClipHead`).

The projection of eq. 2 is linear, Conv(x_t - x_(t-1)) = Conv(x_t) - Conv(x_(t-1)), so there are two ways to the
same scores. `MDHR.forward` takes differences first, as released: T - 1 projections a clip, the readable reference.
`head(encode(clip))` projects frames first: everything costly is done once per frame and can be kept.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, NamedTuple

from torch import Tensor, nn

from ..arguments import flag
from ..aus import LabelSet
from ..aus import label_set as named_label_set
from ..errors import ConfigError, InputError
from ..modelfolder.config import ModelConfig
from .backbones import build_backbone
from .dynamics import FacialDynamics, ScaleProjections, difference
from .relations import CrossRegionalGraph, LocalRelations, TokenLinear
from .temporal import SimilarityScore, TemporalConvolution


class FrameFeatures(NamedTuple):
    """What a frame contributes, whatever clips it takes part in. P = (input_size_px / 32)**2 positions.

    Attributes:
        static: (..., P, au_width) tokens of the final map.
        maps: one (..., projection_width, S / 32, S / 32) map a scale of `config.scales`; empty without MFD.
    """

    static: Tensor
    maps: tuple[Tensor, ...]


class MDHROutput(NamedTuple):
    """Scores of a clip.

    Attributes:
        scores: (B, T, N) in [0, 1]; an AU occurs from 0.5 on.
        region_logits: one (B, T, 2**n) a region group, a class for each combination of its AUs (the first AU is
            the most significant bit); empty without the auxiliary branch.
    """

    scores: Tensor
    region_logits: tuple[Tensor, ...]


class FrameEncoder(nn.Module):
    """Backbone, static path and scale projections of one frame."""

    def __init__(self, config: ModelConfig, pretrained: bool = False) -> None:
        super().__init__()
        self.backbone = build_backbone(config.backbone, config.input_size_px, flag("pretrained", pretrained))
        channels = self.backbone.channels
        self.projection_width = config.projection_width or channels[-1]
        self.static = TokenLinear(channels[-1], config.au_width)
        self.project = ScaleProjections(config, channels, self.projection_width) if config.mfd else None

    def static_tokens(self, final: Tensor) -> Tensor:
        """Final map (M, C_4, h, w) -> (M, h * w, au_width)."""
        return self.static(final.flatten(2).transpose(1, 2))

    def forward(self, frames: Tensor) -> FrameFeatures:
        """(M, 3, S, S) float32, normalised RGB -> features of M frames."""
        scales = self.backbone(frames)
        maps = self.project(scales.maps) if self.project is not None else ()
        return FrameFeatures(self.static_tokens(scales.final), maps)


class ClipHead(nn.Module):
    """From the features of consecutive frames to scores."""

    def __init__(self, config: ModelConfig, projection_width: int) -> None:
        super().__init__()
        self.dynamics = FacialDynamics(config, projection_width) if config.mfd else None
        self.relations = LocalRelations(config)
        self.graph = CrossRegionalGraph(config) if config.graph else None
        self.temporal = TemporalConvolution(config) if config.temporal else None
        self.score = SimilarityScore(config)

    def forward(self, features: FrameFeatures, k: int | None = None) -> MDHROutput:
        """Features with leading axes (B, T) -> scores of every frame; `k` as in `MDHR.forward`."""
        motion = None if self.dynamics is None else self.dynamics.from_maps(features.maps, k)
        return self._output(features.static, motion)

    def from_differences(self, static: Tensor, differences: Sequence[Tensor], k: int | None = None) -> MDHROutput:
        """Static tokens (B, T, P, W) and projected differences L x (B, T - 1, C, h, w) -> scores."""
        return self._output(static, None if self.dynamics is None else self.dynamics(differences, k))

    def _output(self, static: Tensor, motion: Tensor | None) -> MDHROutput:
        """Static and dynamic tokens (B, T, P, W) -> scores."""
        shape = static.shape[:2]
        tokens = static if motion is None else motion + static  # eq. 6
        nodes, logits = self.nodes(tokens.flatten(0, 1))
        return MDHROutput(self.scores(nodes.unflatten(0, shape)), tuple(x.unflatten(0, shape) for x in logits))

    def nodes(self, tokens: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Tokens G of single frames (M, P, W) -> related AU features (M, N, W) and region logits (M, 2**n)."""
        nodes, logits = self.relations(tokens)
        if self.graph is not None:
            nodes = self.graph(nodes, self.relations.active(logits) if logits else None)
        return nodes, logits

    def scores(self, nodes: Tensor) -> Tensor:
        """AU features of consecutive frames (B, T, N, W) -> scores (B, T, N)."""
        return self.score(nodes if self.temporal is None else self.temporal(nodes))


class MDHR(nn.Module):
    """Multi-scale dynamic and hierarchical relationship model (CVPR 2024). B, T and k are free at call time."""

    def __init__(self, config: ModelConfig, pretrained: bool = False) -> None:
        super().__init__()
        self.encoder = FrameEncoder(config, pretrained)
        self.config = dataclasses.replace(config, projection_width=self.encoder.projection_width)
        self.head = ClipHead(config, self.encoder.projection_width)

    def forward(self, clip: Tensor, k: int | None = None) -> MDHROutput:
        """Score every frame of a clip, differences before convolutions (the released order).

        Args:
            clip: (B, T, 3, S, S) float32: RGB face crops, ImageNet-normalised, consecutive in time; T >= 1.
            k: frames on each side whose differences are averaged; None for `config.k`. No weight depends on it.

        Raises:
            InputError: the shape is another one, or k is below 1.
        """
        batch, frames = self._check(clip)
        if k is not None and k < 1:
            raise InputError(f"k must be at least 1; got {k}")
        scales = self.encoder.backbone(clip.flatten(0, 1))
        static = self.encoder.static_tokens(scales.final).unflatten(0, (batch, frames))
        if self.encoder.project is None:
            return self.head.from_differences(static, ())
        changes = tuple(difference(m.unflatten(0, (batch, frames))) for m in scales.maps)
        projected = self.encoder.project([d.flatten(0, 1) for d in changes])
        return self.head.from_differences(static, [p.unflatten(0, (batch, frames - 1)) for p in projected], k)

    def encode(self, clip: Tensor) -> FrameFeatures:
        """Features of every frame of a clip (B, T, 3, S, S), each independent of the others."""
        shape = self._check(clip)
        features = self.encoder(clip.flatten(0, 1))
        return FrameFeatures(features.static.unflatten(0, shape), tuple(m.unflatten(0, shape) for m in features.maps))

    def _check(self, clip: Tensor) -> tuple[int, int]:
        size = self.config.input_size_px
        if clip.ndim != 5 or clip.shape[1] < 1 or tuple(clip.shape[2:]) != (3, size, size):
            raise InputError(
                f"a clip must be (B, T, 3, {size}, {size}) with T >= 1; got {tuple(clip.shape)}; "
                "stack aligned RGB face crops of consecutive frames"
            )
        if not clip.is_floating_point():
            raise InputError(f"a clip must hold normalised floats; got {clip.dtype}; see mdhr_sdk.vision.prepare")
        return clip.shape[0], clip.shape[1]


def build_mdhr(
    label_set: str | LabelSet = "bp4d", backbone: str = "resnet50", pretrained: bool = False, k: int = 5, **config: Any
) -> MDHR:
    """Build MDHR with random weights, or with an ImageNet-pretrained backbone.

    Args:
        label_set: 'bp4d' (12 AUs), 'disfa' (8 AUs), or a `LabelSet` of your own.
        backbone: 'resnet50', 'swin_base', or a timm name with scales at strides 4, 8, 16 and 32.
        pretrained: load timm's ImageNet weights into the backbone.
        k: frames on each side whose differences are averaged.
        config: any other field of `ModelConfig`.

    Raises:
        ConfigError: an unknown name or field, or a combination that the model cannot have.
        CheckpointError: the pretrained weights cannot be fetched.
    """
    fields = [f.name for f in dataclasses.fields(ModelConfig)]
    unknown = sorted(set(config) - set(fields))
    if unknown:
        raise ConfigError(f"build_mdhr has no setting {', '.join(unknown)}; it has: {', '.join(fields)}")
    labels = named_label_set(label_set) if isinstance(label_set, str) else label_set
    return MDHR(ModelConfig(label_set=labels, backbone=backbone, k=k, **config), pretrained)
