"""Regions as users write them, and the place of what is read in them."""

import cv2
import numpy as np
import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from batchdigits.errors import ExitCode, UsageError
from batchdigits.imaging.pipeline import find_digit, to_original
from batchdigits.imaging.settings import ImagingSettings
from batchdigits.sources.images import crop_page
from batchdigits.sources.regions import parse_region, parse_regions
from batchdigits.sources.walk import Source
from batchdigits.types import Box, Page, PageId, Tiles
from batchdigits.worker import Failure, read_source

# What users write


def test_pixels():
    region = parse_region("10,20,30,40")
    assert region.on_page(1000, 1000) == Box(10, 20, 40, 60)
    assert region.name == "10,20,30,40"


def test_percent_of_the_page():
    region = parse_region("10%,20%,30%,5%")
    assert region.on_page(1000, 500) == Box(100, 100, 400, 125)
    assert region.on_page(100, 200) == Box(10, 40, 40, 50)


def test_pixels_and_percent_mixed():
    assert parse_region("10,50%,25%,40").on_page(400, 200) == Box(10, 100, 110, 140)


def test_fractions():
    assert parse_region("0,0,33.3%,66.7%").on_page(100, 100) == Box(0, 0, 33, 67)
    assert parse_region("1.6,0,10.2,5").on_page(100, 100) == Box(2, 0, 12, 5)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("total=1,2,3,4", "total"),
        ("  date of birth = 1, 2, 3, 4", "date of birth"),
        ("a=b=1,2,3,4", "a=b"),
        ("x,y=1,2,3,4", "x,y"),
        ("été=1%,2%,3%,4%", "été"),
        ("1 , 2,3 ,4 %", "1,2,3,4%"),
    ],
)
def test_names(text, name):
    assert parse_region(text).name == name


@pytest.mark.parametrize(
    "text",
    [
        "",
        "1,2,3",
        "1,2,3,4,5",
        "a,b,c,d",
        "1;2;3;4",
        "-1,2,3,4",
        "1,2,-3,4",
        "1e3,2,3,4",
        "1,2,3,4px",
        "1,2,3,4%%",
        "1,,3,4",
        "nan,1,2,3",
        "inf,1,2,3",
        "=1,2,3,4",
        " =1,2,3,4",
        "name=",
        "name",
        "1,2,3,4=name",
    ],
)
def test_what_is_no_region(text):
    with pytest.raises(UsageError, match="not of the form") as caught:
        parse_region(text)
    assert caught.value.exit_code == ExitCode.USAGE
    assert repr(text) in str(caught.value)


@pytest.mark.parametrize("text", ["1,2,0,4", "1,2,3,0", "1,2,0%,4", "1,2,3,0.0"])
def test_an_empty_region_is_refused(text):
    with pytest.raises(UsageError, match="no width or no height"):
        parse_region(text)


def test_regions_come_sorted_by_name():
    regions = parse_regions(["b=1,1,2,2", "B=1,1,2,2", "a=1,1,2,2", "10,10,5,5"])
    assert [region.name for region in regions] == ["10,10,5,5", "B", "a", "b"]
    assert parse_regions([]) == ()


@pytest.mark.parametrize("texts", [["a=1,1,2,2", "a=3,3,4,4"], ["1,2,3,4", "1, 2, 3, 4"], ["a=1,1,2,2", " a =1,1,2,2"]])
def test_two_of_one_name_are_refused(texts):
    with pytest.raises(UsageError, match="Two regions are called"):
        parse_regions(texts)


# Clipping


@pytest.mark.parametrize(
    ("text", "box"),
    [
        ("90,90,50,50", Box(90, 90, 100, 100)),
        ("0,0,1000,1000", Box(0, 0, 100, 100)),
        ("50%,50%,200%,200%", Box(50, 50, 100, 100)),
        ("99.4,0,10,10", Box(99, 0, 100, 10)),
        ("0,0," + "9" * 400 + ",10", Box(0, 0, 100, 10)),
    ],
)
def test_a_region_that_runs_out_of_the_page_is_clipped(text, box):
    assert parse_region(text).on_page(100, 100) == box


@pytest.mark.parametrize(
    "text", ["100,0,10,10", "0,100,10,10", "200,200,1,1", "100%,0,10,10", "0," + "9" * 400 + ",9,9"]
)
def test_a_region_outside_the_page_is_empty(text):
    box = parse_region(text).on_page(100, 100)
    assert box.width <= 0 or box.height <= 0


def test_neighbours_in_percent_leave_no_gap():
    boxes = [parse_region(f"{share}%,0,12.5%,100%").on_page(333, 77) for share in np.arange(0, 100, 12.5)]
    assert boxes[0].left == 0
    assert boxes[-1].right == 333
    assert all(first.right == second.left for first, second in zip(boxes, boxes[1:], strict=False))


numbers = st.floats(0, 300).map(lambda value: f"{value:.3f}")
parts = st.tuples(numbers, st.sampled_from(["", "%"])).map("".join)


@given(st.tuples(parts, parts, parts, parts).map(",".join), st.integers(1, 200), st.integers(1, 200))
def test_no_region_leaves_its_page(text, width, height):
    try:
        box = parse_region(text).on_page(width, height)
    except UsageError:
        assume(False)
    assert 0 <= box.left <= width
    assert 0 <= box.right <= width
    assert 0 <= box.top <= height
    assert 0 <= box.bottom <= height


# The place of what is read


def sheet(width=600, height=400, spots=((80, 60), (430, 280))):
    """Paint a white sheet with a thick ring, 40 pixels in diameter, at each spot."""
    pixels = np.full((height, width, 3), 255, np.uint8)
    for spot in spots:
        cv2.circle(pixels, spot, 18, (20, 20, 20), 5)
    return pixels


def is_around(box, spot, slack=4):
    wanted = spot[0] - 20, spot[1] - 20, spot[0] + 21, spot[1] + 21
    return all(abs(a - b) <= slack for a, b in zip(box, wanted, strict=True))


@pytest.mark.parametrize(("corner", "spot"), [((20, 10), (80, 60)), ((350, 220), (430, 280)), ((351, 227), (430, 280))])
def test_a_box_in_a_region_is_in_the_pages_pixels(corner, spot):
    page = Page(PageId("form.png"), sheet())
    part = crop_page(page, *corner, corner[0] + 160, corner[1] + 130, "field")
    assert part.id == PageId("form.png", 1, "field")
    (box,) = find_digit(part, ImagingSettings()).boxes
    assert is_around(box, spot)


def test_a_region_of_a_reduced_page_is_in_the_originals_pixels():
    small = Page(PageId("form.jpg"), cv2.resize(sheet(), (300, 200), interpolation=cv2.INTER_AREA), scale=(2.0, 2.0))
    (box,) = find_digit(crop_page(small, 175, 110, 255, 175, "field"), ImagingSettings()).boxes
    assert is_around(box, (430, 280), slack=6)


def test_a_region_of_a_region():
    page = Page(PageId("form.png"), sheet())
    part = crop_page(crop_page(page, 300, 200, 600, 400, "half"), 50, 20, 210, 150, "field")
    (box,) = find_digit(part, ImagingSettings()).boxes
    assert is_around(box, (430, 280))


@pytest.mark.parametrize("turn", [None, 6, 3, 8])
def test_regions_of_a_file_are_of_the_upright_page(tmp_path, turn):
    from PIL import Image

    stored = {None: sheet(), 6: np.rot90(sheet(), 1), 3: np.rot90(sheet(), 2), 8: np.rot90(sheet(), -1)}[turn]
    exif = Image.Exif()
    if turn:
        exif[0x0112] = turn
    path = tmp_path / "form.jpg"
    Image.fromarray(np.ascontiguousarray(stored)).save(path, exif=exif, quality=95)
    regions = parse_regions(["first=0,0,30%,30%", "second=350,55%,160,45%", "third=601,0,10,10"])
    first, second, third = read_source(Source.of(path), ImagingSettings(), regions)
    assert isinstance(first, Tiles)
    assert isinstance(second, Tiles)
    assert isinstance(third, Failure)
    assert [item.page.region for item in (first, second, third)] == ["first", "second", "third"]
    assert is_around(first.boxes[0], (80, 60))
    assert is_around(second.boxes[0], (430, 280))
    assert third.error.reason == "region_outside"
    assert "600 x 400" in third.error.detail


def test_a_region_of_a_large_photo_is_read_at_full_size(tmp_path):
    """A form's field may be a few pixels of a page that is reduced as a whole."""
    path = tmp_path / "form.jpg"
    assert cv2.imwrite(str(path), sheet(4000, 3000, spots=[(3000, 2000)]))
    (tiles,) = read_source(Source.of(path), ImagingSettings(), parse_regions(["2900,1900,200,200"]))
    assert is_around(tiles.boxes[0], (3000, 2000), slack=2)
    (whole,) = read_source(Source.of(path), ImagingSettings())
    assert is_around(whole.boxes[0], (3000, 2000), slack=14)  # one pixel of working size is six of the page


def test_an_unreadable_file_has_a_row_for_each_region(tmp_path):
    path = tmp_path / "empty.jpg"
    path.touch()
    results = read_source(Source.of(path), ImagingSettings(), parse_regions(["a=0,0,9,9", "b=0,0,9,9"]))
    assert [(result.page.region, result.error.reason) for result in results] == [
        ("a", "empty_file"),
        ("b", "empty_file"),
    ]


@pytest.mark.parametrize("text", ["0,0,1,1", "0,0,1,400", "0,0,600,1", "599,399,1,1", "0,0,0.4,0.4"])
def test_a_tiny_region_does_no_harm(tmp_path, text):
    path = tmp_path / "form.png"
    assert cv2.imwrite(str(path), sheet())
    (result,) = read_source(Source.of(path), ImagingSettings(), parse_regions([text]))
    assert isinstance(result, Tiles | Failure)
    if isinstance(result, Failure):
        assert result.error.reason == "region_outside"


@given(
    size=st.tuples(st.integers(1, 5000), st.integers(1, 5000)),
    work=st.tuples(st.integers(1, 640), st.integers(1, 640)),
    corner=st.sampled_from([(0, 0), (0, 7), (1234, 0)]),
)
@example(size=(499, 29), work=(480, 7), corner=(0, 0))
def test_the_box_of_the_whole_working_picture_is_the_whole_page(size, work, corner):
    width, height = size
    pixels = np.broadcast_to(np.uint8(255), (height, width, 3))
    page = Page(PageId("x"), pixels, origin=(float(corner[0]), float(corner[1])))
    box = to_original(Box(0, 0, *work), (work[1], work[0], 3), page)
    assert box == Box(corner[0], corner[1], corner[0] + width, corner[1] + height)


@given(st.integers(1, 5000), st.sampled_from([1, 2, 4, 8]), st.integers(1, 640))
@example(481, 8, 480)
def test_no_box_leaves_the_original_of_a_reduced_page(full, reduction, work):
    reduced = -(-full // reduction)
    page = Page(PageId("x"), np.zeros((1, reduced, 3), np.uint8), scale=(full / reduced, 1.0))
    assert to_original(Box(0, 0, work, 1), (1, work, 3), page).right == full
