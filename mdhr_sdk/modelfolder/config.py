"""Every choice a model can make, in frozen dataclasses that read and write `config.json`."""

from __future__ import annotations

import dataclasses
import json
import re
from dataclasses import field
from typing import Annotated, Literal, get_args

from pydantic import Field

from ..aus import LabelSet, RegionLayout
from ..errors import ConfigError
from ..plain_json import parsed
from .strict import Number, Share, from_json, strict

Fusion = Literal["adaptive", "adaptive_paper", "sum", "concat"]
Edges = Literal["cross_active", "cross_full", "full", "local"]
Regions = Literal["released", "paper"]
FORMAT = 1
Tier = Literal["A", "B", "C"]
Shift = Annotated[Number, Field(ge=-1e3, le=1e3)]
Spread = Annotated[Number, Field(gt=0, ge=1e-3, le=1e3)]
Seconds = Annotated[Number, Field(ge=0, le=3600)]
Width = Annotated[int, Field(ge=1, le=8192)]  # of channels; the widest released one has 2,048
Frames = Annotated[int, Field(ge=1, le=1024)]
TRAINED_ON_LENGTH = 60  # it stands in a corner of pictures
MOST_AUS = 64
MOST_IN_A_GROUP = 16  # a region head tells apart 2 ** 16 combinations then
MOST_PIXELS = 1 << 25  # of a clip: 400 MB of float32
MOST_RING = 1 << 26  # values of the maps of T frames, which a stream keeps of each face: 268 MB of float32
MOST_LETTERS, MOST_NAME = 10_000, 64
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,127}")  # neither a path nor an address


@strict
class ModelConfig:
    """The architecture. Defaults are the released code's; every ablation of the paper is a field.

    Attributes:
        label_set: the AUs and their region groups.
        backbone: 'resnet50', 'swin_base', or any timm name with scales at strides 4, 8, 16 and 32.
        k: frames on each side of a frame whose differences are averaged (eq. 3; supplement table 3).
        input_size_px: side of the square face crop; a multiple of 32.
        mfd: multi-scale facial dynamics at all (table 3).
        scales: which of the four scales feed it, 1 the finest (table 4).
        fusion: how scales combine: 'adaptive' (released form of eq. 4), 'adaptive_paper' (eq. 4 as printed),
            'sum' or 'concat' (table 4).
        regions: 'released' groups of the label set, or the 'paper''s three regions (supplement table 1).
        extractors: one feature extractor an AU on its region (AFE, table 3); without it every AU reads the
            mean of the whole face.
        auxiliary: region heads that predict AU combinations (Aux, eq. 8).
        graph: the cross-regional graph (CRM, eq. 9).
        edges: its edges (table 5): 'cross_active' from AUs that the region heads find active to AUs of other
            groups, 'cross_full' between groups, 'full' between all, 'local' inside a group. Self-loops always.
        temporal: the depthwise convolution over time (supplement eq. 1).
        region_loss_weight: lambda of eq. 12; read by training.
        projection_width: channels of the projected maps; None for the backbone's last width (C_4).
        au_width: b, the width of tokens and AU vectors.
        weight_width: channels a scale of the released adaptive weights.
    """

    label_set: LabelSet
    backbone: str = "resnet50"
    k: Frames = 5
    input_size_px: Annotated[int, Field(ge=64, le=1024, multiple_of=32)] = 224
    mfd: bool = True
    scales: tuple[Annotated[int, Field(ge=1, le=4)], ...] = (1, 2, 3, 4)
    fusion: Fusion = "adaptive"
    regions: Regions = "released"
    extractors: bool = True
    auxiliary: bool = True
    graph: bool = True
    edges: Edges = "cross_active"
    temporal: bool = True
    region_loss_weight: Share = 0.01
    projection_width: Width | None = None
    au_width: Width = 512
    weight_width: Width = 16

    def __post_init__(self) -> None:
        rising = bool(self.scales) and list(self.scales) == sorted(set(self.scales))
        _check(self, "scales", rising, "some of (1, 2, 3, 4) in rising order; mfd=False for none")
        named = NAME.fullmatch(self.backbone) is not None
        _check(self, "backbone", named, "'resnet50', 'swin_base' or a timm name: letters, digits, '._+-'")
        _check_labels(self.label_set)
        if self.graph and self.edges == "cross_active" and not self.auxiliary:
            raise ConfigError(
                "edges='cross_active' needs the region heads to say which AUs are active, but auxiliary=False; "
                "set auxiliary=True, or edges='full', 'cross_full' or 'local', or graph=False"
            )

    @property
    def temporal_reach(self) -> int:
        """Frames on each side of one that the temporal convolution reads (kernel 5)."""
        return 2 if self.temporal else 0

    @property
    def layout(self) -> RegionLayout:
        """The region groups that this configuration uses."""
        paper = self.label_set.paper_layout if self.regions == "paper" else None
        return paper or self.label_set.layout


@strict
class Preprocessing:
    """From a frame to the model's input: aligned by `template`, RGB, scaled to [0, 1], then (x - mean) / std."""

    template: str = "mdhr-5pt-v1"
    size_px: int = 224
    mean: tuple[Shift, Shift, Shift] = (0.485, 0.456, 0.406)
    std: tuple[Spread, Spread, Spread] = (0.229, 0.224, 0.225)


@strict
class EventRule:
    """How events are found in the probabilities of an AU.

    An event is a run of frames of one face that never falls below the low level and reaches the high one. It lasts from
    the first to the last of them in which the AU occurs, at its threshold t.

    Attributes:
        high: the high level is t + high (1 - t): 0 for the threshold itself.
        low: the low level is t - low t: 0 for the threshold itself.
        shortest_s: events that last less are left out. From onset to offset, so one of a single frame lasts 0 s.
        gap_s: a face may be missing for so long within an event. A quarter of a second is less than an AU takes to go
            and come again, and bridges what face finders miss at a blink, a hand or a blurred frame.
    """

    high: Share = 0.0
    low: Share = 0.2
    shortest_s: Seconds = 0.08
    gap_s: Seconds = 0.25

    def levels(self, threshold: float) -> tuple[float, float]:
        """The low and the high level of an AU."""
        return threshold - self.low * threshold, threshold + self.high * (1 - threshold)


@strict
class FolderConfig:
    """All of a model folder's `config.json`.

    Attributes:
        model: the architecture.
        clip_length: T, the frames of a clip; the length exported graphs are fixed to.
        thresholds: probability from which an AU occurs, one an AU; empty means 0.5 for all.
        preprocessing: alignment and normalisation of the input.
        trained: False for random weights; every output then says so.
        provenance: where the weights come from.
        licence: under which terms the weights may be used.
        reliability: how far each AU's scores can be trusted, 'A' (most) to 'C', one an AU; empty where none was rated.
            AUs of tier C are off unless they are asked for.
        trained_on: what the weights learnt from, where every output is to say so, as in 'synthetic faces only'.
        events: how events are found; a folder without it has the defaults.
        geometry: of each AU's logit the share that is judged by the geometry of the mesh too, one an AU, 0 where it may
            not speak; empty for a model without geometry. With it the folder holds `geometry.safetensors`.
        intensity: whether an AU's intensity is told, one an AU; empty for a model without intensities. They need
            geometry, and with them the folder holds `intensity.safetensors`.
        faces: the face engine with which the thresholds were set, as in 'solutions'; empty where it was not noted.
        name: what outputs call the model, as 'first-fold2'; empty for the folder's own name.
    """

    model: ModelConfig
    clip_length: Frames = 16
    thresholds: tuple[Share, ...] = ()
    preprocessing: Preprocessing = field(default_factory=Preprocessing)
    trained: bool = False
    provenance: str = ""
    licence: str = ""
    reliability: tuple[Tier, ...] = ()
    trained_on: str = ""
    events: EventRule = field(default_factory=EventRule)
    geometry: tuple[Share, ...] = ()
    intensity: tuple[bool, ...] = ()
    faces: str = ""
    name: str = ""
    format: int = FORMAT

    def __post_init__(self) -> None:
        aus, size = self.model.label_set.aus, self.model.input_size_px
        _check(self, "format", self.format == FORMAT, f"{FORMAT}; update mdhr_sdk to read a newer folder")
        if not self.thresholds:
            object.__setattr__(self, "thresholds", (0.5,) * len(aus))
        _check(self, "thresholds", len(self.thresholds) == len(aus), f"{len(aus)} numbers in [0, 1], one an AU")
        rated = not self.reliability or len(self.reliability) == len(aus)
        _check(self, "reliability", rated, f"empty or {len(aus)} of {', '.join(get_args(Tier))}, one an AU")
        told = not self.geometry or len(self.geometry) == len(aus)
        _check(self, "geometry", told, f"empty or {len(aus)} numbers in [0, 1], one an AU")
        told = not self.intensity or len(self.intensity) == len(aus)
        _check(self, "intensity", told, f"empty or {len(aus)} of true and false, one an AU")
        read = any(self.geometry) or not any(self.intensity)
        _check(self, "intensity", read, "empty for a model without geometry, whose measures it reads")
        pixels = self.clip_length * size * size
        _check(self, "clip_length", pixels <= MOST_PIXELS, f"at most {MOST_PIXELS // size**2} for {size} px")
        ring = self.clip_length * len(self.model.scales) * (self.model.projection_width or 0) * (size // 32) ** 2
        _check(self, "clip_length", ring <= MOST_RING, "shorter for maps of so many channels, scales and pixels")
        for name in ("provenance", "licence"):
            _check(self, name, len(getattr(self, name)) <= MOST_LETTERS, f"at most {MOST_LETTERS:,} characters")
        line = len(self.trained_on) <= TRAINED_ON_LENGTH and self.trained_on.isprintable()
        _check(self, "trained_on", line, f"one line of at most {TRAINED_ON_LENGTH} characters")
        for name in ("faces", "name"):
            line = len(getattr(self, name)) <= MOST_NAME and getattr(self, name).isprintable()
            _check(self, name, line, f"one line of at most {MOST_NAME} characters")
        _check(self, "trained_on", self.trained or not self.trained_on, "empty for a model that is not trained")
        _check(self, "preprocessing", self.preprocessing.size_px == size, f"for size_px={size}, the model's input")

    @property
    def tiers(self) -> dict[str, str]:
        """Code -> tier, in the model's order; empty where none was rated."""
        return dict(zip(self.model.label_set.codes, self.reliability, strict=False))

    def to_json(self) -> str:
        return json.dumps(dataclasses.asdict(self), indent=2) + "\n"

    @classmethod
    def from_json(cls, text: str) -> FolderConfig:
        """Parse `config.json`; unknown keys and wrong types are refused.

        Raises:
            ConfigError: the text is not such a configuration; the message names the field.
        """
        try:
            config = from_json(cls, text)
            parsed(text.encode())  # what pydantic passes over: a key that stands there twice
            return config
        except (ConfigError, ValueError) as error:
            raise ConfigError(f"not a model configuration: {error}") from None


def _check_labels(labels: LabelSet) -> None:
    """Sizes and names of a label set: its groups decide how wide the region heads are, its names are printed."""
    layouts = [layout for layout in (labels.layout, labels.paper_layout) if layout is not None]
    groups = [group for layout in layouts for group in layout.groups]
    if len(labels.aus) > MOST_AUS or len(groups) > 2 * MOST_AUS:
        raise ConfigError(f"label_set must have at most {MOST_AUS} AUs; got {len(labels.aus)}")
    if (widest := max((len(group.aus) for group in groups), default=0)) > MOST_IN_A_GROUP:
        raise ConfigError(f"a region group must have at most {MOST_IN_A_GROUP} AUs; got {widest}")
    for name in (labels.name, *(group.name for group in groups)):
        if len(name) > MOST_NAME or not name.isprintable():
            raise ConfigError(f"a name in label_set must be at most {MOST_NAME} letters; got {name[:200]!r}")


def _check(config: object, name: str, ok: bool, expected: str) -> None:
    if not ok:
        came = repr(getattr(config, name))
        raise ConfigError(f"{name} must be {expected}; got {came if len(came) <= 200 else came[:200] + '...'}")
