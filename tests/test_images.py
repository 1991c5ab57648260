"""Image files to upright BGR pages: orientations, modes, frames, damage, names."""

import os
import struct
import sys
import warnings
import zlib
from io import BytesIO

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import ExifTags, Image, TiffImagePlugin, features

from batchdigits.errors import PageError
from batchdigits.sources.documents import read_pages
from batchdigits.sources.limits import Limits
from batchdigits.sources.pixels import picture_from_array
from batchdigits.sources.walk import display_name
from batchdigits.types import Page, PageId

IS_ROOT = getattr(os, "geteuid", lambda: 0)() == 0
needs_avif = pytest.mark.skipif(not features.check("avif"), reason="Pillow is built without AVIF")

# How the pixels lie in a file of each EXIF orientation, given the upright picture
STORED = {
    1: lambda upright: upright,
    2: lambda upright: upright[:, ::-1],
    3: lambda upright: upright[::-1, ::-1],
    4: lambda upright: upright[::-1],
    5: lambda upright: upright.swapaxes(0, 1),
    6: lambda upright: np.rot90(upright, 1),  # "row 0 is the right-hand side": to be turned clockwise
    7: lambda upright: upright[::-1, ::-1].swapaxes(0, 1),
    8: lambda upright: np.rot90(upright, -1),
}


def quarters(height=32, width=64):
    """Paint an RGB picture of four colours; no turn or flip of it looks like another."""
    picture = np.zeros((height, width, 3), np.uint8)
    middle, half = height // 2, width // 2
    picture[:middle, :half] = (250, 250, 250)
    picture[:middle, half:] = (200, 30, 30)
    picture[middle:, :half] = (30, 160, 60)
    picture[middle:, half:] = (20, 20, 20)
    return picture


def bgr(rgb):
    return rgb[..., ::-1]


def read(path, **options):
    return list(read_pages(path, path.name, **options))


def read_one(path, **options):
    (page,) = read(path, **options)
    assert isinstance(page, Page), f"{path.name}: {page[1].detail}"
    assert page.pixels.dtype == np.uint8
    assert page.pixels.ndim == 3
    assert page.pixels.shape[2] == 3
    return page


def read_error(path):
    ((page_id, error),) = read(path)
    assert page_id == PageId(path.name)
    assert isinstance(error, PageError)
    assert len(str(error)) > 10  # a sentence for people
    return error.reason


def same(found, wanted, tolerance=0):
    assert found.shape == wanted.shape
    assert int(np.abs(found.astype(int) - wanted.astype(int)).max()) <= tolerance


def with_orientation(value):
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = value
    return exif


# Orientation


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize(
    ("suffix", "options", "tolerance"),
    [
        ("jpg", {"quality": 95, "subsampling": 0}, 8),
        ("png", {}, 0),
        ("webp", {"lossless": True}, 0),
        ("webp", {"quality": 95}, 40),
        ("tif", {}, 0),
        ("tif", {"compression": "tiff_lzw"}, 0),
        pytest.param("avif", {"quality": 95, "subsampling": "4:4:4"}, 25, marks=needs_avif),
    ],
)
def test_every_orientation_comes_out_upright(tmp_path, orientation, suffix, options, tolerance):
    path = tmp_path / f"photo.{suffix}"
    stored = np.ascontiguousarray(STORED[orientation](quarters()))
    Image.fromarray(stored).save(path, exif=with_orientation(orientation), **options)
    page = read_one(path)
    assert page.id == PageId(path.name)
    assert page.scale == (1.0, 1.0)
    # the inside of each quarter: chroma of lossy formats runs over the seams
    inside = np.r_[2:14, 18:30][:, None], np.r_[2:30, 34:62]
    assert page.pixels.shape == (32, 64, 3)
    same(page.pixels[inside], bgr(quarters())[inside], tolerance)


def exif_bytes(kind, count, value):
    """EXIF data whose only entry is an orientation of this type, count and value."""
    return b"Exif\0\0II*\0\x08\0\0\0\x01\0" + struct.pack("<HHI", 0x0112, kind, count) + value + bytes(4)


SHORT, ASCII, RATIONAL = 3, 2, 5


@pytest.mark.parametrize(
    "exif",
    [
        exif_bytes(SHORT, 1, b"\x00\0\0\0"),
        exif_bytes(SHORT, 1, b"\x09\0\0\0"),
        exif_bytes(SHORT, 1, b"\xff\xff\0\0"),
        exif_bytes(SHORT, 2, b"\x06\0\x06\0"),
        exif_bytes(SHORT, 0, b"\x06\0\0\0"),
        exif_bytes(ASCII, 2, b"x\0\0\0"),
        exif_bytes(RATIONAL, 1, b"\xff\xff\xff\xff"),
        b"Exif\0\0II*\0\xff\xff\xff\xff garbage",
        b"Exif\0\0garbage",
    ],
    ids=["0", "9", "65535", "two", "none", "text", "outside", "no directory", "no header"],
)
@pytest.mark.parametrize("suffix", ["jpg", "png", "webp"])
def test_senseless_exif_costs_nothing(tmp_path, exif, suffix):
    path = tmp_path / f"photo.{suffix}"
    Image.fromarray(quarters()).save(path, exif=exif, quality=95)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        pixels = read_one(path).pixels
    assert pixels.shape in ((32, 64, 3), (64, 32, 3))  # an orientation given twice may count or not
    assert [str(warning.message) for warning in caught] == []  # a library is silent: nobody can act on it


# Reduced size


def shown(page):
    """Return width and height of the upright original that a page claims to be a reduction of."""
    return page.pixels.shape[1] * page.scale[0], page.pixels.shape[0] * page.scale[1]


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_a_reduced_jpeg_knows_its_original(tmp_path, orientation):
    path = tmp_path / "photo.jpg"
    upright = quarters(483, 805)
    stored = np.ascontiguousarray(STORED[orientation](upright))
    Image.fromarray(stored).save(path, quality=90, exif=with_orientation(orientation))
    page = read_one(path, reduce_to=100)
    assert page.pixels.shape[:2] == (61, 101)
    assert shown(page) == pytest.approx((805, 483))
    # the corner where the four colours meet, seen through the scale
    dark = page.pixels.max(axis=2) < 60
    rows, columns = np.flatnonzero(dark.any(axis=1)), np.flatnonzero(dark.any(axis=0))
    assert columns[0] * page.scale[0] == pytest.approx(805 // 2, abs=10)
    assert rows[0] * page.scale[1] == pytest.approx(483 // 2, abs=10)


@pytest.mark.parametrize("long_side", [90, 100, 199, 200, 399, 401, 799, 801])
def test_a_reduced_jpeg_is_never_smaller_than_asked(tmp_path, long_side):
    path = tmp_path / "photo.jpg"
    Image.fromarray(quarters(60, long_side)).save(path)
    page = read_one(path, reduce_to=100)
    assert page.pixels.shape[1] >= min(100, long_side)
    assert page.pixels.shape[1] <= 200
    assert shown(page) == pytest.approx((long_side, 60))


def test_only_a_jpeg_is_reduced(tmp_path):
    path = tmp_path / "scan.png"
    Image.fromarray(quarters(300, 600)).save(path)
    page = read_one(path, reduce_to=20)
    assert page.pixels.shape == (300, 600, 3)
    assert page.scale == (1.0, 1.0)


# Modes

STEPS = np.linspace(0, 1, 64)[None, :].repeat(16, axis=0)
"""From black to white."""


def is_grey_steps(page, tolerance=1):
    same(page.pixels, np.repeat(np.rint(STEPS * 255)[..., None], 3, axis=2), tolerance)


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_16_bit_grey(tmp_path, suffix):
    path = tmp_path / f"scan.{suffix}"
    Image.fromarray(np.rint(STEPS * 65535).astype(np.uint16)).save(path)
    is_grey_steps(read_one(path))


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_12_bits_in_16(tmp_path, suffix):
    path = tmp_path / f"scan.{suffix}"
    Image.fromarray(np.rint(STEPS * 4095).astype(np.uint16)).save(path)
    is_grey_steps(read_one(path))


def test_16_bit_big_endian_tiff(tmp_path):
    path = tmp_path / "scan.tif"
    Image.fromarray(np.rint(STEPS * 65535).astype(">u2")).save(path)
    is_grey_steps(read_one(path))


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_16_bit_colour(tmp_path, suffix):
    path = tmp_path / f"scan.{suffix}"
    assert cv2.imwrite(str(path), bgr(quarters()).astype(np.uint16) * 257)
    same(read_one(path).pixels, bgr(quarters()), 1)


@pytest.mark.parametrize("top", [255, 4095, 65535, 2_000_000])
def test_32_bit_integer_tiff(tmp_path, top):
    path = tmp_path / "scan.tif"
    Image.fromarray(np.rint(STEPS * top).astype(np.int32)).save(path)
    is_grey_steps(read_one(path))


@pytest.mark.parametrize("top", [1.0, 255.0, 65535.0])
def test_float_tiff(tmp_path, top):
    path = tmp_path / "scan.tif"
    Image.fromarray((STEPS * top).astype(np.float32)).save(path)
    is_grey_steps(read_one(path))


def test_a_float_tiff_that_overshoots_white_stays_bright(tmp_path):
    path = tmp_path / "scan.tif"
    Image.fromarray((STEPS * 1.04 - 0.02).astype(np.float32)).save(path)  # as a bicubic resize leaves it
    is_grey_steps(read_one(path), tolerance=12)


def test_a_float_tiff_with_holes(tmp_path):
    path = tmp_path / "scan.tif"
    values = STEPS.astype(np.float32)
    values[3, 5:8] = np.nan, np.inf, -np.inf
    Image.fromarray(values).save(path)
    page = read_one(path)
    assert page.pixels[0, -1].tolist() == [255, 255, 255]
    assert page.pixels[0, 0].tolist() == [0, 0, 0]


def test_an_all_black_16_bit_picture(tmp_path):
    path = tmp_path / "scan.png"
    Image.fromarray(np.zeros((9, 9), np.uint16)).save(path)
    assert not read_one(path).pixels.any()


@pytest.mark.parametrize("suffix", ["png", "gif", "bmp", "tif"])
def test_palette(tmp_path, suffix):
    path = tmp_path / f"scan.{suffix}"
    Image.fromarray(quarters()).quantize(8).save(path)
    same(read_one(path).pixels, bgr(quarters()), 2)


@pytest.mark.parametrize("suffix", ["png", "gif"])
def test_palette_with_a_transparent_colour(tmp_path, suffix):
    path = tmp_path / f"scan.{suffix}"
    picture = Image.fromarray(np.array([[0, 1, 2, 0]] * 4, np.uint8))
    picture.putpalette([0, 0, 0, 200, 30, 30, 20, 20, 20])
    picture.save(path, transparency=0)
    found = read_one(path).pixels[0].tolist()
    assert found == [[255, 255, 255], [30, 30, 200], [20, 20, 20], [255, 255, 255]]


def test_palette_with_degrees_of_transparency(tmp_path):
    path = tmp_path / "scan.png"
    picture = Image.fromarray(np.array([[0, 1, 2, 2]] * 4, np.uint8))
    picture.putpalette([0, 0, 0, 0, 0, 0, 0, 0, 0])
    picture.save(path, transparency=bytes([0, 128, 255]))
    assert read_one(path).pixels[0, :, 0].tolist() == [255, 127, 0, 0]


@pytest.mark.parametrize("suffix", ["png", "tif", "bmp", "gif"])
def test_1_bit(tmp_path, suffix):
    path = tmp_path / f"scan.{suffix}"
    paper = np.ones((20, 30), bool)
    paper[5:15, 10:14] = False
    Image.fromarray(paper).save(path)
    same(read_one(path).pixels, np.repeat(paper[..., None] * np.uint8(255), 3, axis=2))


def test_fax_tiff(tmp_path):
    path = tmp_path / "fax.tif"
    paper = np.ones((20, 30), bool)
    paper[5:15, 10:14] = False
    Image.fromarray(paper).save(path, compression="group4")
    same(read_one(path).pixels, np.repeat(paper[..., None] * np.uint8(255), 3, axis=2))


@pytest.mark.parametrize("suffix", ["png", "jpg", "bmp", "webp", "tif"])
def test_8_bit_grey(tmp_path, suffix):
    path = tmp_path / f"scan.{suffix}"
    Image.fromarray(np.rint(STEPS * 255).astype(np.uint8)).save(path, quality=95)
    is_grey_steps(read_one(path), tolerance=10 if suffix == "webp" else 4)


@pytest.mark.parametrize("mode", ["LA", "RGBA"])
@pytest.mark.parametrize("suffix", ["png", "webp", "tif"])
def test_transparent_is_paper(tmp_path, mode, suffix):
    """What the colour of transparent pixels is does not matter: many programs leave black there."""
    path = tmp_path / f"drawing.{suffix}"
    rgba = np.zeros((20, 30, 4), np.uint8)
    rgba[5:15, 10:14] = (30, 30, 30, 255)
    rgba[5:15, 14] = (0, 0, 0, 128)
    Image.fromarray(rgba).convert(mode).save(path, lossless=True, exact=True)
    pixels = read_one(path).pixels
    assert pixels[0, 0].tolist() == [255, 255, 255]
    assert pixels[8, 12].tolist() == [30, 30, 30]
    assert pixels[8, 14].tolist() == pytest.approx([127, 127, 127], abs=1)


@pytest.mark.parametrize("mode", ["LA", "RGBA"])
def test_white_ink_on_transparent_is_seen(tmp_path, mode):
    path = tmp_path / "drawing.png"
    rgba = np.full((20, 30, 4), 255, np.uint8)
    rgba[..., 3] = 0
    rgba[5:15, 10:14, 3] = 255
    Image.fromarray(rgba).convert(mode).save(path)
    pixels = read_one(path).pixels
    assert int(pixels[8, 12, 0]) - int(pixels[0, 0, 0]) > 200


def test_a_wholly_transparent_picture_is_paper(tmp_path):
    path = tmp_path / "empty.png"
    Image.fromarray(np.zeros((20, 30, 4), np.uint8)).save(path)
    assert (read_one(path).pixels == 255).all()


def test_an_opaque_alpha_channel_changes_nothing(tmp_path):
    path = tmp_path / "photo.png"
    Image.fromarray(np.dstack([quarters(), np.full((32, 64), 255, np.uint8)])).save(path)
    same(read_one(path).pixels, bgr(quarters()))


@pytest.mark.parametrize(("mode", "key"), [("L", 7), ("RGB", (7, 7, 7))])
def test_a_colour_declared_transparent(tmp_path, mode, key):
    path = tmp_path / "drawing.png"
    grey = np.full((20, 30), 7, np.uint8)
    grey[5:15, 10:14] = 60
    Image.fromarray(grey).convert(mode).save(path, transparency=key)
    pixels = read_one(path).pixels
    assert pixels[0, 0].tolist() == [255, 255, 255]
    assert pixels[8, 12].tolist() == [60, 60, 60]


@pytest.mark.parametrize("suffix", ["jpg", "tif"])
def test_cmyk(tmp_path, suffix):
    path = tmp_path / f"print.{suffix}"
    Image.fromarray(quarters()).convert("CMYK").save(path, quality=95)
    inside = np.r_[2:14, 18:30][:, None], np.r_[2:30, 34:62]
    same(read_one(path).pixels[inside], bgr(quarters())[inside], 25)


@pytest.mark.parametrize(
    ("suffix", "tolerance"), [("bmp", 0), ("dib", 0), ("tiff", 0), pytest.param("avif", 25, marks=needs_avif)]
)
def test_other_formats(tmp_path, suffix, tolerance):
    path = tmp_path / f"photo.{suffix}"
    Image.fromarray(quarters()).save(path, quality=95)
    inside = np.r_[2:14, 18:30][:, None], np.r_[2:30, 34:62]
    same(read_one(path).pixels[inside], bgr(quarters())[inside], tolerance)


def test_a_photo_with_a_second_picture_inside_is_one_page(tmp_path):
    path = tmp_path / "phone.jpg"  # MPO, as phones write it
    Image.fromarray(quarters()).save(path, "MPO", save_all=True, append_images=[Image.new("RGB", (8, 8))])
    assert read_one(path).pixels.shape == (32, 64, 3)


@pytest.mark.parametrize("suffix", ["gif", "webp", "png"])
def test_an_animation_is_one_page_its_first(tmp_path, suffix):
    path = tmp_path / f"moving.{suffix}"
    first, second = (Image.new("RGB", (20, 10), colour) for colour in ("white", "black"))
    first.save(path, save_all=True, append_images=[second])
    assert read_one(path).pixels.min() > 250


@pytest.mark.parametrize("size", [(1, 1), (1, 40), (40, 1)])
def test_the_smallest_pictures(tmp_path, size):
    for suffix in ("png", "jpg"):
        path = tmp_path / f"dot.{suffix}"
        Image.new("RGB", size, "white").save(path)
        assert read_one(path, reduce_to=100).pixels.shape == (size[1], size[0], 3)


def test_the_extension_does_not_matter(tmp_path):
    path = tmp_path / "really-a-png.jpg"
    Image.fromarray(quarters()).save(path, "PNG")
    same(read_one(path).pixels, bgr(quarters()))


# Frames


def save_frames(path, frames, **options):
    first, *rest = frames
    first.save(path, save_all=bool(rest), append_images=rest, **options)


def test_every_frame_of_a_tiff_is_a_page(tmp_path):
    path = tmp_path / "scans.tif"
    sizes = [(20, 10), (30, 15), (7, 40)]
    save_frames(path, [Image.new(mode, size) for mode, size in zip(("L", "RGB", "1"), sizes, strict=True)])
    pages = read(path)
    assert [page.id for page in pages] == [PageId("scans.tif", number) for number in (1, 2, 3)]
    assert [page.pixels.shape[1::-1] for page in pages] == sizes


def test_every_frame_has_its_own_orientation(tmp_path):
    path = tmp_path / "scans.tif"
    with TiffImagePlugin.AppendingTiffWriter(path, True) as file:
        for orientation in (6, 1, 3, 8):
            stored = np.ascontiguousarray(STORED[orientation](quarters()))
            Image.fromarray(stored).save(file, "TIFF", tiffinfo={ExifTags.Base.Orientation.value: orientation})
            file.newFrame()
    pages = read(path)
    assert len(pages) == 4
    for page in pages:
        same(page.pixels, bgr(quarters()))


def noise(seed):
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (40, 30), np.uint8))


def test_a_damaged_frame_costs_only_itself(tmp_path):
    path = tmp_path / "scans.tif"
    save_frames(path, [noise(number) for number in range(3)], compression="tiff_adobe_deflate")
    with Image.open(path) as image:
        image.seek(1)
        (start, *_), (size, *_) = image.tag_v2[273], image.tag_v2[279]  # StripOffsets, StripByteCounts
    content = bytearray(path.read_bytes())
    content[start : start + size] = b"\xff" * size
    path.write_bytes(content)
    first, (page_id, error), third = read(path)
    same(first.pixels[..., 0], np.asarray(noise(0)))
    assert page_id == PageId("scans.tif", 2)
    assert error.reason in ("unreadable", "truncated")
    assert third.id == PageId("scans.tif", 3)
    same(third.pixels[..., 0], np.asarray(noise(2)))


@pytest.mark.parametrize("missing", [20, 100, 400])
@pytest.mark.parametrize("compression", [None, "tiff_adobe_deflate"])
def test_a_tiff_cut_off_keeps_its_whole_frames(tmp_path, compression, missing):
    """An interrupted scan or copy: what lies before the cut is read, what lies behind is no other frame's picture."""
    path = tmp_path / "scans.tif"
    frames = [noise(number) for number in range(3)]
    save_frames(path, frames, compression=compression)
    path.write_bytes(path.read_bytes()[:-missing])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pages = read(path)
    good = {page.id.number: page.pixels[..., 0] for page in pages if isinstance(page, Page)}
    bad = {page[0].number: page[1].reason for page in pages if not isinstance(page, Page)}
    assert (sorted(good), sorted(bad)) == ([1, 2], [3])
    assert bad[3] in ("truncated", "unreadable")
    for number, pixels in good.items():
        same(pixels, np.asarray(frames[number - 1]))


def test_a_tiff_whose_frames_run_in_a_circle_ends(tmp_path):
    path = tmp_path / "circle.tif"
    save_frames(path, [noise(0), noise(1)])
    with Image.open(path) as image:
        starts = image.n_frames and [image._frame_pos[n] for n in range(2)]
    content = bytearray(path.read_bytes())
    tags = struct.unpack_from("<H", content, starts[1])[0]
    struct.pack_into("<I", content, starts[1] + 2 + 12 * tags, starts[0])
    path.write_bytes(content)
    assert [page.id.number for page in read(path)] == [1, 2]


# Damage


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "gif", "bmp", "tif"])
@pytest.mark.parametrize("share", [0.95, 0.5])
def test_a_truncated_file_is_an_error(tmp_path, suffix, share):
    path = tmp_path / f"truncated.{suffix}"
    pixels = np.random.default_rng(1).integers(0, 256, (120, 160, 3), np.uint8)
    Image.fromarray(pixels).save(path, lossless=True)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    reason = read_error(path)
    assert reason == "truncated" if suffix in ("jpg", "png") else reason in ("truncated", "unreadable")


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "gif", "bmp", "tif", "avif"])
def test_only_the_first_bytes_of_a_file(tmp_path, suffix):
    if suffix == "avif" and not features.check("avif"):
        pytest.skip("Pillow is built without AVIF")
    path = tmp_path / f"stump.{suffix}"
    Image.fromarray(quarters()).save(path)
    whole = path.read_bytes()
    for size in (1, 2, 4, 8, 12, 16, 20, 30):
        path.write_bytes(whole[:size])
        assert read_error(path) in ("unreadable", "truncated")


def test_a_png_with_a_wrong_checksum(tmp_path):
    path = tmp_path / "flipped.png"
    Image.fromarray(quarters()).save(path)
    content = bytearray(path.read_bytes())
    content[content.index(b"IDAT") + 12] ^= 0xFF
    path.write_bytes(content)
    assert read_error(path) in ("unreadable", "truncated")


@given(st.data())
def test_random_damage_never_escapes_as_another_error(tmp_path_factory, data):
    buffer = BytesIO()
    form = data.draw(st.sampled_from(["JPEG", "PNG", "GIF", "BMP", "TIFF", "WEBP"]))
    Image.fromarray(quarters(16, 16)).save(buffer, form)
    content = bytearray(buffer.getvalue())
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.mktemp("damaged") / "damaged.jpg"
    path.write_bytes(content)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for page in read(path):
            assert isinstance(page, Page) or isinstance(page[1], PageError)


def test_an_empty_file(tmp_path):
    path = tmp_path / "empty.jpg"
    path.touch()
    assert read_error(path) == "empty_file"


def test_a_text_with_an_image_name(tmp_path):
    path = tmp_path / "notes.jpg"
    path.write_text("Dear all, the photos follow.")
    assert read_error(path) == "unreadable"


def test_a_folder_with_an_image_name(tmp_path):
    path = tmp_path / "x.jpg"
    path.mkdir()
    assert read_error(path) == "unreadable"


def test_a_file_that_is_gone(tmp_path):
    assert read_error(tmp_path / "gone.jpg") == "unreadable"


@pytest.mark.skipif(IS_ROOT, reason="root may read everything")
def test_a_file_without_permission(tmp_path):
    path = tmp_path / "secret.png"
    Image.fromarray(quarters()).save(path)
    path.chmod(0)
    assert read_error(path) == "unreadable"


def test_a_postscript_file_starts_no_program(tmp_path):
    path = tmp_path / "page.jpg"
    path.write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\nshowpage\n")
    assert read_error(path) == "unreadable"


def png_chunk(kind, content):
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def huge_png():
    header = png_chunk(b"IHDR", struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + png_chunk(b"IDAT", zlib.compress(bytes(1000))) + png_chunk(b"IEND", b"")


def huge_bmp():
    header = struct.pack("<IiiHHIIiiII", 40, 60_000, 60_000, 1, 24, 0, 0, 0, 0, 0, 0)
    return b"BM" + struct.pack("<IHHI", 54 + 1000, 0, 0, 54) + header + bytes(1000)


def huge_gif():
    frame = b"," + struct.pack("<HHHHB", 0, 0, 60_000, 60_000, 0) + b"\x02\x02\x4c\x01\x00;"
    return b"GIF89a" + struct.pack("<HHBBB", 60_000, 60_000, 0x80, 0, 0) + bytes(6) + frame


@pytest.mark.parametrize("content", [huge_png(), huge_bmp(), huge_gif()], ids=["png", "bmp", "gif"])
def test_a_header_that_claims_too_much_takes_no_memory(tmp_path, content):
    path = tmp_path / "bomb.png"
    path.write_bytes(content)
    resource = pytest.importorskip("resource")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert read_error(path) == "too_large"
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown * (1 if sys.platform == "darwin" else 1024) < 200e6  # the picture would take 10 GB


@pytest.mark.parametrize("suffix", ["jpg", "png", "tif"])
def test_a_large_picture_is_read_without_a_warning(tmp_path, monkeypatch, suffix):
    """Pillow warns from 89 megapixels on and refuses from 179: neither is our limit."""
    path = tmp_path / f"large.{suffix}"
    save_frames(path, [Image.new("L", size) for size in ((40, 30), (90, 80))][-2 if suffix == "tif" else -1 :])
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert all(isinstance(page, Page) for page in read(path))
    assert [str(warning.message) for warning in caught] == []
    assert Image.MAX_IMAGE_PIXELS == 1000  # what others do with Pillow in this process is their own business


def test_a_huge_frame_costs_only_itself(tmp_path):
    path = tmp_path / "scans.tif"
    save_frames(path, [Image.new("L", size) for size in ((20, 10), (90, 80), (20, 20))])
    first, (page_id, error), third = read(path, limits=Limits(max_pixels=2000))
    assert first.id.number == 1
    assert page_id.number == 2
    assert error.reason == "too_large"
    assert third.id.number == 3


# Names


@pytest.mark.parametrize(
    "raw",
    [b"two words.png", b"a,b.png", b'say "hi".png', b"line\nbreak.png", "zahl_é_数.png".encode(), b"caf\xe9.png"],
)
def test_any_name_can_be_read(tmp_path, raw):
    path = tmp_path / os.fsdecode(raw)
    Image.fromarray(quarters()).save(path)
    name = display_name(path.name)
    (page,) = read_pages(path, name)
    assert page.id == PageId(name)
    same(page.pixels, bgr(quarters()))


# Arrays


@pytest.mark.parametrize(
    "values",
    [
        np.rint(STEPS * 255).astype(np.uint8),
        np.rint(STEPS * 65535).astype(np.uint16),
        np.rint(STEPS * 4095).astype(np.uint16),
        np.rint(STEPS * 255).astype(np.int64),
        STEPS.astype(np.float32),
        STEPS,
        STEPS * 255,
        STEPS.astype(np.float16),
    ],
    ids=lambda values: f"{values.dtype}-{values.max():g}",
)
@pytest.mark.parametrize("channels", [None, 1, 3])
def test_an_array_of_any_usual_kind(values, channels):
    array = values if channels is None else np.repeat(values[..., None], channels, axis=2)
    picture = picture_from_array(array)
    same(picture, np.repeat(np.rint(STEPS * 255)[..., None], 3, axis=2), 1)
    assert picture.flags.c_contiguous


def test_a_bool_array():
    picture = picture_from_array(np.array([[True, False]]))
    assert picture.tolist() == [[[255] * 3, [0] * 3]]


def test_a_float_array_that_overshoots_white_stays_bright():
    picture = picture_from_array(STEPS * 1.04 - 0.02)
    same(picture, np.repeat(np.rint(STEPS * 255)[..., None], 3, axis=2), 12)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_the_fourth_channel_is_opacity(dtype):
    top = 1.0 if dtype is np.float32 else np.iinfo(dtype).max
    array = np.zeros((10, 10, 4), dtype)
    array[4:6, 4:6, 3] = top
    picture = picture_from_array(array)
    assert picture[0, 0].tolist() == [255] * 3
    assert picture[5, 5].tolist() == [0] * 3


@pytest.mark.parametrize("array", [np.full((6, 6, 4), 0.5), np.full((6, 6), 2000, np.uint16)])
def test_the_callers_array_is_left_alone(array):
    before = array.copy()
    picture_from_array(array)
    assert np.array_equal(array, before)


@given(
    hnp.arrays(
        st.sampled_from([np.uint8, np.int16, np.float32, np.bool_]),
        hnp.array_shapes(min_dims=2, max_dims=2, max_side=6),
    )
)
def test_any_values_give_a_picture(array):
    with np.errstate(all="ignore"):
        picture = picture_from_array(array)
    assert picture.dtype == np.uint8
    assert picture.shape == (*array.shape, 3)


@pytest.mark.parametrize(
    "array",
    [
        np.zeros(5, np.uint8),
        np.zeros((2, 3, 4, 3), np.uint8),
        np.zeros((0, 5), np.uint8),
        np.zeros((5, 0, 3), np.uint8),
        np.zeros((5, 5, 2), np.uint8),
        np.zeros((5, 5, 5), np.uint8),
        np.zeros((3, 28, 28), np.uint8),
        np.zeros((5, 5), np.complex64),
        np.full((5, 5), "7"),
        np.full((5, 5), None),
        np.zeros((), np.uint8),
    ],
    ids=lambda array: f"{array.dtype}-{array.shape}",
)
def test_what_is_no_picture_is_refused(array):
    with pytest.raises(ValueError, match="is no picture"):
        picture_from_array(array)
