"""What `mdhr evaluate` prints and writes of runs and model folders."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from rich.table import Table

from ...atomic import write_whole
from ...errors import number_of
from ...modelfolder.folder import ModelFolder
from .defined import defined

if TYPE_CHECKING:
    from ...training.evaluate.comparison import Comparison
    from ...training.evaluate.evaluation import Protocol, Result
    from ...training.evaluate.folder_scoring import Shared
    from ...training.evaluate.predictions import Predictions
    from ...training.evaluate.statistics import Interval

Differences = Sequence[tuple["Protocol", "Interval"]]
Place = tuple[int, "int | None"]  # fold, and epoch of a run


@dataclass(frozen=True)
class Judged:
    """Results, the scores that they are of, and for a model folder the AUs that it shares with the data."""

    results: Sequence[Result]
    scores: dict[Place, Predictions]
    shared: Shared | None = None

    @property
    def first(self) -> list[Predictions]:
        """Those of the first protocol, fold by fold: of a run, the last epoch's."""
        return [self.scores[fold.fold, fold.epoch] for fold in self.results[0].folds]

    def write(self, out: Path, comparison: Comparison | None, differences: Differences) -> None:
        """All figures as JSON, and the scores of every protocol.

        Raises:
            OutputError: the folder cannot be written.
        """
        content = as_json(self.results, comparison, differences, self.shared)
        write_whole(out / "evaluation.json", json.dumps(content, indent=2, allow_nan=False) + "\n")
        usual = {fold.fold: fold.epoch for fold in self.results[0].folds}
        for (fold, epoch), one in self.scores.items():
            name = scores_name(fold, epoch, usual)
            one.save(out / f"{name}.npz")
            one.to_csv(out / f"{name}.csv")


def of_run(folder: Path, folds: Sequence[int]) -> Judged:
    """A run under all its protocols."""
    from ...training.evaluate.evaluation import evaluate_run
    from ...training.evaluate.predictions import Predictions
    from ...training.fit.fit import epoch_stem

    results = evaluate_run(folder, folds)
    places = dict.fromkeys((fold.fold, fold.epoch) for result in results for fold in result.folds)
    stems = {place: epoch_stem(folder / f"fold{place[0]}", place[1] or 0) for place in places}
    return Judged(results, {place: Predictions.load(stem.with_suffix(".npz")) for place, stem in stems.items()})


def of_model(folder: str | Path, config: Path | None, changes: Sequence[str], folds: Sequence[int]) -> Judged:
    """A model folder scored on test frames, at its own thresholds."""
    from ...training.evaluate.folder_scoring import score_folder

    done = score_folder(ModelFolder.open(folder), config, changes, folds)
    return Judged(done.results, {(fold, None): one for fold, one in done.predictions.items()}, done.shared)


def scores_name(fold: int, epoch: int | None, usual: dict[int, int | None]) -> str:
    """'predictions_fold1' for the first protocol's, 'predictions_fold1_epoch_0025' for another epoch's."""
    return f"predictions_fold{fold}" + ("" if epoch == usual[fold] else f"_epoch_{epoch:04d}")


def shared_line(shared: Shared) -> str:
    """Which AUs were judged, and which were not."""
    rest = (("the model", shared.model), ("the data", shared.data))
    alone = [f"{what} alone has {' '.join(codes)}" for what, codes in rest if codes]
    number = number_of(len(shared.both), "AU")
    told = f"judged on the {number} that the model and the data share: {' '.join(shared.both)}"
    return "; ".join([told, *alone]) if alone else f"judged on all of the {number} of the model and the data"


def result_table(title: str, results: Sequence[Result]) -> Table:
    """A column a protocol: what sums a model up, then F1 and AUC of each AU; in percent, means over folds."""
    folds = ", ".join(str(fold.fold) for fold in results[0].folds)
    table = Table("", title=f"{title}: percent, mean over folds {folds}")
    for result in results:
        table.add_column(result.protocol.name, style="yellow" if result.protocol.optimistic else None)
    intervals = [result.interval for result in results]
    epochs = [", ".join(str(fold.epoch) for fold in result.folds if fold.epoch) for result in results]
    table.add_row("F1", *(_percent(result.f1) for result in results), style="bold")
    table.add_row("its 95 % interval", *(_span(i) for i in intervals))
    names = {"f1_micro": "F1 micro", "event_f1": "F1 of events", "area": "AUC", "accuracy": "accuracy"}
    for attribute, name in names.items():
        table.add_row(name, *(_percent(getattr(result, attribute)) for result in results))
    table.add_row("epoch of each fold", *epochs, end_section=True)
    for name, attribute in (("F1", "f1_by_au"), ("AUC", "areas")):
        for column, code in enumerate(results[0].codes):
            table.add_row(f"{name} {code}", *(_percent(getattr(result, attribute)[column]) for result in results))
        table.add_section()
    return table


def comparison_table(first: str, second: str, comparison: Comparison, differences: Differences = ()) -> Table:
    """The difference and three tests, with what each takes for independent; a plus is for the first model."""
    ours, theirs = map(_percent, comparison.f1)
    title = f"{first} (F1 {ours}) against {second} (F1 {theirs}), threshold 0.5; + where the first is better"
    table = Table("test", "statistic", "p", "better", title=title)
    names = ("the first", "the second")

    def better(value: float) -> str:
        return "-" if math.isnan(value) or not value else names[value < 0]

    told = comparison.difference
    for name, one in (("threshold 0.5", told), *((protocol.name, one) for protocol, one in differences)):
        text = f"{100 * one.value:+.1f}"
        table.add_row(
            f"difference of F1, {name}; 95 %, subjects drawn anew: {_span(one, '+')}", text, "", better(one.value)
        )
    tests = (
        ("paired t, F1 of each subject", comparison.subjects, comparison.subjects.statistic),
        (
            "paired t, error of each frame, as the paper (frames taken for independent)",
            comparison.frames,
            comparison.frames.statistic,
        ),
        (
            "McNemar, decisions (frames taken for independent)",
            comparison.decisions,
            float(comparison.right[0] - comparison.right[1]),
        ),
    )
    for name, test, sign in tests:
        figures = ("-" if math.isnan(x) else f"{x:.3g}" for x in (test.statistic, test.p_value))
        table.add_row(name, *figures, better(sign))
    if comparison.codes:
        table.caption = f"AUs that both were judged on: {' '.join(comparison.codes)}"
    return table


def as_json(
    results: Sequence[Result],
    comparison: Comparison | None,
    differences: Differences = (),
    shared: Shared | None = None,
) -> dict[str, Any]:
    """All figures, as shares of one; null where a figure is not defined."""
    usual = {fold.fold: fold.epoch for fold in results[0].folds}
    found: dict[str, Any] = {"protocols": [_result_json(result, usual) for result in results]}
    if shared is not None:
        found["aus"] = {"shared": shared.both, "model_alone": shared.model, "data_alone": shared.data}
    if comparison is not None:
        tests = {name: vars(getattr(comparison, name)) for name in ("subjects", "frames", "decisions")}
        found["comparison"] = {
            "aus": comparison.codes,
            "f1": comparison.f1,
            "difference_95": vars(comparison.difference),
            "difference_95_by_protocol": {protocol.name: vars(one) for protocol, one in differences},
            "right_alone": comparison.right,
            **tests,
        }
    return cast(dict[str, Any], defined(found))


def _result_json(result: Result, usual: dict[int, int | None]) -> dict[str, Any]:
    def by_au(values: Iterable[float]) -> dict[str, float]:
        return dict(zip(result.codes, map(float, values), strict=True))

    folds = [
        {
            "fold": fold.fold,
            "epoch": fold.epoch,
            "thresholds": by_au(fold.thresholds),
            "f1": by_au(fold.counts.f1),
            "f1_mean": fold.counts.f1_macro,
            "auc": by_au(fold.areas),
            "event_f1": by_au(fold.events.f1),
            "counts": {name: by_au(getattr(fold.counts, name)) for name in ("tp", "fp", "fn", "tn")},
            "scores": f"{scores_name(fold.fold, fold.epoch, usual)}.npz",
        }
        for fold in result.folds
    ]
    names = {"f1": "f1", "f1_micro": "f1_micro", "event_f1": "event_f1", "auc": "area", "accuracy": "accuracy"}
    means = {name: getattr(result, attribute) for name, attribute in names.items()}
    return {
        "protocol": result.protocol.name,
        "optimistic": result.protocol.optimistic,
        "mean": {**means, "f1_by_au": by_au(result.f1_by_au), "auc_by_au": by_au(result.areas)},
        "f1_interval_95": (result.interval.low, result.interval.high),
        "folds": folds,
    }


def _span(interval: Interval, sign: str = "") -> str:
    """The ends of an interval in percent; '-' for none, as over a single subject."""
    if math.isnan(interval.low) or math.isnan(interval.high):
        return "-"
    return f"{100 * interval.low:{sign}.1f} to {100 * interval.high:{sign}.1f}"


def _percent(value: float) -> str:
    return "-" if math.isnan(value) else f"{100 * value:.1f}"
