"""Every choice a model can make, in frozen dataclasses that read and write `config.json`."""

from __future__ import annotations

import dataclasses
import json
import math
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from ..aus import LabelSet, RegionLayout
from ..errors import ConfigError

Fusion = Literal["adaptive", "adaptive_paper", "sum", "concat"]
Edges = Literal["cross_active", "cross_full", "full", "local"]
Regions = Literal["released", "paper"]
FORMAT = 1
TIERS = ("A", "B", "C")
TRAINED_ON_LENGTH = 60  # it stands in a corner of pictures


@dataclass(frozen=True)
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
    k: int = 5
    input_size_px: int = 224
    mfd: bool = True
    scales: tuple[int, ...] = (1, 2, 3, 4)
    fusion: Fusion = "adaptive"
    regions: Regions = "released"
    extractors: bool = True
    auxiliary: bool = True
    graph: bool = True
    edges: Edges = "cross_active"
    temporal: bool = True
    region_loss_weight: float = 0.01
    projection_width: int | None = None
    au_width: int = 512
    weight_width: int = 16

    def __post_init__(self) -> None:
        _check(self, "label_set", isinstance(self.label_set, LabelSet), "a LabelSet; see mdhr_sdk.aus.label_set")
        _check(self, "backbone", isinstance(self.backbone, str), "a name")
        for name, choices in (("fusion", Fusion), ("edges", Edges), ("regions", Regions)):
            _check(self, name, getattr(self, name) in get_args(choices), f"one of {get_args(choices)}")
        for name in ("k", "au_width", "weight_width"):
            _check(self, name, _is_int(getattr(self, name), least=1), "an integer >= 1")
        for name in ("mfd", "extractors", "auxiliary", "graph", "temporal"):
            _check(self, name, isinstance(getattr(self, name), bool), "True or False")
        width, size, scales = self.projection_width, self.input_size_px, self.scales
        _check(self, "projection_width", width is None or _is_int(width, least=1), "None or an integer >= 1")
        _check(self, "input_size_px", _is_int(size, least=64) and size % 32 == 0, "a multiple of 32, at least 64")
        known = isinstance(scales, tuple) and len(scales) > 0 and all(_is_int(s, least=1) and s <= 4 for s in scales)
        rising = known and list(scales) == sorted(set(scales))
        _check(self, "scales", rising, "a tuple, some of (1, 2, 3, 4) in rising order; mfd=False for none")
        _check(self, "region_loss_weight", _is_share(self.region_loss_weight), "a number in [0, 1]")
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


@dataclass(frozen=True)
class Preprocessing:
    """From a frame to the model's input: aligned by `template`, RGB, scaled to [0, 1], then (x - mean) / std."""

    template: str = "mdhr-5pt-v1"
    size_px: int = 224
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    std: tuple[float, float, float] = (0.229, 0.224, 0.225)

    def __post_init__(self) -> None:
        _check(self, "mean", all(map(math.isfinite, self.mean)), "three finite numbers")
        _check(self, "std", all(0 < s < math.inf for s in self.std), "three finite numbers above 0")


@dataclass(frozen=True)
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
    """

    model: ModelConfig
    clip_length: int = 16
    thresholds: tuple[float, ...] = ()
    preprocessing: Preprocessing = field(default_factory=Preprocessing)
    trained: bool = False
    provenance: str = ""
    licence: str = ""
    reliability: tuple[str, ...] = ()
    trained_on: str = ""
    format: int = FORMAT

    def __post_init__(self) -> None:
        aus, size = self.model.label_set.aus, self.model.input_size_px
        _check(self, "format", self.format == FORMAT, f"{FORMAT}; update mdhr_sdk to read a newer folder")
        _check(self, "clip_length", _is_int(self.clip_length, least=1), "an integer >= 1")
        if not self.thresholds:
            object.__setattr__(self, "thresholds", (0.5,) * len(aus))
        fits = len(self.thresholds) == len(aus) and all(map(_is_share, self.thresholds))
        _check(self, "thresholds", fits, f"{len(aus)} numbers in [0, 1], one an AU")
        rated = not self.reliability or len(self.reliability) == len(aus)
        known = all(tier in TIERS for tier in self.reliability)
        _check(self, "reliability", rated and known, f"empty or {len(aus)} of {', '.join(TIERS)}, one an AU")
        line = len(self.trained_on) <= TRAINED_ON_LENGTH and self.trained_on.isprintable()
        _check(self, "trained_on", line, f"one line of at most {TRAINED_ON_LENGTH} characters")
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
        import dacite

        try:
            data: Any = json.loads(text, object_hook=_with_tuples)
        except (ValueError, RecursionError) as error:
            raise ConfigError(f"not JSON: {error}") from None
        try:
            return dacite.from_dict(cls, data, dacite.Config(strict=True))
        except (dacite.DaciteError, TypeError, ValueError, AttributeError) as error:
            raise ConfigError(f"not a model configuration: {error}") from None


def _with_tuples(data: dict[str, Any]) -> dict[str, Any]:
    return {key: tuple(value) if isinstance(value, list) else value for key, value in data.items()}


def _is_share(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= 1


def _is_int(value: object, least: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= least


def _check(config: object, name: str, ok: bool, expected: str) -> None:
    if not ok:
        raise ConfigError(f"{name} must be {expected}; got {getattr(config, name)!r}")
