"""The ten digits as pen strokes, in the ways people write them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

Points = tuple[tuple[int, int], ...]
Glyph = tuple[Points, ...]

# Every stroke is a list of points on its middle line, in hundredths of the digit's height, x right, y down.
# A smooth curve runs through them in order; a point given twice is a corner.
_OVAL: Points = ((38, 1), (15, 15), (4, 50), (14, 86), (35, 100), (56, 85), (66, 50), (55, 14), (36, 1), (27, 4))
_BOWL: Points = ((30, 37), (52, 46), (60, 67), (48, 91), (24, 99), (3, 90))

_GLYPHS: dict[int, dict[str, Glyph]] = {
    0: {
        "oval": (_OVAL,),
        "round": (((50, 2), (18, 12), (2, 48), (15, 86), (47, 99), (78, 84), (91, 48), (78, 13), (48, 2), (38, 4)),),
        "narrow": (((30, 1), (12, 16), (4, 52), (11, 88), (27, 99), (42, 86), (49, 50), (42, 14), (28, 2)),),
        "slanted": (((48, 2), (22, 14), (5, 50), (10, 86), (29, 99), (53, 84), (67, 48), (64, 14), (46, 2), (38, 6)),),
        "slashed": (_OVAL, ((62, 6), (35, 50), (9, 95))),
    },
    1: {
        "bar": (((20, 0), (20, 50), (19, 100)),),
        "leaning": (((40, 0), (25, 50), (11, 100)),),
        "short_upstroke": (((8, 20), (30, 0), (30, 0), (29, 50), (29, 100)),),
        "long_upstroke": (((3, 38), (20, 20), (35, 0), (35, 0), (34, 50), (34, 100)),),
        "foot": (((10, 20), (32, 0), (32, 0), (31, 50), (31, 99)), ((6, 100), (32, 99), (58, 99))),
        "bar_foot": (((30, 0), (30, 50), (29, 98)), ((8, 99), (30, 99), (52, 98))),
    },
    2: {
        "plain": (
            ((5, 22), (15, 6), (35, 0), (56, 9), (59, 29), (46, 53), (24, 78), (2, 98), (2, 98), (32, 98), (65, 97)),
        ),
        "angular": (((4, 14), (22, 1), (46, 2), (56, 20), (47, 43), (2, 98), (2, 98), (32, 97), (62, 98)),),
        "wide_loop": (
            ((8, 18), (24, 2), (46, 6), (54, 24), (44, 52), (28, 76), (12, 90), (2, 84), (8, 72), (24, 78), (40, 94),
             (58, 96), (70, 86)),
        ),
        "swan": (
            ((9, 24), (14, 8), (34, 0), (53, 9), (57, 28), (45, 55), (24, 80), (4, 97), (4, 97), (20, 91), (42, 97),
             (66, 91)),
        ),
        "loop": (
            ((6, 21), (17, 5), (37, 0), (55, 10), (57, 30), (45, 57), (26, 83), (11, 96), (1, 93), (6, 84), (22, 86),
             (42, 96), (66, 93)),
        ),
    },
    3: {
        "round": (
            ((5, 15), (22, 1), (46, 4), (55, 22), (45, 40), (24, 47), (24, 47), (49, 54), (61, 74), (50, 94), (25, 100),
             (2, 87)),
        ),
        "flat_top": (
            ((4, 2), (30, 2), (56, 1), (56, 1), (26, 40), (26, 40), (51, 46), (61, 68), (49, 93), (24, 100), (2, 89)),
        ),
        "smooth": (
            ((7, 12), (26, 0), (48, 8), (50, 27), (30, 44), (30, 44), (54, 56), (59, 78), (42, 97), (18, 98), (1, 88)),
        ),
        "looped": (
            ((6, 13), (24, 1), (47, 5), (53, 23), (40, 42), (24, 49), (20, 44), (28, 42), (48, 53), (60, 73), (50, 94),
             (25, 100), (2, 88)),
        ),
    },
    4: {
        "open": (((14, 0), (10, 28), (5, 57), (5, 57), (34, 57), (64, 55)), ((46, 22), (45, 60), (44, 100))),
        "open_round": (((13, 0), (6, 36), (14, 52), (34, 54), (53, 46)), ((55, 3), (52, 50), (48, 100))),
        "open_wide": (((20, 2), (4, 58), (4, 58), (36, 57), (70, 56)), ((55, 4), (52, 52), (49, 100))),
        "closed": (((46, 0), (24, 34), (2, 66), (2, 66), (34, 67), (68, 65)), ((47, 1), (46, 50), (46, 100))),
        "closed_short": (((50, 2), (26, 28), (4, 57), (4, 57), (32, 57), (64, 55)), ((50, 1), (48, 52), (46, 100))),
        "tail": (((15, 1), (11, 28), (5, 55), (5, 55), (34, 55), (64, 53)), ((48, 8), (46, 60), (47, 92), (58, 99))),
        "one_stroke": (
            ((16, 2), (8, 30), (4, 54), (12, 60), (32, 54), (50, 40), (58, 18), (58, 18), (52, 58), (48, 100)),
        ),
    },
    5: {
        "detached": (
            ((11, 2), (9, 22), (8, 43), (8, 43), *_BOWL),
            ((13, 1), (36, 1), (59, 0)),
        ),
        "joined": (((58, 0), (35, 1), (12, 2), (12, 2), (10, 22), (8, 43), (8, 43), *_BOWL),),
        "angled": (
            ((64, 1), (42, 2), (20, 2), (20, 2), (14, 22), (9, 42), (9, 42), (34, 38), (54, 50), (58, 70), (44, 91),
             (22, 99), (1, 93)),
        ),
        "smooth": (
            ((56, 0), (36, 1), (17, 3), (17, 3), (12, 22), (13, 36), (30, 42), (50, 52), (57, 72), (45, 93), (22, 100),
             (2, 91)),
        ),
        "flag": (
            ((12, 3), (10, 22), (8, 44), (8, 44), *_BOWL),
            ((12, 5), (34, 7), (60, 0)),
        ),
    },
    6: {
        "closed": (
            ((48, 0), (22, 22), (7, 50), (4, 76), (18, 97), (39, 98), (56, 80), (50, 60), (31, 53), (14, 61), (5, 75)),
        ),
        "loose": (
            ((44, 0), (20, 24), (6, 52), (5, 78), (20, 98), (42, 97), (56, 79), (49, 61), (32, 55), (17, 64)),
        ),
        "straight": (
            ((53, 0), (28, 34), (9, 62), (6, 82), (22, 98), (44, 96), (56, 78), (46, 60), (26, 60), (9, 76)),
        ),
        "curled": (
            ((55, 11), (42, 0), (22, 11), (8, 40), (4, 72), (16, 96), (39, 98), (57, 79), (50, 58), (30, 51), (12, 62),
             (5, 73)),
        ),
        "hooked": (
            ((50, 32), (55, 13), (42, 1), (22, 8), (9, 32), (5, 60), (8, 86), (26, 99), (46, 94), (56, 75), (45, 56),
             (26, 54), (10, 64)),
        ),
        "inner": (
            ((46, 0), (20, 22), (5, 54), (8, 86), (30, 99), (52, 88), (54, 66), (38, 56), (22, 64), (20, 78)),
        ),
    },
    7: {
        "plain": (((2, 3), (32, 3), (60, 2), (60, 2), (41, 50), (23, 100)),),
        "curved": (((1, 4), (30, 4), (60, 2), (60, 2), (41, 38), (31, 68), (28, 100)),),
        "upright": (((1, 5), (30, 3), (57, 1), (57, 1), (50, 50), (45, 100)),),
        "crossed": (((2, 3), (32, 3), (60, 2), (60, 2), (41, 50), (23, 100)), ((19, 53), (40, 51), (62, 49))),
        "curved_crossed": (
            ((3, 6), (20, 2), (61, 3), (61, 3), (42, 38), (32, 68), (28, 100)),
            ((15, 54), (36, 52), (58, 50)),
        ),
        "serif": (((5, 18), (6, 3), (6, 3), (34, 3), (62, 2), (62, 2), (43, 50), (25, 100)),),
        "serif_crossed": (
            ((5, 19), (6, 4), (6, 4), (34, 3), (62, 2), (62, 2), (43, 50), (25, 100)),
            ((21, 53), (42, 52), (62, 50)),
        ),
        "wavy": (((0, 11), (14, 2), (36, 8), (66, 1), (66, 1), (42, 48), (26, 100)),),
        "looped": (
            ((2, 9), (22, 5), (46, 8), (60, 14), (68, 8), (62, 0), (54, 8), (48, 30), (38, 60), (30, 100)),
        ),
        "high_loop": (
            ((0, 22), (16, 16), (34, 20), (52, 24), (68, 18), (72, 6), (62, 0), (52, 8), (48, 24), (40, 58), (32, 100)),
        ),
        "looped_back": (
            ((1, 4), (24, 2), (52, 3), (64, 8), (60, 16), (52, 12), (56, 3), (50, 28), (38, 62), (27, 100)),
        ),
        "rounded": (((2, 8), (14, 2), (40, 2), (58, 8), (60, 20), (50, 42), (38, 66), (30, 100)),),
        "narrow": (((4, 6), (22, 3), (42, 2), (42, 2), (34, 50), (28, 100)),),
    },
    8: {
        "one_stroke": (
            ((55, 13), (35, 0), (11, 9), (10, 28), (33, 46), (57, 66), (56, 90), (32, 100), (6, 89), (8, 66), (32, 47),
             (54, 29), (55, 12), (46, 4)),
        ),
        "open_top": (
            ((56, 12), (37, 0), (13, 8), (12, 28), (34, 47), (56, 67), (53, 91), (29, 100), (5, 89), (8, 67), (34, 47),
             (55, 29), (62, 10)),
        ),
        "two_circles": (
            ((34, 1), (16, 9), (13, 26), (22, 42), (38, 45), (53, 34), (55, 16), (44, 3), (32, 1)),
            ((36, 46), (14, 55), (5, 74), (13, 92), (34, 100), (56, 91), (62, 72), (53, 53), (34, 46)),
        ),
        "narrow": (
            ((43, 10), (28, 0), (12, 9), (13, 27), (29, 47), (43, 70), (42, 92), (26, 100), (9, 91), (10, 68), (28, 47),
             (43, 26), (43, 9), (36, 3)),
        ),
    },
    9: {
        "straight": (
            ((54, 14), (36, 1), (12, 9), (4, 29), (14, 47), (34, 47), (52, 28), (56, 8), (56, 8), (54, 54), (52, 100)),
        ),
        "leaning": (
            ((56, 13), (38, 1), (15, 9), (6, 28), (16, 45), (36, 45), (54, 26), (59, 9), (59, 9), (47, 54), (35, 100)),
        ),
        "curled": (
            ((55, 15), (38, 1), (14, 8), (4, 29), (14, 48), (36, 48), (54, 30), (57, 12), (57, 12), (58, 52), (50, 86),
             (30, 100), (8, 90)),
        ),
        "round": (
            ((54, 26), (40, 47), (17, 47), (4, 28), (14, 6), (36, 0), (53, 14), (57, 42), (49, 75), (33, 99)),
        ),
        "hooked": (
            ((54, 15), (38, 1), (14, 8), (4, 29), (14, 46), (36, 46), (54, 30), (57, 12), (57, 12), (60, 50), (53, 84),
             (32, 100), (11, 92), (6, 74)),
        ),
        "two_strokes": (
            ((40, 2), (16, 6), (4, 24), (12, 44), (32, 49), (50, 37), (54, 18), (41, 3), (34, 2)),
            ((54, 14), (54, 56), (53, 100)),
        ),
    },
}  # fmt: skip

#: The styles of every digit, for `draw_skeleton`.
STYLES: Mapping[int, tuple[str, ...]] = MappingProxyType({digit: tuple(glyphs) for digit, glyphs in _GLYPHS.items()})

_SAMPLES_PER_SPAN = 12
_SPACING = 0.015  # of the digit's height, between the points of a finished stroke


def draw_skeleton(
    digit: int, rng: np.random.Generator, style: str | None = None, *, wobble: float = 1.0
) -> tuple[NDArray[np.float64], ...]:
    """Write one digit with an ideal pen of no width.

    Parameters
    ----------
    digit : int
        0-9.
    rng : numpy.random.Generator
        Where the variation comes from: the same state gives the same strokes.
    style : str or None
        One of ``STYLES[digit]``; None picks one.
    wobble : float
        How unsteady the hand is. 0 leaves only slant and proportions to chance, 1 is an ordinary hand,
        above 2 the digits become hard to read.

    Returns
    -------
    tuple of (K, 2) ndarray of float64
        Strokes in writing order, points (x, y) about 0.015 apart, y down. The digit's box starts at (0, 0) and is
        1 high; its width is between 0 (a straight 1) and some 1.3.
    """
    glyphs = _GLYPHS[digit]
    if style is None:
        style = STYLES[digit][int(rng.integers(len(glyphs)))]
    strokes = write_glyph(glyphs[style], rng, wobble=wobble)
    every = np.concatenate(strokes)
    low, high = every.min(axis=0), every.max(axis=0)
    return tuple((stroke - low) / (high[1] - low[1]) for stroke in strokes)


def write_glyph(glyph: Glyph, rng: np.random.Generator, *, wobble: float = 1.0) -> list[NDArray[np.float64]]:
    """Write a character of any kind as one hand would.

    Parameters
    ----------
    glyph : Glyph
        Its strokes, in hundredths of a digit's height.
    rng : numpy.random.Generator
    wobble : float
        See `draw_skeleton`.

    Returns
    -------
    list of (K, 2) ndarray of float64
        Strokes in writing order, points (x, y) about 0.015 apart in units of a digit's height, y down; their box
        starts near, not at, (0, 0).
    """
    warp = _hand(rng, wobble)
    strokes = [smooth(warp(_jittered(points, rng, wobble))) for points in glyph]
    return [_tremble(stroke, rng, 0.0035 * wobble) for stroke in strokes]


def _hand(rng: np.random.Generator, wobble: float) -> Callable[[NDArray[np.float64]], NDArray[np.float64]]:
    """Draw one writer's habits, the same for all strokes of a digit: slant, proportions, a slow bend of the plane."""
    slant = float(np.clip(rng.normal(0.1, 0.14), -0.18, 0.4))
    turn = np.deg2rad(float(np.clip(rng.normal(0, 3), -7, 7)))
    width = float(np.clip(np.exp(rng.normal(0, 0.13)), 0.75, 1.35))
    linear = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]]) @ [[width, -slant], [0.0, 1.0]]
    frequency = rng.normal(0, 2.6, (2, 2))
    phase = rng.uniform(0, 2 * np.pi, 2)
    bend = rng.normal(0, 0.022 * wobble, 2)

    def warp(points: NDArray[np.float64]) -> NDArray[np.float64]:
        bent = points + bend * np.sin(points @ frequency + phase)
        return np.asarray(bent @ linear.T, dtype=np.float64)

    return warp


def _jittered(points: Points, rng: np.random.Generator, wobble: float) -> NDArray[np.float64]:
    """Move every control point a little, in units of the digit's height; the two points of a corner stay together."""
    xy = np.array(points, dtype=np.float64) / 100
    xy += np.clip(rng.normal(0, 0.015 * wobble, xy.shape), -0.035 * wobble, 0.035 * wobble)
    for i in range(1, len(points)):
        if points[i] == points[i - 1]:
            xy[i] = xy[i - 1]
    return xy


def smooth(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Run a curve through (N, 2) control points, broken at repeated ones, and sample it evenly."""
    corners = np.flatnonzero((points[1:] == points[:-1]).all(axis=1)) + 1
    curve = np.concatenate([_catmull_rom(piece) for piece in np.split(points, corners)])
    length = np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(curve, axis=0).T))])
    at = np.linspace(0, length[-1], max(2, round(length[-1] / _SPACING)))
    return np.stack([np.interp(at, length, curve[:, 0]), np.interp(at, length, curve[:, 1])], axis=1)


def _catmull_rom(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Sample the centripetal Catmull-Rom spline through (N >= 2, 2) points; centripetal, because it never loops."""
    ends = 2 * points[[0, -1]] - points[[1, -2]]
    p = np.concatenate([ends[:1], points, ends[1:]])
    knots = np.concatenate([[0.0], np.cumsum(np.maximum(np.hypot(*np.diff(p, axis=0).T), 1e-6) ** 0.5)])
    t0, t1, t2, t3 = (knots[i : len(knots) - 3 + i, None, None] for i in range(4))
    p0, p1, p2, p3 = (p[i : len(p) - 3 + i, None, :] for i in range(4))
    t = t1 + (t2 - t1) * np.linspace(0, 1, _SAMPLES_PER_SPAN)[None, :, None]

    def blend(
        a: NDArray[np.float64], b: NDArray[np.float64], ta: NDArray[np.float64], tb: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        return np.asarray(((tb - t) * a + (t - ta) * b) / (tb - ta), dtype=np.float64)

    a1, a2, a3 = blend(p0, p1, t0, t1), blend(p1, p2, t1, t2), blend(p2, p3, t2, t3)
    curve = blend(blend(a1, a2, t0, t2), blend(a2, a3, t1, t3), t1, t2)
    return np.asarray(curve.reshape(-1, 2), dtype=np.float64)


def _tremble(stroke: NDArray[np.float64], rng: np.random.Generator, amplitude: float) -> NDArray[np.float64]:
    """Add a hand's tremor: displacements that change direction about five times per digit height."""
    knots = np.linspace(0, 1, max(3, round(len(stroke) * _SPACING * 5)))
    at = np.linspace(0, 1, len(stroke))
    shake = rng.normal(0, amplitude, (2, len(knots)))
    offsets = np.stack([np.interp(at, knots, shake[0]), np.interp(at, knots, shake[1])], axis=1)
    return np.asarray(stroke + offsets, dtype=np.float64)
