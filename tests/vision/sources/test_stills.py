"""Image files of every kind, and files of several images."""

from __future__ import annotations

import struct
import sys
import warnings

import cv2
import numpy as np
import pytest
from PIL import Image as Pillow

from made_videos import index_of, numbered, read
from mdhr_sdk.errors import MDHRError, SourceError
from mdhr_sdk.vision import list_sources


def only(path) -> np.ndarray:
    frames, source = read(path)
    assert source.info.still and len(frames) == 1
    image = frames[0].image
    assert image.dtype == np.uint8 and image.ndim == 3 and image.shape[2] == 3 and image.flags.c_contiguous
    return image


def picture() -> np.ndarray:
    """(48, 80, 3) RGB; each corner has a colour of its own."""
    image = np.full((48, 80, 3), (200, 150, 100), np.uint8)
    image[:24, :40], image[:24, 40:], image[24:, :40] = (20, 40, 60), (230, 30, 30), (30, 30, 230)
    return image


def save(image: Pillow.Image, path, **options) -> None:
    if path.suffix == ".heic":
        pytest.importorskip("pillow_heif").from_pillow(image).save(path, quality=95, **options)
    else:
        image.save(path, **options)


def near(got: np.ndarray, rgb: np.ndarray, tolerance: float = 6) -> bool:
    return got.shape == rgb.shape and float(np.abs(got[..., ::-1].astype(int) - rgb).mean()) < tolerance


TURNS = {
    1: lambda image: image,
    2: np.fliplr,
    3: lambda image: np.rot90(image, 2),
    4: np.flipud,
    5: lambda image: image.transpose(1, 0, 2),
    6: lambda image: np.rot90(image, -1),
    7: lambda image: np.rot90(image, 2).transpose(1, 0, 2),
    8: np.rot90,
}


@pytest.mark.parametrize("orientation", TURNS)
@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.webp", "a.tif", "a.avif", "a.heic"])
def test_exif_orientation_is_applied_in_every_format(tmp_path, name, orientation):
    exif = Pillow.Exif()
    exif[0x0112] = orientation
    save(Pillow.fromarray(picture()), tmp_path / name, exif=exif.tobytes())
    assert near(only(tmp_path / name), TURNS[orientation](picture()), 12)


@pytest.mark.parametrize("name", ["a.avif", "a.heic"])
def test_exif_counts_where_no_box_tells_of_a_turn(tmp_path, name):
    """Its readers leave EXIF out; most files have a box too, and are turned by that alone."""
    exif = Pillow.Exif()
    exif[0x0213] = 6  # of an orientation they would make a box
    save(Pillow.fromarray(picture()), tmp_path / name, exif=exif.tobytes())
    data, entry = (tmp_path / name).read_bytes(), b"\0\3\0\0\0\1\0\6"
    assert data.count(b"\2\x13" + entry) == 1
    (tmp_path / name).write_bytes(data.replace(b"\2\x13" + entry, b"\1\x12" + entry))
    assert near(only(tmp_path / name), np.rot90(picture(), -1), 12)


def test_an_avif_is_known_by_any_of_its_brands(tmp_path):
    Pillow.fromarray(picture()).save(tmp_path / "a.avif", quality=95)
    data = (tmp_path / "a.avif").read_bytes()
    (tmp_path / "a.avif").write_bytes(data.replace(b"ftypavif", b"ftypmif1", 1))
    assert near(only(tmp_path / "a.avif"), picture(), 12)


def test_damaged_exif_leaves_the_picture(tmp_path):
    Pillow.fromarray(picture()).save(tmp_path / "a.jpg", exif=b"Exif\0\0MM\0\x2a\xff\xff\xff\xff" + b"x" * 40)
    assert near(only(tmp_path / "a.jpg"), picture())


@pytest.mark.parametrize("name", ["a.png", "a.tif"])
def test_sixteen_bits_of_grey_are_scaled(tmp_path, name):
    values = np.array([[0, 257 * 40, 257 * 128, 65535]], np.uint16).repeat(4, 0)
    Pillow.fromarray(values).save(tmp_path / name)
    assert only(tmp_path / name)[0].tolist() == [[v] * 3 for v in (0, 40, 128, 255)]


@pytest.mark.parametrize("name", ["a.png", "a.tif"])
def test_sixteen_bits_of_colour_are_scaled(tmp_path, name):
    bgr = picture()[..., ::-1]
    cv2.imwrite(str(tmp_path / name), bgr.astype(np.uint16) * 257)
    assert near(only(tmp_path / name), picture(), 1)


def test_white_may_be_zero_in_a_tiff(tmp_path):
    values = np.full((4, 4), 257 * 40, np.uint16)
    Pillow.fromarray(values).save(tmp_path / "a.tif", tiffinfo={262: 0})
    assert only(tmp_path / "a.tif").max() == 255 - 40


@pytest.mark.parametrize(("scale", "channels"), [(1, 1), (255, 1), (1, 3)])
def test_floating_point_tiffs_are_scaled(tmp_path, scale, channels):
    values = np.linspace(0, 1, 8, dtype=np.float32).reshape(2, 4) * scale
    cv2.imwrite(str(tmp_path / "a.tif"), values if channels == 1 else np.dstack([values] * 3))
    got = only(tmp_path / "a.tif")
    assert np.abs(got[..., 0].astype(int) - np.round(values * 255 / scale)).max() <= 5  # OpenCV writes them as LogLuv


@pytest.mark.parametrize("mode", ["L", "1", "P", "CMYK", "LA", "RGBA", "PA"])
def test_every_colour_mode_is_read(tmp_path, mode):
    path = tmp_path / ("a.tif" if mode == "CMYK" else "a.png")
    source = Pillow.fromarray(picture())
    stored = source.quantize(16) if mode in ("P", "PA") else source.convert(mode)
    if mode == "PA":
        stored.info["transparency"] = 255  # an index that no pixel has
    stored.save(path)
    expected = source.convert(mode).convert("RGB") if mode in ("L", "1", "LA") else source
    assert near(only(path), np.asarray(expected))


def test_an_adobe_cmyk_jpeg_is_not_a_negative(tmp_path):
    Pillow.fromarray(picture()).convert("CMYK").save(tmp_path / "a.jpg", quality=95)
    assert b"Adobe" in (tmp_path / "a.jpg").read_bytes()
    assert near(only(tmp_path / "a.jpg"), picture())


@pytest.mark.parametrize("name", ["a.png", "a.webp", "a.tif"])
def test_transparent_parts_are_white(tmp_path, name):
    image = np.dstack([picture(), np.full((48, 80), 255, np.uint8)])
    image[:24, :, 3] = 0
    options = {"lossless": True, "exact": True} if name == "a.webp" else {}
    Pillow.fromarray(image).save(tmp_path / name, **options)
    got = only(tmp_path / name)
    assert got[:24].min() == 255
    assert near(got[24:], picture()[24:], 1)


@pytest.mark.parametrize("suffix", [".bmp", ".ppm", ".jp2", ".tif", ".webp", ".avif", ".jpg"])
def test_an_image_is_known_by_its_content(tmp_path, suffix):
    stored = Pillow.fromarray(picture().repeat(4, 0).repeat(4, 1))
    stored.save(tmp_path / f"a{suffix}")
    (tmp_path / f"a{suffix}").rename(tmp_path / "named.mp4")
    assert near(only(tmp_path / "named.mp4"), np.asarray(stored), 12)


def frames_of(count: int) -> list[Pillow.Image]:
    return [Pillow.fromarray(np.full((16, 24, 3), 10 * index, np.uint8)) for index in range(count)]


@pytest.mark.parametrize("brand", [b"heic", b"mif1"])
def test_heic_without_its_library_is_told_as_what_it_is(tmp_path, monkeypatch, brand):
    (tmp_path / "photo.heic").write_bytes(b"\0\0\0\x18ftyp" + brand + bytes(100))
    monkeypatch.setitem(sys.modules, "pillow_heif.as_plugin", None)
    with pytest.raises(MDHRError, match=r"photo\.heic is a HEIC image.*pip install .*heic"):
        list_sources(tmp_path / "photo.heic")[0].__enter__()


@pytest.mark.parametrize("name", ["a.gif", "a.webp", "a.png", "a.avif"])
def test_an_animation_is_a_video_with_its_own_times(tmp_path, name):
    first, *rest = frames_of(6)
    options = {"lossless": True} if name == "a.webp" else {}
    durations = [40, 200, 100, 40, 60, 80]
    first.save(tmp_path / name, save_all=True, append_images=rest, duration=durations, loop=0, **options)
    frames, source = read(tmp_path / name)
    assert (source.kind, source.info.still, source.info.frame_count, source.info.live) == ("video", False, 6, False)
    assert [round(float(frame.image.mean()) / 10) for frame in frames] == list(range(6))
    np.testing.assert_allclose([f.timestamp_s for f in frames], np.cumsum([0, *durations[:-1]]) / 1000, atol=1e-3)


def test_the_pages_of_a_tiff_are_a_sequence(tmp_path):
    first, *rest = frames_of(20)
    first.save(tmp_path / "a.tif", save_all=True, append_images=rest)
    frames, source = read(tmp_path / "a.tif", fps=10)
    assert (source.kind, source.info.fps, source.info.frame_count) == ("sequence", 10, 20)
    assert [round(float(frame.image.mean()) / 10) for frame in frames] == list(range(20))
    assert frames[-1].timestamp_s == pytest.approx(1.9)


def test_pages_that_pillow_cannot_read_are_a_sequence_too(tmp_path):
    cv2.imwritemulti(str(tmp_path / "a.tif"), [numbered(index).astype(np.float32) / 255 for index in range(4)])
    frames, source = read(tmp_path / "a.tif", fps=10)
    assert ([index_of(frame.image) for frame in frames], source.kind) == ([0, 1, 2, 3], "sequence")
    assert [frame.timestamp_s for frame in frames] == pytest.approx([0, 0.1, 0.2, 0.3])


def test_a_smaller_copy_in_a_tiff_is_no_page(tmp_path):
    first, copy = frames_of(2)
    copy.encoderinfo = {"tiffinfo": {254: 1}}
    first.save(tmp_path / "a.tif", save_all=True, append_images=[copy], tiffinfo={})
    with Pillow.open(tmp_path / "a.tif") as stored:
        stored.seek(1)
        if stored.tag_v2.get(254) != 1:
            pytest.skip("this Pillow writes no NewSubfileType for later pages")
    assert only(tmp_path / "a.tif").max() == 0


def test_a_photograph_with_a_second_view_is_a_still(tmp_path):
    first, *rest = frames_of(2)
    first.save(tmp_path / "a.jpg", format="MPO", save_all=True, append_images=rest)
    assert only(tmp_path / "a.jpg").max() == 0


def test_animations_among_numbered_images_are_sources_of_their_own(tmp_path):
    first, *rest = frames_of(3)
    for number in range(4):
        first.save(tmp_path / f"f{number}.png")
    first.save(tmp_path / "f4.png", save_all=True, append_images=rest, duration=40)
    assert [source.kind for source in list_sources(tmp_path)] == ["video", "sequence"]


@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.tif", "a.webp", "a.bmp", "a.gif", "a.avif", "a.heic"])
@pytest.mark.parametrize("share", [0.5, 0.95])
def test_a_cut_image_is_one_quiet_error(tmp_path, name, share, capfd):
    save(Pillow.fromarray(np.random.default_rng(0).integers(0, 255, (80, 80, 3), np.uint8)), tmp_path / name)
    data = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(data[: int(len(data) * share)])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(SourceError, match=name) as caught, list_sources(tmp_path / name)[0] as source:
            list(source)
    assert "\n" not in str(caught.value)
    assert capfd.readouterr() == ("", "")


def test_pages_before_the_damage_are_given(tmp_path):
    first, *rest = frames_of(6)
    first.save(tmp_path / "a.tif", save_all=True, append_images=rest, compression="tiff_lzw")
    data = bytearray((tmp_path / "a.tif").read_bytes())
    with Pillow.open(tmp_path / "a.tif") as stored:
        stored.seek(4)
        at = stored.tag_v2[273][0]  # where its pixels lie
    data[at : at + 20] = b"\xff" * 20
    (tmp_path / "a.tif").write_bytes(data)
    count = 0
    with pytest.raises(SourceError, match=r"a\.tif"), list_sources(tmp_path / "a.tif")[0] as source:
        for _ in source:
            count += 1
    assert count == 4


def test_a_large_picture_is_read_without_a_word_and_a_bomb_refused(tmp_path, monkeypatch, recwarn):
    Pillow.new("L", (400, 300)).save(tmp_path / "a.png")
    monkeypatch.setattr(Pillow, "MAX_IMAGE_PIXELS", 100_000)
    assert only(tmp_path / "a.png").shape == (300, 400, 3)
    assert not recwarn.list
    monkeypatch.setattr(Pillow, "MAX_IMAGE_PIXELS", 1_000)
    with pytest.raises(SourceError, match=r"million pixels in .*a\.png"), list_sources(tmp_path / "a.png")[0]:
        pass


def tiff(path, values: np.ndarray, order: str = "<", **tags: tuple[int, ...]) -> None:
    """One channel in a plain TIFF of either byte order, with more tags by name as 16-bit numbers."""
    data = values.astype(values.dtype.newbyteorder(order)).tobytes()
    height, width = values.shape
    entries = {256: (width,), 257: (height,), 258: (values.dtype.itemsize * 8,), 259: (1,), 262: (1,), 277: (1,)}
    entries |= {273: (0,), 278: (height,), 279: (len(data),), 339: ({"u": 1, "i": 2, "f": 3}[values.dtype.kind],)}
    entries |= {int(name.lstrip("_")): value for name, value in tags.items()}
    entries[273] = (8 + 6 + 12 * len(entries),)
    rows = b"".join(
        struct.pack(f"{order}HHI", tag, 3, 1) + struct.pack(f"{order}H", *value) + b"\0\0"
        for tag, value in sorted(entries.items())
    )
    head = {"<": b"II*\0", ">": b"MM\0*"}[order] + struct.pack(f"{order}IH", 8, len(entries))
    path.write_bytes(head + rows + bytes(4) + data)


GREYS = np.array([[0, 40, 128, 255]] * 4)


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize(
    ("values", "tags"),
    [
        ((GREYS * 257).astype(np.uint16), {}),
        ((GREYS * 4095 // 255).astype(np.uint16), {"_281": (4095,)}),
        ((GREYS * 32767 // 255).astype(np.int16), {}),
        ((GREYS * (2**31 - 1) // 255).astype(np.int32), {}),
        ((GREYS / 255).astype(np.float32), {}),
        ((GREYS / 255).astype(np.float64), {}),
    ],
)
def test_grey_tiffs_of_many_bits_are_scaled_in_either_byte_order(tmp_path, values, tags, order):
    tiff(tmp_path / "a.tif", values, order, **tags)
    assert np.abs(only(tmp_path / "a.tif")[0, :, 0].astype(int) - GREYS[0]).max() <= 1


def test_whole_numbers_of_32_bits_may_hold_16(tmp_path):
    for most in (2**32 - 1, 65535):
        tiff(tmp_path / "a.tif", (GREYS * most // 255).astype(np.uint32))
        assert np.abs(only(tmp_path / "a.tif")[0, :, 0].astype(int) - GREYS[0]).max() <= 1


@pytest.mark.parametrize("mode", ["L", "I;16", "P", "RGBA", "CMYK"])
def test_a_plain_tiff_is_turned_in_every_mode(tmp_path, mode):
    """Pillow maps such pixels into memory, and tore them if the picture lay on its side."""
    exif = Pillow.Exif()
    exif[0x0112] = 6
    grey = Pillow.fromarray(picture()).convert("L")
    wide = Pillow.fromarray(np.asarray(grey).astype(np.uint16) * 257)
    colours = Pillow.fromarray(picture())
    stored = wide if mode == "I;16" else colours.quantize(16) if mode == "P" else colours.convert(mode)
    stored.save(tmp_path / "a.tif", exif=exif.tobytes())
    expected = np.asarray((grey if mode in ("L", "I;16") else colours).convert("RGB"))
    assert near(only(tmp_path / "a.tif"), np.rot90(expected, -1), 14)


def test_a_raw_photo_is_told_and_not_its_small_copy_scored(tmp_path):
    tiff(tmp_path / "a.dng", GREYS.astype(np.uint8), _254=(1,), _330=(8,))
    with pytest.raises(SourceError, match=r"a\.dng; it is a camera's raw photo, .* save it as JPEG, PNG or TIFF"):
        only(tmp_path / "a.dng")


def test_a_large_picture_is_converted_in_bands(tmp_path, monkeypatch):
    Pillow.fromarray(picture()).convert("P").save(tmp_path / "a.png")
    whole = only(tmp_path / "a.png")
    monkeypatch.setattr("mdhr_sdk.vision.sources.images.BAND_PX", 7 * 80)
    np.testing.assert_array_equal(only(tmp_path / "a.png"), whole)


def test_a_postscript_program_is_given_to_no_other_program(tmp_path):
    (tmp_path / "a.jpg").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\nshowpage\n")
    with pytest.raises(SourceError, match="damaged or of another format"):
        only(tmp_path / "a.jpg")
