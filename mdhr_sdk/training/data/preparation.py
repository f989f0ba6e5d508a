"""From a distribution to aligned crops and the lists of every fold.

The output folder:

    img/        crops, as img/F001/T1/2440.jpg
    list/       the lists of every fold, see `lists.py`
    left_out.csv    coded frames that are in no list, and why
    prepare.json    alignment template, size and versions; counts
    progress/   one file for each video that is done
"""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...atomic import sweep, write_whole
from ...errors import DataError, number_of
from ...vision import FaceMesher
from .crop_settings import NOTE, PrepareOptions, as_json, check_settings, settings_of
from .cut_videos import NOT_CODED, CropJob, MakeMesher, cut_all
from .lists import Fold, FrameList, frame_list, write_fold, write_intensities
from .raw import RawVideo, find_videos
from .spec import DatasetSpec

__all__ = ["PrepareOptions", "Prepared", "prepare"]

SHOWN_ERRORS = 3
NO_PICTURES = "no pictures of its video"
LeftOut = dict[str, dict[int, str]]  # name of the video -> frame number -> reason


@dataclass(frozen=True)
class Prepared:
    """What `prepare` made.

    Attributes:
        videos: how many.
        listed: frames in the lists.
        left_out: for each video that lacks frames, their reasons by number.
        folds: for each fold the frames to train on and to test; a text says why there are no lists.
        skipped: frames between a video's first and last that its label table has no row of, for videos with such.
        blind: videos that have labels and no pictures, by name, with their numbers of coded frames.
        absent: subjects that are in the lists of no fold: those without pictures, and test subjects without labels.
    """

    videos: int
    listed: int
    left_out: LeftOut
    folds: tuple[tuple[int, int] | str, ...]
    skipped: dict[str, int] = field(default_factory=dict)
    blind: dict[str, int] = field(default_factory=dict)
    absent: tuple[str, ...] = ()

    @property
    def reasons(self) -> Counter[str]:
        """Left-out frames by reason."""
        return Counter(reason for frames in self.left_out.values() for reason in frames.values())


def prepare(
    dataset: DatasetSpec,
    raw: Path,
    out: Path,
    options: PrepareOptions | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
    make_mesher: MakeMesher | None = None,
) -> Prepared:
    """Cut the missing crops and write the lists; after an interruption, run it again to go on.

    With several workers the calling script needs the guard `if __name__ == "__main__":`.

    Args:
        raw: the distribution's folder.
        out: the folder to fill; one of an earlier run of the same settings is completed.
        progress: called with the frames done and the frames to do.
        make_mesher: finds faces in place of `FaceMesher`; picklable.

    Raises:
        DataError: the distribution is not as its layout says or incomplete (see `partial`), `out` was made with other
            settings, or a picture cannot be read; every other video is done by then, and no list is written.
    """
    options = options or PrepareOptions()
    everything = find_videos(dataset, raw)
    videos = _usable(dataset, raw, everything, options.partial)
    settings = settings_of(dataset, options, make_mesher)
    check_settings(out, settings)
    images, records = out / "img", out / "progress"
    sweep(out, below=True)
    jobs = [CropJob(dataset, video, images, records / f"{video.name}.json", options.size_px) for video in videos]
    make = make_mesher or functools.partial(FaceMesher, 1, False, options.face_model)
    left_out = _cut_missing(jobs, make, options.workers, progress)
    prepared = _write_lists(dataset, videos, left_out, out / "list", options.partial)
    prepared = replace(prepared, **_missing(dataset, everything))
    _write_report(dataset, everything, prepared, out)
    counts = {"frames": prepared.listed, "left_out": prepared.reasons}
    lacking = {"without_pictures": prepared.blind, "absent_subjects": list(prepared.absent)}
    write_whole(out / NOTE, as_json({**settings, **counts, **lacking}), DataError)
    return prepared


def _usable(dataset: DatasetSpec, raw: Path, videos: Sequence[RawVideo], partial: bool) -> list[RawVideo]:
    """The videos that have labels and pictures; without `partial`, all of the data set must."""
    if not partial:
        _check_complete(dataset, videos)
    usable = [video for video in videos if video.pictures is not None]
    if not usable:
        raise DataError(f"no pictures at {' or '.join(dataset.raw.pictures)} in '{raw}'; is this the folder?")
    return usable


def _missing(dataset: DatasetSpec, videos: Sequence[RawVideo]) -> dict[str, Any]:
    """What an incomplete data set lacks, for `Prepared`."""
    blind = {video.name: len(video.numbers) for video in videos if video.pictures is None}
    seen = {video.subject for video in videos if video.pictures is not None}
    known = dict.fromkeys((*dataset.subjects, *(video.subject for video in videos)))
    return {"blind": blind, "absent": tuple(subject for subject in known if subject not in seen)}


def _check_complete(dataset: DatasetSpec, videos: Sequence[RawVideo]) -> None:
    remedy = "add them, or take what is there with --partial"
    absent = set(dataset.subjects) - {video.subject for video in videos}
    if absent:
        subjects = f"{', '.join(sorted(absent))} ({number_of(len(absent), 'subject')} of the folds)"
        raise DataError(f"no labels of {subjects}; {remedy}")
    blind = [video.name for video in videos if video.pictures is None]
    if blind:
        places = " or ".join(dataset.raw.pictures)
        raise DataError(
            f"no pictures of {', '.join(blind[:8])} ({len(blind)} of {number_of(len(videos), 'video')}) at {places}; "
            f"{remedy}"
        )


def _cut_missing(
    jobs: Sequence[CropJob], make: MakeMesher, workers: int, progress: Callable[[int, int], None]
) -> LeftOut:
    left_out = {job.video.name: done for job in jobs if (done := job.done()) is not None}
    missing = [job for job in jobs if job.video.name not in left_out]
    total = sum(len(job.video.numbers) for job in missing)
    progress(0, total)
    errors = []
    for job, outcome in cut_all(missing, make, workers, lambda frames: progress(frames, total)):
        if isinstance(outcome, str):
            errors.append(f"{job.video.name}: {outcome}")
        else:
            left_out[job.video.name] = outcome
    if errors:
        more = f" (and {len(errors) - SHOWN_ERRORS} more)" if len(errors) > SHOWN_ERRORS else ""
        raise DataError(
            f"{len(errors)} of {number_of(len(jobs), 'video')} cannot be used: {'; '.join(errors[:SHOWN_ERRORS])}{more}"
            ". The others are done. Replace the pictures, or remove these videos' label files, and run again"
        )
    return left_out


def _write_lists(
    dataset: DatasetSpec, videos: Sequence[RawVideo], left_out: LeftOut, folder: Path, partial: bool
) -> Prepared:
    rows: dict[str, list[tuple[list[str], NDArray[np.int8], NDArray[np.int8]]]] = {}
    for video in videos:
        kept = [number not in left_out[video.name] for number in video.numbers.tolist()]
        paths = [dataset.crop_path(video.frame(number)) for number in video.numbers[kept]]
        rows.setdefault(video.subject, []).append((paths, video.labels[kept], video.intensities[kept]))

    def half(part: Any, fold: int, subjects: Sequence[str]) -> tuple[FrameList, NDArray[np.int8]]:
        chosen = [video for subject in subjects for video in rows.get(subject, [])]
        paths = [path for own, _, _ in chosen for path in own]
        name = dataset.list_file(part, "paths", fold)
        if not paths:
            raise DataError(f"{name}: no subject of this half is there, or no frame of them with a face")
        labels, intensities = (np.concatenate([video[place] for video in chosen]) for place in (1, 2))
        return frame_list(dataset, name, paths, labels, part == "train"), intensities

    folds: list[tuple[int, int] | str] = []
    for fold in range(1, len(dataset.folds) + 1):
        try:
            train = half("train", fold, dataset.train_subjects(fold, rows))
            test = half("test", fold, dataset.test_subjects(fold))
        except DataError as error:
            if not partial:
                raise
            folds.append(str(error))
            continue
        write_fold(folder, dataset, fold, Fold(train[0], test[0]))
        if dataset.has_intensities:
            write_intensities(folder, dataset, "train", fold, train[1])
            write_intensities(folder, dataset, "test", fold, test[1])
        folds.append((len(train[0]), len(test[0])))
    uncoded = {video.name: dict.fromkeys(video.uncoded, NOT_CODED) for video in videos}
    both = {video.name: {**uncoded[video.name], **left_out[video.name]} for video in videos}
    listed = sum(len(paths) for subject in rows.values() for paths, _, _ in subject)
    skipped = {video.name: count for video in videos if (count := _skipped(video))}
    return Prepared(
        len(videos), listed, {name: frames for name, frames in both.items() if frames}, tuple(folds), skipped
    )


def _skipped(video: RawVideo) -> int:
    numbers = {*video.numbers.tolist(), *video.uncoded}
    return max(numbers) - min(numbers) + 1 - len(numbers) if numbers else 0


def _write_report(dataset: DatasetSpec, videos: Sequence[RawVideo], prepared: Prepared, out: Path) -> None:
    lines = ["path,reason"]
    for video in videos:
        missing = dict.fromkeys(video.numbers.tolist(), NO_PICTURES) if video.name in prepared.blind else {}
        frames = sorted({**missing, **prepared.left_out.get(video.name, {})}.items())
        lines += [f"{dataset.crop_path(video.frame(number))},{reason}" for number, reason in frames]
    write_whole(out / "left_out.csv", "".join(f"{line}\n" for line in lines), DataError)
