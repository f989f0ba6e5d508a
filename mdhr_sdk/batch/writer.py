"""The files of one source, written as its results come."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from ..outputs.files import Files, SourceFiles
from ..outputs.naming import whole_path
from ..results import FrameResult
from .fingerprint import fingerprint
from .outcome import Outcome
from .places import Folder
from .record import RECORD, Record, check_free, left_over, recorded


class SourceWriter:
    """Writes the files of one source, and counts what is in them.

    Attributes:
        outcome: what there is to tell of the source; its `error` and `interrupted` decide whether the files are whole.

    Args:
        codes: the AU codes of the table; or code -> threshold, which Parquet files tell.
        base: folder of the files, and what their names begin with.
    """

    def __init__(self, codes: Sequence[str] | Mapping[str, float], outcome: Outcome, base: Path, wanted: Files) -> None:
        self.outcome = outcome
        self._codes, self._base, self._wanted = codes, base, wanted
        self._files: SourceFiles | None = None  # made with the first frame
        self._closed = False
        self._before: Record | None = None  # of results that are replaced

    @property
    def given_up(self) -> bool:
        """Every file that grows with the frames has failed."""
        return self._files is not None and self._files.given_up

    def make_room(self) -> None:
        """Drop the record of earlier results of this name: they are about to be replaced.

        Raises:
            OutputError: they are of another file (`check_free`), and stay.
        """
        source, place = self.outcome.source, Folder(self._base.parent)
        if source.paths and recorded(place, self._base.name) is not None:
            path = str(whole_path(source.name))
            self._before = check_free(place, self._base.name, path, fingerprint(source.paths))
            place.drop(f"{self._base.name}{RECORD}")

    def write(self, result: FrameResult, counted: bool = True) -> None:
        """Add a frame to the files, and count it, unless another part of the video does."""
        if self.given_up:
            return
        if self._files is None:
            info = self.outcome.source.info
            self._files = SourceFiles(self._base, self._codes, self._wanted, info.fps, info.still)
        self._files.write(result)
        if counted and not self.given_up:
            self.outcome.count(result)

    def close(self) -> None:
        """Finish the files; they are incomplete if the source broke off, was stopped, or nobody said that it ended."""
        if self._closed or self._files is None:
            return
        self._closed, outcome = True, self.outcome
        self._files.close(outcome.read and outcome.complete)
        if self.given_up and outcome.error is None:
            outcome.error = self._files.failures.pop(0)  # it ended the reading
        self._tell(self._files)

    def draw(self) -> None:
        """Draw the timeline."""
        if self._files is not None and self.outcome.frames:
            self._files.draw(self.outcome.complete)
            self._tell(self._files)

    def _tell(self, files: SourceFiles) -> None:
        self.outcome.files, self.outcome.replaced = files.paths, files.replaced
        self.outcome.failures = files.failures
        if self.outcome.complete:
            made = [path.name for path in files.paths]
            self.outcome.stale = left_over(Folder(self._base.parent), self._base.name, self._before, made)
