from __future__ import annotations

import cv2
import numpy as np
import pytest

from batchdigits.imaging.ink import (
    binarise,
    ink_contrast,
    least_contrast,
    measure_contrast,
    noise_level,
    resize_to_work,
    sharpen_marks,
)
from batchdigits.imaging.light import estimate_background
from batchdigits.imaging.polarity import is_light_on_dark
from batchdigits.imaging.settings import ImagingSettings

SETTINGS = ImagingSettings()


def paper(height=120, width=120, colour=(200, 210, 220)):
    return np.full((height, width, 3), colour, np.uint8)


def with_bar(picture, colour=(40, 40, 40)):
    picture = picture.copy()
    picture[30:90, 56:62] = colour
    return picture


def marks_of(picture):
    return binarise(measure_contrast(picture, SETTINGS))


@pytest.mark.parametrize(("shape", "long_side"), [((28, 28), 112), ((1, 1), 112), ((300, 200), 300), ((3000, 40), 640)])
def test_working_size_keeps_the_aspect_and_never_vanishes(shape, long_side):
    work = resize_to_work(np.zeros((*shape, 3), np.uint8), SETTINGS)
    assert max(work.shape[:2]) == long_side
    assert min(work.shape[:2]) == max(1, round(min(shape) * long_side / max(shape)))


def test_background_is_paper_without_the_stroke():
    background = estimate_background(with_bar(paper()), window=0.55, at_most=160)
    assert np.abs(background.astype(int) - paper()).max() <= 1


def test_contrast_is_a_share_of_the_paper():
    ground = np.full((1, 2, 3), 200, np.uint8)
    pixels = np.array([[[200] * 3, [94] * 3]], np.uint8)  # (200 - 94) / (200 + 12) = one half
    assert ink_contrast(pixels, ground) == pytest.approx(np.array([[0, 0.5]]), abs=1e-3)


def test_what_is_brighter_than_paper_is_no_ink():
    assert ink_contrast(np.full((1, 1, 3), 255, np.uint8), np.full((1, 1, 3), 200, np.uint8)) == 0


@pytest.mark.parametrize(
    "ink", [(40, 40, 220), (200, 60, 30), (60, 140, 40), (30, 30, 30)], ids=["red", "blue", "green", "black"]
)
def test_every_colour_of_ink_is_ink(ink):
    marks = marks_of(with_bar(paper(), ink))
    assert (marks[32:88, 57:61] == 255).all()
    assert not marks[:, :50].any()
    assert not marks[:, 68:].any()


def test_light_ink_on_a_dark_ground_is_ink():
    board = with_bar(paper(colour=(50, 60, 45)), (230, 235, 240))
    assert is_light_on_dark(board, estimate_background(board, window=0.55, at_most=160))
    assert (marks_of(board)[32:88, 57:61] == 255).all()


def test_dark_ink_on_light_paper_is_no_negative():
    page = with_bar(paper())
    assert not is_light_on_dark(page, estimate_background(page, window=0.55, at_most=160))


def test_blank_paper_with_noise_has_no_marks():
    noisy = np.clip(paper() + np.random.default_rng(0).normal(0, 6, (120, 120, 3)), 0, 255).astype(np.uint8)
    assert not marks_of(noisy).any()


def test_falling_light_leaves_no_mark():
    fading = (paper(200, 200) * np.linspace(1, 0.4, 200)[None, :, None]).astype(np.uint8)
    assert not marks_of(fading).any()


def test_a_stroke_is_found_in_the_light_and_in_the_shade():
    page = np.full((200, 200, 3), 210, np.uint8)
    page[90:110, 20:180] = 60
    half = np.where(np.arange(200)[None, :, None] < 100, 1.0, 0.55)
    marks = marks_of((page * half).astype(np.uint8))
    assert (marks[95:105, 25:90] == 255).all()
    assert (marks[95:105, 110:175] == 255).all()
    assert not marks[:80].any()


def test_a_marker_wide_enough_to_fill_the_window_is_not_hollow():
    page = np.full((160, 160, 3), 220, np.uint8)
    page[20:140, 40:120] = 30
    assert (marks_of(page)[25:135, 45:115] == 255).all()


def test_noise_is_measured_in_grey_levels_and_weighs_more_on_dark_paper():
    rng = np.random.default_rng(1)
    ground = paper(200, 200)
    noisy = np.clip(ground + rng.normal(0, 5, (200, 200, 1)), 0, 255).astype(np.uint8)
    noise = noise_level(noisy, ground)
    assert noise == pytest.approx(5, rel=0.15)
    dark, light = np.full((1, 1, 3), 50, np.uint8), np.full((1, 1, 3), 220, np.uint8)
    assert least_contrast(dark, noise, SETTINGS) > least_contrast(light, noise, SETTINGS)


def test_ink_over_half_of_the_picture_is_no_noise():
    noise = np.random.default_rng(2).normal(0, 3, (90, 90, 1))
    page = np.clip(paper(90, 90) + noise, 0, 255).astype(np.uint8)
    page[20:70] = 30
    assert noise_level(page, paper(90, 90)) < 12


def test_white_bars_beside_noisy_paper_hide_no_noise():
    noise = np.random.default_rng(2).normal(0, 8, (120, 160, 1))
    page = np.clip(paper(120, 160, (180, 180, 180)) + noise, 0, 255).astype(np.uint8)
    ground = paper(120, 160, (180, 180, 180))
    page[:, :50] = ground[:, :50] = 255
    assert noise_level(page, ground) == pytest.approx(8, rel=0.15)


@pytest.mark.parametrize("mirrored", [False, True])
def test_the_edge_of_a_shadow_is_no_ink_on_either_side(mirrored):
    light = np.clip((330 - np.arange(640)) / 4 + 0.5, 0, 1) * 0.5 + 0.5
    page = np.repeat(np.repeat((230 * light).astype(np.uint8)[None, :, None], 480, axis=0), 3, axis=2)
    assert not marks_of(np.ascontiguousarray(page[:, ::-1]) if mirrored else page).any()


def test_each_mark_is_cut_at_a_share_of_its_own_darkness():
    contrast = np.zeros((5, 9), np.float32)
    contrast[2, 1:4] = (0.3, 1.0, 0.3)  # bold, with a soft rim
    contrast[2, 6:9] = (0.12, 0.2, 0.12)  # faint: its rim is darker than 0.42 of its middle
    marks = np.where(contrast > 0, 255, 0).astype(np.uint8)
    sharp = sharpen_marks(contrast, marks, SETTINGS)
    assert sharp[2].tolist() == [0, 0, 255, 0, 0, 0, 255, 255, 255]


def test_sharpening_nothing_gives_nothing():
    empty = np.zeros((4, 4), np.uint8)
    assert not sharpen_marks(empty.astype(np.float32), empty, SETTINGS).any()


@pytest.mark.parametrize("window", [0.12, 0.55])
@pytest.mark.parametrize("noise", [0, 4])
def test_a_grey_picture_needs_only_one_channel(window, noise):
    page = with_bar(paper(colour=(210, 210, 210)), (90, 90, 90))
    page[40:70, 20:100] = 60  # fills most of a narrow window, but not of a wide one
    grain = np.random.default_rng(2).normal(0, noise, (120, 120, 1))
    page = np.clip(page + grain, 0, 255).astype(np.uint8)
    of_three = estimate_background(page, window=window, at_most=120)
    of_one = estimate_background(page[..., 0], window=window, at_most=120)
    assert (of_three == of_one[..., None]).all()
    assert len(np.unique(of_one)) > 1 or window > 0.5
    assert ink_contrast(page, of_three) == pytest.approx(ink_contrast(page[..., 0], of_one), abs=1e-6)


def test_polarity_is_the_same_from_a_coarse_paper_as_from_a_close_one():
    board = np.random.default_rng(3).integers(35, 60, (200, 200, 3), dtype=np.uint8)
    board[40:160, 96:104] = 200
    for picture in (board, 255 - board):
        paper_estimate = estimate_background(picture, window=0.55, at_most=160, mirror=True)
        assert measure_contrast(picture, SETTINGS).light_on_dark == is_light_on_dark(picture, paper_estimate)


def test_noise_of_an_even_and_of_an_odd_number_of_pixels_is_the_median():
    rng = np.random.default_rng(4)
    for side in (30, 33):
        ground = paper(side, side, (128, 128, 128))
        pixels = np.repeat(rng.integers(100, 150, (side, side, 1), dtype=np.uint8), 3, axis=2)
        deviation = 128 - pixels[::3, ::3, 0].astype(float)
        expected = 1.4826 * np.median(np.abs(deviation - np.median(deviation)))
        assert noise_level(pixels, ground) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(("level", "ink"), [(0, 250), (60, 220), (245, 20), (255, 20), (255, 130)])
def test_a_sheet_of_one_exact_grey_needs_no_estimate_but_gives_the_same(level, ink):
    plain = np.full((112, 112, 3), level, np.uint8)
    cv2.line(plain, (30, 20), (70, 90), (ink,) * 3, 9)
    plain = cv2.GaussianBlur(plain, (0, 0), 1.5)
    tinted = plain.copy()
    tinted[..., 0] = np.where(plain[..., 0] > 127, plain[..., 0] - 1, plain[..., 0] + 1)  # no grey sheet any more
    one, other = measure_contrast(plain, SETTINGS), measure_contrast(tinted, SETTINGS)
    assert one.light_on_dark == other.light_on_dark == (ink > level)
    assert one.ink == pytest.approx(other.ink, abs=0.02)
    assert one.least == pytest.approx(other.least, abs=1e-3)


def test_light_that_changes_on_a_large_picture_is_told_as_on_a_small_one():
    page = (paper(480, 640) * np.linspace(1, 0.4, 640)[None, :, None]).astype(np.uint8)
    page[200:280, 300:308] = page[200:280, 300:308] // 3
    marks = marks_of(page)
    assert (marks[205:275, 302:306] == 255).all()
    marks[196:284, 296:312] = 0
    assert not marks.any()
