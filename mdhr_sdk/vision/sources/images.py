"""Image files: stills, numbered frames of one sequence, and files of several images. Needs Pillow and OpenCV."""

from __future__ import annotations

import itertools
import logging
import re
import struct
import warnings
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, ImageOps
from PIL import Image as Pillow

from ...errors import MDHRError, MissingDependencyError, SourceError, install_hint
from ..quiet import quiet
from .source import Damage, Image, Opened, Picture

log = logging.getLogger("mdhr_sdk")

HIDDEN = 1  # NewSubfileType of a TIFF page that is a smaller copy of another one
UNTIMED_S = 0.1  # browsers show a GIF's images so long where it does not say
BRIGHTEST = 2.0  # of floating-point values that end at 1; a highlight may be beyond
PHOTOS = ("MPO", "HEIF")  # several images in one file that are no sequence: another view, a smaller copy
_HEIC = re.compile(rb".{4}ftyp(hei|mif)", re.DOTALL)
BAND_PX = 16 << 20  # of a picture that are converted at once, so that a very large one is not held three times
HEAD_BYTES = 128  # of a HEIF file, which hold its brands
SCRIPTS = ("EPS", "WMF")  # programs, which Pillow gives to other programs
SUBFILE, BITS, ZERO_IS, MAX_VALUE, SUBIFDS, SAMPLES, DNG = 254, 258, 262, 281, 330, 339, 50706  # tags of a TIFF
BOXED = ("HEIF", "AVIF")  # boxes of the file tell how a picture is turned, and their readers leave EXIF out
_TURN_BOX = re.compile(rb"\0\0\0\x09(irot|imir)")
_TIFF_HEAD = re.compile(rb"II\*\0|MM\0\*")
EXIF_BYTES = 1 << 16
_OF_OPENCV = re.compile(rb"II[*+]\0|MM\0[*+]|P[1-7fF]\s|#\?RADIANCE|\x76\x2f\x31\x01")


def read_image(path: Path) -> Image:
    """Read an image file as (H, W, 3) uint8 BGR, turned upright by its EXIF orientation; of several, the first.

    Transparent parts are white. More than 8 bits become 8 by their upper ones; floating-point values are in [0, 1], or
    in [0, 255] where one is greater than 2.

    Raises:
        SourceError: the file cannot be read, is damaged, or is no image that Pillow or OpenCV knows.
    """
    with _opened(path) as picture, _damage_told(path):
        return _by_opencv(path)[0] if picture is None else _bgr(picture)


@contextmanager
def open_still(path: Path) -> Iterator[Opened]:
    """Open one image."""
    yield Opened(0.0, 1, False, iter([(read_image(path), 0.0)]), still=True)


@contextmanager
def open_sequence(paths: Sequence[Path], fps: float) -> Iterator[Opened]:
    """Open images as the frames of one clip, in the order given; sizes may differ.

    Damaged ones are left out; where all are, it is a SourceError.
    """
    damage = Damage()
    yield Opened(fps, len(paths), False, _readable(paths, fps, damage), damage=damage)


def _readable(paths: Sequence[Path], fps: float, damage: Damage) -> Iterator[Picture]:
    lost: SourceError | None = None
    shown = False
    for index, path in enumerate(paths):
        try:
            image = read_image(path)
        except SourceError as error:
            log.warning("a frame of the sequence is left out: %s", error)
            damage.count += 1
            lost = error
            continue
        yield Picture(image, index / fps, None, shown and lost is not None, "damaged" if lost else "")
        lost, shown = None, True
    if lost is not None and not shown:
        raise lost


@contextmanager
def open_pages(path: Path, fps: float) -> Iterator[Opened]:
    """Open the images of one file: those of an animation at their own times, the pages of a TIFF at `fps`."""
    with _opened(path) as picture:
        if picture is None:
            pages = _by_opencv(path)
            yield Opened(fps, len(pages), False, ((image, index / fps) for index, image in enumerate(pages)))
            return
        with _damage_told(path):
            numbers = _shown(picture)
        images = _pages(picture, numbers, path, fps)
        first, at_s = next(images)
        rate = fps if picture.format == "TIFF" else 1 / _lasts_s(picture)  # of an animation by its first image
        yield Opened(rate, len(numbers), False, itertools.chain([(first, at_s)], images))


def count_images(path: Path) -> tuple[int, str]:
    """How many images a file shows one after the other, and its format as Pillow calls it; (1, '') if it is damaged.

    Of a damaged TIFF nobody knows how many: (2, 'TIFF').
    """
    kind = ""
    try:
        with _opened(path) as picture, _damage_told(path):
            if picture is None:
                return len(_by_opencv(path)), "TIFF"
            kind = str(picture.format)
            return len(_shown(picture)), kind
    except (SourceError, MissingDependencyError):
        return (2, kind) if kind == "TIFF" else (1, "")  # its first page may be whole, and the others lost


@contextmanager
def _opened(path: Path) -> Iterator[Pillow.Image | None]:
    """The file as Pillow opens it, None where Pillow does not know the format."""
    with _damage_told(path):
        try:
            picture = _open(path)
        except Pillow.UnidentifiedImageError:
            picture = None
    try:
        yield picture
    finally:
        if picture is not None:
            picture.close()


@contextmanager
def _damage_told(path: Path) -> Iterator[None]:
    """Turn what Pillow raises into a `SourceError`; it is of many kinds."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that a picture is large is no fault, and damage inside is an error
            yield
    except Pillow.DecompressionBombError:
        most = 2 * (Pillow.MAX_IMAGE_PIXELS or 0) // 10**6
        raise SourceError(
            f"expected an image of at most {most} million pixels in {path}; it declares more; scale it down"
        ) from None
    except OSError as error:
        if error.errno is None:
            raise _damaged(path) from None
        raise SourceError(
            f"cannot read image {path}: {error.strerror or error}; check the file's permissions"
        ) from None
    except MDHRError:
        raise
    except Exception as error:  # a reader of Pillow raises whatever its format's damage leads to
        raise _damaged(path) from error


def _open(path: Path) -> Pillow.Image:
    if not path.stat().st_size:  # also files that the kernel makes up, of which one may never answer
        raise _damaged(path)
    with path.open("rb") as file:
        head = file.read(HEAD_BYTES)
    if not _HEIC.match(head) or b"avif" in head[: int.from_bytes(head[:4], "big")]:  # whichever brand comes first
        with ExitStack() as refused:
            picture = refused.enter_context(Pillow.open(path))
            if picture.format in SCRIPTS:
                raise Pillow.UnidentifiedImageError
            if picture.format == "TIFF":
                # Of a named file Pillow maps plain pixels into memory, by the size after its turn: rows would be torn.
                picture.filename = ""
                _check_whole(picture, path)
            refused.pop_all()
        return picture
    try:
        from pillow_heif.as_plugin import HeifImageFile  # registering it with Pillow would be for the whole process
    except ModuleNotFoundError:
        raise MissingDependencyError(
            f"{path} is a HEIC image, which needs the package pillow-heif; {install_hint('heic')}, or save it as JPEG"
        ) from None
    return HeifImageFile(path)


def _check_whole(picture: Pillow.Image, path: Path) -> None:
    """Refuse a camera's raw photo: Pillow sees nothing of it but a small copy."""
    tags = picture.tag_v2  # type: ignore[attr-defined]
    if int(tags.get(SUBFILE, 0)) & HIDDEN and (SUBIFDS in tags or DNG in tags):
        raise SourceError(
            f"expected a picture in {path}; it is a camera's raw photo, of which only a small copy can be read; "
            "save it as JPEG, PNG or TIFF"
        )


def _damaged(path: Path) -> SourceError:
    size = path.stat().st_size
    if size == 0:
        return SourceError(f"expected an image in {path}; the file is empty; copy or save it again")
    return SourceError(
        f"expected an image in {path}; its {size} bytes are damaged or of another format; save it again as JPEG or PNG"
    )


def _by_opencv(path: Path) -> list[Image]:
    """All images of what Pillow does not know, as TIFF with three floating-point channels.

    Only of such formats: what begins as one of Pillow's and is unknown to it is damaged, and OpenCV's reader of
    animated PNG ends the process over some damage.
    """
    data = np.fromfile(path, np.uint8)  # cv2.imread cannot open every non-ASCII path on Windows
    if not _OF_OPENCV.match(data[:16].tobytes()):
        raise _damaged(path)
    try:
        with quiet:
            read, images = cv2.imdecodemulti(data, cv2.IMREAD_ANYCOLOR | cv2.IMREAD_ANYDEPTH)
    except cv2.error:
        read, images = False, ()
    if not read:
        raise _damaged(path)
    shades = [_eight_bits(image) for image in images]
    return [np.dstack([image] * 3) if image.ndim == 2 else image for image in shades]


def _shown(picture: Pillow.Image) -> list[int]:
    """The numbers of the images that follow each other."""
    count = getattr(picture, "n_frames", 1)
    if count < 2 or picture.format in PHOTOS:
        return [0]
    if picture.format != "TIFF":
        hidden = bool(getattr(picture, "default_image", False))  # of an APNG: for what cannot show animations
        return list(range(int(hidden), count))
    shown = []
    for number in range(count):
        picture.seek(number)
        if not int(picture.tag_v2.get(SUBFILE, 0)) & HIDDEN:  # type: ignore[attr-defined]
            shown.append(number)
    picture.seek(0)
    return shown or [0]


def _pages(picture: Pillow.Image, numbers: Sequence[int], path: Path, fps: float) -> Iterator[tuple[Image, float]]:
    at_s = 0.0
    for index, number in enumerate(numbers):
        with _damage_told(path):
            picture.seek(number)
            image = _bgr(picture)
        if picture.format == "TIFF":
            yield image, index / fps
            continue
        yield image, at_s
        at_s += _lasts_s(picture)


def _lasts_s(picture: Pillow.Image) -> float:
    return float(picture.info.get("duration") or 0) / 1000 or UNTIMED_S


def _bgr(picture: Pillow.Image) -> Image:
    upright = _upright(picture)
    if upright.mode.startswith(("I", "F")):
        return np.dstack([_grey(picture, upright)] * 3)
    width, height = upright.size
    rows = max(1, BAND_PX // width)
    image = np.empty((height, width, 3), np.uint8)
    for top in range(0, height, rows):
        part = upright if rows >= height else upright.crop((0, top, width, min(top + rows, height)))
        image[top : top + rows] = cv2.cvtColor(np.asarray(_opaque(part)), cv2.COLOR_RGB2BGR)
    return image


def _opaque(picture: Pillow.Image) -> Pillow.Image:
    """As RGB, on white where it is transparent."""
    if picture.has_transparency_data:
        clear = picture.convert("RGBA")
        picture = Pillow.alpha_composite(Pillow.new("RGBA", clear.size, "white"), clear)
    return picture.convert("RGB")


def _grey(picture: Pillow.Image, upright: Pillow.Image) -> Image:
    """The 8 bits of one channel that has more, by what the file says of its values."""
    values = np.asarray(upright)
    if upright.mode == "F":
        return _eight_bits(values)
    most = _most_value(picture, values)
    if most > np.iinfo(np.int32).max:
        values = values.astype(np.int32).view(np.uint32)  # which Pillow has as signed numbers
    if "transparency" in picture.info:
        values = np.where(values == picture.info["transparency"], most, values)
    if picture.format == "TIFF" and picture.mode.startswith("I;16") and picture.tag_v2.get(ZERO_IS) == 0:  # type: ignore[attr-defined]
        values = most - values.astype(np.int64)  # 0 is white
    return np.round(np.clip(values, 0, most) / (np.float32(most) / 255)).astype(np.uint8)


def _most_value(picture: Pillow.Image, values: NDArray[np.generic]) -> int:
    """What is white in a picture of whole numbers of more than 8 bits."""
    if picture.format != "TIFF":
        return 0xFFFF  # Pillow scales all others so
    tags = picture.tag_v2  # type: ignore[attr-defined]
    bits, signed = int(tags.get(BITS, (16,))[0]), tags.get(SAMPLES, (1,))[0] == 2
    said, greatest = int(tags.get(MAX_VALUE, (0,))[0]), int(values.max(initial=0))
    if 0xFF < said < 1 << bits and greatest <= said:
        return said
    if bits > 16 and int(values.min(initial=0)) >= 0 and greatest <= 0xFFFF:
        return 0xFFFF  # 16 bits that were stored in 32
    return (1 << (bits - signed)) - 1


def _upright(picture: Pillow.Image) -> Pillow.Image:
    picture.load()
    try:
        exif = picture.getexif()
        if picture.format in BOXED and (turn := _turn_without_box(picture)):
            exif[ExifTags.Base.Orientation] = turn
        turned = exif.get(ExifTags.Base.Orientation, 1) != 1
        return ImageOps.exif_transpose(picture) if turned else picture
    except (SyntaxError, ValueError, KeyError, TypeError, struct.error):  # damaged notes about a whole picture
        return picture


def _turn_without_box(picture: Pillow.Image) -> int:
    """The EXIF orientation of a file that has no box for it; 0 where it has one, or no orientation."""
    data = Path(picture.filename).read_bytes()  # type: ignore[attr-defined]
    starts = () if _TURN_BOX.search(data) else _TIFF_HEAD.finditer(data)
    for start in starts:  # EXIF is a TIFF without a picture
        exif = Pillow.Exif()
        with suppress(SyntaxError, ValueError, KeyError, TypeError, struct.error):
            exif.load(data[start.start() :][:EXIF_BYTES])
        if len(exif):
            turn = exif.get(ExifTags.Base.Orientation)
            return turn if isinstance(turn, int) and turn in range(1, 9) else 0
    return 0


def _eight_bits(values: np.ndarray) -> Image:
    if values.dtype == np.uint8:
        return values
    if values.dtype.kind == "u" and values.dtype.itemsize == 2:
        return np.round(values / np.float32(257)).astype(np.uint8)
    values = np.nan_to_num(values.astype(np.float32), nan=0.0, posinf=0.0, neginf=0.0)
    scale = 255 if values.max(initial=0) <= BRIGHTEST else 1
    return np.round(np.clip(values * scale, 0, 255)).astype(np.uint8)
