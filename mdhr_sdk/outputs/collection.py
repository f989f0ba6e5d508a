"""The results of a run, kept together."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, overload

from ..arguments import flag
from ..errors import InputError, MDHRError, OutputError, no_formula, number_of
from ..measures import MEASURES
from ..results import AUEvent, FrameResult, ModelInfo
from .files import Files, SourceFiles
from .naming import OVERLAY, stems
from .pictures.encoder import check_codec
from .pictures.timeline import draw_timeline, save_timeline
from .sinks import FileSink
from .table import BLOCK, BOX, CsvSink, EventsSink, columns, events_of, records

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure


@dataclass(frozen=True, eq=False, repr=False)
class Results(Sequence[FrameResult]):
    """An immutable sequence of frame results; a slice of it is one too.

    Attributes:
        frames: in the order they were read.
        model: which model scored them.
        fps: frames per second of the source; 0 if it has no rate, such as a folder of images.
        codes: the AU codes in the model's order; the columns of tables.
        timings_s: seconds spent in each stage of the run; empty if not measured, and in a part of a run.
        errors: (name, error) of each source that could not be read, or not to its end; a part of a run has those of its
            own sources.
        kinds: name -> 'video', 'image' (a single picture), 'sequence', 'camera', 'stream' or 'array', of every source
            of the run, in order. They decide the names of files; a source that is missing here counts as a video.
    """

    frames: tuple[FrameResult, ...]
    model: ModelInfo
    fps: float = field(kw_only=True)
    codes: tuple[str, ...] = field(kw_only=True)
    timings_s: Mapping[str, float] = field(kw_only=True, default_factory=dict)
    errors: tuple[tuple[str, MDHRError], ...] = field(kw_only=True, default=())
    kinds: Mapping[str, str] = field(kw_only=True, default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "frames", tuple(self.frames))
        object.__setattr__(self, "codes", tuple(self.codes))
        object.__setattr__(self, "timings_s", dict(self.timings_s))
        object.__setattr__(self, "kinds", dict(self.kinds))

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
                f"there is no place {index} in results of {number_of(len(self), 'frame')}; places are counted from 0, "
                "and a frame's number in its video is its `index`"
            ) from None

    def __repr__(self) -> str:
        sources = self.sources
        where = repr(sources[0]) if len(sources) == 1 else f"{len(sources)} sources"
        faces = sum(len(frame.faces) for frame in self.frames)
        return f"Results({number_of(len(self), 'frame')}, {number_of(faces, 'face')}, {where}, {self.model.tag})"

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

    @property
    def events(self) -> tuple[AUEvent, ...]:
        """From when to when each face shows each AU, in the order in which that was known.

        A part of a run has those that were told in its frames, and of those open at the source's end the ones whose
        last frame it has.
        """
        return events_of(self.frames)

    def for_source(self, name: str) -> Results:
        """The frames of one source.

        Raises:
            InputError: there is no source of that name.
        """
        name = name if name in self.sources else no_formula(name)
        if name not in self.sources:
            known = ", ".join(map(repr, self.sources[:8])) + (", ..." if len(self.sources) > 8 else "")
            raise InputError(f"there is no source {name!r} in these results; choose one of: {known or 'none'}")
        return self._part(frame for frame in self.frames if frame.source == name)

    def to_dataframe(self) -> pd.DataFrame:
        """One row per face, and one with empty face columns for a frame without a face; columns as in `CsvSink`.

        Boxes (pixels), times (seconds), probabilities and intensities are float64, NaN without a face; track ids and
        occurrences are Int64 with NA. `df.attrs["model"]` is the model's tag, `df.attrs["reliability"]` code -> tier.

        Raises:
            InputError: a face carries other AUs than `codes`.
        """
        import pandas as pd

        intensities = [f"{code}_intensity" for code in self.codes if code in self.model.intensities]
        names = columns(self.codes, self._live, self._measured, self.model.intensities)
        measures = MEASURES if self._measured else ()
        floats = ["timestamp_s", *BOX, *(f"{code}_probability" for code in self.codes), *intensities, *measures]
        integers = ["track_id", *(f"{code}_occurrence" for code in self.codes)]
        types = {"frame": "int64", **dict.fromkeys(floats, "float64"), **dict.fromkeys(integers, "Int64")}
        rows = records(self.frames, self.codes)
        blocks = [pd.DataFrame.from_records(list(islice(rows, BLOCK)), columns=names).astype(types)]
        while block := list(islice(rows, BLOCK)):
            blocks.append(pd.DataFrame.from_records(block, columns=names).astype(types))
        table = blocks[0] if len(blocks) == 1 else pd.concat(blocks, ignore_index=True).infer_objects()
        table.attrs |= {"model": self.model.tag, "reliability": {c: self.model.tiers.get(c, "") for c in self.codes}}
        return table

    @classmethod
    def from_file(cls, path: str | os.PathLike[str]) -> Results:
        """Read back a table that mdhr_sdk wrote: `*_aus.csv`, `*.parquet` or `*.jsonl`.

        CSV and Parquet files bring the events of the `*_events.csv` beside them. JSON Lines tell less of the model.
        Meshes come back only from a Parquet file that has them, pictures never.

        Raises:
            InputError: no such file, or none of ours.
            MissingDependencyError: it is Parquet, and pyarrow is not installed.
        """
        from .tables.reading import read_results

        read = read_results(Path(path))
        return cls(read.frames, read.model, fps=read.frames[0].fps, codes=read.codes)

    def to_csv(self, path: str | os.PathLike[str]) -> Path:
        """Write the table as CSV (see `CsvSink`) and return where it is.

        Raises:
            InputError: there is no frame, or a face carries other AUs than `codes`.
            OutputError: the file cannot be written.
        """
        return self._written(CsvSink(path, self.codes, self._live, measures=self._measured))

    def events_to_csv(self, path: str | os.PathLike[str]) -> Path:
        """Write the events as CSV (see `EventsSink`) and return where it is.

        Raises:
            InputError: there is no frame.
            OutputError: the file cannot be written.
        """
        return self._written(EventsSink(path))

    @property
    def _live(self) -> bool:
        return any(frame.captured_at is not None for frame in self.frames)

    @property
    def _measured(self) -> bool:
        return any(face.measures is not None for frame in self.frames for face in frame.faces)

    def _written(self, sink: FileSink) -> Path:
        if not self.frames:
            raise InputError("a CSV file needs at least one frame, and there is none; check that the source was read")
        with sink:
            for frame in self.frames:
                sink.write(frame)
            sink.close()  # complete, also if a source broke off: these are all its frames
        return sink.path

    def plot(self, path: str | os.PathLike[str] | None = None) -> Figure:
        """Draw the timeline (see `draw_timeline`) and, given a path, save it as PNG, PDF or SVG.

        Raises:
            InputError: there is no frame, or there are too many sources for one figure.
            OutputError: the file cannot be written, or is of another kind.
        """
        return draw_timeline(self) if path is None else save_timeline(self, Path(path))

    def save(
        self,
        folder: str | os.PathLike[str],
        *,
        overlay: bool | None = None,
        codec: str = "h264",
        timeline: bool = True,
        formats: Sequence[str] = ("native",),
    ) -> list[Path]:
        """Write what `mdhr detect` writes, under the same names: two tables, an overlay and a timeline of each source.

        A source in `errors` was not read to its end, so its files are called incomplete, as in
        'clip_aus.incomplete.csv'.

        Args:
            folder: made if it does not exist; files of the same names are replaced.
            overlay: write the annotated video or still; None to do so if every frame of the source holds its image.
            codec: of that video: 'h264', 'vp9' or 'av1'.
            timeline: draw the figure.
            formats: of the tables: 'native', 'openface', 'pyfeat', 'parquet', 'jsonl', any several.

        Returns:
            The files, source by source.

        Raises:
            InputError: there is no frame, or an overlay is asked for and a frame holds no image.
            OutputError: the codec cannot be encoded here; or, at the end, some files could not be written: all of them
                are named, and the others are complete.
        """
        if not self.frames:
            raise InputError("there is no frame to save; check that the source was read")
        bare = next((frame for frame in self.frames if frame.image is None), None)
        if overlay is not None and flag("overlay", overlay) and bare is not None:
            bare.annotate()  # raises
        frames: dict[str, list[FrameResult]] = {}
        for frame in self.frames:
            frames.setdefault(frame.source, []).append(frame)
        drawn = {
            name: overlay if overlay is not None else all(one.image is not None for one in own)
            for name, own in frames.items()
        }
        if any(drawn.values()):
            check_codec(Path(OVERLAY), codec)
        files: list[Path] = []
        failures: list[MDHRError] = []
        bases = self._bases(Path(folder))
        for name, own in frames.items():
            saved = self._saved(bases[name], own, Files(drawn[name], codec, timeline, tuple(formats), self._measured))
            files += saved.paths
            failures += saved.failures
        if len(failures) == 1:
            raise failures[0]
        if failures:
            raise OutputError(f"{len(failures)} files cannot be written: {'; '.join(map(str, failures))}")
        return files

    def _bases(self, folder: Path) -> dict[str, Path]:
        """What each source's file names begin with, distinct among all sources of the run, as in `mdhr detect`."""
        kinds = {**self.kinds, **{name: self.kinds.get(name, "video") for name in self.sources}}
        return {name: folder / stem for name, stem in zip(kinds, stems(list(kinds.items())), strict=True)}

    def _saved(self, base: Path, frames: Sequence[FrameResult], wanted: Files) -> SourceFiles:
        name, complete = frames[0].source, False
        files = SourceFiles(base, self.codes, wanted, frames[0].fps or self.fps, self.kinds.get(name) == "image")
        try:
            for frame in frames:
                files.write(frame)
            complete = name not in dict(self.errors)
        finally:
            files.close(complete)
        files.draw(complete)
        return files

    def _part(self, frames: Iterator[FrameResult] | Sequence[FrameResult]) -> Results:
        kept = tuple(frames)
        names = {frame.source for frame in kept}
        errors = tuple((name, error) for name, error in self.errors if name in names)
        return dataclasses.replace(self, frames=kept, timings_s={}, errors=errors)
