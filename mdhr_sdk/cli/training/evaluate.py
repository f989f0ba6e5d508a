"""What `mdhr evaluate` does: tables on the terminal, JSON and predictions in files."""

from __future__ import annotations

import codecs
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Optional

import typer

from ...atomic import write_whole
from ...errors import ConfigError
from ...modelfolder.bundled import BUNDLED
from ...modelfolder.folder import ModelFolder
from ..parts.defined import defined
from ..parts.judged import Judged, as_json, comparison_table, of_model, of_run, result_table, shared_line
from ..parts.options import MODEL, Console, command_app
from .train import require_training, sorted_words

__all__ = ["app", "as_json", "comparison_table", "result_table", "run_evaluate", "run_pictures"]
PICTURES_WIDTH = 150  # of a table that a narrow terminal would cut
_NO_FRAMES = (
    "'{}' is a model folder; say what to judge it on: mdhr evaluate {} CONFIG --fold 1{}, where CONFIG is of a run; "
    "labels of pictures are a list, see docs/real_faces.md"
)
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
    from ...training.evaluate.comparison import by_protocol, compare

    config, numbers, changes = sorted_words(words, folds)
    for one in [given] if against is None else [given, against]:  # before anything is computed
        if not _is_run(one):
            if one not in BUNDLED and not Path(one).is_dir():
                what = "is a file" if Path(one).is_file() else "does not exist"
                raise ConfigError(f"'{one}' {what}; name the folder of a run (mdhr train) or of a model")
            ModelFolder.open(one)
            if (config is None and not changes) or not (numbers or _is_run(given)):
                raise ConfigError(_NO_FRAMES.format(one, given, "" if against is None else f" --against {against}"))

    def judged(one: str | Path, numbers: Sequence[int]) -> Judged:
        return of_run(Path(one), numbers) if _is_run(one) else of_model(one, config, changes, numbers)

    ours = judged(given, numbers)
    console = Console(markup=False)
    console.print(result_table(str(given), ours.results))
    if ours.shared is not None:
        console.print(shared_line(ours.shared), soft_wrap=True)
    comparison, differences = None, []
    if against is not None:
        theirs = judged(against, [fold.fold for fold in ours.results[0].folds])
        comparison = compare(ours.first, theirs.first)
        if ours.results[0].codes == theirs.results[0].codes:
            differences = by_protocol(ours.results, theirs.results)
        console.print(comparison_table(str(given), str(against), comparison, differences))
    if out is not None:
        ours.write(out, comparison, differences)
        console.print(f"wrote {out / 'evaluation.json'} and the predictions of each fold beside it", soft_wrap=True)


def run_pictures(model: str, labels: Path, out: Path | None) -> None:
    """Judge a model on labelled pictures; print, and write to `out`.

    Raises:
        DataError: the labels are not as they should be.
        OutputError: nothing can be written to `out`.
    """
    from ...detector import AUDetector
    from ...training.evaluate.pictures.judging import stated_rates, summarise, worst
    from ..parts import picture_scoring as pictures

    with AUDetector.from_pretrained(model, all_aus=True) as detector:
        judged = pictures.scored(detector, labels)
        thresholds, tiers = list(detector.thresholds.values()), dict(detector.info.tiers)
    summary, rates = summarise(judged, thresholds), stated_rates(judged, thresholds)
    mistakes = worst(judged, thresholds)
    console = Console(markup=False)
    console.width = max(console.width, PICTURES_WIDTH)
    title = f"{model} on {labels}: percent, {len(judged.cases)} pictures of {summary.people} people"
    console.print(pictures.figures_table(title, summary, tiers))
    if foreign := pictures.unscored_line(judged):
        console.print(foreign, soft_wrap=True)
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


def _are_pictures(word: str) -> bool:
    """Whether a file is to list labelled pictures: JSON that is no object, as a configuration is."""
    if not word.lower().endswith(".json") or not Path(word).is_file():
        return False
    with Path(word).open("rb") as file:
        return file.read(1000).removeprefix(codecs.BOM_UTF8).lstrip()[:1] != b"{"


def _is_run(one: str | Path) -> bool:
    from ...training.evaluate.evaluation import SETTINGS

    return one not in BUNDLED and (Path(one) / SETTINGS).is_file()


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
