from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batchdigits.batch import rows_of
from batchdigits.errors import PageError
from batchdigits.imaging.pipeline import find_digit, trace
from batchdigits.imaging.settings import ImagingSettings
from batchdigits.imaging.text import find_text
from batchdigits.imaging.writing import FINER, size_at_a_glance
from batchdigits.looking import look
from batchdigits.sources.walk import find_sources
from batchdigits.training.scenes import PrintedBox, Ruling, random_scene
from batchdigits.training.simulator import Pen, draw_ink, draw_skeleton, photograph
from batchdigits.training.texts import simulate_text
from batchdigits.types import Layout, Page, PageId, Status
from batchdigits.worker import read_source

SETTINGS = ImagingSettings()
PEN = Pen()


def write(sheet, digit, left, top, height, pen=PEN):
    ink = draw_ink(
        draw_skeleton(digit, np.random.default_rng(3), wobble=0.5),
        height=height,
        pen=pen,
        rng=np.random.default_rng(3),
    )
    place = sheet[top : top + ink.shape[0], left : left + ink.shape[1]]
    place[:] = np.minimum(place, np.rint(245 - 200 * ink[..., None])).astype(np.uint8)
    return ink


def cosine(a, b):
    return float(np.vdot(a, b) / np.linalg.norm(a) / np.linalg.norm(b))


@pytest.fixture
def large_page():
    """A digit of 60 rows on a page of 12 megapixels, and what its tile should be."""
    sheet = np.full((3000, 4000, 3), 245, np.uint8)
    write(sheet, 8, 2100, 1300, 60)
    alone = np.full((120, 120, 3), 245, np.uint8)
    write(alone, 8, 40, 30, 60)
    return sheet, trace(alone, SETTINGS).tile


def test_a_small_digit_is_looked_at_again_at_full_resolution(large_page, tmp_path):
    sheet, wanted = large_page
    page = Page(PageId("x"), sheet)
    assert cosine(find_digit(page, SETTINGS).pixels[0], wanted) < 0.94
    tiles = look(page, SETTINGS, Layout.DIGIT).tiles
    assert cosine(tiles.pixels[0], wanted) > 0.97
    assert np.abs(np.subtract(tiles.boxes[0][:2], (2100, 1300))).max() <= 4
    cv2.imwrite(str(tmp_path / "page.jpg"), sheet, [cv2.IMWRITE_JPEG_QUALITY, 95])
    ((from_file,),) = (read_source(source, SETTINGS) for source in find_sources([tmp_path]).sources)
    assert cosine(from_file.pixels[0], wanted) > 0.95
    assert np.abs(np.subtract(from_file.boxes[0], tiles.boxes[0])).max() <= 4


def test_a_closer_look_forgets_no_second_digit(large_page):
    sheet, _ = large_page
    write(sheet, 5, 600, 400, 60)
    assert look(Page(PageId("x"), sheet), SETTINGS, Layout.DIGIT).tiles.notes == ("several_digits",)


def test_large_digits_are_looked_at_once():
    sheet = np.full((200, 200, 3), 245, np.uint8)
    write(sheet, 8, 60, 60, 80)
    page = Page(PageId("x"), sheet)
    assert look(page, SETTINGS, Layout.DIGIT).page is page
    assert look(page, SETTINGS, Layout.PAGE).finer == FINER


def test_a_closer_look_keeps_to_the_digit_that_was_found(large_page):
    sheet, wanted = large_page
    cv2.circle(sheet, (2202, 1330), 50, (60, 60, 60), -1)  # the hole of a punch: no stroke, until a part is cut off
    tiles = look(Page(PageId("x"), sheet), SETTINGS, Layout.DIGIT).tiles
    assert np.abs(np.subtract(tiles.boxes[0], (2100, 1300, 2132, 1363))).max() <= 8


def dust(sheet, rng, count, radius):
    for x, y in rng.integers(20, min(sheet.shape[:2]) - 20, (count, 2)):
        cv2.circle(sheet, (int(x), int(y)), radius, (70, 70, 70), -1, cv2.LINE_AA)


EMPTY_BOXES = {
    "thin": PrintedBox("full", thickness=0.008),
    "thick": PrintedBox("full", thickness=0.04),
    "pale": PrintedBox("full", thickness=0.02, colour=(150, 150, 150)),
    "at the picture's edge": PrintedBox("full", (0.0,) * 4, thickness=0.02),
    "half out of view": PrintedBox("full", (-0.1, -0.1, 0.08, 0.08)),
    "comb": PrintedBox("partial", (0.08,) * 4, ("left", "bottom", "right"), 0.015),
}


def status_of(pixels, layout, model):
    tiles = look(Page(PageId("x"), pixels), SETTINGS, layout).tiles
    ((row,),) = rows_of([[tiles]], model)
    return row.status


@pytest.mark.parametrize("layout", Layout)
@pytest.mark.parametrize("style", EMPTY_BOXES)
def test_a_box_that_nobody_wrote_in_is_blank(style, layout, cnn):
    for seed in range(6):
        rng = np.random.default_rng(seed)
        scene = replace(random_scene(rng, difficulty=0.3), size=(200, 200), rotation=float(rng.normal()))
        scene = replace(scene, box=EMPTY_BOXES[style], ruling=Ruling(), edge=0, specks=0, shadow=0)
        assert status_of(photograph(np.zeros((9, 9), np.float32), scene, rng), layout, cnn) is Status.BLANK


@pytest.mark.parametrize("layout", Layout)
def test_dust_on_blank_paper_is_no_ink(layout, cnn):
    rng = np.random.default_rng(0)
    for size, radius in ((240, 2), (1000, 8), (3000, 12)):
        sheet = np.full((size, size, 3), 235, np.uint8)
        dust(sheet, rng, 4, radius)
        assert status_of(sheet, layout, cnn) is Status.BLANK


@pytest.mark.parametrize("layout", [Layout.DIGIT, Layout.NUMBER])
@pytest.mark.parametrize("left", [100, 31])
def test_a_one_beside_a_box_or_below_its_side_is_no_line(left, layout, cnn):
    sheet = np.full((400, 400, 3), 240, np.uint8)
    if left == 31:
        sheet = sheet[:200, :200].copy()
        cv2.rectangle(sheet, (20, 20), (180, 180), (40, 40, 40), 10)
        cv2.line(sheet, (31, 60), (31, 140), (60, 60, 60), 3, cv2.LINE_AA)
    else:
        cv2.rectangle(sheet, (100, 20), (300, 160), (60, 60, 60), 4)
        cv2.line(sheet, (100, 230), (100, 340), (60, 60, 60), 4, cv2.LINE_AA)
    assert status_of(sheet, layout, cnn) is not Status.BLANK


def test_a_one_as_tall_as_its_box_is_for_a_person_to_see(cnn):
    sheet = np.full((200, 200, 3), 240, np.uint8)
    cv2.rectangle(sheet, (30, 30), (170, 170), (60, 60, 60), 3)
    cv2.line(sheet, (100, 34), (100, 166), (60, 60, 60), 5, cv2.LINE_AA)
    assert status_of(sheet, Layout.DIGIT, cnn) is Status.REVIEW


def test_a_seven_cut_out_along_its_strokes_is_for_a_person_to_see(cnn):
    sheet = np.full((100, 64, 3), 240, np.uint8)
    cv2.polylines(sheet, [np.array([[4, 4], [59, 4], [50, 97]])], False, (60, 60, 60), 4, cv2.LINE_AA)
    tiles = look(Page(PageId("x"), sheet), SETTINGS, Layout.DIGIT).tiles
    ((row,),) = rows_of([[tiles]], cnn)
    assert (row.prediction, row.status, row.reason) == ("7", Status.REVIEW, "cut_off")


def test_the_bar_of_a_seven_that_reaches_the_edge_is_not_lost(cnn):
    sheet = np.full((140, 110, 3), 240, np.uint8)
    cv2.line(sheet, (80, 20), (55, 125), (60, 60, 60), 6, cv2.LINE_AA)
    for left in (0, 4):
        cv2.line(sheet, (left, 24), (62, 22), (60, 60, 60), 6, cv2.LINE_AA)
        assert status_of(sheet, Layout.DIGIT, cnn) is Status.REVIEW


def test_a_digit_that_looks_like_dust_is_found_if_the_file_shows_more():
    sheet = np.full((3000, 4000, 3), 245, np.uint8)
    write(sheet, 0, 2100, 1300, 30, Pen(width=0.15))
    assert not trace(sheet, SETTINGS).groups[0].written
    (box,) = look(Page(PageId("x"), sheet), SETTINGS, Layout.DIGIT).tiles.boxes
    assert np.abs(np.subtract(box[:2], (2100, 1300))).max() <= 4


def test_a_tick_beside_a_digit_is_left_out_where_the_digit_looks_better_without(cnn):
    alone = 0
    for digit in range(10):
        sheet = np.full((240, 240, 3), 240, np.uint8)
        ink = write(sheet, digit, 50, 60, 120)
        right = 50 + int(np.flatnonzero(ink.max(axis=0) > 0.5)[-1])
        tick = np.array([[right + 20, 130], [right + 34, 150], [right + 62, 105]])
        cv2.polylines(sheet, [tick], False, (60, 60, 60), 7, cv2.LINE_AA)
        tiles = look(Page(PageId("x"), sheet), SETTINGS, Layout.DIGIT).tiles
        ((row,),) = rows_of([[tiles]], cnn)
        assert row.status is not Status.OK or row.prediction == str(digit)
        alone += row.prediction == str(digit) and row.box.right <= right + 8
    assert alone >= 9


def test_a_digit_that_only_seemed_to_touch_the_edge_is_not_cut_off():
    sheet = np.full((3000, 4000, 3), 245, np.uint8)
    write(sheet, 8, 3, 1300, 60)
    page = Page(PageId("x"), sheet)
    assert find_digit(page, SETTINGS).notes == ("cut_off",)
    assert look(page, SETTINGS, Layout.DIGIT).tiles.notes == ()


def test_what_was_seen_is_kept_where_a_page_cannot_be_decoded_again(large_page):
    sheet, _ = large_page
    page = Page(PageId("x"), cv2.resize(sheet, None, fx=0.25, fy=0.25, interpolation=cv2.INTER_AREA), scale=(4.0, 4.0))

    def reread(size):
        raise PageError("too_large", "no memory")

    assert look(page, SETTINGS, Layout.DIGIT, reread).tiles.boxes
    assert look(page, SETTINGS, Layout.PAGE, reread).tiles.boxes


@pytest.mark.parametrize(("noise", "ink"), [(14, 60), (26, 60)])
def test_a_finer_look_at_a_noisy_page_loses_nothing(noise, ink):
    sheet = np.full((3000, 4000, 3), 245, np.uint8)
    for number in range(8):
        write(sheet, number, 700 + 100 * number, 800, 50)
    rng = np.random.default_rng(0)
    grey = 220 - (245 - sheet[..., :1].astype(np.float32)) * ink / 200 + rng.normal(0, noise, (3000, 4000, 1))
    page = Page(PageId("x"), np.repeat(np.clip(grey, 0, 255), 3, axis=2).astype(np.uint8))
    (coarse, *_), (found, *_) = (
        tiles.arrangements
        for tiles in (find_text(page, SETTINGS, Layout.NUMBER), look(page, SETTINGS, Layout.NUMBER).tiles)
    )
    assert 0 < sum(line.pieces for line in found.lines) <= 2 * sum(line.pieces for line in coarse.lines)


def test_a_page_of_small_digits_is_looked_at_more_finely():
    sheet = np.full((3000, 4000, 3), 245, np.uint8)
    for number in range(24):
        write(sheet, number % 10, 700 + 90 * (number % 8), 800 + 110 * (number // 8), 44)
    found = look(Page(PageId("x"), sheet), SETTINGS, Layout.PAGE)
    assert found.finer > 2
    upright = found.tiles.arrangements[0]
    assert [line.pieces for line in upright.lines] == [8, 8, 8]


@pytest.mark.parametrize("height", [44, 60, 90, 200])
def test_a_page_of_many_digits_is_looked_at_as_closely_as_their_size_asks_for(height):
    """Their size is told by a glance: some forty pixels, or as many as the usual working size shows."""
    sheet = np.full((3000, 4000, 3), 245, np.uint8)
    for number in range(40):
        write(sheet, number % 10, 60 + 2 * height * (number % 8), 60 + 2 * height * (number // 8), height)
    found = look(Page(PageId("x"), sheet), SETTINGS, Layout.PAGE)
    seen = found.finer * SETTINGS.work_size / 4000 * height
    assert 36 <= seen <= 44 or found.finer == FINER
    assert [line.pieces for line in found.tiles.arrangements[0].lines] == [8] * 5


def test_digits_on_rulings_are_of_the_same_size_at_a_glance():
    free, ruled = np.full((900, 1200, 3), 245, np.uint8), np.full((900, 1200, 3), 245, np.uint8)
    for line in range(5):
        cv2.line(ruled, (0, 137 + 120 * line), (1199, 137 + 120 * line), (150, 150, 150), 2)
        for number in range(8):
            for sheet in (free, ruled):
                write(sheet, (line + number) % 10, 60 + 120 * number, 80 + 120 * line, 60)
    assert 57 <= size_at_a_glance(free, SETTINGS) <= 63
    assert 57 <= size_at_a_glance(ruled, SETTINGS) <= 63
    assert size_at_a_glance(free[:300], SETTINGS) == 0.0  # too few to tell


@pytest.mark.parametrize("turns", range(4))
def test_a_page_of_few_digits_is_looked_at_as_before(turns):
    sheet = np.full((3000, 4000, 3), 245, np.uint8)
    for number in range(8):
        write(sheet, number, 700 + 100 * number, 800, 50)
    found = look(Page(PageId("x"), np.ascontiguousarray(np.rot90(sheet, turns))), SETTINGS, Layout.PAGE)
    assert found.finer == 5
    assert len(found.tiles.arrangements) == 4


def is_sound(tiles, pixels):
    height, width = pixels.shape[:2]
    inside = all(0 <= b.left < b.right <= width and 0 <= b.top < b.bottom <= height for b in tiles.boxes)
    in_range = bool(((tiles.pixels >= 0) & (tiles.pixels <= 1 + 1e-6)).all())  # false for NaN
    spans = [span for held in tiles.arrangements for line in held.lines for span in line.spans]
    return inside and in_range and all(0 <= span.tile < len(tiles.boxes) for span in spans)


@given(st.integers(0, 2**32 - 1), st.sampled_from(Layout))
@settings(max_examples=40, deadline=None)
def test_no_damage_to_a_photo_breaks_a_look(seed, layout):
    rng = np.random.default_rng(seed)
    pixels = simulate_text("407 1", rng, difficulty=rng.uniform(0, 1))
    for _ in range(rng.integers(1, 5)):
        height, width = pixels.shape[:2]
        top, left = int(rng.integers(height)), int(rng.integers(width))
        part = pixels[top : top + int(rng.integers(1, height + 1)), left : left + int(rng.integers(1, width + 1))]
        match rng.integers(6):
            case 0:
                part[:] = 255 - part
            case 1:
                part[:] = rng.integers(0, 256, 3)
            case 2:
                part[:] = rng.integers(0, 256, part.shape)
            case 3:
                pixels = part.copy()
            case 4:
                pixels = np.repeat(pixels, int(rng.integers(1, 3)), axis=int(rng.integers(2)))
            case 5:
                part[:: int(rng.integers(1, 4))] = 0
    assert is_sound(look(Page(PageId("x"), pixels), SETTINGS, layout).tiles, pixels)


@pytest.mark.parametrize(("width", "sizes"), [(0.012, [960]), (0.05, [])])
def test_thin_strokes_of_a_large_photo_are_looked_at_again(width, sizes):
    sheet = np.full((1500, 2000, 3), 245, np.uint8)
    write(sheet, 4, 700, 400, 700, pen=replace(PEN, width=width))
    asked = []

    def decode(size):
        step = 4 if size is None or size <= 500 else 2
        return Page(PageId("x"), cv2.resize(sheet, None, fx=1 / step, fy=1 / step), (step, step))

    def reread(size):
        asked.append(size)
        return decode(size)

    tiles = look(decode(480), SETTINGS, Layout.DIGIT, reread).tiles
    assert asked == sizes
    assert cosine(tiles.pixels[0], trace(sheet, SETTINGS).tile) > 0.97


def photo_of(*digits, pen=PEN, size=(375, 500), height=200):
    """Digits on a sheet, as a JPEG of eight times that size is decoded at first, and how to decode it again."""
    sheet = np.full((2 * size[0], 2 * size[1], 3), 245, np.uint8)
    for number, digit in enumerate(digits):
        write(sheet, digit, 350 - 300 * number, 200, 2 * height, pen)
    asked = []

    def reread(wanted):
        asked.append(wanted)
        return Page(PageId("x"), sheet, scale=(4.0, 4.0))

    small = cv2.resize(sheet, size[::-1], interpolation=cv2.INTER_AREA)
    return Page(PageId("x"), small, scale=(8.0, 8.0)), reread, asked


@pytest.mark.parametrize("digit", range(10))
def test_a_large_bold_digit_is_told_at_a_glance(digit):
    page, reread, asked = photo_of(digit)
    seen = look(page, SETTINGS, Layout.DIGIT, reread)
    assert max(seen.page.pixels.shape) <= 256
    assert not asked
    in_full = trace(page.pixels, SETTINGS)
    assert cosine(seen.tiles.pixels[0], in_full.tile) > 0.97
    assert seen.tiles.notes == ()
    left, top, right, bottom = seen.tiles.boxes[0]
    wanted = np.multiply(in_full.groups[0].box, 8)
    assert np.abs(np.subtract((left, top, right, bottom), wanted)).max() <= 3 * 16  # pixels of the glance are 16 here


def test_a_glance_is_not_enough_for_thin_strokes_small_digits_and_doubts():
    for page, reread, _ in (photo_of(3, pen=replace(PEN, width=0.012)), photo_of(3, height=60)):
        assert max(look(page, SETTINGS, Layout.DIGIT, reread).page.pixels.shape) > 256
    page, reread, _ = photo_of(3, 5, height=150)
    seen = look(page, SETTINGS, Layout.DIGIT, reread)
    assert max(seen.page.pixels.shape) > 256
    assert seen.tiles.notes == ("several_digits",)


def test_a_blank_photo_is_looked_at_in_full():
    page = Page(PageId("x"), np.full((375, 500, 3), 240, np.uint8), scale=(8.0, 8.0))
    seen = look(page, SETTINGS, Layout.DIGIT)
    assert max(seen.page.pixels.shape) == 500
    assert not seen.tiles.boxes


@pytest.mark.parametrize("size", [(1, 600), (600, 1), (20, 1000), (384, 3)])
def test_a_glance_at_a_strip(size):
    page = Page(PageId("x"), np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8))
    assert is_sound(look(page, SETTINGS, Layout.DIGIT).tiles, page.pixels)
