from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest

from batchdigits.imaging.pipeline import find_digit
from batchdigits.imaging.quality import find_faults
from batchdigits.imaging.settings import ImagingSettings
from batchdigits.imaging.text import find_text
from batchdigits.training.simulator import Pen, Scene, photograph, simulate_ink
from batchdigits.types import Layout, Page, PageId

SCENE = Scene(size=(240, 240), texture=0.0)


def page_of(scene):
    rng = np.random.default_rng(4)
    ink, _ = simulate_ink(5, scene, rng, pen=Pen())
    return Page(PageId("x"), photograph(ink, scene, rng))


@pytest.mark.parametrize(
    ("change", "faults"),
    [
        ({}, ()),
        ({"digit_height": 0.04}, ("too_small",)),
        ({"strength": 0.14}, ("faint",)),
        ({"blur": 0.035}, ("blurred",)),
        ({"noise": 0.04, "falloff": 0.5, "jpeg_quality": 40}, ()),
    ],
)
def test_faults_of_a_picture_have_names(change, faults):
    page = page_of(replace(SCENE, **change))
    assert find_digit(page, ImagingSettings()).faults == faults
    assert find_text(page, ImagingSettings(), Layout.NUMBER).faults == faults


@pytest.mark.parametrize("blur", [0.0, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 4.0, 6.0])
@pytest.mark.parametrize("size", [20, 60, 200])
def test_sparse_ink_is_judged_as_dense_ink_is(blur, size):
    """Of a page, only the pixels of the strokes' rims are looked at; cropped closely, all are."""
    contrast = np.zeros((400, 400), np.float32)
    contrast[199:202, 150:250] = contrast[150:250, 199:202] = 0.8
    if blur:
        contrast = cv2.GaussianBlur(contrast, (0, 0), blur)
    mask = (contrast > 0.4 * contrast.max()).astype(np.uint8)
    least = np.full_like(contrast, 0.05)
    close = np.s_[185:216, 140:260]
    dense = find_faults(contrast[close], least[close], mask[close], size, 1.0)
    mask[:185] = mask[216:] = 0
    assert find_faults(contrast, least, mask, size, 1.0) == dense


def test_a_digit_is_as_small_as_it_is_in_the_original():
    small = page_of(replace(SCENE, size=(60, 60), digit_height=0.15))
    assert "too_small" in find_digit(small, ImagingSettings()).faults
    reduced = replace(small, scale=(4.0, 4.0))
    assert "too_small" not in find_digit(reduced, ImagingSettings()).faults


def test_a_blank_page_has_no_faults():
    assert find_digit(Page(PageId("x"), np.full((60, 60, 3), 255, np.uint8)), ImagingSettings()).faults == ()


def test_what_nobody_can_read_is_for_a_person_to_photograph_again():
    def bar(rows):
        pixels = np.full((120, 120, 3), 250, np.uint8)
        pixels[50 : 50 + rows, 50:52] = 20
        return Page(PageId("x"), pixels)

    for find in (find_digit, lambda page, settings: find_text(page, settings, Layout.NUMBER)):
        assert find(bar(5), ImagingSettings()).notes == ("too_small",)
        assert find(bar(9), ImagingSettings()).notes == ()
