"""What a pen leaves that is not one digit: letters, words, signs, drawings, scribbles."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from batchdigits.training.fields import Float
from batchdigits.training.glyphs import DRAWINGS, LETTERS, SYMBOLS
from batchdigits.training.pens import Pen, draw_ink
from batchdigits.training.skeletons import Glyph, smooth, write_glyph

Stroke = NDArray[np.float64]  #: (K, 2) points (x, y), y down, in units of a digit's height
Handwriting = tuple[NDArray[np.uint8], NDArray[np.int64]]

UNIT = 100  # pixels per digit height: enough for the largest simulated photo
_LOW_LETTERS = frozenset("aemnprwx")  # a word keeps these at the height of its small letters


@dataclass(frozen=True, slots=True, eq=False)
class Writer:
    """Who writes, and with what."""

    rng: np.random.Generator
    pen: Pen
    wobble: float  #: as of `draw_skeleton`
    handwriting: Handwriting | None  #: (N, H, W) uint8 pictures, ink 255 on 0, and (N,) labels; None for skeletons only

    def with_pen(self, at_most: float) -> Writer:
        """Take a finer pen where loops would fill: an e without its eye may be anything."""
        return replace(self, pen=replace(self.pen, width=min(self.pen.width, at_most * self.rng.uniform(0.8, 1))))

    def bold(self) -> Writer:
        """Take a pen that is seen beside any digit: under a faint stroke the digit would still be one."""
        width = float(np.clip(self.pen.width, 0.05, 0.09))
        return replace(self, pen=replace(self.pen, width=width, grain=min(self.pen.grain, 0.25)))

    def of_one_kind(self) -> Writer:
        """Settle whether the digits of a picture are handwriting or skeletons: mixed, one might outshine the rest."""
        return replace(self, handwriting=None) if self.rng.random() < 0.5 else self


def letter(writer: Writer) -> Float:
    """Write one letter."""
    return ink_of(_upright(_any_glyph(LETTERS, writer.rng), writer), writer.with_pen(0.1))


def word(writer: Writer) -> Float:
    """Write two or three letters close together."""
    names = tuple(name for name in LETTERS if len(name) == 1)
    strokes: list[Stroke] = []
    at, low_size = 0.0, writer.rng.uniform(0.6, 0.75)
    for _ in range(int(writer.rng.integers(2, 4))):
        name = names[int(writer.rng.integers(len(names)))]
        size = low_size if name in _LOW_LETTERS else 1.0
        one = [stroke * size for stroke in _upright(_style(LETTERS[name], writer.rng), writer)]
        one = [stroke + (at, 1 - size) for stroke in one]
        strokes += one
        at = max(float(stroke[:, 0].max()) for stroke in one) + writer.rng.uniform(-0.1, 0.02)
    return ink_of(strokes, writer.with_pen(0.08))


def symbol(writer: Writer) -> Float:
    """Write a sign."""
    return ink_of(_whole(_any_glyph(SYMBOLS, writer.rng), writer), writer.with_pen(0.09))


def drawing(writer: Writer) -> Float:
    """Draw a little picture."""
    return ink_of(_whole(_any_glyph(DRAWINGS, writer.rng), writer), writer.with_pen(0.045))


def scribble(writer: Writer) -> Float:
    """Scribble: zigzag, scrawl, coil, tangle or an aimless curve."""
    rng = writer.rng
    makers = (_zigzag, back_and_forth, _coil, tangle, _wander)
    stroke = makers[int(rng.integers(len(makers)))](rng)
    return ink_of([stroke], writer.with_pen(0.07))


def outline(writer: Writer) -> Float:
    """Draw a line with many corners, closed or open, that crosses itself as it likes."""
    rng = writer.rng
    corners = rng.uniform(0, 1, (int(rng.integers(7, 12)), 2))
    if rng.random() < 0.6:
        corners = np.concatenate([corners, corners[:1]])
    return ink_of([smooth(_with_corners(corners))], writer.with_pen(0.08))


def _with_corners(points: Stroke) -> Stroke:
    """Give every inner point twice, which makes a corner of it."""
    return np.repeat(points, [1, *[2] * (len(points) - 2), 1], axis=0)


def _style(styles: tuple[Glyph, ...], rng: np.random.Generator) -> Glyph:
    return styles[int(rng.integers(len(styles)))]


def _any_glyph(glyphs: Mapping[str, tuple[Glyph, ...]], rng: np.random.Generator) -> Glyph:
    return _style(tuple(glyphs.values())[int(rng.integers(len(glyphs)))], rng)


def ink_of(strokes: Sequence[Stroke], writer: Writer) -> Float:
    """Go over strokes with the writer's pen, at `UNIT` pixels per digit height."""
    points = np.concatenate(list(strokes))
    span = float(np.ptp(points[:, 1])) + writer.pen.width * (1 + writer.pen.pressure)
    return draw_ink(strokes, height=max(4, round(UNIT * span) + 2), pen=writer.pen, rng=writer.rng)


def _upright(glyph: Glyph, writer: Writer) -> list[Stroke]:
    """Write a glyph one unit high, from (0, 0)."""
    strokes = write_glyph(glyph, writer.rng, wobble=writer.wobble)
    points = np.concatenate(strokes)
    low, high = points.min(axis=0), points.max(axis=0)
    return [(stroke - low) / (high[1] - low[1]) for stroke in strokes]


def _whole(glyph: Glyph, writer: Writer) -> list[Stroke]:
    """Write a glyph whose longer side is one unit: a dash has no height."""
    strokes = write_glyph(glyph, writer.rng, wobble=writer.wobble)
    points = np.concatenate(strokes)
    return [(stroke - points.min(axis=0)) / float(np.ptp(points, axis=0).max()) for stroke in strokes]


def turned(points: Stroke, angle: float) -> Stroke:
    """Turn points about (0, 0) by an angle in radians."""
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return np.asarray(points @ turn.T, dtype=np.float64)


def _zigzag(rng: np.random.Generator) -> Stroke:
    """Draw a wide zigzag: with fewer than five bends, or upright, it might be a Z, a 2, a 3 or a 5."""
    count = int(rng.integers(6, 12))
    x = np.linspace(0, rng.uniform(1.0, 1.4), count) + rng.normal(0, 0.02, count)
    y = np.where(np.arange(count) % 2, 0.0, rng.uniform(0.25, 0.6)) + rng.normal(0, 0.03, count)
    points = turned(np.stack([x, y], axis=1), rng.uniform(-0.35, 0.35))
    return smooth(points if rng.random() < 0.4 else _with_corners(points))


def back_and_forth(rng: np.random.Generator, fewest: int = 11) -> Stroke:
    """Draw back and forth over an area, at any angle."""
    count = int(rng.integers(fewest, 22))
    along = np.linspace(0, rng.uniform(0.6, 1.0), count)
    reach = 0.5 * rng.uniform(0.6, 1.1) * (1 + rng.normal(0, 0.2, count))
    across = np.where(np.arange(count) % 2, reach, -reach)
    points = turned(np.stack([across, along], axis=1), rng.uniform(-np.pi / 2, np.pi / 2))
    return smooth(points if rng.random() < 0.6 else _with_corners(points))


def _coil(rng: np.random.Generator) -> Stroke:
    """Draw loops that run on to the right, as in a row of e or l."""
    loops = int(rng.integers(3, 7))
    t = np.linspace(0, loops, loops * 10 + 5)
    radius = rng.uniform(0.16, 0.3)
    tall = radius * rng.uniform(0.9, 1.8) * np.interp(t, np.arange(loops + 1), rng.uniform(0.75, 1.25, loops + 1))
    sign = 1 if rng.random() < 0.5 else -1
    x = radius * rng.uniform(0.8, 1.6) * t + radius * np.cos(2 * np.pi * t)
    return smooth(turned(np.stack([x, sign * tall * np.sin(2 * np.pi * t)], axis=1), rng.uniform(-0.3, 0.3)))


def tangle(rng: np.random.Generator) -> Stroke:
    """Draw round and round, near and far from the middle, as one blackens a mistake."""
    count = int(rng.integers(24, 42))
    angles = np.cumsum(rng.uniform(0.5, 2.0, count)) * (1 if rng.random() < 0.5 else -1)
    # every third point near the middle: with a hole in it, a tangle would be a 0
    radius = np.where(np.arange(count) % 3, rng.uniform(0.2, 0.5, count), rng.uniform(0.0, 0.15, count))
    return smooth(np.stack([np.cos(angles), np.sin(angles)], axis=1) * radius[:, None])


def _wander(rng: np.random.Generator) -> Stroke:
    """Draw an aimless curve, with more turns than any digit has."""
    return smooth(rng.uniform(0, 1, (int(rng.integers(14, 24)), 2)))
