"""The command `mdhr`. Every bad input is one line on standard error and exit code 2."""

from __future__ import annotations

import errno
import signal
import sys
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib import import_module
from typing import Annotated, Any, NoReturn

import typer
from typer.core import TyperGroup

from .. import __version__
from ..errors import MDHRError
from ..modelfolder.bundled import ModelNameWarning
from .parts.interrupt import stopping
from .parts.options import BAD_INPUT, command_app, complain, say

# A command is a file of its folder.
FOLDERS = {
    "scoring": ("detect", "batch", "report", "live"),
    "models": ("init", "copy", "digest", "export", "verify", "faces", "fetch", "doctor"),
    "training": ("prepare", "train", "average", "evaluate", "thresholds", "ablate", "figures", "synthetic"),
}
# The first line of each command's own help.
COMMANDS = {
    "detect": "Read videos or images into tables, timelines and overlays.",
    "batch": "Read the files of a list by many workers, here or on a Ray cluster.",
    "report": "Make web pages of results: timelines, events, quality, and tables of a study.",
    "live": "Score cameras and streams as they come, for hours, with outputs that are whole at any moment.",
    "init": "Make a model folder, untrained or from a checkpoint.",
    "copy": "Copy a model, for example the bundled one, to export it or build engines.",
    "digest": "Print the digest that pins a model folder, once every file is proved to be the manifest's.",
    "average": "Take the mean of two models' weights.",
    "prepare": "Turn a data set into aligned crops and the lists of its folds.",
    "export": "Write graphs into a model folder, or put those that are there into a Triton model repository.",
    "verify": "Compare a folder's exported graphs with its weights, in every backend that runs them here.",
    "faces": "Convert MediaPipe's networks to graphs for other runtimes.",
    "fetch": "Fetch a file that mdhr_sdk uses and does not bring, once, into the cache (MDHR_CACHE).",
    "doctor": "Show kernels, CUDA devices and backends of this installation, and what can run a model.",
    "train": "Train one model per fold, or resume an interrupted run.",
    "evaluate": "Evaluate a run under four protocols side by side, or a model folder at its thresholds.",
    "thresholds": "Choose a threshold for each AU on labelled pictures, by a rule that no single picture can move far.",
    "ablate": "Train every row of a table of the paper and print it beside the published figures.",
    "figures": "Draw the paper's figures of labels and models, and curves and counts of scores.",
    "synthetic": "Render labelled faces to train on (extra: synthetic).",
}
_format_warning = warnings.formatwarning


def command_file(name: str) -> Any:
    """The module of a command; importing it takes a moment, so only the command that runs is imported."""
    folder = next(folder for folder, names in FOLDERS.items() if name in names)
    return import_module(f".{folder}.{name}", __package__)


class Commands(TyperGroup):
    """Imports a command's file only when that command is asked for."""

    def list_commands(self, context: Any) -> list[str]:
        return list(COMMANDS)

    def get_command(self, context: Any, name: str) -> Any:
        return typer.main.get_command(command_file(name).app) if name in COMMANDS else None

    def format_commands(self, context: Any, formatter: Any) -> None:
        for folder, names in FOLDERS.items():
            with formatter.section(folder.capitalize()):
                formatter.write_dl([(name, COMMANDS[name]) for name in names])


app = command_app(name="mdhr", cls=Commands, help="Facial action units from video, with MDHR.", no_args_is_help=True)


@app.callback(invoke_without_command=True)
def version(
    context: typer.Context, version: Annotated[bool, typer.Option("--version", help="Show the version.")] = False
) -> None:
    """Facial action units from video, with MDHR."""
    if version:
        say(f"mdhr_sdk {__version__}")
        raise typer.Exit


def _one_line(
    message: Warning | str, category: type[Warning], filename: str, lineno: int, line: str | None = None
) -> str:
    """Our own warnings are lines for a reader; those of other packages keep their form."""
    if category is ModelNameWarning:
        return f"note: {message}\n"
    return _format_warning(message, category, filename, lineno, line)


def _interrupt(*_: object) -> NoReturn:
    raise KeyboardInterrupt


def _no_option(text: str) -> str:
    """'-#format=mpegts' is standard input and no option; a space before it tells Click, and sources ignore that."""
    return f" {text}" if text.startswith("-#") else text


def run_app(app: typer.Typer, *before: str) -> None:
    """Run a command line, with the words `before` put before those that were typed.

    Whatever goes wrong on purpose is one line on standard error and exit code 2.
    """
    with _as_a_process():
        try:
            app(args=[*before, *map(_no_option, sys.argv[1:])])
        except MDHRError as error:
            complain(error)
            sys.exit(BAD_INPUT)
        except OSError as error:
            if error.errno != errno.ENAMETOOLONG:
                raise
            complain(
                MDHRError(f"'{str(error.filename)[:80]}...' is too long for the name of a file; give a shorter one")
            )
            sys.exit(BAD_INPUT)


@contextmanager
def _as_a_process() -> Iterator[None]:
    """Handle signals and warnings as a command does inside the block, and as before after it.

    Job schedulers send SIGTERM, and terminals that are closed SIGHUP: files are finished as for Ctrl-C.
    """
    format_before, before = warnings.formatwarning, {}
    if threading.current_thread() is threading.main_thread():
        for number in stopping():
            if signal.getsignal(number) is not signal.SIG_IGN:  # as under nohup
                before[number] = signal.signal(number, _interrupt)
    warnings.formatwarning = _one_line
    try:
        yield
    finally:
        warnings.formatwarning = format_before
        for number, handler in before.items():  # None stands for a handler that was not set from Python
            signal.signal(number, signal.SIG_DFL if handler is None else handler)


def main() -> None:
    """Run the command line; `mdhr_sdk.__main__` is the entry point.

    The command is loaded first, while a signal ends the process at once.
    """
    if sys.argv[1:2] and sys.argv[1] in COMMANDS:
        with suppress(Exception):  # it is told where the command is looked up
            command_file(sys.argv[1])
    run_app(app)


if __name__ == "__main__":
    main()
