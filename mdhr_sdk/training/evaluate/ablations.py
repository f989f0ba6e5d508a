"""The paper's ablations as one table: what each row changes in the model, and what the paper printed for it.

Published figures are F1 in percent on BP4D with ResNet-50, mean of three folds. Table 3's check marks follow from its
text; for single layers and pairs in table 4 our copy does not say which figure belongs to which, so none is given.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any

from ...errors import ConfigError
from ..fit.settings import Settings


@dataclass(frozen=True)
class Variant:
    """A row: fields of `ModelConfig` that differ from the full model."""

    name: str
    model: dict[str, Any] = field(default_factory=dict)
    published: float | None = None


@dataclass(frozen=True)
class Study:
    """A table of the paper."""

    title: str
    variants: tuple[Variant, ...]


def _components(mfd: bool, extractors: bool, auxiliary: bool, graph: bool, temporal: bool) -> dict[str, Any]:
    return {"mfd": mfd, "extractors": extractors, "auxiliary": auxiliary, "graph": graph, "temporal": temporal}


_BACKBONE = _components(False, False, False, False, False)
_EXTRACTORS = _components(False, True, False, False, False)
_DYNAMICS = _components(True, True, False, False, False)
_RELATIONS = _components(False, True, True, True, False)

STUDIES: dict[str, Study] = {
    "components": Study(
        "Table 3: contribution of each component",
        (
            Variant("backbone", _BACKBONE, 63.3),
            Variant("backbone + MFD", {**_BACKBONE, "mfd": True}, 64.6),
            Variant("backbone + AFE", _EXTRACTORS, 64.1),
            Variant("backbone + AFE + Aux", {**_EXTRACTORS, "auxiliary": True}, 64.5),
            Variant("backbone + AFE + Aux + CRM", _RELATIONS, 65.1),
            Variant("backbone + MFD + AFE", _DYNAMICS, 65.3),
            Variant("backbone + MFD + AFE + Aux", {**_DYNAMICS, "auxiliary": True}, 65.7),
            Variant("backbone + MFD + HSR", {**_RELATIONS, "mfd": True}, 66.3),
            Variant("backbone + MFD + HSR + TCN", {}, 66.6),
        ),
    ),
    "dynamics": Study(
        "Table 4: scales and fusion of MFD, on backbone + AFE",
        (
            Variant("no MFD", _EXTRACTORS, 64.1),
            *(Variant(f"layer {scale}", {**_DYNAMICS, "scales": (scale,)}) for scale in (1, 2, 3, 4)),
            *(Variant(f"layers {a}, {b}", {**_DYNAMICS, "scales": (a, b)}) for a, b in ((1, 2), (2, 3), (3, 4))),
            Variant("all, summed", {**_DYNAMICS, "fusion": "sum"}, 64.9),
            Variant("all, concatenated", {**_DYNAMICS, "fusion": "concat"}, 64.9),
            Variant("all, adaptive weights", _DYNAMICS, 65.3),
            Variant("all, adaptive weights as printed", {**_DYNAMICS, "fusion": "adaptive_paper"}),
        ),
    ),
    "edges": Study(
        "Table 5: edges of the graph, on backbone + HSR",
        (
            Variant("fully connected", {**_RELATIONS, "auxiliary": False, "edges": "full"}, 64.6),
            Variant("Aux + locally connected", {**_RELATIONS, "edges": "local"}, 64.2),
            Variant("Aux + cross-regional fully connected", {**_RELATIONS, "edges": "cross_full"}, 64.9),
            Variant("Aux + fully connected", {**_RELATIONS, "edges": "full"}, 64.8),
            Variant("Aux + cross-regional activated", _RELATIONS, 65.1),
        ),
    ),
    "neighbours": Study(
        "Supplement table 3: k",
        tuple(
            Variant(f"k = {k}", {"k": k}, f1)
            for k, f1 in zip(range(1, 9), (65.8, 65.7, 66.2, 65.9, 66.6, 66.5, 65.8, 65.9), strict=True)
        ),
    ),
    "lambda": Study(
        "Supplement table 4: weight of the region loss",
        tuple(
            Variant(f"lambda = {weight:g}", {"region_loss_weight": weight}, f1)
            for weight, f1 in zip(
                (0.0, 0.0001, 0.001, 0.01, 0.05, 0.1, 0.2, 0.5),
                (65.9, 66.2, 66.3, 66.6, 66.0, 65.6, 65.3, 64.8),
                strict=True,
            )
        ),
    ),
    "regions": Study(
        "Region groups: the released code's against the paper's (supplement table 1)",
        (Variant("released", {}), Variant("paper", {"regions": "paper"})),
    ),
}


def with_changes(base: Settings, model: dict[str, Any]) -> Settings:
    """Settings of a row."""
    return dataclasses.replace(base, model={**base.model, **model})


def study(name: str) -> Study:
    """The table of that name, or a ConfigError."""
    try:
        return STUDIES[name]
    except KeyError:
        known = "; ".join(f"{key} ({one.title})" for key, one in STUDIES.items())
        raise ConfigError(f"unknown study '{name}'; known: {known}") from None
