"""The errors of this package. Each message says what was expected, what came, and what to do."""

from __future__ import annotations

import importlib
import logging
import sys
import unicodedata
import warnings
from types import ModuleType
from typing import Any

FORMULA = tuple("=+-@\uff1d\uff0b\uff0d\uff20")  # a spreadsheet takes what begins so for a formula; wide signs too


def plain(text: object) -> str:
    """A name or a message as it may be shown: one line, with nothing that a terminal would act on.

    What does not print (escapes, line ends, marks that change the direction of text, bytes that are no text) is written
    out, as '\\x1b'. Every name and text that came from outside passes through here before it is shown.
    """
    shown = (one if one.isprintable() or unicodedata.category(one) == "Zs" else _written_out(one) for one in str(text))
    return "".join(shown)


def no_formula(name: str) -> str:
    """The name of a source as tables may begin a cell with it: './=a.mp4' for '=a.mp4', which a spreadsheet would run.

    It names the same file. Names that do not begin as a formula stay as they are.
    """
    return f"./{name}" if name.lstrip().startswith(FORMULA) else name


def _written_out(letter: str) -> str:
    return letter.encode("unicode_escape", errors="surrogatepass").decode("ascii")


class _PlainRecords(logging.Filter):
    """What is logged, as it may be shown."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.msg, record.args = plain(record.getMessage()), None
        return True


for _name in ("mdhr_sdk", "mdhr_sdk.tensorrt"):
    logging.getLogger(_name).addFilter(_PlainRecords())


class MDHRError(Exception):
    """Base of every error this package raises on purpose. Its message is one line that can be shown anywhere.

    Attributes:
        results: for an error that ended `AUDetector.predict` halfway, the `Results` of the frames before it.
    """

    results: Any = None

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*(plain(one) if isinstance(one, str) else one for one in arguments))

    def __reduce__(self) -> tuple[Any, ...]:
        # Exception's own would call `__init__` with the message alone, which not every kind of error takes.
        return _restored, (type(self), self.args), self.__dict__


class ConfigError(MDHRError):
    """A configuration value, or a combination of them, that the model cannot have."""


class InputError(MDHRError):
    """An argument of the wrong kind, shape or range, or a call that is not possible now."""


class SupersededError(InputError):
    """A stream that was resumed after its detector began another run, or was closed."""


class SourceError(MDHRError):
    """A video, image, folder or camera that cannot be read."""


class TruncatedSourceError(SourceError):
    """A video that ended well before the frame count that its container declares.

    Attributes:
        decoded: frames read before the end.
        declared: frames the container promised.
    """

    def __init__(self, message: str, decoded: int, declared: int) -> None:
        super().__init__(message)
        self.decoded = decoded
        self.declared = declared


class DataError(MDHRError):
    """A file of a data set (labels, list, picture or description) that is not what training needs."""


class OutputError(MDHRError):
    """A result file that cannot be written."""


class FetchError(MDHRError):
    """A file of others that cannot be fetched from its address, or is not what it must be."""


class ModelFolderError(MDHRError):
    """A model folder that is missing, incomplete, or not what its manifest says."""


class CheckpointError(MDHRError):
    """Weights that do not fit the model.

    Attributes:
        missing: keys the model needs and the file lacks.
        unexpected: keys the file has and the model does not know.
        misshapen: (key, shape in the file, shape the model needs).
    """

    def __init__(
        self,
        what: str,
        missing: tuple[str, ...] = (),
        unexpected: tuple[str, ...] = (),
        misshapen: tuple[tuple[str, tuple[int, ...], tuple[int, ...]], ...] = (),
    ) -> None:
        self.what = what
        self.missing = missing
        self.unexpected = unexpected
        self.misshapen = misshapen
        super().__init__(self.listing())

    def listing(self, most: int | None = None) -> str:
        """The message, with at most `most` keys of each kind; the exception's own text has them all."""
        shapes = [f"{key} {came} instead of {wanted}" for key, came, wanted in self.misshapen]
        kinds = {"missing": self.missing, "unexpected": self.unexpected, "misshapen": shapes}
        parts = []
        for kind, keys in kinds.items():
            if keys:
                more = "" if most is None or len(keys) <= most else ", ..."
                parts.append(f"{len(keys)} {kind}: {', '.join(keys[:most])}{more}")
        return f"{self.what}: {'; '.join(parts)}" if parts else self.what


class BackendError(MDHRError):
    """A backend, device or precision that was asked for and cannot run here."""


class NotFiniteError(BackendError):
    """A model that answered NaN or infinity: its weights are broken, or its precision is too low.

    Attributes:
        keys: the streams of that step with such answers; they are ended.
        scores: the `StreamScore`s of the step's other streams, which go on.
    """

    keys: tuple[Any, ...] = ()
    scores: tuple[Any, ...] = ()


class ExportError(MDHRError):
    """A graph that cannot be made, or whose scores differ from those of its weights."""


class TrainingError(MDHRError):
    """A training run that cannot go on, or has no checkpoint to go on from."""


class MissingDependencyError(MDHRError):
    """A package that is not installed, or cannot be loaded."""


def _restored(kind: type[MDHRError], arguments: tuple[Any, ...]) -> MDHRError:
    """An unpickled error, for example from a worker process."""
    error = kind.__new__(kind, *arguments)
    error.args = arguments
    return error


def deprecated(what: str, instead: str, *, since: str, removed_in: str) -> None:
    """Warn whoever called the deprecated function that calls this."""
    warnings.warn(
        f"{what} is deprecated since version {since} and goes in {removed_in}; use {instead}",
        DeprecationWarning,
        stacklevel=3,
    )


def number_of(count: int, one: str, several: str = "") -> str:
    """A count and what is counted, in a message: '1 frame', '2 frames', '1,200 frames'."""
    return f"{count:,} {one if count == 1 else several or f'{one}s'}"


def install_hint(extra: str) -> str:
    """How to install an extra, '' for the core; from the checkout, since the package is on no registry."""
    what = f"'.[{extra}]'" if extra else "."
    return f"in the mdhr_sdk checkout run: pip install -e {what}"


def require(module: str, extra: str) -> ModuleType:
    """Import `module` now, or name the pip extra that brings it; '' is the core.

    Raises:
        MissingDependencyError: the package is not installed.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or module.split(".")[0] != error.name.split(".")[0]:
            raise
        raise MissingDependencyError(
            f"this needs the package '{error.name}', which is not installed; {install_hint(extra)}"
        ) from None


_IMAGING = {
    "cv2": ("OpenCV", "opencv-contrib-python>=4.8,<5"),
    "av": ("PyAV", "av>=17.1,<19"),
    "PIL.Image": ("Pillow", "pillow"),
}


def check_imaging() -> None:
    """Load what reads pictures: OpenCV, PyAV and Pillow. Called before any source is read.

    Raises:
        MissingDependencyError: one is not installed, or lacks a library of the system.
    """
    for module in _IMAGING:
        _import_imaging(module)


def import_cv2() -> ModuleType:
    """Load OpenCV.

    Raises:
        MissingDependencyError: as `check_imaging`.
    """
    return _import_imaging("cv2")


def _import_imaging(module: str) -> ModuleType:
    if (loaded := sys.modules.get(module)) is not None and loaded.__dict__.get("__version__"):
        return loaded  # the import system takes microseconds, several times a frame
    name, requirement = _IMAGING[module]
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name not in (module, module.partition(".")[0]):
            raise
        raise MissingDependencyError(
            f"this needs {name}, which is not installed; run: pip install '{requirement}'"
        ) from None
    except ImportError as error:
        raise missing_library(name, error) from None


def missing_library(package: str, error: ImportError | OSError) -> MissingDependencyError:
    """The error for a package that is installed but cannot be loaded, with the remedy."""
    reason = str(error).partition("\n")[0]
    headless = ", or install opencv-contrib-python-headless in place of opencv-contrib-python"
    return MissingDependencyError(
        f"{package} is installed but cannot be loaded: {reason}; on a server without a desktop run: "
        f"apt-get install libgl1 libglib2.0-0 libegl1 libgles2{headless if package == 'OpenCV' else ''}"
    )
