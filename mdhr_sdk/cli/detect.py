"""What `mdhr detect` does with each source: results into files, progress and a summary onto the terminal."""

from __future__ import annotations

import glob
import itertools
import os
import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeRemainingColumn

from ..detector import AUDetector
from ..errors import ConfigError, MDHRError, OutputError
from ..outputs.encoder import check_codec
from ..outputs.naming import OVERLAY, labels, stems
from ..pipeline.modes import Reading
from ..pipeline.run import in_turn
from ..vision import Source
from .progress import cores
from .summary import Outcome, report
from .writing import Files, Writing, write_all

if TYPE_CHECKING:
    from typing_extensions import Unpack

TURN_S = 1e-3  # Python's 5 ms are as long as it takes to find the faces of a frame


def read_seconds(text: str) -> float:
    """'2s', '2' or '1.5 s' -> seconds.

    Raises:
        ConfigError: another text.
    """
    found = re.fullmatch(r"\s*([0-9]+(?:\.[0-9]*)?|\.[0-9]+)\s*s?\s*", text)
    if found is None:
        raise ConfigError(f"--calibrate-neutral expects seconds, as in 2s; got '{text}'")
    return float(found[1])


def check_out(given: Sequence[str], out: Path) -> None:
    """Keep results out of the folders and globs that are read: the next run would take them for sources.

    Args:
        given: sources as typed. Files named one by one may lie anywhere.

    Raises:
        OutputError: `out` is a file, or results in it would be read the next time.
    """
    if out.exists() and not out.is_dir():
        raise OutputError(f"the results go into a folder, and '{out}' is a file; choose another --out")
    target = Path(os.path.realpath(out))
    for text in given:
        path = Path(text).expanduser()
        folders = {path} if path.is_dir() else set()
        if not path.exists() and glob.has_magic(text):
            folders = {Path(match).parent for match in glob.glob(str(path), recursive=True)}  # noqa: PTH207
            if "**" in text:
                fixed = itertools.takewhile(lambda part: not glob.has_magic(part), path.parts)
                folders.update({target} if target.is_relative_to(os.path.realpath(Path(*fixed))) else ())
        if any(target == Path(os.path.realpath(folder)) for folder in folders):
            raise OutputError(
                f"the results would lie among the sources in '{out}', and the next run would read them as sources; "
                "choose another folder with --out"
            )


def model_threads(sources: Sequence[Source], bundled: bool) -> int | None:
    """How many threads the model is to have if nobody says: None for its own choice.

    Of two cores the bundled one has one for video files, while the other one finds faces: that took an eighth less time
    and work. A model that takes longer than faces do is better off with both.
    """
    return 1 if bundled and cores() == 2 and all(source.kind == "video" for source in sources) else None


def run_detect(
    detector: AUDetector, sources: Sequence[Source], out: Path, files: Files, **reading: Unpack[Reading]
) -> list[MDHRError]:
    """Process files one after the other, cameras and URLs all at once; returns what went wrong.

    A source or an output that fails does not end the others. The timeline of a camera or live stream shows its last
    100,000 frames; the table and the overlay have all.

    Raises:
        OutputError: overlays cannot be encoded here.
        KeyboardInterrupt: the user stopped a file halfway; what was done by then is written and announced.
    """
    if files.overlay:
        check_codec(Path(OVERLAY), files.codec)
    reading["images"] = files.overlay
    console, progress_to = Console(markup=False, emoji=False), Console(stderr=True)
    outcomes: list[Outcome] = []
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    progress = Progress(*columns, console=progress_to, transient=True, disable=not progress_to.is_terminal)
    with progress, _short_turns():
        bases = stems([(source.name, source.kind) for source in sources])
        names = labels([source.name for source in sources])
        begun = {
            source: (Outcome(source, label), out / stem)
            for source, stem, label in zip(sources, bases, names, strict=True)
        }
        for group in in_turn(sources):
            writings = [Writing(detector, *begun[source], files, progress) for source in group]
            write_all(detector, writings, reading)
            outcomes += [one.outcome for one in writings]
            if any(outcome.interrupted for outcome in outcomes):
                break
    if any(outcome.frames for outcome in outcomes):
        report(console, detector, outcomes)
    if not all(outcome.complete or outcome.error for outcome in outcomes):
        raise KeyboardInterrupt
    return [error for outcome in outcomes for error in (outcome.error, *outcome.failures) if error is not None]


@contextmanager
def _short_turns() -> Iterator[None]:
    """Give the thread that finds faces its turn sooner while another draws. It holds for the whole process."""
    before_s = sys.getswitchinterval()
    sys.setswitchinterval(TURN_S)
    try:
        yield
    finally:
        sys.setswitchinterval(before_s)
