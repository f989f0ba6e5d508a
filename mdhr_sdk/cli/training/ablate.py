"""What `mdhr ablate` does."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Optional

import typer
from rich.table import Table

from ...atomic import write_whole
from ...errors import ConfigError, OutputError
from ..parts.defined import defined
from ..parts.options import Console, command_app
from ..parts.progress import interruptible
from .train import all_folds, check_folds, require_training, sorted_words, tell

if TYPE_CHECKING:
    from ...training.fit.settings import Settings
app = command_app()


def run_ablation(name: str, words: Sequence[str], folds: Sequence[int], out: Path, json_path: Path | None) -> None:
    """Train every row of a study, or go on where it stopped, and print the table.

    Raises:
        ConfigError: an unknown study, or settings that cannot be.
        OutputError: the JSON file cannot be written; a missing folder is found before training.
    """
    require_training()
    from ...training.data.several import label_set_of
    from ...training.evaluate.ablations import study, with_changes
    from ...training.fit.runs import is_first_process
    from ...training.fit.settings import read_settings

    chosen = study(name)
    _check_json(json_path)
    config, numbers, changes = sorted_words(words, folds)
    base = read_settings(config, changes).anywhere()
    numbers = numbers or all_folds(base)
    labels = label_set_of(base.data)
    for variant in chosen.variants:  # as bad lists, found before anything is trained
        with_changes(base, variant.model).model_config(labels)
    check_folds(base, numbers)
    rows = []
    name_of_data = Path(base.data.dataset).stem
    table = Table("", "F1 last epoch", "95 %", "paper, BP4D", title=f"{chosen.title} · {name_of_data}")
    for place, variant in enumerate(chosen.variants, 1):
        tell(f"{variant.name}: {place} of {len(chosen.variants)}, folds {', '.join(map(str, numbers))}")
        folder = out / f"{place:02d}"
        with interruptible("the same command"):
            figure, low, high = _ablated(base, variant.model, folder, numbers)
        figures = {"f1": figure, "low": low, "high": high}
        rows.append({"name": variant.name, **figures, "paper": variant.published})
        paper = "" if variant.published is None else f"{variant.published:.1f}"
        table.add_row(variant.name, f"{100 * figure:.1f}", f"{100 * low:.1f} to {100 * high:.1f}", paper)
    if not is_first_process():
        return
    Console(markup=False).print(table)
    if json_path is not None:
        text = json.dumps({"study": name, "rows": defined(rows)}, indent=2, allow_nan=False) + "\n"
        write_whole(json_path, text)


def _check_json(path: Path | None) -> None:
    """Find a file that cannot be written before hours of work."""
    if path is not None and (path.is_dir() or not path.absolute().parent.is_dir()):
        raise OutputError(f"--json needs a file in a folder that exists; got '{path}'")


def _ablated(base: Settings, model: dict, folder: Path, folds: Sequence[int]) -> tuple[float, float, float]:
    """F1 of one row and its interval; a row that was started with the same settings goes on."""
    from ...training.data.folds import fold_data
    from ...training.evaluate.ablations import with_changes
    from ...training.evaluate.evaluation import LAST, SETTINGS, evaluate_run
    from ...training.fit import runs
    from ...training.fit.record import RECORD
    from ...training.fit.settings import read_settings

    settings = with_changes(base, model)
    if not (folder / RECORD).is_file():  # what `start` writes last
        runs.start(settings, folder, folds)
    elif read_settings(folder / SETTINGS).to_yaml() != settings.to_yaml():
        raise ConfigError(f"'{folder}' was started with other settings; take the same, or another --out")
    runs.train(folder, fold_data, folds, tell)
    result = next(result for result in evaluate_run(folder, folds) if result.protocol == LAST)
    interval = result.interval
    return result.f1, interval.low, interval.high


def run_geometry(words: Sequence[str], persons: Sequence[int], json_path: Path | None) -> None:
    """Take parts of a model's geometry away, and print what is left on people that it was not trained on.

    Raises:
        ConfigError: not a model with geometry and a folder, or more people are asked for than the folder holds.
        DataError: no meshes of people to train on, or of others, are in the folder.
        OutputError: the JSON file cannot be written.
    """
    require_training()
    from ...modelfolder.folder import ModelFolder
    from ...pipeline.scores.geometry import read_geometry
    from ...synthetic.geometry.ablation import Scored, ablate
    from ...synthetic.geometry.meshes import load_meshes, seeds_in

    if len(words) != 2:
        raise ConfigError(
            "expected a model and the folder of meshes that mdhr synthetic geometry made, as in: mdhr ablate geometry "
            f"edge data/meshes; got '{' '.join(words)}'"
        )
    _check_json(json_path)
    folder = ModelFolder.open(words[0])
    model = read_geometry(folder)
    if model is None:
        raise ConfigError(f"'{words[0]}' has no geometry, so nothing can be taken away; see docs/real_faces.md")
    seeds = seeds_in(Path(words[1]))
    train, test = (Scored.of(load_meshes(Path(words[1]), part), folder) for part in seeds)
    if persons and max(persons) > train.persons:
        raise ConfigError(
            f"--people {max(persons)} are more than the {train.persons} to train on in '{words[1]}'; ask for fewer"
        )
    table = Table("", "AUC, face new", "known", "F1, face new", "known", title=f"{len(seeds[1])} people not trained on")
    rows = []
    with interruptible("the same command"):
        for row in ablate(model, train, test, persons=persons, tell=tell):
            table.add_row(row.name, *(f"{value:.3f}" for value in (*row.auc, *row.f1)))
            rows.append({"name": row.name, "auc": row.auc, "f1": row.f1})
    Console(markup=False).print(table)
    if json_path is not None:
        write_whole(json_path, json.dumps({"study": "geometry", "rows": rows}, indent=2, allow_nan=False) + "\n")


@app.command()
def ablate(
    study: Annotated[
        str, typer.Argument(help="components, dynamics, edges, neighbours, lambda or regions; or geometry.")
    ],
    words: Annotated[
        Optional[list[str]],
        typer.Argument(help="CONFIG (a YAML file), then section.key=value ...; of geometry: MODEL, folder of meshes."),
    ] = None,
    fold: Annotated[Optional[list[int]], typer.Option(help="Folds, as in --fold 1 2 3; all by default.")] = None,
    out: Annotated[
        Optional[Path], typer.Option(help="Folder for the runs, mdhr-ablation by default; give it again to go on.")
    ] = None,
    people: Annotated[
        Optional[list[int]],
        typer.Option(min=2, help="Of geometry: also train on so many people; once for each point of a learning curve."),
    ] = None,
    json: Annotated[Optional[Path], typer.Option(help="Write the table there.")] = None,
) -> None:
    """Train every row of a table of the paper and print it beside the published figures.

    `geometry` takes parts away from what reads face meshes beside a model's network, on rendered people.
    """
    if study == "geometry":
        if fold or out is not None:
            raise ConfigError("geometry has no folds and makes no runs; leave out --fold and --out")
        run_geometry(words or [], people or [], json)
        return
    if people:
        raise ConfigError("--people is for the study of geometry alone; leave it out")
    run_ablation(study, words or [], fold or [], out or Path("mdhr-ablation"), json)
