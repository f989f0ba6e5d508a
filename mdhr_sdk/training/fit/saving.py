"""A trained fold as a model folder, with all that is known of where its weights come from."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from safetensors.torch import load_file

from ... import __version__
from ...atomic import scratch
from ...errors import plain
from ...model import MDHR, save_model
from ...modelfolder.bundled import BUNDLED
from ...modelfolder.config import MOST_LETTERS, MOST_NAME, TRAINED_ON_LENGTH
from ..data.subjects import Note, note_subjects
from ..evaluate.evaluation import HALF, Choice
from .fit import FoldData, epoch_stem
from .settings import Settings

Origin = dict[str, Any]
RENDERS = "synthetic"  # label set of rendered faces


def save_fold(
    settings: Settings,
    data: FoldData,
    folder: Path,
    fold: int,
    choice: Choice | None,
    start: Note,
    before: Origin,
    extended: str = "",
) -> None:
    """Write the model folder: the chosen epoch with its thresholds, or the last epoch with 0.5.

    Args:
        start: whom the starting weights have seen.
        before: where they came from, as `origin` gives it.
        extended: whether the run was given more epochs, in words.
    """
    epoch = choice.epoch if choice else settings.trainer.epochs
    thresholds = choice.thresholds if choice else (HALF,) * len(data.label_set.aus)
    model = MDHR(settings.model_config(data.label_set))
    model.load_state_dict(load_file(epoch_stem(folder, epoch).with_suffix(".safetensors")))
    provenance, licence = _origin(settings, data.label_set.name, fold, epoch, choice, before, extended)
    with scratch(folder) as own:
        made = save_model(
            model.eval(),
            own / "model",
            clip_length=settings.data.clip_length,
            thresholds=thresholds,
            trained=True,
            provenance=provenance[:MOST_LETTERS],
            licence=licence[:MOST_LETTERS],
        )
        caveat = trained_on(data.label_set.name, before.get("trained_on", ""))
        made = made.update(name=_name(folder), trained_on=caveat)
        if data.trained_on is not None:
            note_subjects(made, data.learnt_from, fold, start)
        made.path.replace(folder / "model")  # whole: a folder of that name ends the fold


def _origin(
    settings: Settings, dataset: str, fold: int, epoch: int, choice: Choice | None, before: Origin, extended: str
) -> tuple[str, str]:
    """Provenance and licence: those of this run, then those of the model that it started from."""
    how = "epoch and thresholds chosen on held-out training subjects" if choice else "last epoch, threshold 0.5"
    digest = hashlib.sha256(settings.to_yaml(brief=True).encode()).hexdigest()[:12]
    provenance = (
        f"mdhr_sdk {__version__}, {dataset} without the test subjects of fold {fold}, "
        f"epoch {epoch} of {settings.trainer.epochs}, {how}, seed {settings.trainer.seed}, settings {digest}"
    )
    licence = f"that of the training data ({dataset}) and of the starting weights"
    provenance += f", {extended}" if extended else ""
    if before:
        name = before["folder"] if settings.start.folder in BUNDLED else Path(before["folder"]).name
        provenance += f"; started with {settings.start.take} of {plain(name)}: {before['provenance']}"
        licence += f": {before['licence']}" if before["licence"] else ""
    return provenance, licence


def _name(folder: Path) -> str:
    """What outputs call the model of a fold: 'first-fold2' for RUN/first/fold2."""
    folder = folder.resolve()
    return f"{plain(folder.parent.name)[: MOST_NAME - len(folder.name) - 1]}-{folder.name}"


def trained_on(data: str, before: str) -> str:
    """What every output says of the training: nothing of real faces alone; what a start learnt from is kept.

    Args:
        data: name of the label set.
        before: what outputs of the starting model say, as 'synthetic faces only'.
    """
    own = "synthetic faces" if data == RENDERS else data
    if not before:
        return f"{own} only" if data == RENDERS else ""
    earlier = before.removesuffix(" only")
    if earlier == own or earlier.endswith(f", then {own}"):
        return before
    both = f"{earlier}, then {own}"
    return both if len(both) <= TRAINED_ON_LENGTH else f"{earlier[: TRAINED_ON_LENGTH - 11]}, then more"
