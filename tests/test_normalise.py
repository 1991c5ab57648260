from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchdigits.imaging.normalise import (
    crop,
    deskew,
    fit,
    make_tile,
    scale_to,
    slant,
    soft_ink,
    stroke_width,
    thicken,
)
from batchdigits.imaging.settings import ImagingSettings

SETTINGS = ImagingSettings()


def bar(width, height=80, size=120):
    ink = np.zeros((size, size), np.float32)
    left = (size - width) // 2
    ink[(size - height) // 2 : (size + height) // 2, left : left + width] = 1
    return ink


def slanted(shear):
    ink = np.zeros((120, 160), np.float32)
    cv2.line(ink, (80 - round(40 * shear), 100), (80 + round(40 * shear), 20), 1.0, 7)
    return ink


def test_soft_ink_is_one_on_the_stroke_and_nothing_elsewhere():
    contrast = np.array([[0, 0.1, 0.4, 0.4, 0.1, 0, 0.4]], np.float32)
    mask = np.array([[0, 0, 255, 255, 0, 0, 0]], np.uint8)
    others = np.array([[0, 0, 0, 0, 0, 0, 255]], np.uint8)
    assert soft_ink(contrast, mask, others) == pytest.approx(np.array([[0, 0.25, 1, 1, 0.25, 0, 0]]))


def test_crop_is_tight_and_survives_emptiness():
    ink = np.zeros((5, 5), np.float32)
    assert crop(ink).shape == (1, 1)
    ink[1:3, 2:5] = 1
    assert crop(ink).shape == (2, 3)


@pytest.mark.parametrize("shape", [(10, 40), (400, 100), (1, 300), (1, 1)])
def test_scale_sets_the_long_side(shape):
    assert max(scale_to(np.ones(shape, np.float32), 80).shape) == 80


@pytest.mark.parametrize("width", [3, 6, 10, 16])
def test_stroke_width_is_the_width_of_the_stroke(width):
    assert stroke_width(bar(width)) == pytest.approx(width, abs=1.2)


def test_no_ink_has_no_stroke_width():
    assert stroke_width(np.zeros((4, 4), np.float32)) == 0


def test_thin_strokes_are_thickened_and_others_left():
    assert stroke_width(thicken(bar(2), 8)) == pytest.approx(8, abs=1.5)
    assert thicken(bar(12), 8) is not None
    assert (thicken(bar(12), 8) == bar(12)).all()


@pytest.mark.parametrize("shear", [-0.5, -0.2, 0.2, 0.5])
def test_deskew_sets_a_slanted_stroke_upright(shear):
    ink = slanted(shear)
    assert abs(slant(ink, 0.7)) == pytest.approx(abs(shear), abs=0.06)
    assert abs(slant(deskew(ink, 0.7), 0.7)) < 0.03


def test_deskew_loses_no_ink():
    ink = slanted(0.5)
    assert deskew(ink, 0.7).sum() == pytest.approx(ink.sum(), rel=0.02)


@given(st.integers(0, 2**32 - 1))
def test_deskew_is_the_shear_by_the_second_moments(seed):
    """What OpenCV makes of the same matrix, far faster to write and slower to run."""
    rng = np.random.default_rng(seed)
    ink = (rng.random(rng.integers(1, 90, 2)) ** rng.integers(1, 6)).astype(np.float32)
    shear, (height, width) = slant(ink, 0.7), ink.shape
    sheared = deskew(ink, 0.7)
    margin = (sheared.shape[1] - width) // 2
    matrix = np.array([[1, shear, -margin - shear * (height - 1) / 2], [0, 1, 0]])
    flags = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
    wanted = cv2.warpAffine(ink, matrix, sheared.shape[::-1], flags=flags).clip(0, 1)
    assert np.abs(sheared - wanted).max() < 1e-4
    assert sheared[:, [0, -1]].max(initial=0) < 0.2  # nothing of the digit is beyond the canvas


def test_fit_centres_by_mass_in_28():
    ink = np.zeros((100, 60), np.float32)
    ink[:, :20] = 1
    ink[80:, :] = 1
    tile = fit(ink)
    y, x = np.mgrid[:28, :28]
    assert tile.shape == (28, 28)
    assert float((tile * x).sum() / tile.sum()) == pytest.approx(13.5, abs=0.3)
    assert float((tile * y).sum() / tile.sum()) == pytest.approx(13.5, abs=0.3)
    rows = np.flatnonzero(tile.max(axis=1) > 0.1)
    assert rows[-1] - rows[0] + 1 in (20, 21)


def test_fit_of_nothing_is_an_empty_tile():
    assert not fit(np.zeros((3, 3), np.float32)).any()


def test_a_tile_keeps_its_range_whatever_the_ink():
    rng = np.random.default_rng(0)
    for shape in [(1, 1), (1, 90), (90, 1), (33, 57)]:
        tile = make_tile(rng.random(shape, np.float32), SETTINGS)
        assert tile.shape == (28, 28)
        assert tile.dtype == np.float32
        assert tile.min() >= 0
        assert tile.max() <= 1 + 1e-6
