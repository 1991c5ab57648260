"""A lone mark in a small picture: the short way must find what the ordinary one does, to the last bit."""

from __future__ import annotations

import dataclasses

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from batchdigits.imaging import lone
from batchdigits.imaging.ink import _fullest, measure_contrast
from batchdigits.imaging.lines import find_lines, hold_none
from batchdigits.imaging.lone import find_lone_digit
from batchdigits.imaging.normalise import make_tile
from batchdigits.imaging.settings import ImagingSettings
from batchdigits.looking import find_tiles, look
from batchdigits.training.simulator import random_scene, simulate_ink
from batchdigits.types import Layout, Page, PageId, Tiles

SETTINGS = ImagingSettings()
SMALLEST = 35


def draw(number: int) -> NDArray[np.uint8]:
    """Draw a digit as MNIST has them: (28, 28), white on black."""
    rng = np.random.default_rng((7, number))
    scene = dataclasses.replace(random_scene(rng), size=(112, 112), digit_height=0.75)
    ink, _ = simulate_ink(number % 10, scene, rng)
    return np.rint(make_tile(ink, SETTINGS) * 255).astype(np.uint8)


def page_of(grey: NDArray[np.uint8]) -> Page:
    return Page(PageId("x"), np.repeat(grey[..., np.newaxis], 3, axis=2))


def assert_same(found: Tiles, wanted: Tiles) -> None:
    for field in dataclasses.fields(Tiles):
        one, other = getattr(found, field.name), getattr(wanted, field.name)
        assert np.array_equal(one, other) if field.name == "pixels" else one == other, field.name


def assert_as_ordinary(grey: NDArray[np.uint8]) -> None:
    page = page_of(grey)
    assert_same(find_tiles(page, SETTINGS, Layout.DIGIT), look(page, SETTINGS, Layout.DIGIT).tiles)


def test_simulated_digits_go_the_short_way() -> None:
    found = [find_lone_digit(page_of(draw(number)), SETTINGS, SMALLEST) for number in range(100)]
    assert sum(tiles is not None for tiles in found) >= 90


@pytest.mark.parametrize("start", range(0, 200, 20))
def test_equal_to_the_ordinary_way(start: int) -> None:
    for number in range(start, start + 20):
        assert_as_ordinary(draw(number))


def _changed(grey: NDArray[np.uint8], rng: np.random.Generator) -> dict[str, NDArray[np.uint8]]:
    """Return odd little pictures made of a digit."""
    row, column = (int(place) for place in rng.integers(0, 28, 2))
    crossed, boxed, dirty, shaded = grey.copy(), grey.copy(), grey.copy(), grey.copy()
    crossed[row] = 255
    boxed[[2, 25], 2:26] = boxed[2:26, [2, 25]] = 180
    dirty[row, column] = 200
    shaded[:, :column] //= 2
    noisy = np.clip(grey + rng.normal(0, 9, grey.shape), 0, 255).astype(np.uint8)
    size = int(rng.integers(5, 70)), int(rng.integers(5, 70))
    return {
        "black on white": 255 - grey,
        "on grey": (grey // 2 + 40).astype(np.uint8),
        "faint": grey // 12,
        "crossed": crossed,
        "boxed": boxed,
        "dirty": dirty,
        "shaded": shaded,
        "noisy": noisy,
        "resized": np.asarray(cv2.resize(grey, size), dtype=np.uint8),
        "cut out": grey[4:24, 4:24],
        "cut through": grey[:15],
        "two": np.hstack([grey, draw(row)]),
        "thick": np.asarray(cv2.dilate(grey, np.ones((4, 4), np.uint8)), dtype=np.uint8),
        "small": np.pad(grey[::4, ::4], 10),
        "broken": np.where(np.arange(28)[:, None] == 14, np.uint8(0), grey),
    }


@pytest.mark.parametrize("number", range(12))
def test_odd_pictures_equal_to_the_ordinary_way(number: int) -> None:
    for odd in _changed(draw(number), np.random.default_rng(number)).values():
        assert_as_ordinary(odd)


@given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 2**32 - 1), st.integers(1, 9))
@settings(max_examples=60, deadline=None)
def test_any_pixels_equal_to_the_ordinary_way(height: int, width: int, seed: int, blobs: int) -> None:
    rng = np.random.default_rng(seed)
    grey = np.full((height, width), rng.choice([0, 0, 255, 90]), np.uint8)
    for _ in range(blobs):
        ends = [(int(rng.integers(0, width)), int(rng.integers(0, height))) for _ in range(2)]
        cv2.line(grey, *ends, int(rng.integers(0, 256)), int(rng.integers(1, 5)))
    assert_as_ordinary(grey)


def test_a_colour_picture_equal_to_the_ordinary_way() -> None:
    pixels = np.repeat(draw(3)[..., np.newaxis], 3, axis=2)
    pixels[..., 0] //= 3
    page = Page(PageId("x"), pixels)
    assert_same(find_tiles(page, SETTINGS, Layout.DIGIT), look(page, SETTINGS, Layout.DIGIT).tiles)


@pytest.mark.parametrize("what", ["two", "boxed", "small", "blank"])
def test_left_to_the_ordinary_way(what: str) -> None:
    odd = _changed(draw(5), np.random.default_rng(0)) | {"blank": np.zeros((28, 28), np.uint8)}
    assert find_lone_digit(page_of(odd[what]), SETTINGS, SMALLEST) is None


def test_a_large_picture_is_left_to_the_ordinary_way() -> None:
    assert find_lone_digit(page_of(cv2.resize(draw(5), (112, 112))), SETTINGS, SMALLEST) is None  # type: ignore[arg-type]


def test_a_tile_does_not_depend_on_what_was_read_before() -> None:
    pages = [page_of(draw(number)) for number in range(12)]
    forwards = [find_tiles(page, SETTINGS, Layout.DIGIT) for page in pages]
    backwards = [find_tiles(page, SETTINGS, Layout.DIGIT) for page in reversed(pages)]
    for one, other in zip(forwards, reversed(backwards), strict=True):
        assert_same(one, other)


def test_rulings_are_looked_for_where_none_can_be_excluded(monkeypatch: pytest.MonkeyPatch) -> None:
    page = page_of(draw(4))
    wanted = look(page, SETTINGS, Layout.DIGIT).tiles
    monkeypatch.setattr(lone, "hold_none", lambda *_: False)
    found = find_lone_digit(page, SETTINGS, SMALLEST)
    assert found is not None
    assert_same(found, wanted)


@given(st.integers(0, 2**32 - 1), st.booleans())
@settings(max_examples=150, deadline=None)
def test_no_line_is_found_where_none_is_said_to_be(seed: int, thin: bool) -> None:
    rng = np.random.default_rng(seed)
    mask = np.zeros((112, 112), np.uint8)
    for _ in range(int(rng.integers(1, 6))):
        ends = rng.integers(0, 112, (2, 2))
        if rng.random() < 0.7:  # along an axis
            ends[1, int(rng.integers(0, 2))] = ends[0, int(rng.integers(0, 2))]
        (x0, y0), (x1, y1) = ends.tolist()
        cv2.line(mask, (x0, y0), (x1, y1), 255, int(rng.integers(1, 4 if thin else 14)))
    if hold_none(mask, (0, 0), (112, 112)):
        assert find_lines(mask) == ()


def test_a_ruling_cannot_be_excluded() -> None:
    mask = np.zeros((112, 112), np.uint8)
    mask[80:83] = 255
    assert find_lines(mask)
    assert not hold_none(mask, (0, 0), (112, 112))
    # in the part that has all of the ink, wherever that lies
    assert not hold_none(mask[70:90], (0, 70), (112, 112))
    assert hold_none(mask[:0], (0, 0), (112, 112))


@pytest.mark.parametrize("side", [1, 3, 7, 20])
def test_fullest_window(side: int) -> None:
    ink = (np.random.default_rng(1).random((15, 11)) < 0.4).astype(np.uint8)
    down, across = min(side, 15), min(side, 11)
    windows = np.lib.stride_tricks.sliding_window_view(ink, (down, across))
    assert _fullest(np.asarray(cv2.integral(ink), dtype=np.int32), side) == windows.sum(axis=(2, 3)).max()


def test_plain_paper_is_told_alike_with_and_without_ink_at_the_edge() -> None:
    """Ink at the edge takes another way to the same question: the digit's contrast must not change by it."""
    grey = np.asarray(cv2.resize(draw(1), (112, 112), interpolation=cv2.INTER_CUBIC), dtype=np.uint8)
    touched = grey.copy()
    touched[0, 0] = 255
    inner, edge = measure_contrast(grey, SETTINGS), measure_contrast(touched, SETTINGS)
    assert inner.noise == edge.noise == 0
    assert np.array_equal(inner.ink[1:, 1:], edge.ink[1:, 1:])


def test_lines_that_end_at_each_other_cannot_be_excluded() -> None:
    mask = np.zeros((112, 112), np.uint8)
    cv2.rectangle(mask, (25, 25), (86, 86), 255, 3)
    assert len(find_lines(mask)) == 4
    assert not hold_none(mask, (0, 0), (112, 112))
