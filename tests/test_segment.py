from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchdigits.imaging.segment import find_parts, group_parts, has_comparable, leave_out_loose
from batchdigits.imaging.settings import ImagingSettings
from batchdigits.types import Box

SETTINGS = ImagingSettings()


def groups_of(ink):
    labels, parts = find_parts(ink, (ink / 255).astype(np.float32))
    return labels, group_parts(parts, labels, SETTINGS)


def canvas(size=200):
    return np.zeros((size, size), np.uint8)


def test_a_blank_page_has_no_groups():
    assert groups_of(canvas())[1] == []


def test_the_box_is_tight():
    ink = canvas()
    ink[50:150, 90:100] = 255
    (group,) = groups_of(ink)[1]
    assert group.box == Box(90, 50, 100, 150)


@given(st.integers(0, 2**32 - 1))
def test_parts_are_measured_as_opencv_measures_them(seed):
    rng = np.random.default_rng(seed)
    shape = tuple(rng.integers(20, 90, 2))
    ink = np.zeros(shape, np.uint8)
    for _ in range(rng.integers(2, 9)):
        ends = [tuple(map(int, rng.integers(0, shape[::-1]))) for _ in range(2)]
        cv2.line(ink, *ends, 255, int(rng.integers(1, 6)))
    contrast = rng.random(shape, np.float32)
    labels, parts = find_parts(ink, contrast)
    _, found, stats, _ = cv2.connectedComponentsWithStats(ink, connectivity=8)
    inner = cv2.distanceTransform(ink, cv2.DIST_L2, 3)
    assert np.array_equal(labels, found)
    for part in parts:
        left, top, width, height, area = stats[part.label]
        own = labels == part.label
        assert part.box == Box(left, top, left + width, top + height)
        assert part.mass == pytest.approx(contrast[own].sum(), rel=1e-4)
        assert part.level == pytest.approx(part.mass / area)
        assert part.thickness == pytest.approx(2 * inner[own].max())


def test_a_loose_bar_belongs_to_its_five():
    ink = canvas()
    cv2.polylines(ink, [np.array([[70, 60], [70, 95], [110, 100], [115, 130], [70, 145]])], False, 255, 6)
    cv2.line(ink, (80, 52), (125, 48), 255, 6)
    labels, groups = groups_of(ink)
    assert (groups[0].mask(labels) == ink).all()


def test_dots_of_the_paper_do_not_belong_to_the_digit():
    ink = canvas(300)
    cv2.ellipse(ink, (150, 150), (50, 80), 0, 0, 300, 255, 8)
    digit = ink.copy()
    for y in range(10, 300, 35):
        for x in range(12, 300, 35):
            if not digit[y - 20 : y + 20, x - 20 : x + 20].any():
                cv2.circle(ink, (x, y), 3, 255, -1)
    labels, groups = groups_of(ink)
    assert (groups[0].mask(labels) == digit).all()


def test_the_grains_of_a_pencil_stay_together():
    ink = canvas(300)
    for y in range(60, 240, 12):
        cv2.line(ink, (150, y), (150, y + 8), 255, 6)
    labels, groups = groups_of(ink)
    assert (groups[0].mask(labels) == ink).all()


def test_the_middle_wins_over_the_rim():
    ink = canvas()
    cv2.circle(ink, (100, 100), 40, 255, 6)
    ink[:, :8] = 255  # the table beside the sheet
    assert groups_of(ink)[1][0].box.left > 50


def test_two_digits_side_by_side_are_two():
    ink = canvas()
    cv2.ellipse(ink, (60, 100), (25, 45), 0, 0, 360, 255, 6)
    cv2.line(ink, (140, 55), (140, 145), 255, 6)
    groups = groups_of(ink)[1]
    assert len(groups) == 2
    assert has_comparable(groups)


def test_a_digit_with_a_speck_is_one():
    ink = canvas()
    cv2.ellipse(ink, (100, 100), (25, 45), 0, 0, 360, 255, 6)
    cv2.circle(ink, (180, 20), 3, 255, -1)
    assert not has_comparable(groups_of(ink)[1])


def core_of(ink):
    labels, parts = find_parts(ink, (ink / 255).astype(np.float32))
    core = leave_out_loose(group_parts(parts, labels, SETTINGS)[0], parts, labels)
    return None if core is None else core.mask(labels)


def test_a_stroke_that_reaches_in_from_outside_may_be_left_out_unless_they_meet():
    digit = canvas()
    cv2.ellipse(digit, (100, 70), (25, 45), 0, 0, 360, 255, 6)
    for end, loose in ((142, True), (134, False)):
        ink = digit.copy()
        cv2.line(ink, (199, 70), (end, 70), 255, 6)
        assert (core_of(ink) == digit).all() if loose else core_of(ink) is None


def test_what_lies_apart_beside_the_digit_may_be_left_out():
    five = canvas()
    cv2.polylines(five, [np.array([[70, 60], [70, 95], [110, 100], [115, 130], [70, 145]])], False, 255, 6)
    for left, top, loose in ((80, 42, False), (100, 60, False), (128, 52, True)):  # a bar above, one within, a dash
        ink = five.copy()
        cv2.line(ink, (left, top), (left + 30, top - 3), 255, 6)
        assert (core_of(ink) == five).all() if loose else core_of(ink) is None


def test_half_of_a_broken_digit_is_no_digit_of_its_own():
    ink = canvas()
    cv2.line(ink, (80, 40), (80, 100), 255, 6)
    for row in (50, 90):
        cv2.line(ink, (96, row), (130, row - 8), 255, 6)
    labels, parts = find_parts(ink, (ink / 255).astype(np.float32))
    (group, *_) = group_parts(parts, labels, SETTINGS)
    assert len(group.labels) == 3
    assert leave_out_loose(group, parts, labels) is None
