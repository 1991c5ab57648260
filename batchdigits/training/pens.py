"""Pens: from strokes without width to an ink map."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from batchdigits.training.fields import Float, smooth_field

PenKind = Literal["ballpoint", "pencil", "felt", "marker"]

#: Widths in fractions of the digit's height, and the sway of the line's width, that each kind of pen draws.
_WIDTHS: dict[PenKind, tuple[float, float, float]] = {
    "ballpoint": (0.025, 0.06, 0.25),
    "pencil": (0.022, 0.06, 0.3),
    "felt": (0.05, 0.11, 0.2),
    "marker": (0.09, 0.155, 0.12),
}
_INK_HEIGHT = 320  # rows drawn at least: fine lines need sub-pixel widths


@dataclass(frozen=True, slots=True)
class Pen:
    """What the digit is written with."""

    kind: PenKind = "ballpoint"
    width: float = 0.045  #: of the digit's height: 0.02 is a fine pencil, 0.16 a thick marker
    pressure: float = 0.2  #: how much the line's width sways along a stroke, 0-1
    grain: float = 0.0  #: how much paper shows through the line, 0-1; pencils and dry pens
    blotches: int = 0  #: drops of ink on the line

    def __post_init__(self) -> None:
        """Refuse a pen that cannot write."""
        if not 0 < self.width < 0.5:
            raise ValueError(f"width is a fraction of the digit's height, not {self.width}")


def random_pen(rng: np.random.Generator, kind: PenKind | None = None) -> Pen:
    """Pick a pen of one kind, or of any."""
    if kind is None:
        kinds: tuple[PenKind, ...] = ("ballpoint", "pencil", "felt", "marker")
        kind = kinds[int(rng.choice(4, p=(0.4, 0.2, 0.25, 0.15)))]
    thin, thick, sway = _WIDTHS[kind]
    grain = rng.uniform(0.25, 0.7) if kind == "pencil" else max(0.0, rng.uniform(-0.3, 0.25))
    return Pen(
        kind=kind,
        width=float(np.exp(rng.uniform(np.log(thin), np.log(thick)))),
        pressure=float(rng.uniform(0, 2 * sway)),
        grain=float(grain),
        blotches=int(rng.integers(1, 3)) if kind != "pencil" and rng.random() < 0.12 else 0,
    )


def draw_ink(strokes: Sequence[NDArray[np.float64]], *, height: int, pen: Pen, rng: np.random.Generator) -> Float:
    """Go over the strokes with a pen.

    Parameters
    ----------
    strokes : sequence of (K, 2) ndarray of float64
        Points (x, y), y down, in units of the digit's height, as made by `draw_skeleton`.
    height : int
        Rows of the result: the digit, its line's width and a margin of one pixel.
    pen : Pen
    rng : numpy.random.Generator

    Returns
    -------
    (H, W) ndarray of float32
        0 is paper, 1 is full ink; W follows from the strokes.
    """
    scale = max(2, -(-_INK_HEIGHT // height))
    margin = scale * 1.0
    points = np.concatenate(list(strokes))
    low, high = points.min(axis=0), points.max(axis=0)
    swell = 1 + pen.pressure
    unit = (height * scale - 2 * margin) / (high[1] - low[1] + pen.width * swell)  # pixels per digit height
    edge = margin + unit * pen.width * swell / 2
    width = max(1, int(np.ceil((unit * (high[0] - low[0]) + 2 * edge) / scale)))
    canvas = np.zeros((height * scale, width * scale), np.uint8)
    for stroke in strokes:
        _draw_stroke(canvas, (stroke - low) * unit + edge, pen, pen.width * unit, rng)
    for _ in range(pen.blotches):
        x, y = (points[rng.integers(len(points))] - low) * unit + edge
        radius = pen.width * unit * rng.uniform(0.55, 0.8)
        cv2.ellipse(canvas, ((x, y), (2 * radius, 2.4 * radius), rng.uniform(0, 180)), 255, -1)
    shape = canvas.shape[0], canvas.shape[1]
    ink = canvas.astype(np.float32) / np.float32(255)
    if pen.kind in ("marker", "felt"):
        creep = max(0.5, 0.05 * pen.width * unit)
        ink = np.asarray(cv2.GaussianBlur(ink, (0, 0), creep), dtype=np.float32)
    if pen.grain > 0:
        ink *= _gaps(rng, shape, pen, unit)
    return np.asarray(cv2.resize(ink, (width, height), interpolation=cv2.INTER_AREA), dtype=np.float32)


def _draw_stroke(
    canvas: NDArray[np.uint8], xy: NDArray[np.float64], pen: Pen, width: float, rng: np.random.Generator
) -> None:
    """Draw a stroke of `width` pixels as short lines, each with its own thickness, into the canvas."""
    knots = np.linspace(0, 1, max(3, len(xy) // 12))
    sway = np.interp(np.linspace(0, 1, len(xy)), knots, rng.uniform(-1, 1, len(knots)))
    thickness = np.asarray(width * (1 + pen.pressure * sway), dtype=np.float64)
    if pen.kind == "marker":
        # A chisel tip: narrower along its own direction.
        direction = np.arctan2(np.gradient(xy[:, 1]), np.gradient(xy[:, 0]))
        thickness *= 1 - 0.3 * pen.pressure * np.abs(np.cos(direction - rng.uniform(0.5, 1.0)))
    # OpenCV's lines are an odd number of pixels wide: one more than asked for, or two.
    whole = np.maximum(1, 2 * np.round((thickness - 1) / 2)).astype(int)
    # OpenCV counts from the centre of the first pixel; 4 binary places are its `shift`.
    fixed = np.round((xy - 0.5) * 16).astype(int)
    for i in range(len(xy) - 1):
        start, end = (int(fixed[i, 0]), int(fixed[i, 1])), (int(fixed[i + 1, 0]), int(fixed[i + 1, 1]))
        cv2.line(canvas, start, end, 255, int(whole[i]), cv2.LINE_8, 4)


def _gaps(rng: np.random.Generator, shape: tuple[int, int], pen: Pen, unit: float) -> Float:
    """Paper that shows through the line: a factor 0-1 for every pixel of the ink, mostly 1 for a fresh pen."""
    tooth = smooth_field(rng, shape, max(1.5, unit * 0.008)) + smooth_field(rng, shape, max(2.0, unit * 0.02))
    worn = smooth_field(rng, shape, unit * 0.25)
    shown = np.float32(1.25 - 0.75 * pen.grain) + np.float32(pen.grain) * (0.5 * tooth + 0.3 * worn)
    return np.asarray(np.clip(shown, 0.15, 1), dtype=np.float32)
