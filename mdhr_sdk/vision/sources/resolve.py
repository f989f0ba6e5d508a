"""From what a person types to the sources it means."""

from __future__ import annotations

import glob
import itertools
import logging
import os
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from functools import partial
from io import IOBase
from itertools import count, pairwise, repeat
from pathlib import Path
from types import GeneratorType
from typing import get_args

import numpy as np

from ...arguments import flag, is_number
from ...errors import ConfigError, InputError, SourceError, check_imaging, number_of
from .arrays import array_source, iterator_source
from .content import Held, held_by
from .live.address import live_or_none, live_source, nothing_at, unusable
from .source import Kind, OnError, Source

DEFAULT_FPS = 25.0

log = logging.getLogger("mdhr_sdk")

_ACCEPTED = (
    "a path, folder, glob, URL or camera number, a BGR uint8 array (height, width, 3) or (frames, height, width, 3), "
    "an iterator of such images, or a list, Series, array or iterator of these"
)
NAMED = 10  # files that a warning names
MANY = 10  # images that nobody names so by chance


class Sources(list[Source]):
    """Sources, and what was not taken for one.

    Attributes:
        skipped: what lies in the folders and globs and is neither an image nor a video: other files, broken links,
            pipes, and subfolders, which are not entered. Hidden ones are left out.
    """

    skipped: tuple[Path, ...] = ()


def list_sources(
    source: object, *, fps: float | None = None, sequence: bool | None = None, on_error: OnError = "raise"
) -> Sources:
    """Turn what was given into sources, not opened yet.

    - int, str of one to four digits ('0') that names no file or folder, or the str '/dev/video0': a camera. Options
      follow '#', as in '0#size=1280x720&fps=30&pixels=MJPG'; see `live_source`.
    - path of a video or an image; which of the two is told by the file's content. A file of several images is a source
      of its own: an animated GIF, WebP, PNG or AVIF is a video with its own times, a TIFF of several pages a sequence.
    - folder (not its subfolders) or glob (`**` for subfolders): every video in it is a source. The images in it are
      the frames of one source of kind 'sequence' if `sequence` is True, or if it is None and they are three or more,
      lie in one folder, share a suffix and differ in one number only (frame_1.jpg, frame_2.jpg, frame_3.jpg, ...), of
      fewer than ten by the same step mostly; otherwise each is a still. Frames go in natural order, 2 before 10.
      Hidden files are passed over. Files that are neither image nor video are skipped, with one warning in the log
      'mdhr_sdk' that names them, and listed in `skipped`.
    - 'rtsp://', 'http://', 'https://' ...: a stream; '-': what comes through standard input; 'gst:...': a GStreamer
      pipeline; 'clip.mp4#realtime': a video that is played as if it were live.
    - mapping {name: one of these}: sources with names of their own.
    - array (H, W, 3) uint8 BGR: a still; (T, H, W, 3): the frames of one clip.
    - iterator of (H, W, 3) uint8 BGR arrays: the frames of one clip. Nothing is taken from a generator function before
      it is read; of other iterators the first item is, to see whether they give images or paths.
    - list, tuple, Series, array of text or objects, or iterator of paths (`Path.glob()`, not a generator function of
      one's own): a batch, each element its own source or sources (a list of images is that many stills). Sets are
      refused, for they have no order.

    Results are told apart by the names of their sources, so no two are the same: where 'camera 0' comes again it is
    'camera 0 (2)', then 'camera 0 (3)'. The name of a stream is its URL without login, query and fragment.

    Args:
        fps: frames a second of what carries no time of its own: arrays, iterators, image sequences. Default 25.
        sequence: how to take the images of a folder or glob, see above.
        on_error: what is done with a path of a batch that has nothing usable behind it. 'raise' is an error now; 'skip'
            makes it a source that raises the error when it is opened. A path that is not in a batch is an error now.

    Raises:
        InputError: a type, array or fps that cannot be a source.
        ConfigError: an unknown on_error.
        SourceError: a path with nothing usable behind it. Damage shows when the source is opened.
    """
    check_imaging()
    if on_error not in get_args(OnError):
        raise ConfigError(f"on_error must be one of {', '.join(get_args(OnError))}; got {on_error!r}")
    if fps is not None and not (is_number(fps) and fps > 0):
        raise InputError(f"expected fps to be a positive number; got {fps!r}; leave it out for {DEFAULT_FPS:g}")
    if sequence is not None:
        flag("sequence", sequence)
    resolver = _Resolver(fps or DEFAULT_FPS, sequence, on_error)
    sources = Sources(_told_apart(resolver.resolve(source, "array")))
    sources.skipped = tuple(resolver.skipped)
    if sources.skipped:
        log.warning("skipped %s without picture or video: %s", _counted(sources.skipped), _listed(sources.skipped))
    return sources


def _counted(files: Sequence[Path]) -> str:
    folders = sum(path.is_dir() for path in files)
    counts = {"file": len(files) - folders, "folder": folders}
    return " and ".join(number_of(count, what) for what, count in counts.items() if count)


def _listed(files: Sequence[Path]) -> str:
    names = ", ".join(path.name for path in files[:NAMED])
    return f"{names} and {len(files) - NAMED} more" if len(files) > NAMED else names


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


class _Resolver:
    """Resolves what was given, and keeps the files that it skipped."""

    def __init__(self, fps: float, sequence: bool | None, on_error: OnError) -> None:
        self._fps = fps
        self._sequence = sequence
        self._on_error = on_error
        self.skipped: list[Path] = []

    def resolve(self, source: object, label: str) -> list[Source]:
        if isinstance(source, Source):
            return [source]
        if isinstance(source, np.ndarray):
            if source.dtype.kind not in "OUT":
                return [array_source(source, label, self._fps)]
            if source.ndim > 1 and source.size and isinstance(source.flat[0], int | float | np.number):
                raise InputError(
                    f"expected {label} to hold paths or images; it is an array {source.shape} of objects that are "
                    "numbers; give pixels as array.astype('uint8')"
                )
            source = source.reshape(-1).tolist()
        if isinstance(source, list | tuple):
            return self._each(source, label)
        if isinstance(source, int | np.integer) and not isinstance(source, bool) and source >= 0:
            return [live_source(int(source))]
        if isinstance(source, str) and (live := live_or_none(source)) is not None:
            return [live]
        if isinstance(source, str | os.PathLike):
            return self._from_text(os.fsdecode(source))
        if isinstance(source, Iterator):
            return self._from_iterator(source, label)
        if isinstance(source, Mapping) and source:
            return [one.renamed(str(name)) for name, item in source.items() for one in self._member(item, str(name))]
        if getattr(source, "ndim", 1) != 1 or type(source).__module__.partition(".")[0] == "torch":
            raise InputError(
                f"expected {_ACCEPTED}; got a {type(source).__name__}; "
                "give a tensor's .numpy(), or one column of a table"
            )
        if isinstance(source, Iterable) and not isinstance(source, Set | bytes | bytearray | memoryview):
            return self._each(list(source), label)  # a Series, a deque, the values of a dictionary
        raise InputError(f"expected {_ACCEPTED}; got {source!r:.80} of type {type(source).__name__}{_hint(source)}")

    def _each(self, items: Sequence[object], label: str) -> list[Source]:
        if not items:
            raise InputError(f"expected at least one source in the list; got an empty one; give {_ACCEPTED}")
        return [one for i, item in enumerate(items) for one in self._member(item, f"{label}[{i}]")]

    def _member(self, item: object, label: str) -> list[Source]:
        try:
            return self.resolve(item, label)
        except SourceError as error:
            if self._on_error == "raise":
                raise
            return [unusable(item, error)]

    def _from_iterator(self, items: Iterator[object], label: str) -> list[Source]:
        """Images that are made one by one, or a list of paths; the first item tells."""
        if isinstance(items, IOBase):
            raise InputError(f"expected {_ACCEPTED}; got an open file ({type(items).__name__}); give its path")
        if not _may_look(items):
            return [iterator_source(items, label, self._fps)]
        first = list(itertools.islice(items, 1))
        if not first:
            raise SourceError(
                f"expected {label} to give at least one image or path; it gave none; check the pattern and the folder "
                "of a glob, or whether the iterator was used before"
            )
        if isinstance(first[0], str | os.PathLike | Source):
            return self._each([*first, *items], label)
        return [iterator_source(itertools.chain(first, items), label, self._fps)]

    def _from_text(self, text: str) -> list[Source]:
        try:
            return self._from_path(text)
        except (OSError, ValueError, RuntimeError) as error:
            raise SourceError(f"cannot look at {text!r}: {error}; check the path and its permissions") from None

    def _from_path(self, text: str) -> list[Source]:
        path = Path(text)
        if not path.exists():
            path = path.expanduser()
        if not text.strip():
            raise SourceError("expected a path, URL or camera number; got an empty text")
        if path.is_dir():
            children = list(path.iterdir())
            deeper = sum(child.is_dir() and not child.name.startswith(".") for child in children)
            return self._from_files(children, text, deeper)
        if path.exists():
            if not path.is_file():
                raise SourceError(f"expected a file, folder or camera at {text!r}; it is a pipe, socket or device")
            return [self._file(path, held_by(path))]
        if (other := _written_otherwise(path)) is not None:
            return self._from_path(str(other))
        if any(character in text for character in "*?["):
            return self._from_files([match for match in matching(_in_folders(path)) if not match.is_dir()], text)
        raise nothing_at(text)

    def _from_files(self, files: list[Path], name: str, deeper: int = 0) -> list[Source]:
        visible = sorted((path for path in files if not path.name.startswith(".")), key=_natural)
        held = {path: held_by(path) if path.is_file() else None for path in visible}
        images = [path for path in visible if held[path] == "image"]
        sources = [self._file(path, held[path]) for path in visible if held[path] not in ("image", None)]
        if images and (_numbered(images) if self._sequence is None else self._sequence):
            from .images import open_sequence

            sources.append(Source(name, "sequence", partial(open_sequence, images, self._fps), paths=images))
        else:
            sources.extend(self._file(path, "image") for path in images)
        skipped = [path for path in visible if held[path] is None]
        if not sources:
            inside = f"{glob.escape(name.rstrip('/'))}/**/*"
            subfolders = number_of(deeper, "subfolder is", "subfolders are")
            below = f"its {subfolders} not entered, for which give '{inside}'; " if deeper else ""
            looked_at = f"{_counted(skipped)} looked at: {_listed(skipped)}" if skipped else "no files"
            raise SourceError(
                f"no image or video in {name!r} ({looked_at}); {below}give a folder that holds some, or a file's path"
            )
        self.skipped.extend(skipped)
        return sources

    def _file(self, path: Path, held: Held | None) -> Source:
        """A file that holds neither is opened as a video, which says what is wrong with it."""
        from .images import open_pages, open_still
        from .video import open_video

        name = str(path)
        if held == "image":
            return Source(name, "image", partial(open_still, path), paths=[path])
        if held in ("pages", "animation"):
            kind: Kind = "sequence" if held == "pages" else "video"
            return Source(name, kind, partial(open_pages, path, self._fps), paths=[path])
        return Source(name, "video", partial(open_video, path), paths=[path], seeks=True)


def _hint(source: object) -> str:
    """What to give in place of something that is no source."""
    if isinstance(source, Set):
        return "; a set has no order: give sorted(...)"
    if isinstance(source, bytes | bytearray | memoryview):
        return "; give a path as text, or the picture as cv2.imdecode(numpy.frombuffer(data, 'uint8'), 1)"
    if type(source).__module__.partition(".")[0] == "PIL":
        return "; give numpy.asarray(image.convert('RGB'))[..., ::-1]"
    return ""


def _written_otherwise(path: Path) -> Path | None:
    """An existing path of the same letters, whose accents Unicode writes apart, as a Mac does, or as one."""
    forms = (Path(unicodedata.normalize(form, str(path))) for form in ("NFC", "NFD"))
    return next((form for form in forms if form != path and form.exists()), None)


def _in_folders(pattern: Path) -> Path:
    """A pattern whose leading folders exist by that very name, brackets and all."""
    folder = next((one for one in pattern.parents if one.is_dir()), Path())
    return Path(glob.escape(str(folder))) / pattern.relative_to(folder)


def matching(pattern: Path) -> list[Path]:
    """What a pattern matches; `**` enters every folder once, since links may lead in a circle."""
    if "**" not in pattern.parts:
        return [Path(match) for match in glob.glob(str(pattern))]  # noqa: PTH207 (Path.glob takes no absolute pattern)
    at = pattern.parts.index("**")
    below = Path(*pattern.parts[at + 1 :] or "*")
    folders = [folder for top in matching(Path(*pattern.parts[:at])) for folder in _folders(top)]
    return list(dict.fromkeys(match for folder in folders for match in matching(Path(glob.escape(folder)) / below)))


def _folders(top: Path) -> Iterator[str]:
    """A folder and all that is in it, each once; hidden ones are left out."""
    entered: set[str] = set()
    for folder, inside, _ in os.walk(top, followlinks=True):
        real = os.path.realpath(folder)
        inside[:] = [] if real in entered else sorted(name for name in inside if not name.startswith("."))
        if real not in entered:
            yield folder
        entered.add(real)


def _may_look(items: Iterator[object]) -> bool:
    """Whether to take the first item now: not of a generator function, which may wait for a camera."""
    if not isinstance(items, GeneratorType):
        return True
    frame = items.gi_frame
    of_paths = frame is not None and frame.f_globals.get("__name__") in ("pathlib", "glob")
    return of_paths or items.gi_code.co_name == "<genexpr>"


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
