"""The aligned crops of one video, each written whole or not at all."""

from __future__ import annotations

import glob
import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import cv2
import numpy as np

from ...atomic import write_whole
from ...errors import DataError, InputError, SourceError
from ...vision import DEFAULT_TEMPLATE, Face, align, list_sources
from ...vision.sources.images import read_image
from ...vision.sources.source import Image
from .raw import RawVideo, picture_files
from .spec import DatasetSpec

JPEG_QUALITY = 95
Source = list[str | int]
NO_FACE, NO_PICTURE, NOT_CODED = "no face", "no picture", "not coded"


class Mesher(Protocol):
    """What is needed of `FaceMesher`."""

    def find(self, image_bgr: Image) -> list[Face]: ...
    def reset(self) -> None: ...
    def close(self) -> None: ...


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
    template: str = DEFAULT_TEMPLATE

    def path(self, number: int) -> Path:
        return self.images / self.dataset.crop_path(self.video.frame(number))

    def done(self) -> dict[int, str] | None:
        """The frames that were left out and why, if the video is done: all other crops are there."""
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
        """Crops of other pictures or labels than there are now are removed; returns what `finish` wants."""
        source = self.source()
        if self._recorded().get("source") != source:
            for path in self._crops():
                path.unlink(missing_ok=True)
            self.finish(source, None)
        return source

    def finish(self, source: Source, left_out: dict[int, str] | None) -> None:
        """Say that the video is done, or with None begun, with pictures and labels as they were when it began."""
        write_whole(self.record, json.dumps({"source": source, "left_out": left_out}, indent=1), DataError)

    def source(self) -> Source:
        """What the crops depend on besides the settings that all videos share.

        Pictures by their number, bytes and newest time in ns: to read them all again would take hours.

        Raises:
            DataError: a picture is not there any more, or two are of one frame.
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
            content = json.loads(self.record.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return content if isinstance(content, dict) else {}

    def _crops(self) -> list[Path]:
        """All of this video's, those of frames that are no longer coded too."""
        name = self.video.frame(0)._replace(subject=glob.escape(self.video.subject), task=glob.escape(self.video.task))
        found = self.images.glob(self.dataset.crop.format(**{**name._asdict(), "frame": "*"}))
        frames = ((path, self.dataset.parse(path.relative_to(self.images).as_posix())) for path in found)
        return [path for path, frame in frames if frame is not None and frame == self.video.frame(frame.frame)]


def cut_video(job: CropJob, mesher: Mesher, tick: Callable[[], None]) -> dict[int, str]:
    """Write the crops that are missing; returns the frames without one, by number, and why.

    Faces are followed from frame to frame as the detector does it. A video that was broken off is followed again from
    its start, so that its crops are those of an unbroken run; crops that are there stay as they are, unless pictures
    or labels have changed since.

    Raises:
        SourceError: a picture or the video cannot be read.
        DataError: a crop cannot be written.
    """
    source = job.begin()
    left_out = dict.fromkeys(job.video.numbers.tolist(), NO_PICTURE)
    mesher.reset()
    last = None
    for number, image in _pictures(job.video):
        if last is not None and number != last + 1:
            mesher.reset()
        last = number
        crop = _crop(image, mesher, job)
        if crop is None:
            left_out[number] = NO_FACE
        else:
            del left_out[number]
            if not job.path(number).is_file():
                write_whole(job.path(number), _encoded(crop, job.path(number).suffix), DataError)
        tick()
    job.finish(source, left_out)
    return left_out


def _pictures(video: RawVideo) -> Iterator[tuple[int, Image]]:
    """The coded frames that have a picture, in rising order."""
    numbers = video.numbers.tolist()
    if video.pictures is None or not numbers:
        return
    if video.pictures.is_dir():
        files = {number + video.list_offset: path for number, path in picture_files(video.pictures).items()}
        yield from ((number, read_image(files[number])) for number in numbers if number in files)
        return
    wanted = set(numbers)
    (source,) = list_sources(video.pictures)
    with source:
        for frame in source:
            number = frame.index + video.first_number
            if number in wanted:
                yield number, frame.image
            if number >= numbers[-1]:
                return


def _crop(image: Image, mesher: Mesher, job: CropJob) -> Image | None:
    """The aligned face; None without one, or with a mesh too degenerate to align."""
    faces = mesher.find(image)
    try:
        return align(image, faces[0].landmarks_px, job.template, job.size_px) if faces else None
    except InputError:
        return None


def _encoded(crop: Image, suffix: str) -> bytes:
    options = [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY] if suffix == ".jpg" else []
    done, content = cv2.imencode(suffix, crop, options)
    if not done:
        raise SourceError(f"OpenCV cannot write {suffix} images; install opencv-contrib-python again")
    return np.asarray(content).tobytes()
