from __future__ import annotations

import cv2
import numpy as np
import pytest

from batchdigits.imaging.lattice import Piece
from batchdigits.imaging.signs import without_signs
from batchdigits.types import Box

SIZE = 100
ONE = [((5, 0), (0, 100))]
SLASH = [((110, 0), (0, 100))]
LEANING = [((32, 0), (0, 100))]
TALL = [((32, -12), (0, 105))]
DASH = [((0, 50), (45, 48))]
EQUALS = [((0, 40), (45, 38)), ((0, 60), (45, 60))]
NEAR = [((0, 40), (45, 38)), ((0, 52), (45, 52))]  # an equals sign that is one piece
FOUR = [((30, 0), (0, 60)), ((0, 60), (60, 60)), ((45, 30), (45, 100))]
FIVE = [((5, 8), (0, 45)), ((0, 45), (50, 60)), ((50, 60), (40, 95)), ((40, 95), (0, 98))]
BAR = [((12, 0), (55, 0))]  # of the 5, with a gap


def row_of(*signs):
    """Pieces and labels of strokes side by side; a sign given as (strokes, back) is set that far to the left."""
    canvas, left = np.zeros((140, 120 * len(signs)), np.uint8), 20
    for sign in signs:
        strokes, back = sign if isinstance(sign, tuple) else (sign, 0)
        left -= back
        for start, end in strokes:
            cv2.line(canvas, (left + start[0], 20 + start[1]), (left + end[0], 20 + end[1]), 255, 7)
        left += max(x for stroke in strokes for x, _ in stroke) + 25
    _, near = cv2.connectedComponents(cv2.dilate(canvas, np.ones((7, 7), np.uint8)))
    labels = np.where(canvas > 0, near, 0)  # strokes close together are one piece
    count = labels.max() + 1
    places = [np.nonzero(labels == label) for label in range(1, count)]
    boxes = [Box(x.min(), y.min(), x.max() + 1, y.max() + 1) for y, x in places]
    pieces = [Piece(label, label, box) for label, box in zip(range(1, count), boxes, strict=True)]
    return sorted(pieces, key=lambda piece: piece.box.left + piece.box.right), labels.astype(np.int32)


@pytest.mark.parametrize(
    ("signs", "left"),
    [
        ((FOUR, ONE), 2),
        ((FOUR, DASH), 1),
        ((FOUR, EQUALS), 1),
        ((FOUR, ONE, EQUALS), 2),
        ((FOUR, SLASH), 2),  # a 1 may lean
        ((FOUR, NEAR), 1),
        ((FOUR, DASH, FOUR), 3),
        ((FOUR, FIVE, (BAR, 63)), 3),
        ((DASH,), 1),
        ((SLASH, DASH), 1),
    ],
)
def test_signs_that_end_an_amount_go_and_digits_stay(signs, left):
    pieces, labels = row_of(*signs)
    kept = without_signs(pieces, labels, SIZE).pieces
    assert len(kept) == left
    assert kept == pieces[:left]  # signs come last


@pytest.mark.parametrize(
    ("signs", "slash"),
    [
        ((FOUR, ONE, DASH), 0),  # upright
        ((FOUR, LEANING, DASH), 1),
        ((FOUR, SLASH, DASH), 1),
        ((LEANING, LEANING, LEANING, LEANING, DASH), 0.8),  # so does everything
        ((FOUR, LEANING), 0),
        ((FOUR, TALL), 0.4),
        ((FOUR, FOUR, DASH), 0),
    ],
)
def test_a_leaning_stroke_may_be_a_slash_as_well_as_a_one_if_it_is_tall_or_before_the_dash(signs, slash):
    pieces, labels = row_of(*signs)
    unsigned = without_signs(pieces, labels, SIZE)
    last = pieces[len(signs) - (signs[-1] is DASH) - 1]
    assert unsigned.slashes == ({last.label: slash} if slash else {})
