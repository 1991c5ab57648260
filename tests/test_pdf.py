"""PDF to pages: the resolution of scans, what is drawn, what is refused, and what damage costs."""

import hashlib
import importlib
import os
import re
import sys
import threading
import zlib
from time import process_time, sleep

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pdfs import Pdf, assemble, stream
from PIL import Image

from batchdigits.errors import PageError
from batchdigits.sources.documents import open_document, read_page, read_pages
from batchdigits.sources.limits import USUAL, Limits
from batchdigits.sources.resolution import Placed, page_size, reduced
from batchdigits.types import Page, PageId

A4 = 595.28, 841.89
"""Points."""


def noise(height, width, seed=0, channels=None):
    """Pixels of which none is like its neighbours: a shift by half a pixel changes them all."""
    shape = (height, width) if channels is None else (height, width, channels)
    return np.random.default_rng(seed).integers(0, 256, shape, np.uint8)


def bgr(pixels):
    if pixels.dtype == bool:
        pixels = pixels * np.uint8(255)
    return pixels[..., ::-1] if pixels.ndim == 3 else np.repeat(pixels[..., None], 3, axis=2)


@pytest.fixture
def read(tmp_path):
    def read(pdf, *, limits=USUAL, **options):
        path = tmp_path / "scans.pdf"
        path.write_bytes(pdf if isinstance(pdf, bytes) else pdf.content())
        return list(read_pages(path, "scans.pdf", limits=limits, **options))

    return read


@pytest.fixture
def read_one(read):
    def read_one(pdf, **options):
        (page,) = read(pdf, **options)
        assert isinstance(page, Page), page[1].detail
        assert page.pixels.dtype == np.uint8
        assert page.pixels.flags.c_contiguous
        return page

    return read_one


@pytest.fixture
def reason(read):
    def reason(pdf, **options):
        ((page, error),) = read(pdf, **options)
        assert page == PageId("scans.pdf")
        assert len(error.detail) > 10
        return error.reason

    return reason


def size(page):
    return page.pixels.shape[1::-1]


# Scans come out at their own pixels


@pytest.mark.parametrize("dpi", [28, 72, 100, 137, 150, 200, 203.2, 240, 300, 400, 600, 1200, 2400])
@pytest.mark.parametrize("digits", [0, 1, 2, 5], ids="{} decimals".format)
def test_a_scan_comes_out_at_its_own_pixels(read_one, dpi, digits):
    pixels = noise(777, 531, channels=3)
    pdf = Pdf()
    pdf.scan(pixels, dpi, digits=digits)
    page = read_one(pdf)
    assert page.scale == (1.0, 1.0)
    assert np.array_equal(page.pixels, bgr(pixels))


@pytest.mark.parametrize(("width", "height"), [(2480, 3508), (2550, 3300), (1653, 2339), (1, 1), (28, 28), (3000, 40)])
def test_a_grey_scan_of_any_usual_size(read_one, width, height):
    pdf = Pdf()
    pdf.scan(noise(height, width), 300)
    assert np.array_equal(read_one(pdf).pixels, bgr(noise(height, width)))


@pytest.mark.parametrize("dpi", [72, 137, 200, 300])
@pytest.mark.parametrize(("mode", "tolerance"), [("1", 0), ("L", 4)])
def test_a_pdf_by_pillow(tmp_path, dpi, mode, tolerance):
    """CCITT and JPEG inside."""
    pixels = noise(777, 531) if mode == "L" else noise(777, 531) > 127
    options = {"quality": 95} if mode == "L" else {}
    Image.fromarray(pixels).save(tmp_path / "scan.pdf", resolution=dpi, **options)
    page = read_page(tmp_path / "scan.pdf", PageId("scan.pdf"))
    assert page.pixels.shape == (777, 531, 3)
    assert np.abs(page.pixels.astype(int) - bgr(pixels)).mean() <= tolerance


def test_a_scan_of_one_bit(read_one):
    pixels = noise(400, 300) > 127
    pdf = Pdf()
    pdf.scan(pixels, 200)
    assert np.array_equal(read_one(pdf).pixels, bgr(pixels))


@pytest.mark.parametrize("turn", [0, 90])
def test_letter_paper_whose_size_is_rounded(read_one, turn):
    """Both sides have their own resolution: neither is stretched to the other's."""
    pdf = Pdf()
    image = pdf.image(noise(1110, 850))
    pdf.page((612, 792), "612 0 0 792 0 0 cm /Im Do", {"Im": image}, f"/Rotate {turn}")
    assert np.array_equal(read_one(pdf).pixels, np.rot90(bgr(noise(1110, 850)), -turn // 90))


@pytest.mark.parametrize("turn", [90, 180, 270, -90, 450])
def test_a_page_to_be_turned(read_one, turn):
    """A landscape page, fed upright: its pixels lie on their side."""
    pdf = Pdf()
    pdf.scan(noise(160, 240), 150, entries=f"/Rotate {turn}")
    assert np.array_equal(read_one(pdf).pixels, np.rot90(bgr(noise(160, 240)), -turn // 90))


@pytest.mark.parametrize("turn", [0, 90])
def test_a_picture_turned_on_its_page(read_one, turn):
    pdf = Pdf()
    image = pdf.image(noise(160, 240))
    pdf.page((80, 120), "0 120 -80 0 80 0 cm /Im Do", {"Im": image}, f"/Rotate {turn}")
    assert size(read_one(pdf)) == ((160, 240) if turn == 0 else (240, 160))


def test_a_fax_has_square_pixels(read_one):
    """Group 3 at its coarse setting: 204 dots per inch across, 98 down."""
    pixels = np.repeat(np.repeat(noise(11, 17) > 127, 10, axis=0), 10, axis=1)
    pdf = Pdf()
    image = pdf.image(pixels)
    width, height = 170 * 72 / 204, 110 * 72 / 98
    pdf.page((width, height), f"{width} 0 0 {height} 0 0 cm /Im Do", {"Im": image})
    assert size(read_one(pdf)) == (170, pytest.approx(110 * 204 / 98, abs=1))


def test_only_the_crop_box_is_seen(read_one):
    pixels = noise(200, 300)
    pdf = Pdf()
    pdf.scan(pixels, 72, entries="/CropBox[100 50 250 200]")
    assert np.array_equal(read_one(pdf).pixels, bgr(pixels[:150, 100:250]))


@pytest.mark.parametrize("dpi", [150, 300])
def test_a_scan_in_strips(read_one, dpi):
    """As many scanners write it: each strip is a picture of its own."""
    smooth = cv2.GaussianBlur(noise(800, 531), (0, 0), 3)
    pixels = cv2.normalize(smooth, None, 0, 255, cv2.NORM_MINMAX)
    pdf = Pdf()
    width, part = 531 * 72 / dpi, 40 * 72 / dpi
    names, content = {}, ""
    for number in range(20):
        names[f"S{number}"] = pdf.image(pixels[number * 40 : number * 40 + 40])
        content += f"q {width:.5f} 0 0 {part:.5f} 0 {(19 - number) * part:.5f} cm /S{number} Do Q "
    pdf.page((round(width, 5), round(20 * part, 5)), content, names)
    page = read_one(pdf)
    assert size(page) == (531, 800)
    assert np.abs(page.pixels.astype(int) - bgr(pixels)).mean() < 3  # a strip may lie a part of a pixel off


def test_a_scan_within_forms(read_one):
    """What some programs wrap around each page: forms, which scale and move it."""
    pixels = noise(150, 100)
    pdf = Pdf()
    image = pdf.image(pixels)
    inner = pdf.add(
        stream(
            b"q .5 0 0 1 0 0 cm /Im Do Q",
            f"/Type/XObject/Subtype/Form/BBox[0 0 1 1]/Matrix[2 0 0 1 0 0]/Resources<</XObject<</Im {image} 0 R>>>>",
        )
    )
    outer = pdf.add(
        stream(
            b"q 10 0 0 10 0 0 cm /In Do Q",
            f"/Type/XObject/Subtype/Form/BBox[0 0 10 10]/Resources<</XObject<</In {inner} 0 R>>>>",
        )
    )
    pdf.page((48, 72), "q 4.8 0 0 7.2 0 0 cm /Out Do Q", {"Out": outer})
    assert np.array_equal(read_one(pdf).pixels, bgr(pixels))


def test_an_inline_image(read_one):
    pdf = Pdf()
    data = "00ff00" * 4
    pdf.page((4, 3), f"q 4 0 0 3 0 0 cm BI /W 4 /H 3 /BPC 8 /CS /G /F /AHx ID {data}> EI Q")
    assert read_one(pdf).pixels[..., 0].tolist() == [[0, 255, 0, 0], [255, 0, 0, 255], [0, 0, 255, 0]]


# Other pages get a sensible resolution


def test_a_page_without_pictures_has_300_dpi(read_one):
    pdf = Pdf()
    pdf.page(A4, "100 w 297 0 m 297 842 l S")
    page = read_one(pdf)
    assert size(page) == (2480, 3508)
    assert page.scale == (1.0, 1.0)
    dark = np.flatnonzero(page.pixels[1000, :, 0] < 128)
    assert (dark[0], dark[-1]) == pytest.approx((247 * 300 / 72, 347 * 300 / 72), abs=1)


def test_an_empty_page_is_white(read_one):
    pdf = Pdf()
    pdf.page((72, 144))
    page = read_one(pdf)
    assert size(page) == (300, 600)
    assert (page.pixels == 255).all()


def test_a_logo_decides_nothing(read):
    """On a twentieth of the page, and much finer; on a page of text and on a scan."""
    pdf = Pdf()
    logo, scan = pdf.image(np.zeros((1000, 1000), bool)), pdf.image(noise(1169, 827))
    stamp = "q 150 0 0 150 20 680 cm /Logo Do Q"
    pdf.page(A4, stamp, {"Logo": logo})
    pdf.page(A4, f"q {A4[0]} 0 0 {A4[1]} 0 0 cm /Scan Do Q " + stamp, {"Logo": logo, "Scan": scan})
    assert [size(page) for page in read(pdf)] == [(2480, 3508), (827, 1169)]


def test_a_picture_on_a_part_of_the_page_may_ask_for_600_dpi(read):
    pdf = Pdf()
    for dpi in (72, 400, 600, 1200):
        image = pdf.image(np.zeros((2 * dpi, 2 * dpi), bool))
        pdf.page((360, 360), "144 0 0 144 36 36 cm /Im Do", {"Im": image})
    assert [size(page)[0] for page in read(pdf)] == [1500, 2000, 3000, 3000]


def test_what_lies_outside_the_page_decides_nothing(read_one):
    pdf = Pdf()
    image = pdf.image(np.zeros((1000, 1000), bool))
    pdf.page((144, 144), "144 0 0 144 -130 -130 cm /Im Do", {"Im": image})
    assert size(read_one(pdf)) == (600, 600)


def test_a_fine_mask_over_a_coarse_ground(read_one):
    """Scans packed in layers: colours at 100 dpi, and the ink, cut out of black, at 300."""
    ink = np.ones((330, 240), bool)
    ink[100:200, 80:120] = False
    pdf = Pdf()
    ground = pdf.image(np.full((110, 80), 200, np.uint8))
    mask = pdf.picture(
        zlib.compress(np.packbits(ink, axis=1).tobytes()),
        240,
        330,
        "/ImageMask true/BitsPerComponent 1/Filter/FlateDecode",
    )
    pdf.page((57.6, 79.2), "57.6 0 0 79.2 0 0 cm /Ground Do 0 g /Mask Do", {"Ground": ground, "Mask": mask})
    page = read_one(pdf)
    assert size(page) == (240, 330)
    assert np.array_equal(page.pixels[..., 0] < 100, ~ink)


@pytest.mark.parametrize("drawn", ["2 w 0 0 m 80 110 l S", "BT /F 8 Tf 5 50 Td (7) Tj ET"])
def test_ink_over_a_coarse_picture_is_still_seen(read_one, drawn):
    """A template of 50 dpi, written on with a pen on a tablet: enlarged by a whole number."""
    pdf = Pdf()
    image = pdf.image(noise(110, 80))
    font = "/Resources<</Font<</F<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>>>"
    picture = f"q 115.2 0 0 158.4 0 0 cm /Im Do Q {drawn}"
    number = pdf.page((115.2, 158.4), picture, {"Im": image})
    pdf.objects[number - 1] = pdf.objects[number - 1].replace("/Resources<<", font, 1)
    assert size(read_one(pdf)) == (240, 330)


def test_text_that_ocr_has_hidden_under_a_scan_changes_nothing(read_one):
    pdf = Pdf()
    image = pdf.image(noise(110, 80))
    number = pdf.page((115.2, 158.4), "q 115.2 0 0 158.4 0 0 cm /Im Do Q BT 3 Tr /F 8 Tf (7) Tj ET", {"Im": image})
    font = "/Resources<</Font<</F<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>>>"
    pdf.objects[number - 1] = pdf.objects[number - 1].replace("/Resources<<", font, 1)
    assert np.array_equal(read_one(pdf).pixels, bgr(noise(110, 80)))


placed = st.builds(Placed, *[st.floats(1e-3, 1e3)] * 2, st.floats(0, 1))


@given(st.floats(0.01, 1e6), st.floats(0.01, 1e6), st.lists(placed, max_size=5), st.booleans())
def test_no_page_is_larger_than_allowed(width, height, pictures, drawn):
    across, down = page_size(width, height, pictures, drawn=drawn, max_pixels=1_000_000)
    assert across >= 1
    assert down >= 1
    assert across * down <= 1_000_000


@given(st.integers(1, 9000), st.integers(1, 9000), st.integers(1, 4000))
def test_a_reduced_size(width, height, least):
    small = reduced((width, height), least)
    assert max(small) >= min(least, max(width, height))
    assert small == (width, height) or max(small) >= least
    assert max(small) <= 2 * least or 8 * max(small) >= max(width, height)
    assert reduced((width, height), None) == (width, height)


@pytest.mark.parametrize("least", [300, 160, 159, 100, 80, 40, 1])
def test_a_reduced_page_knows_its_original(read_one, least):
    smooth = cv2.GaussianBlur(noise(640, 447), (0, 0), 4)
    pdf = Pdf()
    pdf.scan(smooth, 200)
    page = read_one(pdf, reduce_to=least)
    width, height = size(page)
    assert least <= height
    assert (width * page.scale[0], height * page.scale[1]) == pytest.approx((447, 640))
    assert (height < 2 * least) == (least >= 80)
    wanted = cv2.resize(bgr(smooth), (width, height), interpolation=cv2.INTER_AREA)
    assert np.abs(page.pixels.astype(int) - wanted).mean() < 1.5


# Forms and annotations


FIELD = "/Type/Annot/Subtype/Widget/FT/Tx/T(a)/V(7)/F 4/Rect[10 10 60 60]"
BLACK = "0 g 0 0 50 50 re f"


def with_annotation(entries, *, appearance=BLACK, form=""):
    pdf = Pdf()
    look = ""
    if appearance:
        number = pdf.add(stream(appearance.encode(), "/Type/XObject/Subtype/Form/BBox[0 0 50 50]"))
        look = f"/AP<</N {number} 0 R>>"
    annotation = pdf.add(f"<<{entries}{look}>>")
    pdf.page((72, 72), entries=f"/Annots[{annotation} 0 R]")
    pdf.catalogue = form.replace("FIELD", f"{annotation} 0 R")
    return pdf


@pytest.mark.parametrize(
    "pdf",
    [
        with_annotation(FIELD, form="/AcroForm<</Fields[FIELD]>>"),
        with_annotation(FIELD, form="/AcroForm<</Fields[FIELD]/XFA[]>>"),
        with_annotation("/Type/Annot/Subtype/Stamp/F 4/Rect[10 10 60 60]"),
        with_annotation(
            "/Type/Annot/Subtype/Ink/F 4/Rect[10 10 60 60]/C[0 0 0]/BS<</W 50>>/InkList[[10 35 60 35]]", appearance=""
        ),
    ],
    ids=["field", "field of an XFA form", "stamp", "ink without an appearance"],
)
def test_what_was_filled_in_is_seen(read_one, capfd, pdf):
    page = read_one(pdf)
    assert size(page) == (300, 300)
    assert page.pixels[150, 150].tolist() == [0, 0, 0]
    assert page.pixels[:30, :30].min() == 255
    assert capfd.readouterr() == ("", "")


def test_an_empty_field_is_paper(read_one):
    """Viewers colour the fields of forms; that would be no paper."""
    page = read_one(with_annotation(FIELD, appearance="q Q", form="/AcroForm<</Fields[FIELD]>>"))
    assert (page.pixels == 255).all()


def test_a_hidden_annotation_stays_hidden(read_one):
    page = read_one(with_annotation("/Type/Annot/Subtype/Stamp/F 2/Rect[10 10 60 60]"))
    assert (page.pixels == 255).all()


# Pages


def numbered(count):
    pdf = Pdf()
    for number in range(count):
        pdf.scan(np.full((10, 10 + number), 10 * number % 256, np.uint8), 100)
    return pdf


def test_pages_come_in_the_order_of_the_document(read):
    pages = read(numbered(7))
    assert [page.id for page in pages] == [PageId("scans.pdf", number) for number in range(1, 8)]
    assert [size(page) for page in pages] == [(10 + number, 10) for number in range(7)]


def test_pages_can_be_read_in_any_order_and_again(tmp_path):
    path = tmp_path / "scans.pdf"
    path.write_bytes(numbered(6).content())
    with open_document(path) as document:
        assert document.pages == 6
        for number in (4, 6, 1, 4, 3, 3):
            page = document.read(PageId("a", number))
            assert page.id == PageId("a", number)
            assert (size(page), page.pixels[5, 5, 0]) == ((9 + number, 10), 10 * number - 10)
    assert read_page(path, PageId("a", 5)).pixels.shape == (10, 14, 3)
    with pytest.raises(PageError, match="no page 7"):
        read_page(path, PageId("a", 7))


def test_threads_take_turns(tmp_path, monkeypatch):
    """pdfium is not made for more than one."""
    path = tmp_path / "scans.pdf"
    path.write_bytes(numbered(4).content())
    pdfium = importlib.import_module("pypdfium2.raw")
    draw, inside, most, found = pdfium.FPDF_RenderPageBitmapWithMatrix, [], [], []

    def slowly(*arguments):
        inside.append(None)
        most.append(len(inside))
        sleep(0.002)
        draw(*arguments)
        inside.pop()

    def work():
        found.append([size(page)[0] for page in read_pages(path, "a")])

    monkeypatch.setattr(pdfium, "FPDF_RenderPageBitmapWithMatrix", slowly)
    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [[10, 11, 12, 13]] * 4
    assert max(most) == 1


def test_a_page_outlives_its_document(tmp_path):
    path = tmp_path / "scans.pdf"
    path.write_bytes(numbered(2).content())
    with open_document(path) as document:
        page = document.read(PageId("a", 2))
    page.pixels[0] = 3
    assert set(page.pixels.ravel().tolist()) == {3, 10}


@pytest.mark.parametrize("name", ["scan.jpg", "scan", "ein Blatt_é.pdf", "a,\nb.pdf"])
def test_the_name_does_not_matter(tmp_path, name):
    path = tmp_path / name
    path.write_bytes(numbered(1).content())
    assert len(list(read_pages(path, name))) == 1


def test_lines_before_the_header(read_one):
    pdf = numbered(1)
    assert size(read_one(pdf.content(header=b"\r\nX-Printer: 7\r\n%PDF-1.4\n"))) == (10, 10)


def test_a_thousand_pages_leave_nothing_behind(tmp_path):
    """An open document, and opening it again and again."""
    statm = "/proc/self/statm"
    if not os.path.exists(statm):  # noqa: PTH110
        pytest.skip("no /proc to tell the memory in use")
    pdf = Pdf()
    for number in range(100):
        pdf.scan(noise(200, 100, number), 100, coding="jpeg" if number % 2 else "flate")
    path = tmp_path / "scans.pdf"
    path.write_bytes(pdf.content())

    def read_all():
        assert len(list(read_pages(path, "a"))) == 100
        with open(statm) as file:  # noqa: PTH123
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    before = [read_all() for _ in range(3)][-1]
    after = [read_all() for _ in range(10)][-1]
    assert after - before < 5e6  # the pixels of these pages are 60 MB


# Damage


def three_scans():
    pdf = Pdf()
    images = [pdf.scan(noise(60, 40, number), 100, coding="jpeg" if number == 1 else "flate") for number in range(3)]
    return pdf, images


def breaks(pdf, images):
    """Each way to break the second of three pages, and how that is called."""
    jpeg = pdf.objects[images[1] - 1]
    flate = pdf.objects[images[0] - 1]
    data = jpeg.index(b"stream\n") + 7
    yield "no page", pdf.pages[1], "null", "unreadable"
    yield "no jpeg", images[1], jpeg[:data] + bytes(len(jpeg) - data - 10) + b"\nendstream", "truncated"
    half = (data + len(jpeg)) // 2
    yield "half a jpeg", images[1], jpeg[:half] + bytes(len(jpeg) - half - 10) + b"\nendstream", "truncated"
    data = flate.index(b"stream\n") + 7
    half = (data + len(flate)) // 2
    yield "half a flate", images[1], flate[:half] + bytes(len(flate) - half - 10) + b"\nendstream", "truncated"
    yield "flipped flate", images[1], flate[:half] + bytes([flate[half] ^ 255]) + flate[half + 1 :], "truncated"
    short = zlib.compress(noise(60, 40).tobytes())[:1200]
    entries = "/Type/XObject/Subtype/Image/Width 40/Height 60/BitsPerComponent 8/ColorSpace/DeviceGray"
    yield "short flate", images[1], stream(short, entries + "/Filter/FlateDecode"), "truncated"
    yield "no jpeg 2000", images[1], stream(noise(30, 30).tobytes(), entries + "/Filter/JPXDecode"), "unreadable"
    yield "no data", images[1], stream(b"", entries + "/Filter/LZWDecode"), "unreadable"


@pytest.mark.parametrize("nth", range(8), ids=[name for name, *_ in breaks(*three_scans())])
def test_a_damaged_page_costs_only_itself(read, capfd, nth):
    pdf, images = three_scans()
    _, number, body, reason = list(breaks(pdf, images))[nth]
    pdf.objects[number - 1] = body
    first, (page, error), third = read(pdf)
    assert (page, error.reason) == (PageId("scans.pdf", 2), reason)
    assert np.array_equal(first.pixels, bgr(noise(60, 40, 0)))
    assert np.array_equal(third.pixels, bgr(noise(60, 40, 2)))
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("colour", [0, 255])
@pytest.mark.parametrize("filters", ["[/FlateDecode]", "[/ASCIIHexDecode/FlateDecode]", "[/ASCIIHexDecode]"])
def test_a_page_of_one_colour_is_not_damaged(read_one, colour, filters):
    pdf = Pdf()
    data = bytes([colour]) * 600
    if "Flate" in filters:
        data = zlib.compress(data)
    if "Hex" in filters:
        data = data.hex().encode() + b">"
    image = pdf.picture(data, 20, 30, f"/BitsPerComponent 8/ColorSpace/DeviceGray/Filter{filters}")
    pdf.page((20, 30), "20 0 0 30 0 0 cm /Im Do", {"Im": image})
    assert (read_one(pdf).pixels == colour).all()


@pytest.mark.parametrize("missing", [1, 4])
def test_picture_data_without_their_checksum_are_whole(read_one, missing):
    """Some programs write them so, and no viewer minds."""
    pdf = Pdf()
    image = pdf.picture(
        zlib.compress(noise(30, 20).tobytes())[:-missing],
        20,
        30,
        "/BitsPerComponent 8/ColorSpace/DeviceGray/Filter/FlateDecode",
    )
    pdf.page((20, 30), "20 0 0 30 0 0 cm /Im Do", {"Im": image})
    assert np.array_equal(read_one(pdf).pixels, bgr(noise(30, 20)))


@pytest.mark.parametrize("missing", [40, 300, 3000, 8000])
def test_a_pdf_cut_off(reason, missing):
    content = three_scans()[0].content()
    assert len(content) > 9000
    assert reason(content[:-missing]) == "truncated"


def test_a_pdf_cut_off_that_could_still_be_opened(reason):
    """Prepared for the web: the first words of such a file are enough to find the pages, but not what is on them."""
    pdf, _ = three_scans()
    whole = pdf.content()
    end = whole.index(b"xref\n")
    moved = whole.replace(b"%PDF-1.7\n", b"%PDF-1.7\ntrailer<</Root 1 0 R>>\n")
    assert reason(moved[: end - 2500] + bytes(3000)) == "truncated"


def test_a_damaged_pdf(reason):
    assert reason(b"%PDF-1.4\n" + noise(50, 50).tobytes() + b"\nstartxref\n0\n%%EOF") == "unreadable"
    assert reason(Pdf().content()) == "unreadable"  # no pages


@given(st.data())
@settings(max_examples=60)
def test_random_damage_never_escapes_as_another_error(tmp_path_factory, data):
    content = bytearray(three_scans()[0].content() if data.draw(st.booleans()) else numbered(3).content())
    for _ in range(data.draw(st.integers(1, 6))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.mktemp("damaged") / "damaged.pdf"
    path.write_bytes(content)
    for page in read_pages(path, "damaged.pdf", limits=Limits(max_pixels=1_000_000, max_pages=20)):
        assert isinstance(page, Page) or isinstance(page[1], PageError)


# Encryption

PADDING = bytes.fromhex("28bf4e5e4e758a4164004e56fffa01082e2e00b6d0683e802f0ca9fe6453697a")


def rc4(key, data):
    box = list(range(256))
    j = 0
    for i in range(256):
        j = (j + box[i] + key[i % len(key)]) % 256
        box[i], box[j] = box[j], box[i]
    out, i, j = bytearray(), 0, 0
    for byte in data:
        i = (i + 1) % 256
        j = (j + box[i]) % 256
        box[i], box[j] = box[j], box[i]
        out.append(byte ^ box[(box[i] + box[j]) % 256])
    return bytes(out)


def encrypted(password):
    """A page with a black bar, encrypted with RC4 of 40 bits; "owner" is the other password."""
    padded = (password + PADDING)[:32]
    owner = rc4(hashlib.md5(b"owner" + PADDING[:27]).digest()[:5], padded)
    key = hashlib.md5(padded + owner + (-4 & 0xFFFFFFFF).to_bytes(4, "little") + b"id").digest()[:5]
    bar = rc4(hashlib.md5(key + (4).to_bytes(3, "little") + bytes(2)).digest()[:10], b"0 g 0 0 36 72 re f")
    return assemble(
        [
            "<</Type/Catalog/Pages 2 0 R>>",
            "<</Type/Pages/Kids[3 0 R]/Count 1>>",
            "<</Type/Page/Parent 2 0 R/MediaBox[0 0 72 72]/Contents 4 0 R>>",
            stream(bar),
        ],
        f"/ID[<6964><6964>]/Encrypt<</Filter/Standard/V 1/R 2/P -4/O<{owner.hex()}>/U<{rc4(key, PADDING).hex()}>>>",
    )


def test_a_pdf_with_a_password(reason):
    assert reason(encrypted(b"secret")) == "encrypted"


def test_a_pdf_with_an_unknown_encryption(reason):
    content = encrypted(b"").replace(b"/Filter/Standard", b"/Filter/Strange1")
    assert reason(content) == "encrypted"


def test_a_pdf_that_only_its_owner_may_change_is_read(read_one):
    page = read_one(encrypted(b""))
    assert page.pixels[150, 100:290:100, 0].tolist() == [0, 255]


# Limits


@pytest.mark.parametrize("count", [11, 10**6, 10**9])
def test_a_document_of_too_many_pages(reason, count):
    assert reason(numbered(11).content(count=count), limits=Limits(max_pages=10)) == "too_many_pages"


def test_as_many_pages_as_allowed(read):
    assert len(read(numbered(10), limits=Limits(max_pages=10))) == 10


def grown(action):
    """Run something; return seconds of work, and by how many bytes the process grew at most."""
    resource = pytest.importorskip("resource")
    before, start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, process_time()
    action()
    seconds = process_time() - start
    more = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    return seconds, more * (1 if sys.platform == "darwin" else 1024)


def grown_by_refusing(path, reason, *words):
    """Read a document that must be refused at once; return by how many bytes that made the process grow."""

    def refuse():
        ((_, error),) = read_pages(path, path.name)
        assert error.reason == reason
        for word in words:
            assert word in error.detail

    seconds, memory = grown(refuse)
    assert seconds < 1
    return memory


@pytest.mark.parametrize("count", [None, 10**9, 0], ids=["told", "exaggerated", "untold"])
def test_a_hundred_thousand_pages_are_refused_at_once(tmp_path, read, count):
    read(numbered(1))  # what loading pdfium takes does not count
    page = b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 9 9]>>"
    kids = b" ".join(b"%d 0 R" % number for number in range(3, 100_003))
    tree = b"<</Type/Pages/Kids[" + kids + b"]/Count %d>>" % (100_000 if count is None else count)
    path = tmp_path / "many.pdf"
    path.write_bytes(assemble(["<</Type/Catalog/Pages 2 0 R>>", tree, *[page] * 100_000]))
    assert grown_by_refusing(path, "too_many_pages", "--max-pages", "10,000") < 300e6


def test_a_page_count_that_lies(read):
    """The pages that are missing at the end cost one row, however many they are."""
    pages = read(numbered(2).content(count=9000))
    assert len(pages) == 3
    assert [size(page) for page in pages[:2]] == [(10, 10), (11, 10)]
    page, error = pages[2]
    assert (page.number, error.reason) == (3, "unreadable")
    assert "9,000" in error.detail


@pytest.mark.parametrize("kids", ["2 0 R 3 0 R", "3 0 R 2 0 R 3 0 R", "2 0 R"])
@pytest.mark.parametrize("count", [1, 3, 10**9])
def test_a_page_tree_that_leads_in_a_circle_ends(read, kids, count):
    content = assemble(
        [
            "<</Type/Catalog/Pages 2 0 R>>",
            f"<</Type/Pages/Kids[{kids}]/Count {count}>>",
            "<</Type/Page/Parent 2 0 R/MediaBox[0 0 9 9]>>",
        ]
    )
    assert 1 <= len(read(content)) <= 3


def test_a_page_tree_that_multiplies_ends(reason):
    """Seven levels, each ten times the one below: ten million pages in a thousand bytes."""
    levels = [f"<</Type/Pages/Kids[{f'{n + 3} 0 R ' * 10}]/Count 1000000000>>" for n in range(7)]
    content = assemble(["<</Type/Catalog/Pages 2 0 R>>", *levels, "<</Type/Page/Parent 2 0 R/MediaBox[0 0 9 9]>>"])
    assert len(content) < 2000
    assert reason(content) in ("too_many_pages", "unreadable")


def black(width, height):
    """Compress that many black pixels of one bit without ever having them all."""
    packer = zlib.compressobj(9)
    row = bytes(width // 8)
    return b"".join(packer.compress(row * 100) for _ in range(height // 100)) + packer.flush()


@pytest.mark.parametrize("part", [1.0, 0.01], ids=["a scan", "a logo"])
def test_a_bomb_is_refused_before_it_goes_off(tmp_path, read, part):
    read(numbered(1))
    pdf = Pdf()
    entries = "/BitsPerComponent 1/ColorSpace/DeviceGray/Filter/FlateDecode"
    image = pdf.picture(black(60_000, 60_000), 60_000, 60_000, entries)
    pdf.page((200, 200), f"{200 * part} 0 0 {200 * part} 0 0 cm /Im Do", {"Im": image})
    path = tmp_path / "bomb.pdf"
    path.write_bytes(pdf.content())
    assert path.stat().st_size < 500_000
    assert grown_by_refusing(path, "too_large", "--max-pixels", "3,600,000,000") < 50e6


def test_a_picture_shown_often_is_as_much_work_as_many(read):
    pdf = Pdf()
    image = pdf.image(noise(100, 100))
    for times in (3, 4):
        pdf.page((72, 72), "q 10 0 0 10 0 0 cm /Im Do Q " * times, {"Im": image})
    page, (_, error) = read(pdf, limits=Limits(max_pixels=30_000))
    assert isinstance(page, Page)
    assert error.reason == "too_large"


def test_the_limit_is_for_each_page(read):
    pdf = Pdf()
    pdf.scan(noise(100, 100), 100)
    pdf.scan(noise(100, 101), 100)
    pdf.scan(noise(100, 100), 100)
    first, (_, error), third = read(pdf, limits=Limits(max_pixels=10_000), reduce_to=10)
    assert first.pixels.shape == third.pixels.shape == (13, 13, 3)
    assert error.reason == "too_large"
    assert re.search(r"10,100 .*10,000", error.detail)


def test_a_huge_page_without_pictures_is_drawn_coarser(read_one):
    pdf = Pdf()
    pdf.page((14_400, 7200), "7200 0 7200 7200 re f")
    page = read_one(pdf, limits=Limits(max_pixels=20_000))
    assert size(page) == (200, 100)
    assert page.scale == (1.0, 1.0)
    assert page.pixels[50, 50:200:100, 0].tolist() == [255, 0]


def test_without_its_reader(reason, monkeypatch):
    monkeypatch.setitem(sys.modules, "pypdfium2", None)
    assert reason(numbered(1)) == "reader_missing"
