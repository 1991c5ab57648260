from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from batchdigits.classifiers.card import Thresholds
from batchdigits.classifiers.runner import Scores
from batchdigits.errors import PageError
from batchdigits.reading import failed, read_digit
from batchdigits.types import Box, PageId, Row, Status, Tiles, Variant

PAGE = PageId("a.jpg")
THRESHOLDS = Thresholds(review_below=0.9)


WHOLE, CORE = Box(1, 2, 30, 40), Box(1, 2, 20, 40)


def tiles(*notes):
    return Tiles(PAGE, (WHOLE,), np.zeros((1, 28, 28), np.float32), notes)


def variants(other):
    doubt = ("cut_off",) if other is Variant.WITH_LINES else ()
    pixels = np.zeros((2, 28, 28), np.float32)
    return Tiles(PAGE, (WHOLE, CORE), pixels, variants=(Variant.WHOLE, other), other_notes=(doubt,))


def scores(best=0.98, known=1.0):
    probabilities = np.zeros((1, 10))
    probabilities[0, 7], probabilities[0, 1] = best, 1 - best
    return Scores(probabilities, np.array([known]))


def test_a_sure_digit_is_ok():
    row = read_digit(tiles(), scores(), THRESHOLDS, "m@1")
    assert (row.prediction, row.status, row.reason, row.second) == ("7", Status.OK, "", "1")
    assert row.confidence == pytest.approx(0.98)
    assert row.second_confidence == pytest.approx(0.02)
    assert row.box == Box(1, 2, 30, 40)
    assert row.model == "m@1"


@pytest.mark.parametrize(
    ("candidates", "found", "reason"),
    [
        (tiles(), scores(best=0.8), "low_confidence"),
        (tiles(), scores(known=0.3), "not_a_digit"),
        (tiles("several_digits"), scores(), "several_digits"),
    ],
)
def test_a_doubt_is_review_with_its_reason(candidates, found, reason):
    row = read_digit(candidates, found, THRESHOLDS, "")
    assert (row.status, row.reason, row.prediction) == (Status.REVIEW, reason, "7")


def test_a_fault_of_the_picture_says_why_the_figures_are_low_but_is_no_doubt_by_itself():
    blurred = replace(tiles(), faults=("blurred",))
    assert read_digit(blurred, scores(), THRESHOLDS, "").status is Status.OK
    assert read_digit(blurred, scores(best=0.8), THRESHOLDS, "").reason == "blurred"
    assert read_digit(blurred, scores(known=0.3), THRESHOLDS, "").reason == "blurred"


def test_what_is_no_digit_has_no_confidence():
    assert read_digit(tiles(), scores(known=0.01), THRESHOLDS, "").confidence < 0.01


@pytest.mark.parametrize(
    ("known", "read"), [((0.9, 0.5), ("7", Status.OK, "")), ((0.2, 0.99), ("3", Status.REVIEW, "cut_off"))]
)
def test_lines_are_strokes_where_the_digit_looks_better_with_them_and_a_person_should_see(known, read):
    found = Scores(np.eye(10)[[7, 3]], np.array(known))
    row = read_digit(variants(Variant.WITH_LINES), found, Thresholds(review_below=0.5), "")
    assert (row.prediction, row.status, row.reason) == read


@pytest.mark.parametrize(
    ("digits", "known", "read"),
    [
        ((7, 3), (0.99, 0.01), ("7", Status.OK, "", WHOLE)),
        ((7, 3), (0.01, 0.99), ("3", Status.OK, "", CORE)),
        ((7, 3), (0.999, 0.99), ("7", Status.REVIEW, "low_confidence", WHOLE)),
        ((7, 7), (0.99, 0.999), ("7", Status.OK, "", CORE)),
        ((7, 3), (0.1, 0.2), ("3", Status.REVIEW, "not_a_digit", CORE)),
    ],
)
def test_loose_strokes_are_weighed_by_how_much_it_looks_like_a_digit_with_them_and_without(digits, known, read):
    found = Scores(np.eye(10)[list(digits)], np.array(known))
    row = read_digit(variants(Variant.CORE), found, THRESHOLDS, "")
    assert (row.prediction, row.status, row.reason, row.box) == read
    assert row.confidence <= max(known)
    assert sum(row.digits[0].probabilities) == pytest.approx(1)


def test_a_digit_that_is_no_digit_in_any_variant_is_still_a_row():
    for known in (0, 1e-9):
        row = read_digit(variants(Variant.CORE), Scores(np.eye(10)[[7, 7]], np.full(2, known)), THRESHOLDS, "")
        assert (row.status, row.prediction) == (Status.REVIEW, "7")
        assert row.confidence == pytest.approx(known)
        assert sum(row.digits[0].probabilities) == pytest.approx(1)


@pytest.mark.parametrize(
    ("known", "read"), [(0.5, ("", Status.BLANK, "no_ink")), (0.99, ("7", Status.REVIEW, "cut_off"))]
)
def test_what_may_be_no_ink_is_a_digit_only_if_it_looks_like_one(known, read):
    row = read_digit(replace(tiles(), unless_blank="cut_off"), scores(known=known), THRESHOLDS, "")
    assert (row.prediction, row.status, row.reason) == read


def test_a_page_that_failed_is_an_error_that_says_why():
    row = failed(PAGE, PageError("truncated", "Half of it is missing."), "m@1")
    assert (row.status, row.reason, row.detail, row.prediction) == (
        Status.ERROR,
        "truncated",
        "Half of it is missing.",
        "",
    )


def test_a_row_without_digits_has_no_box():
    assert Row(PAGE, "", 0.0, Status.BLANK).box is None


def test_tiles_of_a_wrong_shape_stop_where_they_are_made():
    with pytest.raises(ValueError, match="expected"):
        Tiles(PAGE, (), np.zeros((1, 28, 28), np.float32))
    with pytest.raises(ValueError, match="notes for all"):
        replace(tiles(), variants=(Variant.WHOLE, Variant.CORE))
