"""From a decoded picture to what people see: BGR, upright, with square pixels. Needs PyAV and OpenCV."""

from __future__ import annotations

from fractions import Fraction
from functools import cache

import av
import cv2
import numpy as np
from av.sidedata.sidedata import SideDataContainer
from av.video.reformatter import ColorRange, Colorspace, ColorTrc, VideoReformatter
from numpy.typing import NDArray

from ...errors import SourceError
from .fields import Fields
from .source import Image

Turn = tuple[int, int, int, int]
UPRIGHT: Turn = (1, 0, 0, 1)
SQUARE = Fraction(1)
HD_LINES = 720
UNNAMED, YCGCO = 2, 8  # of FFmpeg's AVColorSpace; the first, of AVColorTransferCharacteristic too: the file names none
# What FFmpeg converts, and the matrices that are nearest to some that it does not: BT.2020 with constant luminance, and
# those of the file's own primaries. It has none for the rest: ICtCp and the like.
MATRICES = frozenset((0, 1, 2, 4, 5, 6, 7, 9))
NEAREST = {3: UNNAMED, 10: 9, 12: UNNAMED, 13: UNNAMED}
WIDEST = 16  # a pixel that is further from square than this is an error of the file
PEAK_NITS = 1000.0
WHITE_NITS = 203.0  # of a sheet of paper in an HDR picture, ITU-R BT.2408


def turn_of(frame: av.VideoFrame) -> Turn | None:
    """The frame's display matrix as (a, b, c, d), each -1, 0 or 1: where its x and y axes point on the screen.

    None if it has no such matrix.

    Turns by anything but quarters become the nearest quarter.
    """
    try:
        # Not `frame.side_data`: it and the frame would hold each other, and hundreds of pictures wait to be collected.
        data = SideDataContainer(frame).get("DISPLAYMATRIX")  # type: ignore[call-arg]
    except ValueError:  # there is a kind of data that PyAV does not know, as the EXIF of a camera
        return _quarter(frame.rotation)
    if data is None:
        return None
    a, b, _, c, d = np.frombuffer(data, np.int32)[:5].astype(float)
    if abs(a) + abs(d) >= abs(b) + abs(c):
        return _sign(a), 0, 0, _sign(d)
    return 0, _sign(b), _sign(c), 0


def _quarter(degrees: int) -> Turn:
    """The matrix of a turn against the clock. A mirrored picture, which no camera writes, does not show in degrees."""
    cosine, sine = ((1, 0), (0, 1), (-1, 0), (0, -1))[round(degrees / 90) % 4]
    return cosine, -sine, sine, cosine


def _sign(value: float) -> int:
    return -1 if value < 0 else 1


class Converter:
    """`to_bgr` of one track's pictures after the other, interlaced ones without their combs."""

    def __init__(self) -> None:
        self._fields, self._reformatter = Fields(), VideoReformatter()

    def bgr(self, frame: av.VideoFrame, turn: Turn, pixel_aspect: Fraction) -> Image:
        """As `to_bgr`."""
        return to_bgr(self._fields.whole(frame), turn, pixel_aspect, self._reformatter)


def to_bgr(
    frame: av.VideoFrame,
    turn: Turn,
    pixel_aspect: Fraction,
    reformatter: VideoReformatter | None = None,
) -> Image:
    """Convert by the frame's own size, pixel format, matrix and range; (H, W, 3) uint8 BGR.

    A frame that names no matrix is BT.709 from 720 lines on and BT.601 below, as players have it. One that names no
    range is limited. HDR, PQ and HLG, is brought to the range of a normal screen; its colours stay a little paler.

    Args:
        reformatter: the one of the frames before, which spares its preparation if they were alike.

    Raises:
        SourceError: its colours are of a kind that nothing here converts.
    """
    reformatter = reformatter or VideoReformatter()
    if frame.colorspace == YCGCO:
        image = _of_ycgco(frame, reformatter)
    else:
        converted = reformatter.reformat(frame, format="bgr24", src_colorspace=_matrix(frame), threads=1)
        image = np.asarray(converted.to_ndarray(), np.uint8)
    if frame.color_trc in _NITS:
        image = np.asarray(cv2.LUT(image, _normal_screen(frame.color_trc)), np.uint8)
    width = shown_width(frame.width, pixel_aspect)
    if width != frame.width:
        how = cv2.INTER_AREA if width < frame.width else cv2.INTER_LINEAR
        image = np.asarray(cv2.resize(image, (width, frame.height), interpolation=how), np.uint8)
    return np.ascontiguousarray(_turned(image, turn))


def _matrix(frame: av.VideoFrame) -> int | None:
    """The matrix to convert by; None for the frame's own, and for BT.601 where it has none."""
    named = int(frame.colorspace)
    matrix = NEAREST.get(named, named)
    if matrix not in MATRICES:
        raise SourceError(
            f"expected colours as of BT.601, BT.709 or BT.2020; the pictures have those of matrix {named}, as ICtCp or "
            "Dolby Vision, which cannot be converted; re-encode the video as H.264 mp4"
        )
    if matrix == UNNAMED and frame.height >= HD_LINES:
        return Colorspace.ITU709
    return None if matrix == named else Colorspace.ITU601 if matrix == UNNAMED else matrix


def _of_ycgco(frame: av.VideoFrame, reformatter: VideoReformatter) -> Image:
    """BGR of luma and two differences to green and orange, which FFmpeg leaves to others."""
    full, same = ColorRange.JPEG, Colorspace.ITU709
    kept = reformatter.reformat(
        frame, format="yuv444p", src_colorspace=same, dst_colorspace=same, dst_color_range=full, threads=1
    )
    luma, green, orange = np.asarray(kept.to_ndarray(), np.int16)
    green, orange = green - 128, orange - 128
    bgr = np.stack([luma - green - orange, luma + green, luma - green + orange], axis=-1)
    return np.clip(bgr, 0, 255).astype(np.uint8)


def shown_width(width: int, pixel_aspect: Fraction) -> int:
    """Width in square pixels, an even number; the height stays."""
    if pixel_aspect == SQUARE or not Fraction(1, WIDEST) <= pixel_aspect <= WIDEST:
        return width
    return max(2, 2 * round(width * pixel_aspect / 2))


def _turned(image: Image, turn: Turn) -> Image:
    a, b, c, d = turn
    if a == 0:  # the axes change places
        image, a, d = image.transpose(1, 0, 2), c, b
    return image[::d, ::a]


def _nits_of_pq(code: NDArray[np.float64]) -> NDArray[np.float64]:
    """SMPTE ST 2084."""
    m1, m2, c1, c2, c3 = 0.1593017578125, 78.84375, 0.8359375, 18.8515625, 18.6875
    power = code ** (1 / m2)
    return np.asarray(10_000 * (np.maximum(power - c1, 0) / (c2 - c3 * power)) ** (1 / m1))


def _nits_of_hlg(code: NDArray[np.float64]) -> NDArray[np.float64]:
    """ITU-R BT.2100, on a screen of 1000 nits."""
    a, b, c = 0.17883277, 0.28466892, 0.55991073
    scene = np.where(code <= 0.5, code**2 / 3, (np.exp((code - c) / a) + b) / 12)
    return np.asarray(PEAK_NITS * scene**1.2)


_NITS = {ColorTrc.SMPTE2084: _nits_of_pq, ColorTrc.ARIB_STD_B67: _nits_of_hlg}


@cache
def _normal_screen(transfer: ColorTrc) -> Image:
    """For each code value of an HDR picture, the value of a normal screen; highlights are pressed together."""
    light = _NITS[transfer](np.linspace(0, 1, 256)) / WHITE_NITS
    peak = PEAK_NITS / WHITE_NITS
    pressed = np.minimum(light * (1 + light / peak**2) / (1 + light) * 1.6, 1.0)  # Reinhard's curve, paper at 0.8
    return np.round(255 * pressed ** (1 / 2.2)).astype(np.uint8)
