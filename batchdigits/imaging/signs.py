"""Signs among the digits of a line: a dash ends an amount of money, and a slash looks like a 1."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from batchdigits.imaging.lattice import Piece

_LONG, _LOW, _FLAT = 0.12, 0.25, 0.4  # of a dash: width and height of a digit's size, height of its width
_HIGHEST, _FLAT_OF_TWO = 0.6, 0.6  # of two dashes, one above the other: together, of a digit's size, and of each
_STRAIGHT = 0.17  # of a slash: its spread across, of that along it, a thick pen included
_TALL, _TALLER = 0.45, 1.05  # of a digit's size: no small mark; of the digits' height: more often a slash than a 1
_UPRIGHT = 0.07  # of a stroke: so little across for each up that it is no slash
_FURTHER = 0.13  # than the digits lean: more often a slash than a 1


class _Slash(NamedTuple):
    lean: float  # beyond the lean of the digits
    tall: bool  # beside them


class Unsigned(NamedTuple):
    """A line without its signs."""

    pieces: list[Piece]
    slashes: dict[int, float]  #: labels of pieces that may be a slash as well as a 1: how likely it is, beside a 1


def without_signs(row: Sequence[Piece], labels: NDArray[np.int32], size: float) -> Unsigned:
    """Leave out the ``-`` or ``=`` that keeps others from adding digits to an amount, and find what may be slashes.

    Parameters
    ----------
    row : sequence of Piece
        Of a line, left to right.
    labels : (H, W) ndarray of int32
        The part that each pixel belongs to, 0 for paper.
    size : float
        Of a digit: the longer side of its box, in pixels.

    Returns
    -------
    Unsigned
        The row without them, or all of it if nothing else would be left.
    """
    dashes = [piece for piece in row if _is_dash(piece, labels, size)]
    others = [piece for piece in row if piece not in dashes]
    if not others:
        return Unsigned(list(row), {})
    end = max(piece.box.right for piece in others)
    # a slash leans over its dash, and the bar of a 5 lies above it
    ending = [dash for dash in dashes if dash.box.left + dash.box.right > 2 * end]
    kept = [piece for piece in row if piece not in ending]
    slashes = _find_slashes([piece for piece in others if piece.box.longer > _TALL * size], labels)
    last = max(others, key=lambda piece: piece.box.right)
    if ending and last.label in slashes:
        return Unsigned(kept, {last.label: 1.0 if slashes[last.label].lean > _FURTHER else 0.8})
    return Unsigned(kept, {label: 0.4 for label, slash in slashes.items() if slash.lean > _FURTHER and slash.tall})


def _is_dash(piece: Piece, labels: NDArray[np.int32], size: float) -> bool:
    """Tell a dash, or several one above the other."""
    box = piece.box
    if box.height > _HIGHEST * size:
        return False
    mask = (labels[box.top : box.bottom, box.left : box.right] == piece.label).astype(np.uint8)
    *_, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=8)
    strokes = stats[1:]
    width, height = strokes[:, cv2.CC_STAT_WIDTH], strokes[:, cv2.CC_STAT_HEIGHT]
    flat = _FLAT if len(strokes) == 1 else _FLAT_OF_TWO
    return bool(np.all((width >= _LONG * size) & (height <= np.minimum(_LOW * size, flat * width))))


def _lean(piece: Piece, labels: NDArray[np.int32]) -> tuple[float, float]:
    """Return how far ink leans to the right, for each pixel up, and the share of its spread that this leaves open."""
    box = piece.box
    mask = (labels[box.top : box.bottom, box.left : box.right] == piece.label).astype(np.uint8)
    spread = cv2.moments(mask, binaryImage=True)
    across, both, down = spread["mu20"], spread["mu11"], spread["mu02"]
    return (-both / down, (across - both**2 / down) / down) if down else (0.0, 1.0)


def _find_slashes(row: Sequence[Piece], labels: NDArray[np.int32]) -> dict[int, _Slash]:
    """Find the straight strokes that lean to the right, by their labels; `row` is without dashes and small marks."""
    if len(row) < 2:
        return {}
    leans, spreads = np.array([_lean(piece, labels) for piece in row]).T
    heights = np.array([piece.box.height for piece in row])
    slashes = {}
    for number in map(int, np.flatnonzero((spreads < _STRAIGHT**2) & (leans > _UPRIGHT))):
        usual = np.median([0.0, 0.0, *np.delete(leans, number)])  # a 7 alone says little of the hand
        tall = heights[number] > _TALLER * np.median(np.delete(heights, number))
        slashes[row[number].label] = _Slash(float(leans[number] - usual), bool(tall))
    return slashes
