from __future__ import annotations

import cv2
import numpy as np
import pytest

from batchdigits.imaging.lattice import Piece
from batchdigits.imaging.signs import without_end_signs
from batchdigits.types import Box

SIZE = 100
ONE = [((5, 0), (0, 100))]
SLASH = [((50, 0), (0, 100))]
LEANING = [((32, 0), (0, 100))]
DASH = [((0, 50), (45, 48))]
EQUALS = [((0, 40), (45, 38)), ((0, 60), (45, 60))]
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
    count, labels, stats, _ = cv2.connectedComponentsWithStats(canvas)
    boxes = [Box(x, y, x + w, y + h) for x, y, w, h, _ in stats[1:]]
    pieces = [Piece(label, label, box) for label, box in zip(range(1, count), boxes, strict=True)]
    return sorted(pieces, key=lambda piece: piece.box.left + piece.box.right), labels.astype(np.int32)


@pytest.mark.parametrize(
    ("signs", "left"),
    [
        ((FOUR, ONE), 2),
        ((FOUR, DASH), 1),
        ((FOUR, EQUALS), 1),
        ((FOUR, ONE, EQUALS), 2),
        ((FOUR, SLASH, DASH), 1),
        ((FOUR, SLASH), 2),  # a 1 may lean
        ((FOUR, LEANING, DASH), 2),
        ((FOUR, DASH, FOUR), 3),
        ((FOUR, FIVE, (BAR, 63)), 3),
        ((DASH,), 1),
        ((SLASH, DASH), 1),
    ],
)
def test_signs_that_end_an_amount_go_and_digits_stay(signs, left):
    pieces, labels = row_of(*signs)
    kept = without_end_signs(pieces, labels, SIZE)
    assert len(kept) == left
    assert kept == pieces[:left]  # signs come last
