from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchdigits.imaging.straight import runs_down, straight_rows


def rows_of(mask, steepest=0.18, shortest=60, gap=12):
    runs = runs_down(mask)
    return straight_rows(runs, runs.length > 0, steepest=steepest, shortest=shortest, gap=gap)


def line(height, width, rise, thickness=2):
    """A line across the middle of a picture, that falls by so many pixels from its left edge to its right one."""
    mask = np.zeros((height, width), np.uint8)
    ends = (0, round(height / 2 - rise / 2)), (width - 1, round(height / 2 + rise / 2))
    return cv2.line(mask, *ends, 255, thickness)


@given(st.integers(1, 30), st.integers(1, 30), st.integers(0, 2**32 - 1))
def test_runs_are_told_apart_and_cover_the_ink(height, width, seed):
    mask = (np.random.default_rng(seed).random((height, width)) < 0.5).astype(np.uint8) * 255
    runs = runs_down(mask)
    number = runs.numbers()
    assert ((number > 0) == (mask > 0)).all()
    for run in range(1, len(runs.top)):
        inside = np.s_[runs.top[run] : runs.bottom[run], runs.column[run]]
        assert (number[inside] == run).all()
        assert np.count_nonzero(number == run) == runs.length[run]
    above, below = number[:-1], number[1:]
    assert (above[(above > 0) & (below > 0)] == below[(above > 0) & (below > 0)]).all()  # none is cut in two


@pytest.mark.parametrize("width", [200, 640, 1280])
@pytest.mark.parametrize("slope", [-0.15, -0.04, 0.0, 0.01, 0.15])
def test_a_line_is_found_where_it_lies(width, slope):
    (found,) = rows_of(line(400, width, slope * width), shortest=width // 3)
    cell = max(1, width // 250)
    assert found.slope == pytest.approx(slope, abs=2.5 * cell / width)
    assert found.start <= 0.02 * width
    assert found.stop >= 0.98 * width
    middle = found.slope * width / 2 + found.offset
    assert middle == pytest.approx(200, abs=2 * cell)


def test_what_is_steep_or_short_or_broken_is_no_row():
    assert rows_of(line(400, 200, 0.3 * 200)) == []
    short = np.zeros((100, 200), np.uint8)
    short[50:52, 20:75] = 255
    assert rows_of(short) == []
    dashes = np.zeros((100, 200), np.uint8)
    dashes[50:52] = np.where(np.arange(200) % 40 < 20, 255, 0)
    assert rows_of(dashes, gap=12) == []
    assert len(rows_of(dashes, gap=30)) == 1


def test_every_line_of_a_sheet_is_found_once():
    mask = np.zeros((240, 300), np.uint8)
    tops = range(20, 240, 40)
    for top in tops:
        mask |= line(240, 300, 6, thickness=3) if top == 120 else 0
        mask[top : top + 2] = 255
    found = sorted(row.slope * 150 + row.offset for row in rows_of(mask, shortest=90))
    assert len(found) >= len(tops)
    for top in tops:
        assert min(abs(middle - top - 0.5) for middle in found) < 3


@pytest.mark.parametrize("mask", [np.zeros((50, 50), np.uint8), np.full((50, 50), 255, np.uint8)])
def test_nothing_and_everything(mask):
    assert len(rows_of(mask, shortest=15)) <= 1


def test_a_stroke_that_touches_a_line_does_not_break_it():
    mask = np.zeros((100, 200), np.uint8)
    mask[50:53] = 255
    mask[40:50, 70:130] = 255
    (found,) = rows_of(mask, shortest=150)
    assert found.stop - found.start == 200
    assert found.slope * 100 + found.offset == pytest.approx(51, abs=1)
