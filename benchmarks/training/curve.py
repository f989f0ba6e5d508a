"""What people, augmentation and hard cases are worth: one recipe, trained on less of each, judged on the same frames.

Every training sees the same number of clips, so that fewer people means each more often. All are judged on the test
half of the recipe's own lists, and on one real video whose smile is known, if there is one.
"""

from __future__ import annotations

import dataclasses
import logging
import warnings
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Optional

import numpy as np
import typer
from rich.table import Table

from benchmarks.report import Json, console, write_json
from mdhr_sdk import AUDetector
from mdhr_sdk.cli.app import run_app
from mdhr_sdk.errors import ConfigError, InputError
from mdhr_sdk.modelfolder.folder import ModelFolder
from mdhr_sdk.training.data.datasets import dataset
from mdhr_sdk.training.data.folds import fold_data
from mdhr_sdk.training.data.frames import Fold, frame_list
from mdhr_sdk.training.data.lists import read_fold, write_fold
from mdhr_sdk.training.evaluate.folder_scoring import score_folder
from mdhr_sdk.training.fit import runs
from mdhr_sdk.training.fit.augment import Augmentation
from mdhr_sdk.training.fit.settings import Settings, read_settings

NOTHING = Augmentation(scale=1.0, flip=0.0, brightness=(1.0, 1.0), contrast=(1.0, 1.0), saturation=(1.0, 1.0))
SMILE, QUIET = ("AU12", "AU25"), ("AU04", "AU09", "AU10", "AU15")
SMILES = (22, 68)

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@dataclass(frozen=True)
class Variant:
    """A training: its settings, and on how many people (None for all)."""

    name: str
    settings: Settings
    people: int | None = None


@dataclass(frozen=True)
class Row:
    """What came of one; `smile` and `quiet` are of the real video, None without one.

    Attributes:
        f1, low, high: mean F1 at 0.5 on the recipe's test frames, with its 95 % interval.
        smile: mean probability of `SMILE` in the frames of the smile.
        quiet: greatest probability of `QUIET` anywhere.
    """

    name: str
    f1: float
    low: float
    high: float
    auc: float
    smile: float | None = None
    quiet: float | None = None


def variants(base: Settings, plain: Settings | None, people: Sequence[int]) -> list[Variant]:
    """The recipe, the recipe without augmentation and without hard cases, and with fewer people."""
    bare = dataclasses.replace(base, augmentation=asdict(NOTHING))
    found = [Variant("the recipe", base), Variant("without augmentation", bare)]
    found += [] if plain is None else [Variant("without hard cases", plain)]
    return found + [Variant(f"{count:,} people", base, count) for count in sorted(people)]


def with_people(settings: Settings, count: int | None, folder: Path) -> Settings:
    """The settings with lists, written to `folder`, of the first so many training people; of all if None."""
    if count is None:
        return settings
    spec = dataset(settings.data.dataset)
    lists = read_fold(Path(settings.data.lists), spec, 1)
    names = list(dict.fromkeys(lists.train.subjects))
    if not 1 <= count <= len(names):
        raise ConfigError(f"--people {count}: the lists have {len(names)} training people; take 1 to {len(names)}")
    rows = np.flatnonzero(np.isin(lists.train.subjects, names[:count]))
    half = frame_list(
        spec, lists.train.name, [lists.train.paths[row] for row in rows], lists.train.labels[rows], train=True
    )
    folder.mkdir(parents=True, exist_ok=True)
    write_fold(folder, spec, 1, Fold(half, lists.test))
    return dataclasses.replace(settings, data=dataclasses.replace(settings.data, lists=str(folder)))


def train(variant: Variant, clips: int, folder: Path) -> ModelFolder:
    """Train for `clips` clips, or go on; the settings' own number of epochs is not looked at."""
    settings = with_people(variant.settings.anywhere(), variant.people, folder / "list")
    epochs = max(1, round(clips / len(fold_data(settings, 1).train)))
    trainer = dataclasses.replace(settings.trainer, epochs=epochs, validate_every=epochs)
    settings = dataclasses.replace(settings, trainer=trainer, data=dataclasses.replace(settings.data, held_out=0.0))
    if not (folder / "run").is_dir():
        runs.start(settings, folder / "run", [1])
    elif read_settings(folder / "run" / "settings.yaml").portable().to_yaml() != settings.portable().to_yaml():
        raise ConfigError(f"'{folder}' was trained with other settings or --clips; take them again, or another --out")
    (path,) = runs.train(folder / "run", fold_data)
    return ModelFolder.open(path)


def judge(name: str, model: ModelFolder, config: Path, words: Sequence[str], video: Path | None, smile: range) -> Row:
    """A trained model on the recipe's test frames and on the video."""
    (result,) = score_folder(model, config, words, [1]).results
    figures = (result.f1, result.interval.low, result.interval.high, result.area)
    if video is None:
        return Row(name, *figures)
    with AUDetector.from_pretrained(model.path, "torch", "cpu", max_faces=1) as detector:
        found = {frame.index: frame.faces[0].aus for frame in detector.predict(video).frames if frame.faces}
    smiling = [[aus[code].probability for code in SMILE] for index, aus in found.items() if index in smile]
    if not smiling:
        raise InputError(f"'{video}' shows no face in the frames {smile.start} to {smile.stop - 1} of --smile")
    quiet = np.max([[aus[code].probability for code in QUIET] for aus in found.values()])
    return Row(name, *figures, float(np.mean(smiling)), float(quiet))


def table(rows: Sequence[Row]) -> Table:
    found = Table("", "F1", "95 %", "AUC", f"smiling: {' '.join(SMILE)}", f"greatest of {' '.join(QUIET)}")
    for row in rows:
        real = ("", "") if row.smile is None or row.quiet is None else (f"{row.smile:.2f}", f"{row.quiet:.2f}")
        interval = f"{100 * row.low:.1f} to {100 * row.high:.1f}"
        found.add_row(row.name, f"{100 * row.f1:.1f}", interval, f"{100 * row.auc:.1f}", *real)
    return found


@app.command()
def curve(
    config: Annotated[Path, typer.Argument(help="Recipe, as docs/recipes/edge_a.yaml.")],
    words: Annotated[Optional[list[str]], typer.Argument(help="section.key=value ...")] = None,
    out: Annotated[Path, typer.Option(help="Folder for the runs; give it again to go on.")] = Path("mdhr-curve"),
    people: Annotated[Optional[list[int]], typer.Option(help="Train on so many people; may be given again.")] = None,
    plain: Annotated[Optional[Path], typer.Option(help="Recipe on a set made with --plain.")] = None,
    clips: Annotated[int, typer.Option(min=1, help="Clips that each training sees.")] = 250_000,
    video: Annotated[Optional[Path], typer.Option(help="Real video in which one person smiles.")] = None,
    smile: Annotated[tuple[int, int], typer.Option(help="First frame of the smile, and the one after it.")] = SMILES,
    json: Json = None,
) -> None:
    """Train every variant and print a row each."""
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    warnings.simplefilter("ignore")
    changes = words or []
    base = read_settings(config, changes)
    if video is not None and not (video.is_file() and smile[0] < smile[1]):
        raise InputError(f"--video needs a file and --smile two rising numbers; got '{video}' and {smile}")
    rows: list[Row] = []
    for variant in variants(base, None if plain is None else read_settings(plain, changes), people or []):
        model = train(variant, clips, out / variant.name.replace(" ", "-").replace(",", ""))
        rows.append(judge(variant.name, model, config, changes, video, range(*smile)))
        console.print(table(rows[-1:]))
    console.print(table(rows))
    write_json(json, {"config": str(config), "clips": clips, "rows": [asdict(row) for row in rows]})


if __name__ == "__main__":
    run_app(app)
