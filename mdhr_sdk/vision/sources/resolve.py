"""From what a person types to the sources it means."""

from __future__ import annotations

import glob
import math
import numbers
import os
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import partial
from itertools import count, pairwise, repeat
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import numpy as np

from ...errors import InputError, SourceError
from .arrays import array_source, iterator_source
from .source import Frame, Source, SourceInfo

__all__ = ["IMAGE_SUFFIXES", "VIDEO_SUFFIXES", "Frame", "Source", "SourceInfo", "list_sources"]

IMAGE_SUFFIXES = frozenset((".jpg", ".jpeg", ".jpe", ".png", ".bmp", ".webp", ".tif", ".tiff", ".ppm", ".pgm", ".jp2"))
VIDEO_SUFFIXES = frozenset((".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm", ".mpg", ".mpeg", ".wmv", ".flv", ".ts"))
DEFAULT_FPS = 25.0

_SCHEMES = ("rtsp", "rtsps", "rtmp", "rtmps", "http", "https", "udp", "tcp", "srt")
_URL = re.compile(r"([a-z][a-z0-9+.-]+)://", re.IGNORECASE)
_HOST = re.compile(r"(\[[^\]]*\]|[^:]*)(:[0-9]*)?")
_CAMERA = re.compile(r"(?:/dev/video)?([0-9]{1,4})")
_ACCEPTED = (
    "a path, folder, glob, URL or camera number, a BGR uint8 array (height, width, 3) or (frames, height, width, 3), "
    "an iterator of such images, or a list of these"
)
MANY = 10  # images that nobody names so by chance


def list_sources(source: object, *, fps: float | None = None, sequence: bool | None = None) -> list[Source]:
    """Turn what was given into sources, not opened yet.

    - int, str of one to four digits ('0') that names no file or folder, or the str '/dev/video0': a camera.
    - path of a video or an image. Known image suffixes are read as images, anything else as a video.
    - folder (not its subfolders) or glob (`**` for subfolders): every video in it is a source. The images in it are
      the frames of one source of kind 'sequence' if `sequence` is True, or if it is None and they are three or more,
      lie in one folder, share a suffix and differ in one number only (frame_1.jpg, frame_2.jpg, frame_3.jpg, ...), of
      fewer than ten by the same step mostly; otherwise each is a still. Frames go in natural order, 2 before 10.
      Hidden files and other suffixes are passed over.
    - 'rtsp://', 'http://', 'https://' ...: a stream.
    - array (H, W, 3) uint8 BGR: a still; (T, H, W, 3): the frames of one clip.
    - iterator of (H, W, 3) uint8 BGR arrays: the frames of one clip.
    - list or tuple: a batch, each element its own source or sources (a list of images is that many stills).

    Results are told apart by the names of their sources, so no two are the same: where 'camera 0' comes again it is
    'camera 0 (2)', then 'camera 0 (3)'. The name of a stream is its URL without login, query and fragment.

    Args:
        source: one of the above.
        fps: frames a second of what carries no time of its own: arrays, iterators, image sequences. Default 25.
        sequence: how to take the images of a folder or glob, see above.

    Raises:
        InputError: a type, array or fps that cannot be a source.
        SourceError: a path with nothing usable behind it. Damage shows when the source is opened.
    """
    if fps is not None and not (isinstance(fps, numbers.Real) and 0 < fps < math.inf):
        raise InputError(f"expected fps to be a positive number; got {fps!r}; leave it out for {DEFAULT_FPS:g}")
    return _told_apart(_resolve(source, fps or DEFAULT_FPS, sequence, "array"))


def _told_apart(sources: list[Source]) -> list[Source]:
    """The sources, numbered where a name comes again; no new name is one that was given."""
    given = {source.name for source in sources}
    fresh: dict[str, Iterator[str]] = {}
    told = []
    for source in sources:
        if source.name in fresh:
            told.append(source.renamed(next(name for name in fresh[source.name] if name not in given)))
        else:
            fresh[source.name] = map("{} ({})".format, repeat(source.name), count(2))
            told.append(source)
    return told


def _resolve(source: object, fps: float, sequence: bool | None, label: str) -> list[Source]:
    if isinstance(source, Source):
        return [source]
    if isinstance(source, list | tuple):
        if not source:
            raise InputError(f"expected at least one source in the list; got an empty one; give {_ACCEPTED}")
        return [one for i, item in enumerate(source) for one in _resolve(item, fps, sequence, f"{label}[{i}]")]
    if isinstance(source, np.ndarray):
        return [array_source(source, label, fps)]
    if isinstance(source, int | np.integer) and not isinstance(source, bool) and source >= 0:
        return [_camera(int(source))]
    if isinstance(source, str) and (stream := _URL.match(source.strip())):
        return [_stream(source.strip(), stream[1].lower())]
    if isinstance(source, str | os.PathLike):
        return _from_text(os.fsdecode(source), fps, sequence, isinstance(source, str))
    if isinstance(source, Iterator):
        return [iterator_source(source, label, fps)]
    raise InputError(f"expected {_ACCEPTED}; got {source!r:.80} of type {type(source).__name__}")


def _from_text(text: str, fps: float, sequence: bool | None, may_be_camera: bool) -> list[Source]:
    camera = _CAMERA.fullmatch(text) if may_be_camera else None
    try:
        if camera and (text.startswith("/dev/") or not Path(text).exists()):
            return [_camera(int(camera[1]))]
        return _from_path(text, fps, sequence)
    except (OSError, ValueError, RuntimeError) as error:
        raise SourceError(f"cannot look at {text!r}: {error}; check the path and its permissions") from None


def _from_path(text: str, fps: float, sequence: bool | None) -> list[Source]:
    path = Path(text).expanduser()
    if not text.strip():
        raise SourceError("expected a path, URL or camera number; got an empty text")
    if path.is_dir():
        children = list(path.iterdir())
        deeper = sum(child.is_dir() and not child.name.startswith(".") for child in children)
        return _from_files([child for child in children if child.is_file()], text, fps, sequence, deeper)
    if path.exists():
        return [_still(path) if path.suffix.lower() in IMAGE_SUFFIXES else _video(path)]
    if any(character in text for character in "*?["):
        matches = glob.glob(str(path), recursive=True)  # noqa: PTH207 (Path.glob takes no absolute pattern)
        return _from_files([match for match in map(Path, matches) if match.is_file()], text, fps, sequence)
    raise SourceError(f"nothing exists at {text!r}; check the spelling and the working directory ({Path.cwd()})")


def _from_files(files: list[Path], name: str, fps: float, sequence: bool | None, deeper: int = 0) -> list[Source]:
    visible = sorted((path for path in files if not path.name.startswith(".")), key=_natural)
    images = [path for path in visible if path.suffix.lower() in IMAGE_SUFFIXES]
    sources = [_video(path) for path in visible if path.suffix.lower() in VIDEO_SUFFIXES]
    if images and (_numbered(images) if sequence is None else sequence):
        sources.append(_sequence(images, name, fps))
    else:
        sources.extend(_still(path) for path in images)
    if not sources:
        inside = f"{glob.escape(name.rstrip('/'))}/**/*"
        below = f"its {deeper} subfolders are not entered, for which give '{inside}'; " if deeper else ""
        raise SourceError(
            f"no image or video in {name!r} ({len(files)} files looked at); {below}known suffixes are "
            f"{' '.join(sorted(IMAGE_SUFFIXES | VIDEO_SUFFIXES))}; give a file's own path to try another"
        )
    return sources


def _natural(path: Path) -> list[str | int]:
    """A sort key that counts: 2.jpg before 10.jpg."""
    return [int(part) if i % 2 else part.lower() for i, part in enumerate(re.split(r"([0-9]+)", str(path)))]


def _numbered(images: Sequence[Path]) -> bool:
    """Whether images are frames of one video: of one folder and suffix, their names differ in one number, which counts.

    Photographs have numbers too: fewer than `MANY` count as frames if they are three at least and most of their
    numbers go up by the same step.
    """
    if len(images) < 3 or len({(path.parent, path.suffix) for path in images}) > 1:
        return False
    names = [re.split(r"([0-9]+)", path.stem) for path in images]
    if len({(len(parts), *parts[::2]) for parts in names}) > 1:
        return False
    varying = [{int(part) for part in column} for column in zip(*(parts[1::2] for parts in names), strict=True)]
    if sorted(len(values) for values in varying if len(values) > 1) != [len(images)]:
        return False
    (numbers,) = (sorted(values) for values in varying if len(values) > 1)
    ((_, alike),) = Counter(b - a for a, b in pairwise(numbers)).most_common(1)
    return len(images) >= MANY or 2 * alike > len(images) - 1


# The openers' modules need OpenCV, so they are imported at the first use and not with the package.


def _still(path: Path) -> Source:
    from .images import open_still

    return Source(str(path), "image", partial(open_still, path))


def _sequence(paths: Sequence[Path], name: str, fps: float) -> Source:
    from .images import open_sequence

    return Source(name, "sequence", partial(open_sequence, paths, fps))


def _video(path: Path) -> Source:
    from .capture import open_video

    return Source(str(path), "video", partial(open_video, path))


def _camera(number: int) -> Source:
    from .capture import open_camera

    name = f"camera {number}"
    return Source(name, "camera", partial(open_camera, number, name))


def _stream(url: str, scheme: str) -> Source:
    if scheme not in _SCHEMES:
        raise SourceError(f"cannot open {scheme}:// addresses; give one of {', '.join(_SCHEMES)}, or a path")
    from .capture import open_stream

    name = _public(url, scheme)
    return Source(name, "stream", partial(open_stream, url, name))


def _public(url: str, scheme: str) -> str:
    """A URL's scheme, host, port and path: results and messages carry it, so no login, query or fragment."""
    unknown = f"{scheme}://..."
    try:
        parts = urlsplit(url)
    except ValueError:
        return unknown
    host = parts.netloc.rpartition("@")[2]
    # What looks like a host with a strange port is the start of a login with a bare / ? or # in its password.
    return urlunsplit((scheme, host, parts.path, "", "")) if _HOST.fullmatch(host) else unknown
