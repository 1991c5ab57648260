"""What is not a digit: which of it a person might read as one is for the contact sheet, the rest is held here."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from batchdigits.imaging.normalise import make_tile
from batchdigits.imaging.pipeline import trace
from batchdigits.imaging.settings import ImagingSettings
from batchdigits.training.glyphs import DRAWINGS, LETTERS, SYMBOLS
from batchdigits.training.non_digit_tiles import _is_bar, _is_ring, _is_whole, _may_be_digit, simulate_non_digit_tiles
from batchdigits.training.nondigits import KINDS, draw_non_digit, simulate_non_digit
from batchdigits.training.pens import Pen, draw_ink
from batchdigits.training.skeletons import STYLES, draw_skeleton, write_glyph

SETTINGS = ImagingSettings()
NO_HANDWRITING = np.zeros((0, 28, 28), np.uint8), np.zeros(0, np.int64)


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def block_writing():
    """Two pictures of each digit in MNIST's layout, written by our own pen."""
    labels = np.arange(20) % 10
    inks = [
        draw_ink(draw_skeleton(int(d), rng(i)), height=60, pen=Pen(width=0.1), rng=rng(i)) for i, d in enumerate(labels)
    ]
    return np.stack([np.rint(make_tile(ink, SETTINGS) * 255).astype(np.uint8) for ink in inks]), labels


@pytest.fixture(scope="module")
def tiles():
    return simulate_non_digit_tiles(260, block_writing(), SETTINGS, seed=3, difficulty=(0.0, 0.6), jobs=1)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_gives_pictures_that_the_seed_decides(kind):
    handwriting = block_writing()
    first, again, other = (simulate_non_digit(kind, rng(seed), handwriting=handwriting) for seed in (1, 1, 2))
    assert first.dtype == np.uint8
    assert first.ndim == 3
    assert first.shape[2] == 3
    assert min(first.shape[:2]) >= 72
    np.testing.assert_array_equal(first, again)
    assert first.shape != other.shape or (first != other).any()


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_leaves_ink(kind):
    found = sum(bool(trace(simulate_non_digit(kind, rng(seed), difficulty=0.2), SETTINGS).groups) for seed in range(12))
    assert found >= 10


@pytest.mark.parametrize("kind", KINDS)
def test_an_ink_map_is_of_its_range_and_of_some_size(kind):
    for seed in range(8):
        ink, scene = draw_non_digit(kind, rng(seed), handwriting=NO_HANDWRITING)
        assert ink.dtype == np.float32
        assert 0 <= ink.min() < 0.1 < ink.max() <= 1 + 1e-6  # rounding
        assert round(scene.digit_height * scene.size[0]) >= 2


@pytest.mark.parametrize("glyphs", [LETTERS, SYMBOLS, DRAWINGS])
def test_every_glyph_draws(glyphs):
    for name, styles in glyphs.items():
        for glyph in styles:
            strokes = write_glyph(glyph, rng(), wobble=0.5)
            assert len(strokes) == len(glyph), name
            assert np.ptp(np.concatenate(strokes), axis=0).max() > 0.5, name


def test_the_alphabet_has_no_letter_that_is_a_digit_by_another_name():
    assert not set("OoQDIliZzSsBbGgqCcUuVvYyJj0123456789") & set(LETTERS)


def test_tiles_are_tiles_of_all_kinds(tiles):
    pixels, kinds = tiles
    assert pixels.dtype == np.float32
    assert pixels.shape == (len(kinds), 28, 28)
    assert pixels.min() >= 0
    assert 0.5 < pixels.max() <= 1 + 1e-6  # rounding
    assert (pixels.reshape(len(pixels), -1).sum(axis=1) > 5).all()
    assert set(kinds) == set(KINDS)
    assert 160 < len(kinds) <= 260


def test_letters_are_seldom_left_out(tiles):
    assert tiles[1].count("letter") >= 15  # of 20


def test_jobs_do_not_change_the_tiles(tiles):
    again, kinds = simulate_non_digit_tiles(260, block_writing(), SETTINGS, seed=3, difficulty=(0.0, 0.6), jobs=2)
    assert kinds == tiles[1]
    np.testing.assert_array_equal(again, tiles[0])


def test_no_photos_give_no_tiles():
    pixels, kinds = simulate_non_digit_tiles(0, NO_HANDWRITING, SETTINGS, seed=0, difficulty=(0, 1), jobs=1)
    assert pixels.shape == (0, 28, 28)
    assert kinds == []


def digit_tile(digit, style, width=0.06):
    return make_tile(
        draw_ink(draw_skeleton(digit, rng(), style), height=120, pen=Pen(width=width), rng=rng()), SETTINGS
    )


@pytest.mark.parametrize("style", ["bar", "leaning"])
def test_a_bar_is_not_taught_to_be_a_non_digit(style):
    assert _is_bar(digit_tile(1, style))


@pytest.mark.parametrize("style", STYLES[0][:4])
def test_a_ring_is_not_taught_to_be_a_non_digit(style):
    assert _is_ring(digit_tile(0, style), 0.4)


def test_what_is_neither_bar_nor_ring():
    level = np.zeros((28, 28), np.float32)
    level[12:15, 4:24] = 1
    assert not _is_bar(level)
    assert not _is_ring(level, 0.4)
    assert not _is_ring(digit_tile(8, "two_circles"), 0.4)
    assert not _is_bar(digit_tile(4, "open"))
    assert not _is_ring(np.zeros((28, 28), np.float32), 0.4)


def test_half_of_the_ink_is_not_the_whole():
    ink = np.zeros((120, 200), np.float32)
    cv2.circle(ink, (50, 60), 45, 1, 8)
    half = make_tile(ink, SETTINGS)
    assert _is_whole(half, ink, SETTINGS)
    cv2.line(ink, (110, 10), (190, 110), 1, 8)
    assert not _is_whole(half, ink, SETTINGS)


def test_a_digit_that_lost_its_ring_is_left_out():
    digit = draw_ink(draw_skeleton(5, rng(), "joined"), height=100, pen=Pen(width=0.06), rng=rng())
    ink = np.zeros((200, 200), np.float32)
    ink[50:150, 70 : 70 + digit.shape[1]] = digit
    alone = make_tile(ink, SETTINGS)
    cv2.circle(ink, (100, 100), 90, 1, 8)
    assert _may_be_digit(alone, "circled", ink, SETTINGS)
    assert not _may_be_digit(make_tile(ink, SETTINGS), "circled", ink, SETTINGS)


def test_what_is_left_as_a_bar_or_a_ring_is_left_out():
    bar, ring = np.zeros((100, 100), np.float32), np.zeros((100, 100), np.float32)
    bar[5:95, 45:55] = 1
    cv2.circle(ring, (50, 50), 40, 1, 9)
    for ink in (bar, ring):
        assert _may_be_digit(make_tile(ink, SETTINGS), "smudge", ink, SETTINGS)
