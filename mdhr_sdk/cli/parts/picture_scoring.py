"""Labelled pictures scored by a detector, and the tables of how it did."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from rich.table import Table

from ...detector import AUDetector
from ...errors import number_of
from ...results import FaceResult, FrameResult
from ...vision.boxes import area

if TYPE_CHECKING:
    from ...training.evaluate.pictures.judging import Decided, Judged, Mistake, Summary
    from ...training.evaluate.pictures.labels import Case
    from ...training.evaluate.statistics import Interval

COLUMNS = (
    "", "tier", "yes / no", "AUC", "threshold", "F1", "recall", "alarms", "alarms, grey", "F1 at 0.5", "best F1",
)  # fmt: skip


def scored(detector: AUDetector, labels: Path) -> Judged:
    """Score the pictures of a file of labels; of several faces the largest counts.

    Raises:
        DataError: the labels are not as they should be, or none is of an AU that the model scores; a video is shorter
            than they say, or called a still.
        SourceError: a picture cannot be read.
    """
    from ...errors import DataError
    from ...training.evaluate.pictures.judging import GREY, Judged
    from ...training.evaluate.pictures.labels import label_table, read_cases, unscored

    cases = read_cases(labels)
    codes = detector.codes
    aus = [int(code.removeprefix("AU")) for code in codes]
    foreign = unscored(cases, aus)
    if foreign and not (label_table(cases, aus) >= 0).any():
        named = ", ".join(f"AU{au:02}" for au in foreign)
        raise DataError(f"'{labels}' labels {named} only, and the model scores {', '.join(codes)}; label some of those")
    scores, grey = np.full((len(cases), len(codes)), np.nan), np.zeros(len(cases), bool)
    for rows in _by_file(cases):
        first = cases[rows[0]]
        wanted = {cases[row].frame or 0: row for row in rows}
        for frame in _frames(detector, first.path, 1 if first.frame is None else max(wanted)):
            if first.frame is None and frame.index:
                raise DataError(
                    f"'{labels}' calls '{first.file}' a still, and it has several pictures; set kind to 'video' and "
                    "name its frames"
                )
            row = wanted.pop(frame.index, None)
            if row is None:
                continue
            assert frame.image is not None
            grey[row] = np.ptp(frame.image.astype(np.int16), axis=2).mean() < GREY
            if frame.faces:
                face = max(frame.faces, key=_size)
                scores[row] = [face.aus[code].probability for code in codes]
        if wanted:
            raise DataError(f"'{labels}' names frame {min(wanted)} of '{first.file}', which ends before it")
    return Judged(cases, codes, label_table(cases, aus), scores, grey)


def _by_file(cases: Sequence[Case]) -> list[list[int]]:
    rows: dict[tuple[str, bool], list[int]] = {}  # a file may be listed as a still and as a video
    for row, case in enumerate(cases):
        rows.setdefault((case.file, case.frame is None), []).append(row)
    return list(rows.values())


def _frames(detector: AUDetector, path: Path, last: int) -> Iterator[FrameResult]:
    """The frames of a file up to the last that is wanted."""
    with contextlib.closing(detector.predict(path, stream=True, images=True)) as frames:
        for frame in frames:
            yield frame
            if frame.index >= last:
                return


def _size(face: FaceResult) -> float:
    return area(face.box_px)


def figures_table(title: str, summary: Summary, tiers: dict[str, str]) -> Table:
    """A row an AU, in percent, with intervals over people."""
    table = Table(title=title)
    for column in COLUMNS:
        table.add_column(column, no_wrap=True)
    for one in summary.by_au:
        own = one.own
        table.add_row(
            one.code, tiers.get(one.code, ""), f"{one.present} / {one.absent}", _with_interval(one.auc),
            f"{own.threshold:.2f}", _with_interval(own.f1), _percent(own.recall.value), _percent(own.alarms.value),
            _percent(one.grey_alarms), _percent(one.half.f1.value), _percent(one.best_f1),
        )  # fmt: skip
    table.add_section()
    table.add_row(
        "mean", "", "", _with_interval(summary.auc), "", _with_interval(summary.f1_own), "", "", "",
        _percent(summary.f1_half.value), "", style="bold",
    )  # fmt: skip
    return table


def unscored_line(judged: Judged) -> str:
    """Which labels are of AUs that the model does not score; '' if none."""
    from ...training.evaluate.pictures.labels import unscored

    foreign = unscored(judged.cases, [int(code.removeprefix("AU")) for code in judged.codes])
    named = ", ".join(f"AU{au:02} ({number_of(count, 'label')})" for au, count in foreign.items())
    return f"not judged, as the model does not score them: {named}" if named else ""


def stated_table(rates: dict[str, tuple[int, dict[str, float]]], codes: Sequence[str]) -> Table:
    """Pictures without labels: how often each AU is at its threshold or above, in percent."""
    table = Table("what others say of them", "pictures", *codes, title="pictures without labels: percent that show it")
    for text, (count, shares) in rates.items():
        table.add_row(text or "nothing", str(count), *(_percent(shares[code]) for code in codes))
    return table


def worst_table(mistakes: Sequence[Mistake]) -> Table:
    table = Table("picture", "AU", "label", "score", "threshold", title="the decisions that are most wrong")
    for one in mistakes:
        label = "present" if one.present else "absent"
        table.add_row(one.picture, one.code, label, f"{one.score:.2f}", f"{one.threshold:.2f}")
    return table


def as_json(
    summary: Summary, judged: Judged, rates: dict[str, tuple[int, dict[str, float]]], mistakes: Sequence[Mistake]
) -> dict[str, Any]:
    """All figures, as shares of one."""
    by_au = {
        one.code: {
            "present": one.present,
            "absent": one.absent,
            "auc": asdict(one.auc),
            "at_own_threshold": _decided(one.own),
            "at_0.5": _decided(one.half),
            "best_f1": one.best_f1,
            "alarms_in_grey_pictures": one.grey_alarms,
        }
        for one in summary.by_au
    }
    means = {name: asdict(getattr(summary, name)) for name in ("auc", "f1_own", "f1_half")}
    free = {text: {"pictures": count, "shown": shares} for text, (count, shares) in rates.items()}
    return {
        "pictures": len(judged.cases),
        "people": summary.people,
        "without_a_face": judged.faceless,
        "mean": means,
        "aus": by_au,
        "pictures_without_labels": free,
        "worst": [asdict(one) for one in mistakes],
    }


def scores_json(judged: Judged) -> dict[str, Any]:
    """Scores by file, of videos by frame; pictures without a face are left out."""
    found: dict[str, Any] = {}
    for case, row in zip(judged.cases, judged.scores, strict=True):
        if not np.isnan(row).any():
            named = {code: round(float(score), 6) for code, score in zip(judged.codes, row, strict=True)}
            if case.frame is None:
                found[case.file] = named
            else:
                found.setdefault(case.file, {})[str(case.frame)] = named
    return found


def _decided(one: Decided) -> dict[str, Any]:
    rates = {name: asdict(getattr(one, name)) for name in ("f1", "recall", "alarms")}
    return {"threshold": one.threshold, **rates}


def _percent(value: float) -> str:
    return "-" if np.isnan(value) else f"{100 * value:.1f}"


def _with_interval(value: Interval) -> str:
    if np.isnan(value.value):
        return "-"
    return f"{_percent(value.value)} ({_percent(value.low)} to {_percent(value.high)})"
