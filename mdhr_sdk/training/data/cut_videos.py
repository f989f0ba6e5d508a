"""The aligned crops of videos, each written whole or not at all."""

from __future__ import annotations

import functools
import glob
import hashlib
import json
import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from ...atomic import write_whole
from ...errors import DataError, MDHRError, SourceError
from ...modelfolder import Preprocessing
from ...pipeline.crops import CropFinder, Mesher
from ...plain_json import read_json
from ...vision import Frame, list_sources
from ...vision.sources.images import read_image
from ...vision.sources.source import Image
from ..pool import check_stopped, spread
from .raw import RawVideo, picture_files
from .spec import DatasetSpec

JPEG_QUALITY = 95
MOST_RECORD = 64 << 20  # bytes: a million frames that were left out
Source = list[str | int]
MakeMesher = Callable[[], Mesher]
Outcome = dict[int, str] | str  # the frames without a crop, by number, and why; or what went wrong
NO_FACE, NO_PICTURE, NOT_CODED = "no face", "no picture", "not coded"


@dataclass(frozen=True)
class CropJob:
    """One video to cut.

    Attributes:
        images: the image folder.
        record: file that is written when the video is done.
    """

    dataset: DatasetSpec
    video: RawVideo
    images: Path
    record: Path
    size_px: int = 256

    def path(self, number: int) -> Path:
        return self.images / self.dataset.crop_path(self.video.frame(number))

    def done(self) -> dict[int, str] | None:
        """The frames left out and why, if the video is done and all other crops are there; else None."""
        record = self._recorded()
        try:
            same = record.get("source") == self.source()
        except DataError:  # named when the video's turn comes
            return None
        if not same or not isinstance(record.get("left_out"), dict):
            return None
        left_out = {int(number): str(reason) for number, reason in record["left_out"].items()}
        wanted = (number for number in self.video.numbers.tolist() if number not in left_out)
        return left_out if all(self.path(number).is_file() for number in wanted) else None

    def begin(self) -> Source:
        """Remove crops if pictures or labels have changed since; returns what `finish` takes."""
        source = self.source()
        if self._recorded().get("source") != source:
            for path in self._crops():
                path.unlink(missing_ok=True)
            self.finish(source, None)
        return source

    def finish(self, source: Source, left_out: dict[int, str] | None) -> None:
        """Record that the video is done, or begun (None), with its pictures and labels as they were at the start."""
        write_whole(self.record, json.dumps({"source": source, "left_out": left_out}, indent=1), DataError)

    def source(self) -> Source:
        """What the crops depend on besides the settings that all videos share.

        Pictures by their number, bytes and newest time in ns: to read them all again would take hours.
        """
        pictures = self.video.pictures
        files = [] if pictures is None else [*picture_files(pictures).values()] if pictures.is_dir() else [pictures]
        try:
            stats = [path.stat() for path in files]
        except OSError as error:
            raise DataError(f"'{error.filename}' cannot be read: {error.strerror}; get it again") from None
        newest = max((stat.st_mtime_ns for stat in stats), default=0)
        digest = hashlib.sha256(self.video.numbers.tobytes()).hexdigest()
        return [pictures.name if pictures else "", len(stats), sum(stat.st_size for stat in stats), newest, digest]

    def _recorded(self) -> dict[str, Any]:
        try:
            content = read_json(self.record, MOST_RECORD)
        except (OSError, ValueError):
            return {}
        return content if isinstance(content, dict) else {}

    def _crops(self) -> list[Path]:
        """All crops of this video, also of frames that are no longer coded."""
        name = self.video.frame(0)._replace(subject=glob.escape(self.video.subject), task=glob.escape(self.video.task))
        found = self.images.glob(self.dataset.crop.format(**{**name._asdict(), "frame": "*"}))
        frames = ((path, self.dataset.parse(path.relative_to(self.images).as_posix())) for path in found)
        return [path for path, frame in frames if frame is not None and frame == self.video.frame(frame.frame)]


def cut_all(
    jobs: Sequence[CropJob], make_mesher: MakeMesher, workers: int, progress: Callable[[int], None]
) -> Iterator[tuple[CropJob, Outcome]]:
    """Cut every video; yields each with its outcome as soon as it is done.

    Args:
        make_mesher: makes the face finder of a process; picklable.
        workers: processes.
        progress: called now and then with the number of frames done.
    """
    frames = multiprocessing.get_context("spawn").Value("q", 0)
    yield from spread(functools.partial(_Cutter, make_mesher, frames), jobs, workers, lambda: progress(frames.value))


class _Cutter:
    """Cuts videos one after another; one per process."""

    def __init__(self, make_mesher: MakeMesher, frames: Any) -> None:
        self._mesher, self._frames = make_mesher(), frames
        self.close = self._mesher.close

    def __call__(self, job: CropJob) -> Outcome:
        try:
            return cut_video(job, self._mesher, self._tick)
        except MDHRError as error:
            return str(error)

    def _tick(self) -> None:
        with self._frames.get_lock():
            self._frames.value += 1
        check_stopped()


def cut_video(job: CropJob, mesher: Mesher, tick: Callable[[], None]) -> dict[int, str]:
    """Write the crops that are missing; returns the frames without one, by number, and why.

    Faces are followed from frame to frame as the detector does it, anew after a cut and after frames without labels. A
    video that was broken off is followed again from its start, so that its crops are those of an unbroken run; crops
    that are there stay as they are, unless pictures or labels have changed since.

    Raises:
        SourceError: a picture or the video cannot be read.
        DataError: a crop cannot be written.
    """
    source = job.begin()
    left_out = dict.fromkeys(job.video.numbers.tolist(), NO_PICTURE)
    mesher.reset()
    finder = CropFinder(mesher, Preprocessing(size_px=job.size_px))
    last = None
    for frame in _pictures(job.video, job.dataset.raw.fps):
        number = frame.index
        gap = last is not None and number != last + 1
        last = number
        crop = finder.largest(replace(frame, breaks=frame.breaks or gap))
        if crop is None:
            left_out[number] = NO_FACE
        else:
            del left_out[number]
            if not job.path(number).is_file():
                write_whole(job.path(number), _encoded(crop, job.path(number).suffix), DataError)
        tick()
    job.finish(source, left_out)
    return left_out


def _pictures(video: RawVideo, fps: float) -> Iterator[Frame]:
    """The coded frames that have a picture, in rising order; `index` is the number in the labels.

    Args:
        fps: of pictures in a folder, whose tracks want a time.
    """
    numbers = video.numbers.tolist()
    if video.pictures is None or not numbers:
        return
    if video.pictures.is_dir():
        files = {number + video.list_offset: path for number, path in picture_files(video.pictures).items()}
        for number in numbers:
            if number in files:
                yield Frame(read_image(files[number]), number, number / fps, video.name)
        return
    wanted = set(numbers)
    (source,) = list_sources(video.pictures)
    with source:
        for frame in source:
            number = frame.index + video.first_number
            if number in wanted:
                yield replace(frame, index=number)
            if number >= numbers[-1]:
                return


def _encoded(crop: Image, suffix: str) -> bytes:
    options = [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY] if suffix == ".jpg" else []
    done, content = cv2.imencode(suffix, crop, options)
    if not done:
        raise SourceError(f"OpenCV cannot write {suffix} images; install opencv-contrib-python again")
    return np.asarray(content).tobytes()
