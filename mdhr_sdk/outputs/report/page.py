"""What the page of one source tells, and the page itself."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import require
from ...measures import TRUSTED
from ...results import FrameResult, ModelInfo
from ..collection import Results
from ..pictures.style import UNTRAINED, au_name, track_colour
from .curves import draw_line, draw_rows
from .thumbnails import apexes, pictures

ASSETS = Path(__file__).parents[2] / "assets"
MOST_EVENTS = 500  # in the table of a page
TIERS = {"A": "most reliable", "B": "less reliable", "C": "least reliable"}


@dataclass(frozen=True)
class FaceSummary:
    """One face of one source, over the rows that count.

    Attributes:
        source, track_id: which face.
        frames: rows that count.
        mean: AU -> mean probability.
        share: AU -> share of frames in which it occurs.
        per_minute: AU -> events a minute of the time in which the face is there; empty where events are not known.
        intensity: AU -> mean intensity, of the AUs that have one.
    """

    source: str
    track_id: int
    frames: int
    mean: dict[str, float]
    share: dict[str, float]
    per_minute: dict[str, float]
    intensity: dict[str, float]


@dataclass(frozen=True)
class SourceSummary:
    """One source, for the index.

    Attributes:
        name: of the source; `page`: its file beside the index.
        codes: AUs of the table.
        trusted: share of the faces that can be trusted; None if they were not measured.
    """

    name: str
    page: str
    frames: int
    seconds: float
    with_face: int
    incomplete: bool
    model: ModelInfo
    codes: tuple[str, ...]
    trusted: float | None
    faces: tuple[FaceSummary, ...]


def summarise(results: Results, page: str, incomplete: bool, events_known: bool) -> SourceSummary:
    """The numbers of a source (all frames of `results`); without events where these are not known."""
    frames = results.frames
    measured = [face.measures for frame in frames for face in frame.faces if face.measures is not None]
    trusted = sum(one.quality >= TRUSTED for one in measured) / len(measured) if measured else None
    return SourceSummary(
        frames[0].source, page, len(frames), _seconds(frames), sum(bool(frame.faces) for frame in frames), incomplete,
        results.model, results.codes, trusted, tuple(_faces(results, events_known)),
    )  # fmt: skip


def _seconds(frames: Sequence[FrameResult]) -> float:
    """With the last frame's own length, as long as the step before it."""
    span = frames[-1].timestamp_s - frames[0].timestamp_s
    return span * len(frames) / (len(frames) - 1) if len(frames) > 1 else 0.0


def _faces(results: Results, events_known: bool) -> list[FaceSummary]:
    from ... import summary

    table, found = results.to_dataframe(), []
    if not table["track_id"].notna().any() or not results.codes:
        return []
    rates, means = summary.occurrence_rate(table), summary.mean_probability(table)
    strengths = summary.mean_intensity(table) if results.model.intensities else rates
    frame_min = _seconds(results.frames) / len(results.frames) / 60
    events = Counter((event.track_id, event.au) for event in results.events)
    for source, track in rates.index:
        share, mean = (
            {code: float(one.loc[(source, track), code]) for code in results.codes} for one in (rates, means)
        )
        count = int(rates.loc[(source, track), "frames"])
        minutes = count * frame_min
        told = {code: events[track, code] / minutes for code in results.codes} if minutes and events_known else {}
        strong = {code: float(strengths.loc[(source, track), code]) for code in results.model.intensities}
        found.append(FaceSummary(source, int(track), count, mean, share, told, strong))
    return found


def render_page(results: Results, about: SourceSummary, overlay: Path, index: str) -> str:
    """The page of a source as HTML, with everything in it."""
    frames, events = results.frames, results.events
    shown = apexes(events)
    images = pictures(overlay, shown)
    return template("report_page.html").render(
        about=about,
        index=index,
        untrained=UNTRAINED if not about.model.trained else "",
        reliability=_reliability(about.model, about.codes),
        rows=draw_rows(frames, about.codes, events) if about.codes else {},
        names={code: au_name(code) for code in about.codes},
        strong=bool(about.model.intensities),
        colours={face.track_id: track_colour(face.track_id) for face in about.faces},
        begin_s=frames[0].timestamp_s,
        end_s=frames[-1].timestamp_s,
        statuses=Counter(row["status"] for frame in frames for row in frame.rows()).most_common(),
        quality=_quality(frames),
        apexes=[(event, images.get(event.apex_s, "")) for event in shown if event.apex_s in images],
        events=sorted(events, key=lambda event: (event.onset_s, event.au))[:MOST_EVENTS],
        more_events=max(0, len(events) - MOST_EVENTS),
        notes=Counter(frame.note for frame in frames if frame.note).most_common(),
    )


def _reliability(model: ModelInfo, codes: Sequence[str]) -> list[tuple[str, str, str]]:
    """(tier, AUs, in words); empty if the AUs were never rated."""
    tiers = sorted({model.tiers[code] for code in codes if code in model.tiers})
    told = [(tier, " ".join(c for c in codes if model.tiers.get(c) == tier), TIERS.get(tier, "")) for tier in tiers]
    return told + ([("off", " ".join(model.off), "left out of the results")] if model.off else [])


def _quality(frames: Sequence[FrameResult]) -> dict[str, Any] | None:
    """The curve of the worst face's quality, and medians; None if faces were not measured."""
    measured = [[face.measures for face in frame.faces if face.measures is not None] for frame in frames]
    every = [one for row in measured for one in row]
    if not every:
        return None
    worst = [min((one.quality for one in row), default=math.nan) for row in measured]
    medians = {
        name: float(np.median([getattr(one, name) for one in every]))
        for name in ("quality", "eyes_px", "sharpness", "yaw_deg", "pitch_deg", "roll_deg")
    }
    trusted = sum(one.quality >= TRUSTED for one in every) / len(every)
    return {"curve": draw_line(frames, worst, TRUSTED), "medians": medians, "trusted": trusted}


def template(name: str) -> Any:
    """A template of ours, which escapes whatever is put into it.

    Raises:
        MissingDependencyError: Jinja2 is not installed.
    """
    jinja2 = require("jinja2", "report")
    folder = jinja2.Environment(
        loader=jinja2.FileSystemLoader(ASSETS), autoescape=True, trim_blocks=True, lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )  # fmt: skip
    return folder.get_template(name)
