"""Clips of faces from a user's footage: what int8 ranges are measured on, and what a graph is judged by."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Generator, Sequence
from importlib.resources import as_file, files
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from ...errors import SourceError
from ...modelfolder.config import FolderConfig, Preprocessing
from ...pipeline.clips import Clip, ClipAssembler
from ...pipeline.crops import CropFinder
from ...vision import FaceMesher, Source, list_sources, prepare

CLIPS = 16  # half to measure ranges on, half to judge by
READ = 64  # clips read of one source at most; several share them, and at most as many sources are read
LEAST = 2  # clips read of a source however many there are: it may be the only one with a face
T = TypeVar("T")


def calibration_clips(source: object, config: FolderConfig) -> NDArray[np.uint8]:
    """(n, T, S, S, 3) uint8 BGR aligned crops, 2 <= n <= 16: full clips of a face, spread over the sources.

    Read are the first clips of every source: 64 of a single one, of more than 32 two each; of more than 64 sources,
    64 evenly spread ones are taken.

    Args:
        source: whatever `AUDetector.predict` takes.

    Raises:
        SourceError: it cannot be read, or has fewer than two clips of T frames with a face.
    """
    found: list[Clip] = []
    sources = _spread(list_sources(source), READ)
    for one in sources:
        with contextlib.closing(face_clips(one, config.clip_length, config.preprocessing)) as clips:
            own = itertools.islice(clips, max(LEAST, READ // len(sources)))
            # One person after the other: of several side by side, every second clip would be one person's.
            found += sorted(own, key=lambda clip: clip.track_id)
    if len(found) < 2:
        raise SourceError(
            f"expected footage with a face in at least 2 x {config.clip_length} consecutive frames; found {len(found)} "
            f"such clips in {source!r}; give a longer video, or several"
        )
    return np.stack([np.stack(clip.crops) for clip in _spread(found, CLIPS)])


def demo_clips(config: FolderConfig) -> NDArray[np.uint8]:
    """`calibration_clips` of the bundled video."""
    with as_file(files("mdhr_sdk") / "assets" / "demo.mp4") as path:
        return calibration_clips(path, config)


def as_input(clips: NDArray[np.uint8], config: FolderConfig) -> NDArray[np.float32]:
    """(n, T, S, S, 3) uint8 BGR -> (n, T, 3, S, S) float32, as the model reads them."""
    frames = prepare(clips.reshape(-1, *clips.shape[2:]), config.preprocessing.mean, config.preprocessing.std)
    return frames.reshape(*clips.shape[:2], *frames.shape[1:])


def _spread(items: Sequence[T], most: int) -> list[T]:
    """At most so many, evenly spread from the first to the last."""
    return [items[i] for i in np.unique(np.linspace(0, len(items) - 1, min(most, len(items))).round().astype(int))]


def face_clips(
    source: Source, length: int, preprocessing: Preprocessing, max_faces: int = 10, first: int = 0
) -> Generator[Clip, None, None]:
    """Clips of `length` consecutive frames of every face, from frame `first` on; shorter ones are left out.

    As in the detector, a cut of the scene or another person in the same place ends a clip.

    Raises:
        SourceError: the source cannot be read.
    """
    assembler = ClipAssembler(length)
    with source, FaceMesher(max_faces, still=source.info.still) as mesher:
        finder = CropFinder(mesher, preprocessing)
        for frame in itertools.dropwhile(lambda frame: frame.index < first, source):
            done = assembler.push(frame.index, finder.cut(frame))
            yield from (clip for clip in done if len(clip.crops) == length)
