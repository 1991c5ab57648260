from __future__ import annotations

import cv2
import numpy as np
import pytest

from batchdigits.imaging.erase import mend_strokes, remove_lines
from batchdigits.imaging.lines import find_lines

SIZE = 200


def blank():
    return np.zeros((SIZE, SIZE), np.uint8)


def cleaned(mask):
    return remove_lines(mask, find_lines(mask))


def test_a_ruling_across_the_page_goes():
    mask = blank()
    mask[120:123] = 255
    assert not cleaned(mask).any()


@pytest.mark.parametrize("degrees", [-6, -2, 3, 8])
def test_a_tilted_ruling_goes(degrees):
    mask = blank()
    rise = round(np.tan(np.radians(degrees)) * SIZE / 2)
    cv2.line(mask, (-5, 100 - rise), (SIZE + 5, 100 + rise), 255, 3)
    assert np.count_nonzero(cleaned(mask)) < 0.05 * np.count_nonzero(mask)


def test_a_box_goes_and_the_digit_in_it_stays():
    box, digit = blank(), blank()
    cv2.rectangle(box, (20, 15), (180, 185), 255, 4)
    cv2.ellipse(digit, (100, 100), (30, 50), 0, 0, 360, 255, 6)
    left = cleaned(box | digit)
    assert (left[digit > 0] == 255).all()
    assert np.count_nonzero(left & ~digit) < 0.03 * np.count_nonzero(box)  # rounded corners may leave crumbs


def test_a_box_far_from_every_edge_holds_itself():
    mask = blank()
    cv2.rectangle(mask, (50, 55), (150, 145), 255, 3)
    assert sorted(line.vertical for line in find_lines(mask)) == [False, False, True, True]


def test_borders_partly_in_view_go():
    mask = blank()
    mask[:, 12:16] = 255
    mask[180:184, 14:] = 255
    assert np.count_nonzero(cleaned(mask)) < 0.03 * np.count_nonzero(mask)


def test_a_stroke_that_crosses_a_ruling_stays_whole():
    stroke, ruled = blank(), blank()
    cv2.line(stroke, (90, 30), (110, 170), 255, 8)
    ruled[100:103] = 255
    left = cleaned(stroke | ruled)
    assert (left[stroke > 0] == 255).all()
    assert np.count_nonzero(left) < 1.06 * np.count_nonzero(stroke)


@pytest.mark.parametrize("start", [(100, 25), (85, 30)])
def test_a_one_is_no_ruling(start):
    mask = blank()
    cv2.line(mask, start, (100, 175), 255, 6)
    assert find_lines(mask) == ()


def test_a_seven_is_no_corner_of_a_box():
    mask = blank()
    cv2.polylines(mask, [np.array([[50, 40], [150, 40], [110, 170]])], False, 255, 6)
    assert (cleaned(mask) == mask).all()


@pytest.mark.parametrize("shape", [(1, 1), (1, 500), (500, 1), (15, 15), (16, 16)])
def test_tiny_masks_are_harmless(shape):
    mask = np.full(shape, 255, np.uint8)
    assert cleaned(mask).shape == shape


def test_no_ink_no_lines():
    assert find_lines(blank()) == ()


def test_a_long_row_of_boxes_on_a_tilted_sheet_goes():
    mask = np.zeros((150, 600), np.uint8)
    rise = np.array([0, 25])
    for top in (20, 90):
        cv2.line(mask, (20, top), tuple(np.array([580, top]) + rise), 255, 2)
    for x in range(20, 581, 70):
        y = 20 + round((x - 20) / 560 * 25)
        cv2.line(mask, (x, y), (x - 3, y + 70), 255, 2)
    assert np.count_nonzero(cleaned(mask)) < 0.05 * np.count_nonzero(mask)


def test_a_stroke_that_runs_along_a_line_gets_back_what_went_with_it():
    stroke, ruled = blank(), blank()
    cv2.ellipse(stroke, (100, 100), (40, 60), 0, 0, 360, 255, 3)
    ruled[:, 59:62] = 255  # grazes the left side of the ring
    both = stroke | ruled
    lines = find_lines(both)
    ink = remove_lines(both, lines)
    mended = mend_strokes(ink, both, lines)
    assert lines
    assert (mended >= ink).all()
    assert np.count_nonzero(mended & ~both) == 0
    assert np.count_nonzero(mended & stroke) >= np.count_nonzero(ink & stroke)
    assert not mended[:30].any()  # the line itself stays away
    assert not mended[-30:].any()


def test_without_lines_nothing_is_mended():
    mask = blank()
    cv2.circle(mask, (100, 100), 30, 255, 3)
    assert mend_strokes(mask, mask, ()) is mask


@pytest.mark.parametrize("lean", [-14, 14])
def test_a_stroke_from_top_to_bottom_of_a_box_is_no_side_of_it(lean):
    mask = blank()
    cv2.rectangle(mask, (50, 50), (150, 150), 255, 3)
    cv2.line(mask, (100 - lean // 2, 50), (100 + lean // 2, 150), 255, 3)
    lines = find_lines(mask)
    assert sorted(line.vertical for line in lines) == [False, False, True, True]
    assert all(abs(line.middle - 100) > 40 for line in lines)


@pytest.mark.parametrize(("darkness", "uprights"), [(0.25, 1), (0.9, 0)])
def test_a_line_ends_only_at_one_about_as_dark(darkness, uprights):
    mask = blank()
    for row in (40, 100, 160):
        mask[row : row + 3] = 255
    contrast = np.where(mask > 0, np.float32(0.2), np.float32(0))
    mask[40:163, 99:102] = 255
    contrast[mask > 0] = np.maximum(contrast[mask > 0], np.float32(0.2))
    contrast[40:163, 99:102] = darkness
    lines = find_lines(mask, (), contrast)
    assert sum(line.vertical for line in lines) == uprights
    assert sum(not line.vertical for line in lines) == 3


@pytest.mark.parametrize("angle", [-4, 0, 5])
def test_a_box_in_a_large_picture_goes_though_it_is_searched_in_a_coarser_one(angle):
    mask = np.zeros((480, 640), np.uint8)
    cv2.rectangle(mask, (60, 60), (580, 420), 255, 2)
    turn = cv2.getRotationMatrix2D((320, 240), angle, 1)
    mask = ((cv2.warpAffine(mask, turn, (640, 480)) > 100) * 255).astype(np.uint8)
    assert np.count_nonzero(cleaned(mask)) < 0.03 * np.count_nonzero(mask)


def test_candidates_from_a_coarser_picture_end_within_the_picture():
    rng = np.random.default_rng(0)
    for _ in range(40):
        height, width = (int(side) for side in rng.integers(320, 460, 2))
        mask = np.zeros((height, width), np.uint8)
        for y, x in zip(rng.integers(0, height, 3), rng.integers(0, width, 3), strict=True):
            cv2.line(mask, (int(x), int(y)), (width - 1, int(y) + 9), 255, 2)
            cv2.line(mask, (int(x), int(y)), (int(x) + 9, height - 1), 255, 2)
        for line in find_lines(mask):
            assert 0 <= line.start < line.stop <= (height if line.vertical else width)
