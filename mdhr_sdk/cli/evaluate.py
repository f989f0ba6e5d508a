"""What `mdhr evaluate` does: tables on the terminal, JSON and predictions in files."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Optional, cast

import typer
from rich.table import Table

from ..atomic import write_whole
from ..errors import ConfigError
from ..modelfolder.bundled import BUNDLED
from ..modelfolder.folder import ModelFolder
from .parts.options import MODEL, Console, command_app
from .train import defined, require_training, sorted_words

if TYPE_CHECKING:
    from ..training.evaluate.comparison import Comparison
    from ..training.evaluate.evaluation import Result

PICTURES_WIDTH = 150  # of a table that a narrow terminal would cut
_NO_FRAMES = "'{}' is a model folder; say what to judge it on: mdhr evaluate {} CONFIG --fold 1{}"
app = command_app()


def run_evaluate(
    given: str | Path, words: Sequence[str], folds: Sequence[int], against: str | Path | None, out: Path | None
) -> None:
    """Judge a run, or a model folder on the test frames of a configuration; print, and write to `out`.

    What it is judged against is of the same kind, and is given the same folds and configuration.

    Raises:
        ConfigError: a model folder without a configuration and a fold.
        InputError: predictions that are missing, unfinished or of other frames.
    """
    require_training()
    from ..training.evaluate.comparison import compare
    from ..training.evaluate.evaluation import evaluate_run

    config, numbers, changes = sorted_words(words, folds)
    for one in [given] if against is None else [given, against]:  # before anything is computed
        if not _is_run(one):
            if one not in BUNDLED and not Path(one).is_dir():
                raise ConfigError(f"'{one}' does not exist; name the folder of a run (mdhr train) or of a model")
            ModelFolder.open(one)
            if (config is None and not changes) or not (numbers or _is_run(given)):
                raise ConfigError(_NO_FRAMES.format(one, given, "" if against is None else f" --against {against}"))

    def judged(one: str | Path, numbers: Sequence[int]) -> tuple[Any, dict[int, Any]]:
        if _is_run(one):
            found = evaluate_run(Path(one), numbers)
            return found, _last_predictions(Path(one), found)
        return _of_model(one, config, changes, numbers)

    results, predictions = judged(given, numbers)
    console = Console(markup=False)
    console.print(result_table(str(given), results))
    comparison = None
    if against is not None:
        _, others = judged(against, [fold.fold for fold in results[0].folds])
        comparison = compare(list(predictions.values()), list(others.values()))
        console.print(comparison_table(str(given), str(against), comparison))
    if out is not None:
        _write(out, results, comparison, predictions)
        console.print(f"wrote {out / 'evaluation.json'} and the predictions of each fold beside it", soft_wrap=True)


def run_pictures(model: str, labels: Path, out: Path | None) -> None:
    """Judge a model on labelled pictures; print, and write to `out`.

    Raises:
        DataError: the labels are not as they should be.
        OutputError: nothing can be written to `out`.
    """
    from ..detector import AUDetector
    from ..training.evaluate.pictures.judging import stated_rates, summarise, worst
    from .parts import picture_scoring as pictures

    with AUDetector.from_pretrained(model, all_aus=True) as detector:
        judged = pictures.scored(detector, labels)
        thresholds, tiers = list(detector.thresholds.values()), dict(detector.info.tiers)
    summary, rates = summarise(judged, thresholds), stated_rates(judged, thresholds)
    mistakes = worst(judged, thresholds)
    console = Console(markup=False)
    console.width = max(console.width, PICTURES_WIDTH)
    title = f"{model} on {labels}: percent, {len(judged.cases)} pictures of {summary.people} people"
    console.print(pictures.figures_table(title, summary, tiers))
    if judged.faceless:
        console.print(f"no face in {len(judged.faceless)}: {', '.join(judged.faceless)}", soft_wrap=True)
    if rates:
        console.print(pictures.stated_table(rates, judged.codes))
    console.print(pictures.worst_table(mistakes))
    if out is not None:
        figures = defined(pictures.as_json(summary, judged, rates, mistakes))
        for name, content in (("evaluation.json", figures), ("scores.json", pictures.scores_json(judged))):
            write_whole(out / name, json.dumps(content, indent=2, allow_nan=False) + "\n")
        console.print(f"wrote {out / 'evaluation.json'} and scores.json beside it", soft_wrap=True)


def result_table(title: str, results: Sequence[Result]) -> Table:
    """A column a protocol: what sums a model up, then F1 and AUC of each AU; in percent, means over folds."""
    folds = ", ".join(str(fold.fold) for fold in results[0].folds)
    table = Table("", title=f"{title}: percent, mean over folds {folds}")
    for result in results:
        table.add_column(result.protocol.name, style="yellow" if result.protocol.optimistic else None)
    intervals = [result.interval for result in results]
    epochs = [", ".join(str(fold.epoch) for fold in result.folds if fold.epoch) for result in results]
    table.add_row("F1", *(_percent(result.f1) for result in results), style="bold")
    table.add_row("its 95 % interval", *(f"{_percent(i.low)} to {_percent(i.high)}" for i in intervals))
    names = {"f1_micro": "F1 micro", "event_f1": "F1 of events", "area": "AUC", "accuracy": "accuracy"}
    for attribute, name in names.items():
        table.add_row(name, *(_percent(getattr(result, attribute)) for result in results))
    table.add_row("epoch of each fold", *epochs, end_section=True)
    for name, attribute in (("F1", "f1_by_au"), ("AUC", "areas")):
        for column, code in enumerate(results[0].codes):
            table.add_row(f"{name} {code}", *(_percent(getattr(result, attribute)[column]) for result in results))
        table.add_section()
    return table


def comparison_table(first: str, second: str, comparison: Comparison) -> Table:
    """The difference and three tests, with what each takes for independent."""
    ours, theirs = map(_percent, comparison.f1)
    difference, low, high = (f"{100 * getattr(comparison.difference, name):+.1f}" for name in ("value", "low", "high"))
    table = Table("test", "statistic", "p", title=f"{first} (F1 {ours}) against {second} (F1 {theirs}), threshold 0.5")
    tests = (
        ("paired t, F1 of each subject", comparison.subjects),
        ("paired t, error of each frame, as the paper (frames taken for independent)", comparison.frames),
        ("McNemar, decisions (frames taken for independent)", comparison.decisions),
    )
    table.add_row(f"difference of F1; 95 %, subjects drawn anew: {low} to {high}", difference, "")
    for name, test in tests:
        table.add_row(name, *("-" if math.isnan(x) else f"{x:.3g}" for x in (test.statistic, test.p_value)))
    return table


def as_json(results: Sequence[Result], comparison: Comparison | None) -> dict[str, Any]:
    """All figures, as shares of one; null where a figure is not defined."""
    found: dict[str, Any] = {"protocols": [_result_json(result) for result in results]}
    if comparison is not None:
        tests = {name: vars(getattr(comparison, name)) for name in ("subjects", "frames", "decisions")}
        found["comparison"] = {"f1": comparison.f1, "difference_95": vars(comparison.difference), **tests}
    return cast(dict[str, Any], defined(found))


def _result_json(result: Result) -> dict[str, Any]:
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


def _are_pictures(word: str) -> bool:
    """Whether a file lists labelled pictures: JSON that begins with a list, as no configuration does."""
    if not word.lower().endswith(".json") or not Path(word).is_file():
        return False
    with Path(word).open("rb") as file:
        return file.read(1000).lstrip()[:1] == b"["


def _is_run(one: str | Path) -> bool:
    from ..training.evaluate.evaluation import SETTINGS

    return one not in BUNDLED and (Path(one) / SETTINGS).is_file()


def _of_model(folder: str | Path, config: Path | None, changes: Sequence[str], folds: Sequence[int]) -> tuple[Any, Any]:
    """A model folder scored on test frames, at its own thresholds."""
    from ..training.evaluate.folder_scoring import score_folder

    return score_folder(ModelFolder.open(folder), config, changes, folds)


def _last_predictions(folder: Path, results: Sequence[Result]) -> dict[int, Any]:
    from ..training.evaluate.predictions import Predictions
    from ..training.fit.fit import epoch_stem

    last = results[0]
    stems = {fold.fold: epoch_stem(folder / f"fold{fold.fold}", fold.epoch or 0) for fold in last.folds}
    return {fold: Predictions.load(stem.with_suffix(".npz")) for fold, stem in stems.items()}


def _write(out: Path, results: Sequence[Result], comparison: Comparison | None, predictions: dict[int, Any]) -> None:
    """Raises:
    OutputError: the folder cannot be written.
    """
    text = json.dumps(as_json(results, comparison), indent=2, allow_nan=False) + "\n"
    write_whole(out / "evaluation.json", text)
    for fold, one in predictions.items():
        one.save(out / f"predictions_fold{fold}.npz")
        one.to_csv(out / f"predictions_fold{fold}.csv")


def _percent(value: float) -> str:
    return "-" if math.isnan(value) else f"{100 * value:.1f}"


@app.command()
def evaluate(
    folder: Annotated[str, typer.Argument(help=f"Folder of a run. Or: {MODEL}.")],
    words: Annotated[
        Optional[list[str]],
        typer.Argument(help="For a model folder: CONFIG, section.key=value ... Or: LABELS.json, of pictures."),
    ] = None,
    fold: Annotated[
        Optional[list[int]], typer.Option(help="Folds, as in --fold 1 2 3; a run's own by default.")
    ] = None,
    against: Annotated[Optional[str], typer.Option(help="Another run or model to compare with.")] = None,
    out: Annotated[Optional[Path], typer.Option(help="Folder for JSON and predictions.")] = None,
) -> None:
    """Evaluate a run under four protocols side by side, or a model folder at its thresholds."""
    if words and _are_pictures(words[0]):
        if len(words) > 1 or fold or against is not None:
            raise ConfigError(
                f"'{words[0]}' holds labels of pictures; give it alone: mdhr evaluate {folder} {words[0]}"
            )
        return run_pictures(folder, Path(words[0]), out)
    return run_evaluate(folder, words or [], fold or [], against, out)
