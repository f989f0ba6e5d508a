"""Models that come with the package, by name.

A text that is exactly such a name means the bundled model, whatever lies in the working directory; a `Path`, or a text
with a separator ('./edge'), means a folder. So neither takes the place of the other, wherever a program is started.
"""

from __future__ import annotations

import os
import warnings
from pathlib import Path

from ..errors import ModelFolderError

BUNDLED = ("edge",)
DEFAULT = "edge"
ROOT = Path(__file__).parents[1] / "models"


class ModelNameWarning(UserWarning):
    """A bundled model was named where a folder has the same name."""


def model_path(model: str | Path) -> Path:
    """The folder that is meant: of a bundled model by its name, else the path itself.

    Warns (`ModelNameWarning`) where the working directory holds a folder of a bundled model's name.

    Raises:
        ModelFolderError: this copy of the package lacks the bundled model, or it is neither a name nor a path.
    """
    if not isinstance(model, str | os.PathLike):
        raise ModelFolderError(f"expected the path of a model folder, or the name of a bundled model; got {model!r}")
    if not isinstance(model, str) or model not in BUNDLED:
        return Path(model)
    beside = f"the folder of that name here is './{model}'" if Path(model).is_dir() else ""
    path = ROOT / model
    if not path.is_dir():
        raise ModelFolderError(
            f"'{model}' is the model that comes with mdhr_sdk, and this copy lacks '{path}'; "
            f"{beside or 'install a copy that has it, or give a model folder: mdhr init FOLDER makes an untrained one'}"
        )
    if beside:
        text = f"'{model}' is the model that comes with mdhr_sdk; {beside}"
        warnings.warn(text, ModelNameWarning, stacklevel=3)
    return path


def bundled_models() -> tuple[str, ...]:
    """Names of those that this copy of the package has."""
    return tuple(name for name in BUNDLED if (ROOT / name).is_dir())


def is_bundled(path: Path) -> bool:
    """Whether a folder is one of the package's own, which nothing is written to."""
    return path.resolve().parent == ROOT.resolve()
