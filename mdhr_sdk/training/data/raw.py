"""A data set as distributed: its videos, where their pictures are, and what was coded in which frame."""

from __future__ import annotations

import glob
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ...errors import DataError
from ...vision.sources.content import IMAGE_SUFFIXES, held_by
from .coding import read_columns, read_table
from .spans import Span, frames_of, read_spans
from .spec import DatasetSpec, FrameName, RawLayout, pattern_of


@dataclass(frozen=True, eq=False)
class RawVideo:
    """One video with its labels.

    Attributes:
        subject, task: task is '' where a subject has one video.
        pictures: a folder of images or a video file; None where neither was found.
        numbers: (n,) int64 rising, the coded frames, as the lists number them.
        labels: (n, N) int8, 1, 0 or -1 (this AU was not coded).
        intensities: (n, N) int8, the values as coded, as 0 to 5 in DISFA, or -1.
        first_number: number of a video file's first frame, as the lists number it.
        list_offset: what was added to the numbers of label files and images.
        uncoded: numbers of frames in the label files of which no AU of the label set was coded.
    """

    subject: str
    task: str
    pictures: Path | None
    numbers: NDArray[np.int64]
    labels: NDArray[np.int8]
    intensities: NDArray[np.int8]
    first_number: int
    list_offset: int
    uncoded: tuple[int, ...]

    @property
    def name(self) -> str:
        """As in 'F001/T1' or 'SN001'."""
        return f"{self.subject}/{self.task}" if self.task else self.subject

    def frame(self, number: int) -> FrameName:
        return FrameName(self.subject, self.task, int(number))


def find_videos(dataset: DatasetSpec, raw: Path) -> list[RawVideo]:
    """Every video of a distribution that has labels, in the order of the lists: fold by fold, then by task."""
    _check_folder(dataset.raw, raw)
    if dataset.raw.spans:
        return [_spanned(dataset, raw, names, rows) for names, rows in read_spans(dataset.raw, raw).items()]
    files = _label_files(dataset.raw, raw)
    videos = [_video(dataset, raw, names, files[names]) for names in sorted(files, key=_order(dataset))]
    for video in videos:
        frame = video.frame(video.numbers[0] if len(video.numbers) else 0)
        if dataset.parse(dataset.crop_path(frame)) != frame:
            raise DataError(
                f"crops of {video.name} would be called {dataset.crop_path(frame)}, from which {frame} cannot be read "
                f"back by {dataset.crop}; choose another 'crop', as '{{subject}}/{{task}}/{{frame}}.jpg', or rename"
            )
    return videos


def found_subjects(layout: RawLayout, raw: Path) -> tuple[str, ...]:
    """Who has labels in a distribution, by name; at least one.

    Raises:
        DataError: it is no folder, or has no labels where the layout says.
    """
    _check_folder(layout, raw)
    keys = read_spans(layout, raw) if layout.spans else _label_files(layout, raw)
    return tuple(sorted({subject for subject, _ in keys}))


def picture_files(folder: Path) -> dict[int, Path]:
    """Images of a folder by the number that their names end in."""
    found: dict[int, Path] = {}
    try:
        paths = sorted(folder.iterdir())
    except OSError as error:
        raise DataError(f"'{folder}' cannot be read: {error.strerror or error}; check its permissions") from None
    for path in paths:
        number = re.search(r"[0-9]+$", path.stem)
        if path.suffix.lower() not in IMAGE_SUFFIXES or path.name.startswith(".") or number is None:
            continue
        if found.setdefault(int(number[0]), path) != path:
            both = f"{found[int(number[0])].name} and {path.name}"
            raise DataError(f"'{folder}' has two images of frame {int(number[0])}: {both}; remove one")
    return found


def _check_folder(layout: RawLayout, raw: Path) -> None:
    if not raw.is_dir():
        raise DataError(f"'{raw}' is no folder; --raw wants the folder of the distribution, which has {_looks(layout)}")


def _looks(layout: RawLayout) -> str:
    return f"{layout.labels} and {layout.pictures[0]}"


def _order(dataset: DatasetSpec) -> Callable[[tuple[str, str]], tuple[int, str, list[tuple[int, str]]]]:
    ranks = {subject: rank for rank, subject in enumerate(dataset.subjects)}

    def key(names: tuple[str, str]) -> tuple[int, str, list[tuple[int, str]]]:
        subject, task = names
        parts = [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"([0-9]+)", task)]
        return ranks.get(subject, len(ranks)), subject, parts

    return key


def _label_files(layout: RawLayout, raw: Path) -> dict[tuple[str, str], dict[int, Path]]:
    """(subject, task) -> AU -> its file; AU 0 stands for all where one table has them."""
    parts = re.split(r"\{\w+\}", layout.labels)
    found: dict[tuple[str, str], dict[int, Path]] = {}
    for path in sorted(raw.glob("*".join(glob.escape(part).replace("[*]", "*") for part in parts))):
        names = pattern_of(layout.labels).fullmatch(path.relative_to(raw).as_posix())
        if names is not None and path.is_file():
            fields = names.groupdict()
            key = fields["subject"], fields.get("task", "")
            found.setdefault(key, {})[int(fields.get("au", 0))] = path
    if not found:
        raise DataError(f"'{raw}' has no {layout.labels}; --raw wants the folder that holds {_looks(layout)}")
    return found


def _video(dataset: DatasetSpec, raw: Path, names: tuple[str, str], files: dict[int, Path]) -> RawVideo:
    subject, task = names
    layout = dataset.raw
    read = read_columns if "{au}" in layout.labels else read_table
    numbers, values = read(dataset.label_set, layout, files)
    known = values != layout.unknown if layout.unknown is not None else np.full(values.shape, True)
    labels = np.where(known, values >= layout.positive_from, -1).astype(np.int8)
    coded = known.any(axis=1)
    return RawVideo(
        subject,
        task,
        _find_pictures(layout, raw, subject, task),
        numbers[coded] + layout.list_offset,
        labels[coded],
        np.where(known, values, -1).astype(np.int8)[coded],
        layout.first_frame + layout.list_offset,
        layout.list_offset,
        tuple((numbers[~coded] + layout.list_offset).tolist()),
    )


def _spanned(dataset: DatasetSpec, raw: Path, names: tuple[str, str], rows: Sequence[Span]) -> RawVideo:
    """A video that is coded by onsets and offsets."""
    numbers, labels = frames_of(dataset.label_set, rows)
    offset, pictures = dataset.raw.list_offset, _find_pictures(dataset.raw, raw, *names)
    return RawVideo(*names, pictures, numbers + offset, labels, labels, dataset.raw.first_frame + offset, offset, ())


def _find_pictures(layout: RawLayout, raw: Path, subject: str, task: str) -> Path | None:
    """The first of the layout's places that exists."""
    for pattern in layout.pictures:
        place = raw / pattern.format(subject=subject, task=task)
        if place.suffix != ".*" and (place.is_file() or _has_images(place)):
            return place
        if place.suffix == ".*":
            siblings = sorted(place.parent.glob(f"{glob.escape(place.stem)}.*"))
            videos = [path for path in siblings if path.is_file() and held_by(path) == "video"]
            if videos:
                return videos[0]
    return None


def _has_images(folder: Path) -> bool:
    return folder.is_dir() and any(path.suffix.lower() in IMAGE_SUFFIXES for path in folder.iterdir())
