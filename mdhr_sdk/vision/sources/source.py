"""A frame, where it comes from, and what an image must be."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ...errors import InputError, MDHRError, SourceError, no_formula
from ..scope import Scope
from .arrivals import NONE_PASSED, Passed
from .live.spec import LiveSpec

Kind = Literal["video", "image", "sequence", "camera", "stream", "array"]
Image = NDArray[np.uint8]
WHOLE = Scope()
OnError = Literal["raise", "skip"]  # a source that cannot be read: end the run, or go on with the others


@dataclass(frozen=True, eq=False)
class Frame:
    """One picture of a source.

    Attributes:
        image: (H, W, 3) uint8, BGR. Files, cameras and streams give every frame memory of its own. Arrays and iterators
            are not copied: this is the caller's memory, so do not draw on it, and an iterator may write its next
            image over it, so copy what you keep beyond the next step of the loop.
        index: position in the source, from 0.
        timestamp_s: the container's presentation time; position / fps for arrays and image sequences; seconds since
            opening for cameras and live streams; 0 for stills.
        source: name of the source.
        read_s: when it was read, by `time.perf_counter`; of a live source when it arrived.
        breaks: whether what came before does not go on here: the size or the pixel format changed, the clock started
            again, or pictures were lost. Tracks, clips and streams end before such a frame.
        note: '' or 'damaged': data was lost before this frame, and the picture may show it.
        dropped: frames of a live source that were passed over between the frame before and this one.
        captured_at: of a live source, when it arrived at this machine, UTC; None for files.
        stream_time_s: its time by the clock of a live stream that has one; else None.
        stale: not a new picture, but the last one again: nothing new has come for a second.
        late, passed: as in `Picture`.
    """

    image: Image
    index: int
    timestamp_s: float
    source: str
    read_s: float = field(default_factory=time.perf_counter)
    breaks: bool = False
    note: str = ""
    dropped: int = 0
    captured_at: datetime | None = None
    stream_time_s: float | None = None
    stale: bool = False
    late: str = ""
    passed: Passed = field(default_factory=dict)


def utc_of(perf_s: float) -> datetime:
    """The UTC of a time of `time.perf_counter`."""
    return datetime.fromtimestamp(time.time() - (time.perf_counter() - perf_s), timezone.utc)


@dataclass(frozen=True)
class SourceInfo:
    """What is known about a source once it is open.

    Attributes:
        name: the path as given, 'camera 0', the URL without login, query and fragment, or 'array'. Of the sources of
            one `list_sources`, each has its own: a second 'camera 0' is 'camera 0 (2)'. One that begins as a formula of
            spreadsheets has './' before it: './=a.mp4'.
        kind: 'video', 'image', 'sequence', 'camera', 'stream' or 'array'.
        fps: frames a second as declared; 0.0 for stills and where the device or container does not say.
        frame_count: frames as declared, an estimate for containers such as mkv; None where nobody knows.
        live: frames come in real time and cannot be read again.
        still: a single picture, not a video: an image file or an array (H, W, 3). Videos of one frame are none.
    """

    name: str
    kind: Kind
    fps: float
    frame_count: int | None
    live: bool
    still: bool = False


class Picture(NamedTuple):
    """What an opener knows about a frame; see `Frame`. A plain (image, timestamp_s) will do."""

    image: Image
    timestamp_s: float
    read_s: float | None = None  # None for the time at which it is taken
    breaks: bool = False
    note: str = ""
    stream_time_s: float | None = None
    late: str = ""  # why it is no news, for example 'start': it had waited before it was read; '' if it did not
    passed: Passed = NONE_PASSED  # pictures of a live source that were passed over before it, by reason


@dataclass
class Damage:
    """Counts packets and pictures that could not be read, while a source is read."""

    count: int = 0


class Opened(NamedTuple):
    """What an opener hands to `Source`: the rest of its `SourceInfo`, and `Picture`s or (image, timestamp_s) pairs."""

    fps: float
    frame_count: int | None
    live: bool
    images: Iterator[Picture | tuple[Image, float]]
    still: bool = False
    damage: Damage | None = None
    first_index: int = 0  # number of the first picture in the source


class Source:
    """Frames of one video, still, sequence, camera, stream or array; opened by `with`.

        with source:
            for frame in source:
                ...

    Files can be opened again after they were closed; cameras start anew; iterators go on where they stopped.

    Attributes:
        name: as in `SourceInfo`.
        kind: as in `SourceInfo`.
        spec: of a camera or stream, how a process of its own opens it; None for what is only read here.
        paths: the files that it is read from; none of cameras, streams and arrays.
        scope: what of it is read; see `Scope`.

    Args:
        opener: opens it. With `seeks` it takes the time in seconds before which no frame is needed.
    """

    def __init__(
        self,
        name: str,
        kind: Kind,
        opener: Callable[..., AbstractContextManager[Opened]],
        spec: LiveSpec | None = None,
        paths: Sequence[Path] = (),
        seeks: bool = False,
        scope: Scope = WHOLE,
    ) -> None:
        self.name = no_formula(name.encode(errors="replace").decode())  # what is not UTF-8 cannot be written
        self.kind = kind
        self.spec = spec
        self.paths = tuple(paths)
        self.scope = scope
        self._opener = opener
        self._seeks = seeks
        self._context: AbstractContextManager[Opened] | None = None
        self._info: SourceInfo | None = None
        self._damage: Damage | None = None
        self._frames: Generator[Frame, None, None] | None = None

    def __repr__(self) -> str:
        return f"Source({self.name!r}, kind={self.kind!r})"

    def __getstate__(self) -> dict[str, object]:
        """A copy for another process is closed."""
        return {**self.__dict__, "_context": None, "_frames": None}

    @property
    def live(self) -> bool:
        """Whether frames come in real time, as far as is known: False before the source is open."""
        return self._info is not None and self._info.live

    @property
    def still(self) -> bool:
        """Whether it is a single picture, as far as is known: of an array False before the source is open."""
        return self.kind == "image" if self._info is None else self._info.still

    @property
    def damaged(self) -> int:
        """Packets and pictures that were damaged and could not be read, or not wholly, since the source was opened.

        It grows while the frames are read, and stays after closing; 0 for what is not decoded by FFmpeg.
        """
        return self._damage.count if self._damage is not None else 0

    def renamed(self, name: str) -> Source:
        """The same source under another name, not opened."""
        return Source(name, self.kind, self._opener, self.spec, self.paths, self._seeks, self.scope)

    def scoped(self, scope: Scope) -> Source:
        """The part of the same source that a scope asks for, not opened; itself if that is its scope already."""
        if scope == self.scope:
            return self
        return Source(self.name, self.kind, self._opener, self.spec, self.paths, self._seeks, scope)

    def told(self, info: SourceInfo, damage: Damage) -> None:
        """Take what is known of the source from another process, which has opened it."""
        self._info, self._damage = info, damage

    @property
    def info(self) -> SourceInfo:
        """Filled by opening; stays after closing.

        Raises:
            SourceError: the source was never opened.
        """
        if self._info is None:
            raise SourceError(f"{self.name} was not opened yet; use 'with source:' before source.info")
        return self._info

    def __enter__(self) -> Source:
        """Open the source.

        Raises:
            SourceError: it cannot be opened, holds no frame, or is open already.
        """
        if self._context is not None:
            raise SourceError(f"{self.name} is open already; leave its 'with' block before you open it again")
        context = self._opener(self.scope.start_s) if self._seeks and self.scope.start_s else self._opener()
        with self._failure_told():
            opened = context.__enter__()
        self._context = context
        info = SourceInfo(self.name, self.kind, opened.fps, opened.frame_count, opened.live, opened.still)
        self._damage = opened.damage
        self._frames = self._read(opened.images, opened.live, opened.first_index)
        if self.scope.narrows and not opened.still:
            from .span import frames_in, narrowed  # it needs this file

            self._frames = frames_in(self.scope, self._frames, self.name)
            info = narrowed(info, self.scope)
        self._info = info
        return self

    def _read(
        self, images: Iterator[Picture | tuple[Image, float]], live: bool, first_index: int
    ) -> Generator[Frame, None, None]:
        shape: tuple[int, ...] | None = None
        with self._failure_told():
            for index, picture in enumerate(itertools.starmap(Picture, images), first_index):
                breaks = picture.breaks or shape not in (None, picture.image.shape)
                shape = picture.image.shape
                read_s = time.perf_counter() if picture.read_s is None else picture.read_s
                yield Frame(
                    picture.image, index, picture.timestamp_s, self.name, read_s, breaks, picture.note,
                    sum(picture.passed.values()),
                    captured_at=utc_of(read_s) if live else None, stream_time_s=picture.stream_time_s,
                    late=picture.late, passed=picture.passed,
                )  # fmt: skip

    @contextmanager
    def _failure_told(self) -> Iterator[None]:
        """What nobody thought of ends this source and no other one. An iterator's errors are its owner's."""
        try:
            yield
        except MDHRError:
            raise
        except Exception as error:
            if self.kind == "array":
                raise
            what = " ".join(f"{type(error).__name__}: {error}".split())
            raise SourceError(
                f"cannot read {self.name}: {what}; this was not expected: convert the file, and report it"
            ) from error

    def __exit__(self, *error: object) -> None:
        if self._frames is not None and self._context is not None:
            self._frames.close()
            context, self._context, self._frames = self._context, None, None
            context.__exit__(None, None, None)

    def __iter__(self) -> Iterator[Frame]:
        """Yield the frames, once an opening; a second loop goes on where the first one stopped.

        The image of a frame from an iterator holds only until the next frame is asked for, see `Frame`.

        Raises:
            SourceError: the source is not open, a frame cannot be read, or a camera stopped.
            TruncatedSourceError: after the last frame of a video that ends well before its declared length.
            InputError: an iterator gave something other than a BGR image.
        """
        if self._frames is None:
            raise SourceError(f"{self.name} is not open; use 'with source:' around the loop")
        return self._frames


def check_image(image: object, what: str = "the image") -> Image:
    """Return `image` as a contiguous array if it is (H, W, 3) uint8, else say how to make it so.

    Raises:
        InputError: another type, dtype or shape, or no pixels.
    """
    expected = f"expected {what} to be a (height, width, 3) uint8 array in BGR order"
    if not isinstance(image, np.ndarray):
        raise InputError(f"{expected}; got {type(image).__name__}; read it with cv2.imread or convert it to an array")
    fits = image.ndim == 3 and image.shape[2] == 3
    if fits and image.dtype == np.uint8 and image.size > 0:
        return np.ascontiguousarray(image)
    raise InputError(f"{expected}; got {image.dtype} {image.shape}; {_remedy(image)}")


def _remedy(image: NDArray[np.generic]) -> str:
    if image.size == 0:
        return "give an image with at least one pixel"
    if image.ndim == 2 or (image.ndim == 3 and image.shape[2] == 1):
        return "convert grey to BGR: cv2.cvtColor(image, cv2.COLOR_GRAY2BGR)"
    if image.ndim == 3 and image.shape[2] == 4:
        return "drop the alpha channel: cv2.cvtColor(image, cv2.COLOR_BGRA2BGR)"
    if image.ndim == 3 and image.shape[0] == 3 and image.shape[2] != 3:
        return "move the channels last: image.transpose(1, 2, 0)"
    if image.dtype != np.uint8:
        return "scale to 0-255 and convert: (image * 255).astype('uint8') for values in [0, 1]"
    return "give one image, or a (frames, height, width, 3) array for a clip"
