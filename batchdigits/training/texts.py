"""Simulated pictures of numbers and pages: lines of digits by one hand, as the photo simulator would take them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType

import cv2
import numpy as np
from numpy.typing import NDArray

from batchdigits.training.augment import enlarge
from batchdigits.training.fields import Float
from batchdigits.training.pens import Pen, draw_ink, random_pen
from batchdigits.training.scenes import PrintedBox, Ruling, random_scene
from batchdigits.training.scrawls import Handwriting
from batchdigits.training.simulator import for_pencil, photograph
from batchdigits.training.skeletons import draw_skeleton

_HEIGHT = 100  # of a digit in the ink map, pixels

#: Signs of an amount: their strokes, points (x, y) in units of a digit's height, y down from a digit's top.
_SIGNS: Mapping[str, Sequence[Sequence[tuple[float, float]]]] = MappingProxyType({
    ",": [[(0.06, 0.84), (0.08, 0.9), (0.0, 1.02)]],
    ".": [[(0.0, 0.94), (0.02, 0.96)]],
    "-": [[(0.0, 0.5), (0.35, 0.48)]],
    "=": [[(0.0, 0.42), (0.35, 0.4)], [(0.0, 0.6), (0.35, 0.6)]],
    "/": [[(0.34, 0.0), (0.0, 1.02)]],
})  # fmt: skip


def random_text(rng: np.random.Generator, lines: int) -> str:
    """Draw lines of digits, with a space between lines."""
    return " ".join("".join(rng.choice(list("0123456789"), int(rng.integers(2, 10)))) for _ in range(lines))


def random_amount(rng: np.random.Generator) -> str:
    """Draw an amount as people write them: with commas, cents, and signs that keep others from adding digits."""
    whole = int(np.exp(rng.uniform(np.log(100), np.log(1e6))))
    cents = f".{int(rng.integers(100)):02d}" if rng.random() < 0.4 else ""
    end = str(rng.choice(["", "-", "=", "/-"], p=[0.4, 0.1, 0.2, 0.3])) if not cents else ""
    return (f"{whole:,}" if rng.random() < 0.6 else f"{whole}") + cents + end


def simulate_text(
    text: str,
    rng: np.random.Generator,
    *,
    difficulty: float = 0.5,
    handwriting: Handwriting | None = None,
    turns: int = 0,
) -> NDArray[np.uint8]:
    """Take a picture of lines of digits.

    Parameters
    ----------
    text : str
        Digits, and the signs ``, . - = /``; a space begins a new line.
    rng : numpy.random.Generator
        The same state gives the same pixels.
    difficulty : float
        As of `random_scene`; the harder, the closer the digits, and some touch.
    handwriting : ((N, H, W) ndarray of uint8, (N,) ndarray of int64) or None
        Digits, ink 255 on 0, and their labels, for half of the pictures; None for our own skeletons alone.
    turns : int
        Quarter turns counter-clockwise that would set the picture upright.

    Returns
    -------
    (H, W, 3) ndarray of uint8
        BGR, some 40 to 130 pixels a digit's height.
    """
    scene = replace(random_scene(rng, difficulty=difficulty), box=PrintedBox(), ruling=Ruling(), offset=(0.0, 0.0))
    pen = replace(random_pen(rng), blotches=0)
    if pen.kind == "pencil":
        scene = for_pencil(scene, rng)
    slant = rng.normal(0, 0.04)
    close = rng.uniform(0.15, 0.5) - 0.35 * difficulty * rng.random()
    written = handwriting if rng.random() < 0.5 else None

    def digit(label: int) -> Float:
        height = round(_HEIGHT * float(np.clip(rng.normal(1, 0.07), 0.8, 1.2)))
        if written is None:
            return draw_ink(draw_skeleton(label, rng, wobble=0.7), height=height, pen=pen, rng=rng)
        same = np.flatnonzero(written[1] == label)
        ink = enlarge(written[0][same[int(rng.integers(len(same)))]])
        return np.asarray(cv2.resize(ink, (max(4, round(ink.shape[1] * height / ink.shape[0])), height)), np.float32)

    def draw(character: str) -> Float:
        return digit(int(character)) if character.isdigit() else _sign(character, pen, rng)

    lines = [_line([draw(character) for character in line], close, slant, rng) for line in text.split()]
    ink = _page(lines, rng)
    height = rng.uniform(40, 130) * ink.shape[0] / _HEIGHT
    width = height * ink.shape[1] / ink.shape[0]
    size = max(72, round(height / rng.uniform(0.45, 0.85))), max(72, round(width / rng.uniform(0.55, 0.9)))
    picture = photograph(ink, replace(scene, size=size, digit_height=height / size[0]), rng)
    return np.ascontiguousarray(np.rot90(picture, -turns))


def _sign(sign: str, pen: Pen, rng: np.random.Generator) -> Float:
    """Draw a sign with as much paper above and below as it takes to the size of a digit."""
    strokes = [np.array(stroke) + rng.normal(0, 0.02, (len(stroke), 2)) for stroke in _SIGNS[sign]]
    heights = np.concatenate(strokes)[:, 1]
    height = round((np.ptp(heights) + pen.width * (1 + pen.pressure)) * _HEIGHT) + 2  # a margin of one pixel each
    ink = draw_ink(strokes, height=height, pen=pen, rng=rng)
    above = max(0, round((heights.min() - pen.width / 2) * _HEIGHT))
    return np.pad(ink, ((above, max(0, _HEIGHT - above - ink.shape[0])), (0, 0)))


def _line(digits: Sequence[Float], close: float, slant: float, rng: np.random.Generator) -> Float:
    """Set digits side by side, the baseline not quite straight; negative gaps make them touch or overlap."""
    gaps = np.clip(rng.normal(close, 0.1, len(digits)), -0.12, None) * _HEIGHT
    widths = [digit.shape[1] for digit in digits]
    lefts = np.concatenate([[0], np.cumsum(np.array(widths[:-1]) + gaps[1:])]).astype(int)
    lefts -= lefts.min()  # after a first stroke that is narrower than they overlap, the second begins before it
    rise = slant * lefts + rng.normal(0, 0.05 * _HEIGHT, len(digits))
    tops = np.round(rise - rise.min()).astype(int) + [max(d.shape[0] for d in digits) - d.shape[0] for d in digits]
    shape = (
        max(t + d.shape[0] for t, d in zip(tops, digits, strict=True)),
        max(left + width for left, width in zip(lefts, widths, strict=True)),
    )
    canvas = np.zeros(shape, np.float32)
    for digit, left, top in zip(digits, lefts, tops, strict=True):
        place = canvas[top : top + digit.shape[0], left : left + digit.shape[1]]
        np.maximum(place, digit, out=place)
    return canvas


def _page(lines: Sequence[Float], rng: np.random.Generator) -> Float:
    """Set lines one below the other, not quite flush."""
    indents = [int(rng.uniform(0, 0.5) * _HEIGHT) for _ in lines]
    width = max(line.shape[1] + indent for line, indent in zip(lines, indents, strict=True))
    parts = []
    for line, indent in zip(lines, indents, strict=True):
        parts.append(np.pad(line, ((0, 0), (indent, width - indent - line.shape[1]))))
        parts.append(np.zeros((int(rng.uniform(0.3, 0.9) * _HEIGHT), width), np.float32))
    return np.concatenate(parts[:-1])
