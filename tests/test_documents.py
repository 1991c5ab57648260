"""The one door to files: pages in any order, limits that refuse bombs unopened, and readers that are missing."""

import itertools
import struct
import sys
import threading
import tracemalloc
import zlib
from time import process_time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from pdfs import Pdf
from PIL import Image, ImageFile, features

from batchdigits.errors import PageError
from batchdigits.sources import documents
from batchdigits.sources.documents import OpenFile, open_document, read_page, read_pages
from batchdigits.sources.limits import Limits
from batchdigits.sources.pixels import to_bgr
from batchdigits.sources.stamps import digest_of
from batchdigits.types import Page, PageId


def save_tiff(path, frames, **options):
    first, *rest = [Image.fromarray(frame) for frame in frames]
    first.save(path, save_all=bool(rest), append_images=rest, **options)


def noise(height, width, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width), np.uint8)


def error_of(path, **options):
    ((page, error),) = read_pages(path, "a", **options)
    assert page == PageId("a")
    return error


def seconds(action):
    """Return how much work something is: a busy machine is no failure."""
    start = process_time()
    action()
    return process_time() - start


# Pages of a TIFF


@pytest.mark.parametrize(
    "options", [{}, {"compression": "tiff_lzw"}, {"compression": "group4"}, {"big_tiff": True}], ids=str
)
@pytest.mark.parametrize("order", [(1, 2, 3, 4), (4, 3, 2, 1), (3,), (2, 2, 4, 2)], ids=str)
def test_frames_can_be_read_in_any_order_and_again(tmp_path, options, order):
    path = tmp_path / "scans.tif"
    frames = [noise(20, 30 + number, number) for number in range(4)]
    if options.get("compression") == "group4":
        frames = [frame > 127 for frame in frames]
    save_tiff(path, frames, **options)
    with open_document(path) as document:
        assert document.pages == 4
        for number in order:
            page = document.read(PageId("a", number))
            assert page.id == PageId("a", number)
            assert np.array_equal(
                page.pixels[..., 0], frames[number - 1] * np.uint8(255 if frames[0].dtype == bool else 1)
            )


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "bmp", "gif"])
def test_a_picture_is_one_page_that_can_be_read_again(tmp_path, suffix):
    path = tmp_path / f"a.{suffix}"
    Image.new("RGB", (80, 60), "white").save(path)
    with open_document(path) as document:
        assert document.pages == 1
        sizes = [document.read(PageId("a"), least).pixels.shape[1] for least in (20, None, 40, None)]
    assert sizes == ([20, 80, 40, 80] if suffix == "jpg" else [80] * 4)


@pytest.mark.parametrize("suffix", ["tif", "jpg"])
def test_there_is_no_such_page(tmp_path, suffix):
    path = tmp_path / f"a.{suffix}"
    Image.new("L", (8, 8)).save(path)
    for number in (0, 2):
        with pytest.raises(PageError, match=f"no page {number}"):
            read_page(path, PageId("a", number))


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "tif", "gif", "bmp", "pdf"])
def test_opening_decodes_nothing(tmp_path, monkeypatch, suffix):
    path = tmp_path / f"a.{suffix}"
    Image.new("RGB", (80, 60), "white").save(path)
    monkeypatch.setattr(ImageFile.ImageFile, "load", lambda image: pytest.fail("decoded"))
    with open_document(path) as document:
        assert document.pages == 1


def directory(order, entries, following, big=False):
    """The bytes of a TIFF's directory that says nothing but where the next one is."""
    widths = "QQ" if big else "HI"
    entry = struct.pack(order + ("HHQQ" if big else "HHII"), 256, 4, 1, 1)
    return struct.pack(order + widths[0], entries) + entry * entries + struct.pack(order + widths[1], following)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("big", [False, True], ids=["classic", "big"])
def test_frames_are_counted_in_every_kind_of_tiff(tmp_path, order, big):
    magic = (b"II" if order == "<" else b"MM") + struct.pack(order + "H", 43 if big else 42)
    magic += struct.pack(order + "HH", 8, 0) if big else b""
    start, step = (16, 36) if big else (8, 18)
    content = magic + struct.pack(order + ("Q" if big else "I"), start)
    for number in range(5):
        content += directory(order, 1, start + step * (number + 1) if number < 4 else 0, big)
    assert len(content) == start + 5 * step
    path = tmp_path / "frames.tif"
    path.write_bytes(content)
    with open_document(path) as document:
        assert document.pages == 5
    path.write_bytes(content[:-1])  # the last directory is no longer whole, and is a page all the same
    with open_document(path) as document:
        assert document.pages == 5
        with pytest.raises(PageError) as caught:
            document.read(PageId("a", 5))
    assert caught.value.reason == "truncated"


@pytest.mark.parametrize("back_to", range(3))
def test_a_chain_of_frames_that_leads_in_a_circle_ends(tmp_path, back_to):
    content = b"II*\0" + struct.pack("<I", 8)
    content += b"".join(directory("<", 1, 8 + 18 * following) for following in (1, 2, back_to))
    path = tmp_path / "circle.tif"
    path.write_bytes(content)
    with open_document(path) as document:
        assert document.pages == 3


@pytest.mark.parametrize("start", [0, 9, 4000, 2**32 - 1])
def test_a_tiff_whose_first_directory_is_nowhere(tmp_path, start):
    path = tmp_path / "nowhere.tif"
    path.write_bytes(b"II*\0" + struct.pack("<I", start) + b"\xff" * 20)
    assert error_of(path).reason in ("truncated", "unreadable")


@given(st.binary(max_size=200))
def test_any_bytes_have_an_end(tmp_path_factory, content):
    path = tmp_path_factory.mktemp("any") / "any.tif"
    path.write_bytes(b"II*\0" + content)
    pages = list(itertools.islice(read_pages(path, "a", limits=Limits(max_pages=50)), 100))
    assert 1 <= len(pages) <= 50
    path.write_bytes(b"MM\0+\0\x08\0\0" + content)
    assert 1 <= len(list(itertools.islice(read_pages(path, "a", limits=Limits(max_pages=50)), 100))) <= 50


@pytest.mark.parametrize("suffix", ["tif", "pdf"])
def test_too_many_pages(tmp_path, suffix):
    path = tmp_path / f"scans.{suffix}"
    first, *rest = [Image.new("L", (8, 8))] * 4
    first.save(path, save_all=True, append_images=rest)
    assert len(list(read_pages(path, "a", limits=Limits(max_pages=4)))) == 4
    error = error_of(path, limits=Limits(max_pages=3))
    assert error.reason == "too_many_pages"
    assert "3 pages" in error.detail
    assert "--max-pages" in error.detail
    with pytest.raises(PageError, match="--max-pages"), open_document(path, Limits(max_pages=3)):
        pass


def test_a_million_frames_are_refused_at_once(tmp_path):
    path = tmp_path / "frames.tif"
    starts = np.arange(1, 1_000_001, dtype="<u4") * 18 + 8
    frames = np.zeros(1_000_000, np.dtype([("entries", "<u2"), ("entry", "V12"), ("next", "<u4")]))
    frames["entries"], frames["next"] = 1, starts
    path.write_bytes(b"II*\0" + struct.pack("<I", 8) + frames.tobytes())

    def refuse():
        assert error_of(path).reason == "too_many_pages"

    assert seconds(refuse) < 1


def test_reading_the_last_of_many_frames_does_not_read_all_others(tmp_path):
    """Documents are read in parts, each part in another process."""
    path = tmp_path / "frames.tif"
    frames = [noise(4, 4, number) for number in range(1000)]
    save_tiff(path, frames)

    def last():
        assert np.array_equal(read_page(path, PageId("a", 1000)).pixels[..., 0], frames[-1])

    def first():
        read_page(path, PageId("a", 1))

    assert seconds(last) < 0.1
    assert seconds(first) < 0.1


def test_a_frame_is_read_without_the_rest_of_the_file(tmp_path):
    path = tmp_path / "frames.tif"
    save_tiff(path, [noise(2000, 2000), noise(10, 20)], compression="tiff_lzw")
    assert path.stat().st_size > 4e6
    tracemalloc.start()
    try:
        page = read_page(path, PageId("a", 2))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert np.array_equal(page.pixels[..., 0], noise(10, 20))
    assert peak < 1e6


# Pixels


def png(width, height, data):
    """Write a PNG of one bit by hand: no library would."""
    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    parts = [(b"IHDR", header), (b"IDAT", data), (b"IEND", b"")]
    chunks = [
        struct.pack(">I", len(part)) + kind + part + struct.pack(">I", zlib.crc32(kind + part)) for kind, part in parts
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def test_a_png_bomb_is_refused_before_it_goes_off(tmp_path):
    """60,000 x 60,000 real pixels of one bit: 10 GB of colours in 440 kB."""
    packer = zlib.compressobj(9)
    row = bytes(1 + 60_000 // 8)
    data = b"".join(packer.compress(row * 100) for _ in range(600)) + packer.flush()
    path = tmp_path / "bomb.png"
    path.write_bytes(png(60_000, 60_000, data))
    assert path.stat().st_size < 500_000

    def refuse():
        error = error_of(path)
        assert error.reason == "too_large"
        assert "3,600,000,000" in error.detail
        assert "--max-pixels" in error.detail

    assert seconds(refuse) < 1


FORMATS = ["jpg", "png", "webp", "tif", "gif", "bmp", "pdf"] + ["avif"] * features.check("avif")


@pytest.mark.parametrize("suffix", FORMATS)
@pytest.mark.parametrize("least", [None, 10])
def test_the_limit_is_the_same_for_every_format(tmp_path, suffix, least):
    """A JPEG that is decoded at reduced size counts at its own."""
    path = tmp_path / f"a.{suffix}"
    Image.new("RGB", (120, 80), "white").save(path)
    (page,) = read_pages(path, "a", reduce_to=least, limits=Limits(max_pixels=9600))
    assert isinstance(page, Page)
    for most in (9599, 4000, 1):  # Pillow itself speaks up from twice its limit on
        error = error_of(path, reduce_to=least, limits=Limits(max_pixels=most))
        assert error.reason == "too_large"
        assert f"9,600 pixels, and no more than {most:,}" in error.detail
        assert "--max-pixels" in error.detail


def test_the_limit_is_for_each_frame(tmp_path):
    path = tmp_path / "scans.tif"
    save_tiff(path, [noise(*size) for size in ((30, 30), (31, 30), (90, 90), (10, 10))])
    pages = list(read_pages(path, "a", limits=Limits(max_pixels=900)))
    assert [isinstance(page, Page) for page in pages] == [True, False, False, True]
    assert [page[1].reason for page in pages[1:3]] == ["too_large"] * 2


def test_threads_leave_the_settings_of_pillow_as_they_were(tmp_path, monkeypatch):
    path = tmp_path / "a.tif"
    save_tiff(path, [noise(60, 60, number) for number in range(3)])
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1234)
    found = []

    def work():
        for most in (3600, 5000, 100) * 5:
            found.append([isinstance(page, Page) for page in read_pages(path, "a", limits=Limits(max_pixels=most))])

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(found) == [[False] * 3] * 20 + [[True] * 3] * 40
    assert Image.MAX_IMAGE_PIXELS == 1234


# Large pictures are converted in bands

MODES = ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr", "I;16", "I", "F"]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("orientation", [1, 6])
def test_bands_do_not_show(monkeypatch, mode, orientation):
    rgba = np.random.default_rng(0).integers(100, 256, (37, 23, 4), np.uint8)
    rgba[12:] //= 4
    rgba[12:, :, 3] = 0  # light ink, all of it in the first bands
    image = Image.fromarray(rgba)
    image = image.convert("L").convert(mode) if mode in ("I;16", "I", "F") else image.convert(mode)
    if mode in ("I", "F"):
        image = image.point(lambda value: value * 200 + 7)
    whole = to_bgr(image, orientation)
    monkeypatch.setattr("batchdigits.sources.pixels._BAND", 23 * 5)
    bands = to_bgr(image, orientation)
    assert whole.shape == ((37, 23, 3) if orientation == 1 else (23, 37, 3))
    assert whole.std() > 20
    assert bands.flags.c_contiguous
    assert np.array_equal(whole, bands)


@pytest.mark.parametrize("mode", ["L", "I;16", "RGBA"])
def test_a_large_picture_takes_little_more_memory_than_its_pixels(mode):
    image = Image.new(mode, (4000, 4000))
    tracemalloc.start()
    try:
        pixels = to_bgr(image)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < pixels.nbytes + 80e6


@given(hnp.arrays(np.uint8, st.tuples(st.integers(1, 9), st.integers(1, 9), st.just(3))), st.integers(1, 8))
def test_orientations_keep_every_pixel(pixels, orientation):
    turned = to_bgr(Image.fromarray(pixels), orientation)
    assert turned.shape[:2] == (pixels.shape[:2] if orientation < 5 else pixels.shape[1::-1])
    assert sorted(map(tuple, turned.reshape(-1, 3))) == sorted(map(tuple, pixels[..., ::-1].reshape(-1, 3)))


# Readers


@pytest.mark.parametrize(
    ("module", "cure"), [("pypdfium2", "pip install pypdfium2"), ("pi_heif", "pip install 'batchdigits[heif]'")]
)
def test_a_missing_reader_costs_only_its_own_files(tmp_path, monkeypatch, module, cure):
    pdf = Pdf()
    pdf.scan(noise(10, 10), 100)
    (tmp_path / "pypdfium2").write_bytes(pdf.content())
    (tmp_path / "pi_heif").write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(100))
    Image.new("L", (8, 8)).save(tmp_path / "other.png")
    monkeypatch.setitem(sys.modules, module, None)
    error = error_of(tmp_path / module)
    assert error.reason == "reader_missing"
    assert cure in error.detail
    (page,) = read_pages(tmp_path / "other.png", "a")
    assert isinstance(page, Page)


def test_an_error_of_the_caller_stays_as_it_is(tmp_path):
    path = tmp_path / "a.png"
    Image.new("L", (8, 8)).save(path)
    with pytest.raises(ZeroDivisionError), open_document(path):
        1 / 0  # noqa: B018


@pytest.mark.parametrize("most", [1 << 25, 100_000], ids=["read whole", "too large for that"])
def test_a_jpeg_is_digested_and_decoded_alike_however_it_is_read(tmp_path, monkeypatch, most):
    monkeypatch.setattr(documents, "_WHOLE", most)
    path = tmp_path / "noise.jpg"
    pixels = noise(400, 500)
    Image.fromarray(pixels).save(path, quality=95)
    assert path.stat().st_size > 150_000
    with OpenFile(path) as opened:
        assert opened.digest() == digest_of(path)
        page = opened.document().read(PageId("noise.jpg"))
        again = opened.document().read(PageId("noise.jpg"), 100)
        assert opened.digest() == digest_of(path)
    with Image.open(path) as image:
        assert (page.pixels[..., ::-1] == np.asarray(image.convert("RGB"))).all()
    assert again.pixels.shape[:2] == (100, 125)


def test_a_jpeg_is_read_once(tmp_path, monkeypatch):
    path = tmp_path / "noise.jpg"
    Image.fromarray(noise(400, 500)).save(path, quality=95)
    with OpenFile(path) as opened:
        path.write_bytes(b"")  # whoever reads again finds nothing
        assert opened.document().read(PageId("noise.jpg")).pixels.shape == (400, 500, 3)
        assert opened.digest() != digest_of(path)
