from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from batchdigits.batch import rows_of
from batchdigits.imaging.pipeline import find_digit, trace
from batchdigits.imaging.settings import ImagingSettings
from batchdigits.training.simulator import draw_skeleton, simulate_photo
from batchdigits.types import Page, PageId, Status

SETTINGS = ImagingSettings()


def mnist_like(digit=3, seed=4):
    """Our own digit as MNIST has them: 20 x 20, white on black, centred by mass in 28 x 28."""
    photo = simulate_photo(digit, np.random.default_rng(seed), difficulty=0)
    return np.rint(trace(photo, SETTINGS).tile * 255).astype(np.uint8)


def cosine(a, b):
    return float(np.vdot(a, b) / np.linalg.norm(a) / np.linalg.norm(b))


@given(
    hnp.arrays(
        np.uint8,
        st.tuples(st.integers(1, 70), st.integers(1, 70), st.just(3)),
        elements=st.integers(0, 255),
        fill=st.sampled_from([0, 128, 255]),
    )
)
@settings(max_examples=60)
def test_no_picture_breaks_the_pipeline(pixels):
    tiles = find_digit(Page(PageId("x"), pixels), SETTINGS)
    assert np.isfinite(tiles.pixels).all()
    assert ((tiles.pixels >= 0) & (tiles.pixels <= 1 + 1e-6)).all()
    for box in tiles.boxes:
        assert 0 <= box.left < box.right <= pixels.shape[1]
        assert 0 <= box.top < box.bottom <= pixels.shape[0]


@pytest.mark.parametrize("shape", [(1, 1), (1, 20000), (20000, 1), (2, 3)])
@pytest.mark.parametrize("value", [0, 255])
def test_degenerate_pictures_are_blank(shape, value):
    assert find_digit(Page(PageId("x"), np.full((*shape, 3), value, np.uint8)), SETTINGS).boxes == ()


@pytest.mark.parametrize("digit", range(10))
def test_normalised_digits_come_through_unharmed(digit):
    before = mnist_like(digit)
    after = trace(np.repeat(before[..., None], 3, axis=2), SETTINGS).tile
    assert cosine(after, before / 255) > 0.97


@pytest.mark.parametrize("shift", [(0, 0), (40, -25), (-60, 55)])
def test_moving_the_digit_leaves_its_tile(shift):
    def page(dx, dy):
        pixels = np.full((320, 320, 3), 215, np.uint8)
        cv2.ellipse(pixels, (160 + dx, 160 + dy), (30, 50), 0, 20, 330, (40, 40, 40), 8)
        return trace(pixels, SETTINGS).tile

    # the paper is estimated on a grid, so equal up to rounding
    assert np.abs(page(*shift) - page(0, 0)).max() < 0.06


@pytest.mark.parametrize("ink", [(40, 40, 210), (190, 60, 30), (50, 130, 40)])
def test_colour_of_ink_does_not_change_the_tile(ink):
    def page(colour):
        pixels = np.full((200, 200, 3), 230, np.uint8)
        cv2.putText(pixels, "5", (50, 160), cv2.FONT_HERSHEY_DUPLEX, 5, colour, 8)
        return trace(pixels, SETTINGS).tile

    assert cosine(page(ink), page((20, 20, 20))) > 0.97


def test_a_negative_gives_the_same_tile():
    pixels = np.full((200, 200, 3), 255, np.uint8)
    cv2.putText(pixels, "2", (50, 160), cv2.FONT_HERSHEY_DUPLEX, 5, (0, 0, 0), 8)
    assert cosine(trace(pixels, SETTINGS).tile, trace(255 - pixels, SETTINGS).tile) > 0.99


def test_boxes_are_in_the_upright_originals_pixels():
    pixels = np.full((1500, 1000, 3), 230, np.uint8)
    cv2.rectangle(pixels, (480, 600), (520, 900), (30, 30, 30), -1)
    whole = find_digit(Page(PageId("x"), pixels), SETTINGS)
    half = find_digit(Page(PageId("x"), cv2.resize(pixels, (500, 750)), scale=(2.0, 2.0), origin=(7.0, 9.0)), SETTINGS)
    assert np.abs(np.subtract(whole.boxes[0], (480, 600, 521, 901))).max() <= 6
    assert np.abs(np.subtract(half.boxes[0], (487, 609, 528, 910))).max() <= 6


def test_a_one_from_edge_to_edge_is_read_with_a_doubt_and_an_empty_line_to_write_on_is_blank():
    pixels = np.full((200, 120, 3), 230, np.uint8)
    pixels[:, 55:63] = 40
    assert find_digit(Page(PageId("x"), pixels), SETTINGS).notes == ("cut_off",)
    field = np.full((120, 200, 3), 230, np.uint8)
    field[90:94] = 40
    assert find_digit(Page(PageId("x"), field), SETTINGS).boxes == ()


@pytest.mark.parametrize("digit", [1, 4, 5])
def test_strokes_along_the_edge_of_a_digit_cut_out_tightly_are_no_rulings_to_the_second_candidate(digit):
    pixels = np.full((300, 260, 3), 250, np.uint8)
    strokes = [
        np.rint(s * (120, 170) + (70, 60)).astype(np.int32) for s in draw_skeleton(digit, np.random.default_rng(3))
    ]
    cv2.polylines(pixels, strokes, False, (40, 40, 40), 8)
    left, top, width, height = cv2.boundingRect((pixels[..., 0] < 100).astype(np.uint8))
    tight = np.ascontiguousarray(pixels[top : top + height, left : left + width])
    without, with_lines = find_digit(Page(PageId("x"), tight), SETTINGS).pixels
    wanted = trace(pixels, SETTINGS).tile
    assert cosine(without, wanted) < 0.7
    assert cosine(with_lines, wanted) > 0.95


def lined_paper(height=500, width=400):
    pixels = np.full((height, width, 3), 250, np.uint8)
    pixels[30::45] = (220, 180, 150)
    pixels[31::45] = (220, 180, 150)
    pixels[:, 60:62] = (130, 130, 220)
    return pixels


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("digit", [1, 2, 4, 7])
def test_pale_rulings_and_a_margin_go_whatever_digit_is_on_them(digit, seed):
    rng = np.random.default_rng(seed)
    strokes = [np.rint(s * (90, 125) + (150, 140)).astype(np.int32) for s in draw_skeleton(digit, rng)]
    clean, lined = np.full((500, 400, 3), 250, np.uint8), lined_paper()
    for pixels in (clean, lined):
        cv2.polylines(pixels, strokes, False, (90, 50, 30), 8)
    tiles = find_digit(Page(PageId("x"), lined), SETTINGS)
    assert tiles.notes == ()
    assert cosine(tiles.pixels[0], trace(clean, SETTINGS).tile) > 0.95


def test_a_one_between_two_rulings_is_no_ruling():
    pixels = np.full((500, 400, 3), 250, np.uint8)
    for row in range(30, 500, 45):
        pixels[row : row + 3] = (200, 150, 110)
    pixels[121:301, 200:208] = (90, 50, 30)  # from one ruling to another
    assert find_digit(Page(PageId("x"), pixels), SETTINGS).boxes[0].height > 150


def test_a_frame_around_the_picture_is_no_dark_ground():
    pixels = np.full((130, 100, 3), 240, np.uint8)
    cv2.line(pixels, (52, 30), (48, 100), (60, 40, 30), 4)
    bare = trace(pixels, SETTINGS)
    cv2.rectangle(pixels, (0, 0), (99, 129), (20, 20, 20), 4)
    framed = trace(pixels, SETTINGS)
    assert not framed.light_on_dark
    assert cosine(framed.tile, bare.tile) > 0.95


def test_ink_at_the_edge_may_not_be_all():
    pixels = np.full((200, 200, 3), 230, np.uint8)
    cv2.putText(pixels, "9", (60, 160), cv2.FONT_HERSHEY_DUPLEX, 4, (20, 20, 20), 7)
    assert find_digit(Page(PageId("x"), pixels), SETTINGS).notes == ()
    assert find_digit(Page(PageId("x"), pixels[:130]), SETTINGS).notes == ("cut_off",)


def test_a_second_digit_is_noted():
    pixels = np.full((200, 300, 3), 230, np.uint8)
    cv2.putText(pixels, "4", (30, 150), cv2.FONT_HERSHEY_DUPLEX, 4, (20, 20, 20), 7)
    assert find_digit(Page(PageId("x"), pixels), SETTINGS).notes == ()
    cv2.putText(pixels, "7", (180, 150), cv2.FONT_HERSHEY_DUPLEX, 4, (20, 20, 20), 7)
    assert find_digit(Page(PageId("x"), pixels), SETTINGS).notes == ("several_digits",)


def test_a_thin_pale_digit_beside_a_bold_one_counts_as_a_second():
    pixels = np.full((200, 400, 3), 245, np.uint8)
    cv2.ellipse(pixels, (100, 100), (35, 60), 0, 0, 360, (20, 20, 20), 16)
    cv2.ellipse(pixels, (300, 100), (35, 60), 0, 0, 360, (110, 110, 110), 4)
    assert find_digit(Page(PageId("x"), pixels), SETTINGS).notes == ("several_digits",)


@pytest.mark.parametrize("gap", [14, 30])
@pytest.mark.parametrize("digit", [1, 2, 7, 8])
def test_an_underline_is_no_part_of_the_digit_and_no_second_one(digit, gap, cnn):
    pixels = np.full((300, 300, 3), 245, np.uint8)
    strokes = [
        np.rint(s * (90, 130) + (100, 60)).astype(np.int32) for s in draw_skeleton(digit, np.random.default_rng(1))
    ]
    cv2.polylines(pixels, strokes, False, (40, 40, 40), 8)
    bare = find_digit(Page(PageId("x"), pixels), SETTINGS)
    left, right, below = min(s[:, 0].min() for s in strokes), max(s[:, 0].max() for s in strokes), 190 + gap
    cv2.line(pixels, (int(left) - 20, below), (int(right) + 20, below - 3), (40, 40, 40), 6)
    lined = find_digit(Page(PageId("x"), pixels), SETTINGS)
    assert lined.notes == bare.notes
    assert max(cosine(tile, bare.pixels[0]) for tile in lined.pixels) > 0.98
    ((row,),) = rows_of([[lined]], cnn)
    assert row.prediction == str(digit)


def test_the_foot_of_a_three_that_lies_apart_is_no_underline(cnn):
    pixels = np.full((300, 300, 3), 245, np.uint8)
    cv2.polylines(
        pixels, [np.array([[105, 75], [150, 60], [165, 85], [135, 115], [165, 145]])], False, (40, 40, 40), 10
    )
    cv2.polylines(pixels, [np.array([[92, 176], [130, 186], [182, 175]])], False, (40, 40, 40), 10)
    ((row,),) = rows_of([[find_digit(Page(PageId("x"), pixels), SETTINGS)]], cnn)
    assert row.prediction == "3" or row.status is Status.REVIEW
