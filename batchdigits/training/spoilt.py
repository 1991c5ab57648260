"""Digits that are none any more: cancelled, run together, ringed, or cut down to a fragment."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from batchdigits.training.augment import enlarge
from batchdigits.training.fields import Float, smooth_field
from batchdigits.training.pens import draw_ink
from batchdigits.training.scrawls import UNIT, Stroke, Writer, back_and_forth, ink_of, tangle, turned
from batchdigits.training.skeletons import draw_skeleton, smooth

_CANCELLED = (2, 3, 4, 5, 6, 7, 8, 9)  # a hatched 0 is still a 0, a hatched 1 a bold one
_STRUCK = (2, 3, 5, 6, 8)  # a bar through a 7 is a habit, one through a 4 its own, one through a 9 makes it a 4
_RINGED = (2, 3, 4, 5, 6, 8)  # a ring around a 1, or a slim 7 or 9, is a slashed 0; one around a 0 a bold 0
_UPPER, _LOWER = (4, 5, 8), (2, 4, 5, 8)  # 0 over 0 is an 8, 0 over 1 a 9, 1 over 0 a 6, 7 over 3 a 3
_BESIDE_A_ONE = (2, 5)  # 13 is a B or an 8, 10 a bold 0, 11 and 17 an arch, 14 and 41 a 4, 16 a b
# The share of a digit's height that leaves no other digit, measured from its top (positive) or foot (negative): the
# head of a 2 or a 3 may be a 7, the lower half of a 6 a 0, a 9 without its head a 1.
_SLICES = {0: (0.4, -0.4), 2: (-0.25,), 3: (-0.35,), 5: (-0.35,), 6: (-0.3,), 8: (0.3, -0.3), 9: (0.3,)}


def crossed_out(writer: Writer) -> Float:
    """Write a digit and cancel it."""
    writer = writer.of_one_kind()
    rng = writer.rng
    way = ("strike", "cross", "bars", "scrawl", "scrawl", "tangle")[int(rng.integers(6))]
    ink = _digit_ink(writer, _STRUCK if way == "strike" else _CANCELLED)
    half = np.array([ink.shape[1], ink.shape[0]]) / (2 * UNIT) * rng.uniform(1.0, 1.25)
    half[0] = max(half[0], 0.3)  # a slim digit is cancelled by strokes wider than itself
    if way == "strike":
        strokes = _strikes(rng, half)
    elif way == "scrawl":
        strokes = [_fitted(back_and_forth(rng, fewest=9), half)]
    elif way == "tangle":
        strokes = [_fitted(tangle(rng), half)]
    else:
        strokes = _bars(rng, half, 2 if way == "cross" else 1)
    over = ink_of(strokes, writer.bold())
    across = (ink.shape[1] - over.shape[1]) // 2 + int(rng.normal(0, 3))
    return overlay(ink, over, (ink.shape[0] - over.shape[0]) // 2 + int(rng.normal(0, 3)), across)


def several(writer: Writer) -> Float:
    """Write two or three digits that touch: side by side, one above the other, or in a heap."""
    writer = writer.of_one_kind()
    rng = writer.rng
    way = rng.random()
    if way < 0.15:
        return _heap(writer)
    if way < 0.3:
        upper, lower = _digit_ink(writer, _UPPER), _digit_ink(writer, _LOWER)
        return np.ascontiguousarray(_touching(upper.T, lower.T, rng).T)
    digits = [int(rng.integers(10))]
    for _ in range(2 if rng.random() < 0.25 else 1):
        if digits[-1] == 1:
            choice: Sequence[int] = _BESIDE_A_ONE
        else:
            choice = [d for d in range(10) if d != 1 or digits[-1] in _BESIDE_A_ONE]
        digits.append(int(choice[int(rng.integers(len(choice)))]))
    ink = _digit_ink(writer, (digits[0],))
    for digit in digits[1:]:
        ink = _touching(ink, _digit_ink(writer, (digit,)), rng)
    return ink


def circled(writer: Writer) -> Float:
    """Write a digit and draw a ring around it."""
    writer = writer.of_one_kind()
    rng = writer.rng
    ink = _digit_ink(writer, _RINGED)
    half = np.array([ink.shape[1], ink.shape[0]]) / UNIT * rng.uniform(0.62, 0.8)
    half[0] = max(half[0], half[1] * rng.uniform(0.75, 1.1))
    start, turns = rng.uniform(0, 2 * np.pi), rng.uniform(1.0, 1.2)
    angles = start + np.linspace(0, 2 * np.pi * turns, 14)
    radius = 1 + rng.normal(0, 0.03, 14) + np.linspace(0, rng.normal(0, 0.08), 14)
    ring = smooth(np.stack([np.cos(angles), np.sin(angles)], axis=1) * half * radius[:, None])
    loop = ink_of([ring], writer.bold())
    return overlay(loop, ink, (loop.shape[0] - ink.shape[0]) // 2, (loop.shape[1] - ink.shape[1]) // 2)


def fragment(writer: Writer) -> Float:
    """Write a digit of which only a slice is left, cut by an edge or rubbed out."""
    writer = writer.of_one_kind().with_pen(0.09)
    rng = writer.rng
    digits = list(_SLICES)
    digit = digits[int(rng.integers(len(digits)))]
    ink = _digit_ink(writer, (digit,))
    share = _SLICES[digit][int(rng.integers(len(_SLICES[digit])))] * rng.uniform(0.6, 1)
    # a slice as high as wide would be a narrow 0 without its lid, which some write
    rows = max(4, min(round(abs(share) * ink.shape[0]), round(ink.shape[1] / 1.4)))
    part = ink[:rows] if share > 0 else ink[-rows:]
    if rng.random() < 0.5:  # rubbed out: the stroke fades, along a ragged front
        fade = np.linspace(-1, 2.5, rows, dtype=np.float32)[:, None] + 0.4 * smooth_field(rng, part.shape, 12)
        part = part * np.clip(fade if share < 0 else fade[::-1], 0, 1)
    return np.ascontiguousarray(part, dtype=np.float32)


def overlay(below: Float, above: Float, top: int, left: int) -> Float:
    """Put one ink map over another, its upper left corner at (top, left) of the other's; the canvas grows to fit."""
    first = max(0, -top), max(0, -left)
    second = max(0, top), max(0, left)
    size = [max(first[i] + below.shape[i], second[i] + above.shape[i]) for i in range(2)]
    canvas = np.zeros(size, np.float32)
    for ink, (row, column) in ((below, first), (above, second)):
        place = canvas[row : row + ink.shape[0], column : column + ink.shape[1]]
        np.maximum(place, ink, out=place)
    return canvas


def _digit_ink(writer: Writer, digits: Sequence[int]) -> Float:
    """Write one of some digits, about `UNIT` pixels high, or take one from the handwriting."""
    rng = writer.rng
    digit = int(digits[int(rng.integers(len(digits)))])
    height = round(UNIT * rng.uniform(0.9, 1.1))
    if writer.handwriting is None:
        return draw_ink(draw_skeleton(digit, rng, wobble=writer.wobble), height=height, pen=writer.pen, rng=rng)
    pictures, labels = writer.handwriting
    own = np.flatnonzero(labels == digit)
    if not len(own):
        return draw_ink(draw_skeleton(digit, rng, wobble=writer.wobble), height=height, pen=writer.pen, rng=rng)
    ink = enlarge(pictures[own[int(rng.integers(len(own)))]])
    size = (max(2, round(ink.shape[1] * height / ink.shape[0])), height)
    return np.asarray(cv2.resize(ink, size, interpolation=cv2.INTER_AREA), dtype=np.float32)


def _fitted(stroke: Stroke, half: Stroke) -> Stroke:
    """Stretch a stroke over a box about (0, 0)."""
    low, high = stroke.min(axis=0), stroke.max(axis=0)
    return np.asarray((2 * (stroke - low) / np.maximum(high - low, 1e-6) - 1) * half, dtype=np.float64)


def _strikes(rng: np.random.Generator, half: Stroke) -> list[Stroke]:
    """Strike a box through, once or twice, nearly level and far beyond its sides.

    Oblique or short, a stroke would close the bows of a 2, a 5 or a 6 to an 8.
    """
    count = 1 if rng.random() < 0.35 else 2
    angle = rng.normal(0, 0.12)
    strokes = []
    for shift in np.linspace(-0.12, 0.12, count) if count > 1 else [0.0]:
        ends = half[0] + rng.uniform(0.3, 0.55, 2)
        line = np.array([[-ends[0], 0.0], [0.0, rng.normal(0, 0.02)], [ends[1], 0.0]])
        strokes.append(smooth(turned(line, angle + rng.normal(0, 0.04)) + (0.0, shift + rng.normal(0, 0.04))))
    return strokes


def _bars(rng: np.random.Generator, half: Stroke, ways: int) -> list[Stroke]:
    """Draw oblique straight strokes over a box: a cross, single or double, or three and more side by side."""
    diagonal = np.arctan2(half[1], half[0])
    # a cross within the digit's own box would make an 8 of a 2 or a 5
    reach = float(np.hypot(*half)) * (rng.uniform(1.35, 1.65) if ways == 2 else rng.uniform(1.05, 1.3))
    count = int(rng.integers(1, 3) if ways == 2 else rng.integers(3, 6))
    spread = 0.1 if ways == 2 else 0.75 * half[0]
    sides = (1, -1) if ways == 2 else (int(rng.choice((-1, 1))),)
    strokes = []
    for side in sides:
        angle = side * float(np.clip(diagonal + rng.normal(0, 0.15), 0.4, 1.0))
        for shift in np.linspace(-spread, spread, count) if count > 1 else [0.0]:
            line = np.array([[-reach, 0.0], [0.0, rng.normal(0, 0.03)], [reach, 0.0]]) * rng.uniform(0.85, 1.1)
            strokes.append(smooth(turned(line, angle + rng.normal(0, 0.05)) + (shift, rng.normal(0, 0.03))))
    return strokes


def _touching(left: Float, right: Float, rng: np.random.Generator) -> Float:
    """Push one ink map to the right end of another until they touch, or somewhat further."""
    drop = int(rng.normal(0, 0.06) * UNIT) + (left.shape[0] - right.shape[0]) // 2
    rows = range(max(0, drop), min(left.shape[0], drop + right.shape[0]))
    gaps = []
    for row in rows:
        own, other = np.flatnonzero(left[row] > 0.5), np.flatnonzero(right[row - drop] > 0.5)
        if len(own) and len(other):
            gaps.append(int(own[-1]) - int(other[0]))
    at = max(gaps, default=left.shape[1]) + 1 - int(rng.uniform(0.01, 0.07) * UNIT)
    return overlay(left, right, drop, at)


def _heap(writer: Writer) -> Float:
    """Write three or four digits over each other; of two, a person would read the bolder one."""
    rng = writer.rng
    ink = _digit_ink(writer, range(10))
    for _ in range(int(rng.integers(2, 4))):
        down, across = rng.uniform(0.15, 0.4, 2) * rng.choice((-1, 1), 2) * UNIT
        ink = overlay(ink, _digit_ink(writer, (2, 3, 4, 5, 6, 8, 9)), int(down), int(across))
    return ink
