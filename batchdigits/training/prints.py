"""What is printed beside or instead of digits: letters, signs, corners of forms, filled shapes."""

from __future__ import annotations

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from batchdigits.training.fields import Float, smooth_field, step

_LETTERS = "AEFHKMNPRTWXadefhkmnprtwx"  # as with written letters, none that a fair person could take for a digit
_SIGNS = "#%+=*@~^"

# What a face is called differs between OpenCV 4 and 5, which draws some as bold or slanted outlines: all are letters.
_FACES = (cv2.FONT_HERSHEY_SIMPLEX, cv2.FONT_HERSHEY_COMPLEX, cv2.FONT_HERSHEY_DUPLEX, cv2.FONT_HERSHEY_TRIPLEX)

_Lines = tuple[tuple[float, float, float, float], ...]  # x0, y0, x1, y1 in a unit square

# Left out: what a box's upper right corner (7), two cells one above the other (8), a T on its head (1), a comb that
# opens to the left (3) and a single cell (0) would be taken for.
_CORNERS: tuple[_Lines, ...] = (
    ((0, 0, 0, 1), (0, 1, 1, 1)),
    ((0, 0, 0, 1), (0, 0, 1, 0)),
    ((0, 0, 1, 0), (0.5, 0, 0.5, 1)),
    ((0, 0, 0, 1), (0, 0.5, 1, 0.5)),
    ((0, 0.5, 1, 0.5), (0.5, 0, 0.5, 1)),
    ((0, 0, 0, 1), (0, 0, 1, 0), (0, 1, 1, 1)),
    ((0, 0, 0, 1), (1, 0, 1, 1), (0, 0, 1, 0)),
    ((0, 0, 0, 1), (1, 0, 1, 1), (0, 1, 1, 1)),
    ((0, 0, 0, 1), (0, 0, 1, 0), (0, 0.5, 1, 0.5), (0, 1, 1, 1)),
    ((0, 1, 1, 1), (0, 0.4, 0, 1), (0.33, 0.4, 0.33, 1), (0.67, 0.4, 0.67, 1), (1, 0.4, 1, 1)),
    ((0, 0, 1, 0), (0, 0, 0, 0.6), (0.5, 0, 0.5, 0.6), (1, 0, 1, 0.6)),
    ((0, 0, 0, 1), (1, 0, 1, 1), (0, 0.5, 1, 0.5)),
    ((0, 0, 1, 0), (0, 0.5, 1, 0.5), (0, 1, 1, 1), (0, 0, 0, 1), (0.5, 0, 0.5, 1), (1, 0, 1, 1)),
    ((0.3, 0, 0.3, 1), (0.7, 0, 0.7, 1), (0, 0.3, 1, 0.3), (0, 0.7, 1, 0.7)),
    ((0, 0.2, 1, 0.2), (0, 0.8, 1, 0.8), (0.5, 0.2, 0.5, 0.8), (0, 0.2, 0, 0.8), (1, 0.2, 1, 0.8)),
    ((0, 0.2, 1, 0.2), (0.5, 0.2, 0.5, 1), (0, 0.2, 0, 0.5), (1, 0.2, 1, 0.5)),
)  # fmt: skip


def letter(rng: np.random.Generator) -> Float:
    """Print a letter or a sign, thin or bold, some 100 pixels high."""
    signs = rng.random() < 0.2
    characters = _SIGNS if signs else _LETTERS
    character = characters[int(rng.integers(len(characters)))]
    if signs or rng.random() < 0.5:
        picture = Image.new("L", (300, 300))
        weight = int(rng.integers(0, 5))
        font = ImageFont.load_default(size=140)
        ImageDraw.Draw(picture).text((80, 60), character, fill=255, font=font, stroke_width=weight)
        canvas = np.asarray(picture, dtype=np.uint8)
    else:
        canvas = np.zeros((300, 300), np.uint8)
        face = int(_FACES[int(rng.integers(len(_FACES)))])
        cv2.putText(canvas, character, (70, 200), face, 4.0, 255, int(rng.integers(3, 14)), cv2.LINE_AA)
    return _cropped(canvas.astype(np.float32) / np.float32(255))


def corner(rng: np.random.Generator) -> Float:
    """Print a fragment of a form: a corner, a junction, the teeth of a comb of fields, a piece of a table."""
    lines = _CORNERS[int(rng.integers(len(_CORNERS)))]
    size = rng.uniform(100, 170, 2)
    size[1] = min(size[1], 1.25 * size[0])
    thick = max(2, round(float(np.exp(rng.uniform(np.log(3), np.log(14))))))
    canvas = np.zeros((round(size[1]) + 2 * thick, round(size[0]) + 2 * thick), np.uint8)
    for x0, y0, x1, y1 in lines:
        start = round(x0 * size[0]) + thick, round(y0 * size[1]) + thick
        end = round(x1 * size[0]) + thick, round(y1 * size[1]) + thick
        cv2.line(canvas, start, end, 255, thick, cv2.LINE_4)
    return _cropped(canvas.astype(np.float32) / np.float32(255))


def solid(rng: np.random.Generator) -> Float:
    """Draw a filled shape: a disc, a block or a wedge, some 100 pixels in size; never so tall that it might be a 1."""
    canvas = np.zeros((120, 120), np.uint8)
    angle, half = rng.uniform(0, 90), rng.uniform(38, 52)
    way = int(rng.integers(3))
    if way == 0:
        cv2.circle(canvas, (60, 60), round(half), 255, -1, cv2.LINE_AA)
    else:
        wedge = rng.random() < 0.4
        width = 2 * half * rng.uniform(0.7, 0.95)
        corners = cv2.boxPoints(((60.0, 60.0), (2 * half, width), angle if way == 2 else 0.0))[: 3 if wedge else 4]
        cv2.fillPoly(canvas, [np.round(corners).astype(np.int32)], 255, cv2.LINE_AA)
    return _cropped(canvas.astype(np.float32) / np.float32(255))


def patch(rng: np.random.Generator) -> Float:
    """Fill a shape without straight sides, one that no digit has: a smooth random field cut at a level."""
    side = 140
    x = np.linspace(-1, 1, side, dtype=np.float32)
    field = smooth_field(rng, (side, side), rng.uniform(30, 60)) + 0.5 * smooth_field(rng, (side, side), 16)
    ink = step(np.asarray(field + 0.6 - 1.7 * (x[:, None] ** 2 + x**2), np.float32), 0.1)
    return _cropped(ink)


def _cropped(ink: Float) -> Float:
    rows, columns = np.flatnonzero(ink.max(axis=1) > 0), np.flatnonzero(ink.max(axis=0) > 0)
    return np.ascontiguousarray(np.pad(ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1], 1))
