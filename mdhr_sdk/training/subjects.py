"""Whom a model was trained on, in its folder, so that it is not judged on them by mistake."""

from __future__ import annotations

import json
from collections.abc import Iterable

from ..errors import ConfigError
from ..folder import ModelFolder

TRAINED_ON = "trained_on.json"


def note_subjects(folder: ModelFolder, dataset: str, fold: int, subjects: Iterable[str]) -> None:
    """Write the training subjects, held out or not, into a model folder.

    Raises:
        ModelFolderError: it cannot be written.
    """
    content = {"dataset": dataset, "fold": fold, "subjects": sorted(set(subjects))}
    with folder.writing(TRAINED_ON, {"tool": "mdhr train"}) as path:
        path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def check_subjects(folder: ModelFolder, dataset: str, fold: int, tested: Iterable[str]) -> None:
    """Make sure that nobody of `tested` is known to have been trained on.

    Raises:
        ConfigError: somebody was.
        ModelFolderError: the folder's note is not what its manifest says.
    """
    if not folder.has(TRAINED_ON):
        return
    content = json.loads(folder.read(TRAINED_ON))
    both = sorted(set(tested) & set(content["subjects"]))
    if content["dataset"] == dataset and both:
        names = ", ".join(both[:4]) + (", ..." if len(both) > 4 else "")
        raise ConfigError(
            f"'{folder.path}' was trained on {len(both)} of the subjects that fold {fold} tests ({names}): its figures "
            f"would mean nothing; judge it on its own fold: --fold {content['fold']}"
        )
