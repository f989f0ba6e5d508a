"""The results of a run, kept together."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, overload

from ..atomic import whole
from ..errors import InputError, MDHRError, OutputError
from ..results import FrameResult, ModelInfo
from .group import SinkGroup
from .naming import OVERLAY, STILL, TABLE, TIMELINE, kind_of, stems
from .sinks import FileSink
from .table import BOX, CsvSink, columns, records
from .timeline import draw_timeline
from .video import OverlaySink

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

FIGURES = (".png", ".pdf", ".svg")


@dataclass(frozen=True, eq=False, repr=False)
class Results(Sequence[FrameResult]):
    """An immutable sequence of frame results; a slice of it is one too.

    Attributes:
        frames: in the order they were read.
        model: which model scored them.
        fps: frames a second of the source; 0 when it has no rate, as a folder of images.
        codes: the AU codes in the model's order; the columns of tables.
        timings_s: seconds spent in each stage of the run; empty when not measured, and in a part of a run.
        errors: (name, error) of each source that could not be read, or not to its end; empty in a part of a run.
    """

    frames: tuple[FrameResult, ...]
    model: ModelInfo
    fps: float = field(kw_only=True)
    codes: tuple[str, ...] = field(kw_only=True)
    timings_s: Mapping[str, float] = field(kw_only=True, default_factory=dict)
    errors: tuple[tuple[str, MDHRError], ...] = field(kw_only=True, default=())

    def __post_init__(self) -> None:
        object.__setattr__(self, "frames", tuple(self.frames))
        object.__setattr__(self, "codes", tuple(self.codes))
        object.__setattr__(self, "timings_s", dict(self.timings_s))

    def __len__(self) -> int:
        return len(self.frames)

    def __iter__(self) -> Iterator[FrameResult]:
        return iter(self.frames)

    @overload
    def __getitem__(self, index: int) -> FrameResult: ...
    @overload
    def __getitem__(self, index: slice) -> Results: ...
    def __getitem__(self, index: int | slice) -> FrameResult | Results:
        if isinstance(index, slice):
            return self._part(self.frames[index])
        try:
            return self.frames[index]
        except IndexError:  # the kind that sequences promise
            raise IndexError(
                f"there is no place {index} in results of {len(self)} frames; places are counted from 0, and a frame's "
                "number in its video is its `index`"
            ) from None

    def __repr__(self) -> str:
        sources = self.sources
        where = repr(sources[0]) if len(sources) == 1 else f"{len(sources)} sources"
        faces = sum(len(frame.faces) for frame in self.frames)
        return f"Results({len(self)} frames, {faces} faces, {where}, {self.model.tag})"

    @property
    def sources(self) -> tuple[str, ...]:
        """Names of the videos, images or cameras, in order of appearance."""
        return tuple(dict.fromkeys(frame.source for frame in self.frames))

    @property
    def tracks(self) -> tuple[int, ...]:
        """Track ids that appear, in rising order.

        Raises:
            InputError: there are several sources; each counts its ids from 0.
        """
        if len(self.sources) > 1:
            raise InputError(
                f"track ids are counted in each source, and these results have {len(self.sources)}; "
                "select one with results.for_source(name)"
            )
        return tuple(sorted({face.track_id for frame in self.frames for face in frame.faces}))

    def for_source(self, name: str) -> Results:
        """The frames of one source.

        Raises:
            InputError: there is no source of that name.
        """
        if name not in self.sources:
            known = ", ".join(map(repr, self.sources[:8])) + (", ..." if len(self.sources) > 8 else "")
            raise InputError(f"there is no source {name!r} in these results; choose one of: {known or 'none'}")
        return self._part(frame for frame in self.frames if frame.source == name)

    def to_dataframe(self) -> pd.DataFrame:
        """One row a face, and one with empty face columns for a frame without a face; columns as in `CsvSink`.

        Boxes (pixels), times (seconds) and probabilities are float64 with NaN where there is no face; track ids and
        occurrences are Int64 with NA. `df.attrs["model"]` is the model's tag, `df.attrs["reliability"]` code -> tier.

        Raises:
            InputError: a face carries other AUs than `codes`.
        """
        import pandas as pd

        names = columns(self.codes)
        floats = ["timestamp_s", *BOX, *(f"{code}_probability" for code in self.codes)]
        integers = ["track_id", *(f"{code}_occurrence" for code in self.codes)]
        types = {"frame": "int64", **dict.fromkeys(floats, "float64"), **dict.fromkeys(integers, "Int64")}
        table = pd.DataFrame.from_records(list(records(self.frames, self.codes)), columns=names).astype(types)
        table.attrs |= {"model": self.model.tag, "reliability": {c: self.model.tiers.get(c, "") for c in self.codes}}
        return table

    def to_csv(self, path: str | os.PathLike[str]) -> Path:
        """Write the table as CSV (see `CsvSink`) and return where it is.

        Raises:
            InputError: there is no frame, or a face carries other AUs than `codes`.
            OutputError: the file cannot be written.
        """
        if not self.frames:
            raise InputError("a CSV file needs at least one frame, and there is none; check that the source was read")
        with CsvSink(path, self.codes) as sink:
            for frame in self.frames:
                sink.write(frame)
        return sink.path

    def plot(self, path: str | os.PathLike[str] | None = None) -> Figure:
        """Draw the timeline (see `draw_timeline`) and, given a path, save it as PNG, PDF or SVG.

        Raises:
            InputError: there is no frame, or there are too many sources for one figure.
            OutputError: the file cannot be written, or is of another kind.
        """
        target = None if path is None else Path(path)
        if target and target.suffix.lower() not in FIGURES:
            raise OutputError(f"a plot is one of {', '.join(FIGURES)}, but '{target.name}' is not; change the suffix")
        figure = draw_timeline(self)
        if target:
            with whole(target) as part:
                figure.savefig(part)
        return figure

    def save(
        self,
        folder: str | os.PathLike[str],
        *,
        overlay: bool | None = None,
        codec: str = "h264",
        timeline: bool = True,
    ) -> list[Path]:
        """Write what `mdhr detect` writes, under its names: of each source a table, an overlay and a timeline.

        Args:
            folder: is made if it is not there; files of the same names are replaced.
            overlay: write the annotated video, or still; None for when every frame holds its image.
            codec: of that video: 'h264', 'vp9' or 'av1'.
            timeline: draw the figure.

        Returns:
            The files, source by source.

        Raises:
            InputError: there is no frame, or an overlay is asked for and a frame holds no image.
            OutputError: a file cannot be written; the other ones are complete.
        """
        if not self.frames:
            raise InputError("there is no frame to save; check that the source was read")
        bare = next((frame for frame in self.frames if frame.image is None), None)
        if overlay and bare is not None:
            bare.annotate()  # raises
        files: list[Path] = []
        failures: list[MDHRError] = []
        for name, stem in zip(self.sources, stems([(name, kind_of(name)) for name in self.sources]), strict=True):
            try:
                files += self.for_source(name)._saved(Path(folder) / stem, overlay, codec, timeline)
            except MDHRError as error:
                failures.append(error)
        if failures:
            raise failures[0]
        return files

    def _saved(self, base: Path, overlay: bool | None, codec: str, timeline: bool) -> list[Path]:
        def named(end: str) -> Path:
            return base.with_name(f"{base.name}{end}")

        fps = self.frames[0].fps or self.fps
        sinks: list[FileSink] = [CsvSink(named(TABLE), self.codes)]
        if overlay or (overlay is None and all(frame.image is not None for frame in self.frames)):
            still = len(self) == 1 and fps == 0
            sinks.append(OverlaySink(named(STILL if still else OVERLAY), fps, codec))
        try:
            with SinkGroup(*sinks) as group:
                for frame in self.frames:
                    group.write(frame)
        finally:
            if timeline:
                self.plot(named(TIMELINE))
        return [sink.path for sink in sinks] + ([named(TIMELINE)] if timeline else [])

    def _part(self, frames: Iterator[FrameResult] | Sequence[FrameResult]) -> Results:
        return dataclasses.replace(self, frames=tuple(frames), timings_s={}, errors=())
