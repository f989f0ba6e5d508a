"""The gate: an exported graph must answer what the weights answer."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ..config import FolderConfig
from ..errors import ExportError
from ..model import MDHR
from ..model.graphs import build_graph
from ..runtime import Session
from ..runtime.base import graph_specs

BATCHES = (1, 2, 3, 5)  # the export's example has batch 2; a batch baked into a graph gives wrong numbers at others
Arrays = dict[str, NDArray[Any]]


@dataclass(frozen=True)
class Limits:
    """What an export may cost.

    Attributes:
        max_score, mean_score: absolute differences of the scores.
        flip_share: share of decisions that change, of the scores further than 0.01 from their threshold.
        feature: largest difference of any other output, relative to the largest value of that output.
    """

    max_score: float
    mean_score: float
    flip_share: float
    feature: float


FP32 = Limits(max_score=1e-5, mean_score=1e-6, flip_share=0.0, feature=1e-5)


@dataclass(frozen=True)
class ParityReport:
    """Reference against artefact, over clips from subtle to large motion at several batches.

    Attributes:
        clips: clips (or frames, for an encoder) compared.
        max_score, mean_score: absolute differences of the scores; 0 for an encoder.
        decision_flips: decisions that change, of the scores further than 0.01 from their threshold.
        decisions: how many such scores there are.
        region_flips: frames and groups whose likeliest AU combination differs; a step function, so never a limit.
        feature: largest relative difference of region logits and features.
        not_finite: values of the artefact that are NaN or infinite.
        failure: which limit was broken; empty when none was.
    """

    clips: int
    max_score: float
    mean_score: float
    decision_flips: int
    decisions: int
    region_flips: int
    feature: float
    not_finite: int
    failure: str = ""

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def check_parity(config: FolderConfig, graph: str, model: MDHR, view: MDHR, session: Session) -> ParityReport:
    """Run a session and the model in fp32 on the same inputs.

    Args:
        model: the weights. Scores are compared with its own, in the released order.
        view: its export view. Features are compared with the view's, whose maps are scaled.
        session: the artefact.
    """
    reference = build_graph(model if graph.startswith("clip") else view, config.preprocessing, graph)
    names = [spec.name for spec in session.outputs]
    pairs = []
    for batch in BATCHES:
        inputs = probe(config, graph, view, batch)
        with torch.inference_mode():
            wanted = reference(*(torch.from_numpy(array) for array in inputs.values()))
        pairs.append((dict(zip(names, (w.numpy() for w in wanted), strict=True)), session.run(inputs)))
    return _report(config, FP32, pairs)


def probe(config: FolderConfig, graph: str, view: MDHR, batch: int) -> Arrays:
    """Inputs of a graph, made from `probe_clip`; a head gets the features of its frames."""
    clip = probe_clip(config, batch)
    if graph.endswith("_u8"):
        clip = np.clip(128 + 50 * np.moveaxis(clip, 2, -1), 0, 255).astype(np.uint8)
    if graph.startswith("clip"):
        return {"clip": clip}
    if graph.startswith("encoder"):
        return {"frames": np.ascontiguousarray(clip[:, batch % clip.shape[1]])}
    with torch.inference_mode():
        features = view.encode(torch.from_numpy(clip))
    names = [spec.name for spec in graph_specs(config, graph, config.clip_length)[0]]
    return dict(zip(names, (x.numpy() for x in (features.static, *features.maps)), strict=True))


def probe_clip(config: FolderConfig, batch: int) -> NDArray[np.float32]:
    """(batch, T, 3, S, S): coarse random pictures whose motion grows from subtle to large over the batch."""
    rng = np.random.default_rng(batch)
    size, frames = config.model.input_size_px, config.clip_length
    coarse = rng.standard_normal((2, batch, 1, 3, size // 8, size // 8), dtype=np.float32)
    still, move = coarse.repeat(8, axis=-1).repeat(8, axis=-2)
    strength = np.geomspace(0.02, 0.5, batch, dtype=np.float32).reshape(batch, 1, 1, 1, 1)
    phase = np.sin(np.arange(frames, dtype=np.float32) / 3).reshape(1, frames, 1, 1, 1)
    return still + strength * phase * move


def _report(config: FolderConfig, limits: Limits, pairs: list[tuple[Arrays, Arrays]]) -> ParityReport:
    thresholds = np.asarray(config.thresholds, np.float32)
    errors, feature, flips, decisions, regions, broken = [np.zeros(1)], 0.0, 0, 0, 0, 0
    for wanted, got in pairs:
        for name, value in got.items():
            reference = wanted[name]
            if value.shape != reference.shape:
                raise ExportError(
                    f"output '{name}' must have the shape {reference.shape}; the graph gives {value.shape}"
                )
            broken += int((~np.isfinite(value)).sum())
            error = np.nan_to_num(np.abs(value - reference), nan=np.inf)
            if name == "scores":
                errors.append(error.ravel())
                clear = np.abs(reference - thresholds) > 0.01
                decisions += int(clear.sum())
                flips += int((((reference >= thresholds) != (value >= thresholds)) & clear).sum())
                continue
            feature = max(feature, float(error.max() / max(np.abs(reference).max(), 1e-12)))
            if name.startswith("region_logits"):
                regions += int((reference.argmax(-1) != value.argmax(-1)).sum())
    error = np.concatenate(errors)
    report = ParityReport(
        clips=sum(BATCHES),
        max_score=float(error.max()),
        mean_score=float(error.mean()),
        decision_flips=flips,
        decisions=decisions,
        region_flips=regions,
        feature=feature,
        not_finite=broken,
    )
    return replace(report, failure="; ".join(_failures(report, limits)))


def _failures(report: ParityReport, limits: Limits) -> Iterator[str]:
    found = Limits(
        report.max_score, report.mean_score, report.decision_flips / max(report.decisions, 1), report.feature
    )
    for name, limit in vars(limits).items():
        value = getattr(found, name)
        if not value <= limit:
            yield f"{name} is {value:.2g}, more than {limit:g}"
    if report.not_finite:
        yield f"{report.not_finite} values are not finite"
