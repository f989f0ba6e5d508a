"""Small videos made by PyAV, whose frames tell their number, and what goes wrong with them."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

from mdhr_sdk.vision import Frame, Source, list_sources

SIZE = (96, 64)  # width, height


def numbered(index: int, size: tuple[int, int] = SIZE) -> np.ndarray:
    """A grey BGR picture of brightness 40 + 8 x (index modulo 20), its top left quarter darker by 40."""
    image = np.full((size[1], size[0], 3), 40 + 8 * (index % 20), np.uint8)
    image[: size[1] // 2, : size[0] // 2] -= 40
    return image


def noisy(index: int) -> np.ndarray:
    """As `numbered`, with noise that does not compress to nothing."""
    noise = np.random.default_rng(index).integers(-15, 16, (SIZE[1], SIZE[0], 3))
    return np.clip(numbered(index) + noise, 0, 255).astype(np.uint8)


def index_of(image: np.ndarray) -> int:
    """The index, modulo 20, of an upright picture."""
    return round((float(image[-16:, -16:].mean()) - 40) / 8)


def read(given: object, **options: Any) -> tuple[list[Frame], Source]:
    """All frames of what is one source, and the source; options as those of `list_sources`."""
    (source,) = list_sources(given, **options)
    with source:
        return list(source), source


def write_video(
    path: Path,
    images: Iterable[np.ndarray] | int = 30,
    codec: str = "mpeg4",
    *,
    rate: int = 25,
    stamps_ms: Sequence[int] | None = None,
    pixels: str = "yuv420p",
    aspect: Fraction | None = None,
    sound_s: float = 0.0,
    codec_options: dict[str, str] | None = None,
    container_options: dict[str, str] | None = None,
    format_name: str | None = None,
    **colours: int,
) -> Path:
    """Write pictures, or so many numbered ones.

    Args:
        stamps_ms: presentation times, of a codec that keeps the order; None for those of the rate.
        sound_s: seconds of silence beside the picture, from time 0.
        colours: of the encoder's context and of the conversion, as colorspace and color_range.
    """
    images = [numbered(index) for index in range(images)] if isinstance(images, int) else list(images)
    height, width = images[0].shape[:2]
    options = {"format": format_name, "container_options": container_options or {}}
    with av.open(str(path), "w", **options) as container:
        track = container.add_stream(codec, rate=rate, options=codec_options or {})
        track.width, track.height, track.pix_fmt = width, height, pixels
        track.codec_context.time_base = Fraction(1, rate)
        track.bit_rate = 4_000_000
        if aspect:
            track.codec_context.sample_aspect_ratio = aspect
        for name, value in colours.items():
            setattr(track.codec_context, name, value)
        sound_codec = "pcm_s16le" if container.format.name == "avi" else "aac"
        sound = _add_silence(container, sound_codec, sound_s) if sound_s else None
        packets: list[av.Packet] = []
        for index, image in enumerate(images):
            frame = av.VideoFrame.from_ndarray(image, format="bgr24")
            frame = frame.reformat(
                format=pixels, dst_colorspace=colours.get("colorspace"), dst_color_range=colours.get("color_range")
            )
            frame.pts, frame.time_base = index, track.codec_context.time_base
            packets.extend(track.encode(frame))
        packets.extend(track.encode())
        for packet, stamp in zip(packets, stamps_ms or [], strict=bool(stamps_ms)):
            packet.pts, packet.dts, packet.time_base = stamp, stamp, Fraction(1, 1000)
        container.mux(packets)
        if sound is not None:
            container.mux(sound.encode())
    return path


def _add_silence(container, codec: str, seconds: float):
    rate = 44100
    sound = container.add_stream(codec, rate=rate)
    sound.layout = "mono"
    for start in range(0, round(seconds * rate), 1024):
        frame = av.AudioFrame(format=sound.codec_context.format.name, layout="mono", samples=1024)
        for plane in frame.planes:
            plane.update(bytes(plane.buffer_size))
        frame.sample_rate, frame.pts, frame.time_base = rate, start, Fraction(1, rate)
        container.mux(sound.encode(frame))
    return sound


def write_sound(path: Path, codec: str) -> Path:
    """A second of silence and no picture."""
    with av.open(str(path), "w") as container:
        container.mux(_add_silence(container, codec, 1.0).encode())
    return path


def turned(data: bytes, matrix: tuple[int, int, int, int]) -> bytes:
    """Give the first track of an mp4 a display matrix, as a phone does."""
    a, b, c, d = matrix
    at = data.index(b"tkhd") + 44
    fixed = struct.pack(">9i", a << 16, b << 16, 0, c << 16, d << 16, 0, 0, 0, 1 << 30)
    return data[:at] + fixed + data[at + len(fixed) :]


def spoilt(path: Path, number: int) -> Path:
    """Overwrite the middle of a packet of the picture track, and return the damaged copy."""
    with av.open(str(path)) as container:
        packets = [packet for packet in container.demux(video=0) if packet.size]
        at, size = packets[number].pos, packets[number].size
    data = bytearray(path.read_bytes())
    start, end = at + 4, at + size
    data[start:end] = np.random.default_rng(0).integers(0, 256, end - start, np.uint8).tobytes()
    damaged = path.with_stem(f"{path.stem}_damaged")
    damaged.write_bytes(data)
    return damaged


def trimmed(data: bytes, share: float) -> bytes:
    """Scale the playing time in the header and the edit list of an mp4; below 1 this trims it."""
    patched = bytearray(data)
    for offset in (data.index(b"mvhd") + 20, data.index(b"elst") + 12):
        struct.pack_into(">I", patched, offset, round(struct.unpack_from(">I", patched, offset)[0] * share))
    return bytes(patched)
