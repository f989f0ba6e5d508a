"""What a file holds, by its content: an image, several images in one, a video, or neither."""

from __future__ import annotations

import itertools
import re
from contextlib import ExitStack
from pathlib import Path
from typing import Literal

Held = Literal["image", "pages", "animation", "video"]

# What a name claims. It counts where the content tells nothing, so that a damaged picture is an error and not skipped.
IMAGE_SUFFIXES = frozenset((
    ".jpg", ".jpeg", ".jpe", ".png", ".bmp", ".webp", ".tif", ".tiff", ".ppm", ".pgm", ".jp2", ".heic", ".heif",
    ".avif",
))  # fmt: skip
VIDEO_SUFFIXES = frozenset((
    ".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm", ".mpg", ".mpeg", ".wmv", ".flv", ".ts", ".mts", ".m2ts",
    ".3gp", ".3g2", ".ogv", ".asf", ".f4v", ".vob", ".mxf", ".nut", ".y4m", ".ivf", ".dv", ".mjpeg", ".mjpg",
    ".h264", ".264", ".h265", ".265", ".hevc", ".avc", ".obu", ".m1v", ".m2v", ".mpv",
))  # fmt: skip

# Without a container there is little to know them by, and FFmpeg finds them in archives and documents.
RAW = frozenset((
    "mjpeg", "h264", "hevc", "vvc", "m4v", "mpegvideo", "h261", "h263", "obu", "vc1", "dirac", "cavsvideo", "avs2",
    "avs3", "evc", "rawvideo", "mjpeg_2000", "ingenient", "dv", "ico", "data",
))  # fmt: skip

HEAD = 4096
_IMAGES = re.compile(
    rb"\xff\xd8\xff|BM.{4}\0{4}.{4}[\x0c\x28\x34\x38\x40\x6c\x7c]\0\0\0|P[1-7fF]\s|8BPS|qoif|\x76\x2f\x31\x01|#\?RADIANCE"
    rb"|\0\0\0\x0cjP  |\xff\x4f\xff\x51|\0\0\0\x0cJXL |\xff\x0a",
    re.DOTALL,
)
_SEVERAL = re.compile(rb"\x89PNG\r\n\x1a\n|GIF8[79]a|RIFF.{4}WEBP", re.DOTALL)
_TIFF = re.compile(rb"II[*+]\0|MM\0[*+]")
_HEIF = re.compile(rb".{4}ftyp(heic|heix|heim|heis|mif1|avif|avis)", re.DOTALL)
_VIDEOS = re.compile(
    rb".{4}ftyp|\x1a\x45\xdf\xa3|RIFF.{4}AVI |FLV\x01|\0\0\x01[\xba\xb3]|\x30\x26\xb2\x75\x8e\x66\xcf\x11|YUV4MPEG2"
    rb"|\x47.{187}\x47|.{4}\x47.{191}\x47",
    re.DOTALL,
)
_OTHERS = {
    b"%PDF": "a PDF document", b"PK\x03\x04": "a zip archive or office document", b"\x1f\x8b": "a gzip archive",
    b"ffconcat": "a list of other files",
}  # fmt: skip


def held_by(path: Path) -> Held | None:
    """What a file holds; None for neither an image nor a video. A file that cannot be read goes by its name."""
    head = _head(path)
    if head is None:
        return _claimed(path)
    if _SEVERAL.match(head) or _TIFF.match(head) or _HEIF.match(head):
        from .images import count_images

        count, format_name = count_images(path)
        return "image" if count < 2 else "pages" if format_name == "TIFF" else "animation"
    if head.startswith(b"\xff\xd8\xff") and _claimed(path) == "video":
        return _probed(path)  # JPEG after JPEG
    if _IMAGES.match(head):
        return "image"
    if _is_text(head) and not head.startswith(b"#EXTM3U"):
        return None if path.suffix.lower() == ".ts" else _claimed(path)  # TypeScript has this suffix too
    return _probed(path) if head else _claimed(path)


def looks_like(path: Path) -> str | None:
    """What a file is in place of a picture or video, for a message; None where a damaged video is more likely."""
    head = _head(path) if path.is_file() else None  # a pipe gives what it holds once
    if head is None or _VIDEOS.match(head):
        return None
    if not head:
        return "is empty"
    if found := next((words for start, words in _OTHERS.items() if head.startswith(start)), None):
        return f"holds {found}"
    return "holds text" if _is_text(head) else None if _claimed(path) else "holds data of another kind"


def is_other(path: Path) -> bool:
    """Whether a file is empty, a document, an archive or a list of others, whatever pictures lie in it."""
    head = _head(path) if path.is_file() else None
    return head is not None and (not head or head.startswith(tuple(_OTHERS)))


def goes_by_name(path: Path) -> bool:
    """Whether FFmpeg may see a file's name. It goes by one of an image, whatever the file holds; playlists need theirs.

    A name that is no UTF-8 it cannot take.
    """
    try:
        str(path).encode()
    except UnicodeEncodeError:
        return False
    return _claimed(path) == "video" or _is_text(_head(path) or b"")


def _head(path: Path) -> bytes | None:
    """How a file begins; of those that the kernel makes up, nothing: one may never answer, and none has a size."""
    try:
        if not path.stat().st_size:
            return b""
        with path.open("rb") as file:
            return file.read(HEAD)
    except OSError:
        return None


def _claimed(path: Path) -> Held | None:
    suffix = path.suffix.lower()
    return "image" if suffix in IMAGE_SUFFIXES else "video" if suffix in VIDEO_SUFFIXES else None


def _is_text(head: bytes) -> bool:
    try:
        head.decode()
    except UnicodeDecodeError as error:
        if error.end < len(head) - 3:  # the last character may be cut in two
            return False
    return b"\0" not in head


def _probed(path: Path) -> Held | None:
    """What FFmpeg finds; a file that begins like a video and cannot be opened is a damaged one."""
    import av

    from .containers.picture import NO_VIDEOS, picture_track
    from .video import open_file

    try:
        with ExitStack() as stack:
            container = stack.enter_context(open_file(path, stack))
            name, track = container.format.name, picture_track(container)
            if track is None or name in NO_VIDEOS:  # sound, or a text
                return "image" if _claimed(path) == "image" else None
            if track.codec_context and track.codec_context.width:  # else no decoder, which `open_video` tells
                if name.endswith("_pipe") or name == "image2":
                    packets = itertools.islice((packet for packet in container.demux(track) if packet.size), 2)
                    return "video" if _claimed(path) == "video" and len(list(packets)) > 1 else "image"
                return _claimed(path) if name in RAW else "video"
    except (av.error.FFmpegError, OSError, ValueError):
        pass
    return "video" if _VIDEOS.match(_head(path) or b"") else _claimed(path)
