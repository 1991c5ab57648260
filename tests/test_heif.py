"""HEIC and HEIF to pages, from small files that are kept here: nothing that is installed writes them."""

import struct
import sys
import warnings
from io import BytesIO
from pathlib import Path
from time import process_time

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, features

from batchdigits.errors import PageError
from batchdigits.sources.documents import open_document, read_pages
from batchdigits.sources.limits import Limits
from batchdigits.types import Page, PageId

pytest.importorskip("pi_heif")

DATA = Path(__file__).parent / "data"
PHOTO = Path(__file__).parents[1] / "samples" / "images" / "blue-ink.jpg"
NAMES = sorted(path.name for path in DATA.glob("*.hei[cf]"))


def read_one(path, **options):
    (page,) = read_pages(path, path.name, **options)
    assert isinstance(page, Page), page[1].detail
    assert page.id == PageId(path.name)
    assert page.scale == (1.0, 1.0)
    assert page.pixels.dtype == np.uint8
    assert page.pixels.flags.c_contiguous
    return page.pixels


def error_of(path, **options):
    ((page, error),) = read_pages(path, path.name, **options)
    assert page == PageId(path.name)
    assert len(error.detail) > 10
    return error


def wanted():
    (photo,) = read_pages(PHOTO, PHOTO.name)
    return cv2.resize(photo.pixels, (240, 320), interpolation=cv2.INTER_AREA)


def difference(one, other):
    return np.abs(one.astype(int) - other).mean()


@pytest.mark.parametrize("name", ["rotated.heic", "10-bit.heic"])
def test_a_photo_comes_out_as_it_was_taken(name):
    photo, pixels = wanted(), read_one(DATA / name)
    assert pixels.shape == (320, 240, 3)
    assert difference(pixels, photo) < 3
    assert difference(pixels[::-1, ::-1], photo) > 6  # the measure tells it from one turned twice
    assert difference(pixels[..., ::-1], photo) > 6  # and from one whose colours are swapped


def test_a_grey_photo():
    grey = cv2.cvtColor(wanted(), cv2.COLOR_BGR2GRAY)[..., None]
    assert difference(read_one(DATA / "10-bit-grey.heic"), grey) < 3


def test_transparent_is_paper():
    ink = cv2.cvtColor(wanted(), cv2.COLOR_BGR2GRAY) < 100
    pixels = read_one(DATA / "transparent.heif")
    paper = cv2.dilate(ink.astype(np.uint8), np.ones((9, 9))) == 0
    assert pixels[paper].min() > 240
    assert pixels[cv2.erode(ink.astype(np.uint8), np.ones((3, 3))) > 0].max() < 60


def test_it_is_one_page_that_can_be_read_again():
    with open_document(DATA / "rotated.heic") as document:
        assert document.pages == 1
        first, second = (document.read(PageId("a")).pixels for _ in range(2))
        first[:] = 7
        assert np.array_equal(second, read_one(DATA / "rotated.heic"))


def test_the_name_does_not_matter(tmp_path):
    path = tmp_path / "photo.jpg"
    path.write_bytes((DATA / "rotated.heic").read_bytes())
    assert read_one(path).shape == (320, 240, 3)


@pytest.mark.parametrize("brand", [b"heic", b"heix", b"hevc", b"mif1", b"msf1"])
def test_every_brand_is_known(tmp_path, brand):
    path = tmp_path / "photo.heic"
    content = (DATA / "rotated.heic").read_bytes()
    path.write_bytes(content[:8] + brand + content[12:])
    assert read_one(path).shape == (320, 240, 3)


@pytest.mark.parametrize("brand", [b"heic", b"heix", b"hevc", b"mif1", b"msf1"])
def test_a_container_without_a_picture(tmp_path, brand):
    path = tmp_path / "phone.heic"
    path.write_bytes(b"\0\0\0\x18ftyp" + brand + b"\0\0\0\0mif1heic" + b"\0\0\0\x08mdat" + bytes(200))
    assert error_of(path).reason == "unreadable"


@pytest.mark.skipif(not features.check("avif"), reason="Pillow is built without AVIF")
def test_avif_under_the_common_brand_is_for_pillow(tmp_path):
    path = tmp_path / "photo.heif"
    file = BytesIO()
    Image.new("RGB", (40, 30), (10, 200, 90)).save(file, "AVIF", quality=95)
    content = file.getvalue()
    path.write_bytes(content[:8] + b"mif1" + content[12:])
    assert read_one(path)[5, 5].tolist() == pytest.approx([90, 200, 10], abs=6)
    path.write_bytes(content[:8] + b"mif1" + content[12:16] + b"miaf" * 4 + content[32:])  # nothing says AVIF
    assert error_of(path).reason == "unsupported_format"
    path.write_bytes(content[:8] + b"heic" + content[12:])  # a lie
    assert error_of(path).reason == "unsupported_format"


@pytest.mark.parametrize("share", [0.1, 0.5, 0.99])
@pytest.mark.parametrize("name", NAMES)
def test_a_truncated_file(tmp_path, name, share):
    path = tmp_path / name
    content = (DATA / name).read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    assert error_of(path).reason in ("truncated", "unreadable")
    if share > 0.4:
        assert error_of(path).reason == "truncated"


@given(st.data())
def test_random_damage_never_escapes_as_another_error(tmp_path_factory, data):
    content = bytearray((DATA / data.draw(st.sampled_from(NAMES))).read_bytes())
    for _ in range(data.draw(st.integers(1, 6))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.mktemp("damaged") / "damaged.heic"
    path.write_bytes(content)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for page in read_pages(path, path.name, limits=Limits(max_pixels=1_000_000)):
            assert isinstance(page, Page) or isinstance(page[1], PageError)


def test_as_many_pixels_as_allowed():
    assert read_one(DATA / "rotated.heic", limits=Limits(max_pixels=240 * 320)).shape == (320, 240, 3)


def test_one_pixel_more():
    error = error_of(DATA / "rotated.heic", limits=Limits(max_pixels=240 * 320 - 1))
    assert error.reason == "too_large"
    assert "76,800" in error.detail
    assert "--max-pixels" in error.detail


def test_a_size_that_lies_is_refused_before_anything_is_decoded(tmp_path):
    path = tmp_path / "bomb.heic"
    content = (DATA / "10-bit.heic").read_bytes()
    at = content.index(b"ispe") + 8
    path.write_bytes(content[:at] + struct.pack(">II", 16_000, 16_000) + content[at + 8 :])
    start = process_time()
    with pytest.raises(PageError, match="256,000,000"), open_document(path):
        pass
    assert process_time() - start < 1


def test_a_size_that_no_limit_stops_is_too_large_for_libheif(tmp_path):
    path = tmp_path / "bomb.heic"
    content = (DATA / "10-bit.heic").read_bytes()
    at = content.index(b"ispe") + 8
    path.write_bytes(content[:at] + struct.pack(">II", 60_000, 60_000) + content[at + 8 :])
    assert error_of(path, limits=Limits(max_pixels=10**10)).reason == "too_large"


def test_without_its_reader(monkeypatch):
    monkeypatch.setitem(sys.modules, "pi_heif", None)
    error = error_of(DATA / "rotated.heic")
    assert error.reason == "reader_missing"
    assert "pip install 'batchdigits[heif]'" in error.detail
