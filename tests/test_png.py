"""Small plain PNGs take a way of their own; what comes of them, and of all others, is what comes without it."""

import io
import struct
import zlib

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, PngImagePlugin

from batchdigits.errors import PageError
from batchdigits.sources import documents, png
from batchdigits.sources.documents import open_document, read_pages
from batchdigits.sources.images import Picture
from batchdigits.sources.limits import USUAL, Limits
from batchdigits.sources.png import PlainPng, open_plain_png
from batchdigits.types import Page, PageId

ID = PageId("a")
RANDOM = np.random.default_rng(0)


def encoded(pixels, **options):
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG", **options)
    return file.getvalue()


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def made(*chunks, width=3, height=2, depth=8, colours=0, rest=(0, 0, 0)):
    header = struct.pack(">IIBBBBB", width, height, depth, colours, *rest)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + b"".join(chunk(*one) for one in chunks) + chunk(b"IEND", b"")


ROWS = b"\0\1\2\3\0\4\5\6"
PLAIN = made((b"IDAT", zlib.compress(ROWS)))


def by_pillow(content):
    """Return what comes without the way of their own: pixels, or the reason why there are none."""
    try:
        return Picture(io.BytesIO(content), USUAL).read(ID).pixels
    except PageError as error:
        return error.reason


def by_all(path, content):
    path.write_bytes(content)
    (found,) = read_pages(path, "a")
    return found.pixels if isinstance(found, Page) else found[1].reason


def same(one, other):
    return one == other if isinstance(one, str) or isinstance(other, str) else np.array_equal(one, other)


def with_each_filter(pixels):
    """Return a PNG whose rows go through all filters in turn, each row by hand."""
    height, width, channels = pixels.shape
    above, rows = np.zeros((width, channels), int), b""
    for number, row in enumerate(pixels.astype(int)):
        left = np.vstack([np.zeros((1, channels), int), row[:-1]])
        corner = np.vstack([np.zeros((1, channels), int), above[:-1]])
        guess = left + above - corner
        distances = np.abs(np.stack([guess - left, guess - above, guess - corner]))
        paeth = np.choose(distances.argmin(axis=0), [left, above, corner])
        told = [0, left, above, (left + above) // 2, paeth][number % 5]
        rows += bytes([number % 5]) + ((row - told) % 256).astype(np.uint8).tobytes()
        above = row
    return made((b"IDAT", zlib.compress(rows)), width=width, height=height, colours=0 if channels == 1 else 2)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", [(1, 1), (1, 9), (9, 1), (28, 28), (27, 31), (255, 257)])
def test_plain_pictures_have_the_pixels_that_pillow_sees(size, channels):
    pixels = RANDOM.integers(0, 256, (*size, channels), np.uint8)
    flat = pixels[..., 0] if channels == 1 else pixels
    files = [encoded(flat, optimize=more) for more in (False, True)] + [with_each_filter(pixels)]
    files += [cv2.imencode(".png", flat[..., ::-1] if channels == 3 else flat)[1].tobytes()]
    for content in files:
        plain = open_plain_png(content, USUAL)
        assert isinstance(plain, PlainPng)
        page = plain.read(ID)
        assert page.scale == (1.0, 1.0) and page.pixels.dtype == np.uint8
        assert np.array_equal(page.pixels, by_pillow(content))
        assert np.array_equal(page.pixels, np.broadcast_to(pixels[..., ::-1], (*size, 3)))


def test_a_plain_file_takes_that_way(tmp_path):
    (tmp_path / "a").write_bytes(PLAIN)
    with open_document(tmp_path / "a") as document:
        assert isinstance(document, PlainPng) and document.pages == 1
    for content in (PLAIN[:8] + PLAIN[8:33] + chunk(b"pHYs", bytes(9)) + PLAIN[33:], PLAIN):
        assert open_plain_png(content, USUAL)


OTHERS = {
    "16 bit": encoded(np.full((4, 4), 40_000, np.uint16)),
    "1 bit": encoded(np.eye(9, dtype=bool)),
    "palette": made((b"PLTE", b"abcdef"), (b"IDAT", zlib.compress(bytes(8))), colours=3),
    "opacity": encoded(RANDOM.integers(0, 256, (4, 4, 4), np.uint8)),
    "a transparent grey": made((b"tRNS", b"\0\1"), (b"IDAT", zlib.compress(ROWS))),
    "EXIF": made((b"eXIf", b"MM\0*" + bytes(4)), (b"IDAT", zlib.compress(ROWS))),
    "text": made((b"tEXt", b"Raw profile type exif\0x"), (b"IDAT", zlib.compress(ROWS))),
    "interlaced": made((b"IDAT", zlib.compress(ROWS)), rest=(0, 0, 1)),
    "an unknown method": made((b"IDAT", zlib.compress(ROWS)), rest=(0, 1, 0)),
    "a colour type that is none": made((b"IDAT", zlib.compress(ROWS)), colours=1),
    "no pixels": made((b"IDAT", zlib.compress(b"")), width=0),
    "no data": made(),
    "too little data": made((b"IDAT", zlib.compress(ROWS[:-1]))),
    "too much data": made((b"IDAT", zlib.compress(ROWS + b"\0"))),
    "data after the data": made((b"IDAT", zlib.compress(ROWS) + b"\0")),
    "a wrong sum of the data": made((b"IDAT", zlib.compress(ROWS)[:-1] + b"\0")),
    "no sum of the data": made((b"IDAT", zlib.compress(ROWS)[:-4])),
    "a filter that is none": made((b"IDAT", zlib.compress(b"\5" + ROWS[1:]))),
    "parts apart": made((b"IDAT", zlib.compress(ROWS)[:4]), (b"tIME", bytes(7)), (b"IDAT", zlib.compress(ROWS)[4:])),
    "two headers": made((b"IHDR", PLAIN[16:29]), (b"IDAT", zlib.compress(ROWS))),
    "something after the end": PLAIN + b"\0",
    "a wrong sum": PLAIN[:-20] + bytes([PLAIN[-20] ^ 1]) + PLAIN[-19:],
    "cut off": PLAIN[:-3],
    "only the first bytes": PLAIN[:8],
    "not a PNG": b"\xff\xd8\xff" + PLAIN,
    "many pixels": encoded(np.zeros((257, 256), np.uint8)),
}


@pytest.mark.parametrize("name", OTHERS)
def test_all_others_are_left_to_pillow(name, tmp_path):
    assert open_plain_png(OTHERS[name], USUAL) is None
    assert same(by_all(tmp_path / "a", OTHERS[name]), by_pillow(OTHERS[name]))


def test_what_limits_refuse_is_refused_in_the_same_words(tmp_path):
    (tmp_path / "a").write_bytes(PLAIN)
    ((_, error),) = read_pages(tmp_path / "a", "a", limits=Limits(max_pixels=5))
    assert error.reason == "too_large" and "6 pixels" in error.detail
    (page,) = read_pages(tmp_path / "a", "a", limits=Limits(max_pixels=6))
    assert page.pixels.shape == (2, 3, 3)


def test_a_bomb_is_not_unpacked_beyond_its_size():
    packing = zlib.compressobj(9)
    bomb = b"".join(packing.compress(bytes(1 << 20)) for _ in range(40)) + packing.flush()
    assert len(bomb) < documents._START
    assert open_plain_png(made((b"IDAT", bomb)), USUAL) is None


def test_what_opencv_refuses_pillow_reads(monkeypatch):
    monkeypatch.setattr(png.cv2, "imdecode", lambda *rest: None)
    plain = open_plain_png(PLAIN, USUAL)
    assert plain.read(ID).pixels[..., 0].tolist() == [[1, 2, 3], [4, 5, 6]]


WHOLE = encoded(RANDOM.integers(0, 256, (5, 7), np.uint8), pnginfo=PngImagePlugin.PngInfo())


@given(st.lists(st.tuples(st.integers(0, len(WHOLE) - 1), st.integers(0, 255)), min_size=1, max_size=3), st.booleans())
def test_damage_makes_no_difference_between_the_ways(changes, mend):
    content = bytearray(WHOLE)
    for place, value in changes:
        content[place] = value
    if mend:  # sums that are right again lead further
        at = 8
        while at + 12 <= len(content):
            size = int.from_bytes(content[at : at + 4])
            end = at + 8 + size
            content[end : end + 4] = struct.pack(">I", zlib.crc32(content[at + 4 : end]))[: len(content) - end]
            at = end + 4
    plain = open_plain_png(bytes(content), USUAL)
    if plain:
        assert same(plain.read(ID).pixels, by_pillow(bytes(content)))
