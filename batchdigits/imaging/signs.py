"""Signs that end an amount of money: no digits, though a slash looks like a 1."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from batchdigits.imaging.lattice import Piece

_LONG, _LOW, _FLAT = 0.2, 0.25, 0.4  # of a dash: width and height of a digit's size, height of its width
_STRAIGHT = 0.1  # of a slash: its spread across, of that along it
_SLANT = 0.4  # of a slash: across for each down, some 22 degrees; a 1 seldom leans so far


def without_end_signs(row: Sequence[Piece], labels: NDArray[np.int32], size: float) -> list[Piece]:
    """Leave out the ``-``, ``=``, ``/-`` or ``/=`` that keeps others from adding digits to an amount.

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
    list of Piece
        The row without them, or all of it if nothing else would be left.
    """
    dashes = [piece for piece in row if _is_dash(piece, size)]
    others = [piece for piece in row if piece not in dashes]
    if not others:
        return list(row)
    end = max(piece.box.right for piece in others)
    ending = [dash for dash in dashes if dash.box.left >= end]  # the bar of a 5 lies above it
    if not ending:
        return list(row)
    last = max(others, key=lambda piece: piece.box.right)
    if len(others) > 1 and _is_slash(last, labels):
        ending.append(last)
    return [piece for piece in row if piece not in ending]


def _is_dash(piece: Piece, size: float) -> bool:
    box = piece.box
    return box.width >= _LONG * size and box.height <= min(_LOW * size, _FLAT * box.width)


def _is_slash(piece: Piece, labels: NDArray[np.int32]) -> bool:
    """Tell a straight stroke that leans to the right."""
    box = piece.box
    y, x = np.nonzero(labels[box.top : box.bottom, box.left : box.right] == piece.label)
    if len(x) < 2:
        return False
    spread, directions = np.linalg.eigh(np.cov(x, y))
    across, down = directions[:, 1]
    return bool(spread[0] < _STRAIGHT**2 * spread[1] and -across / down > _SLANT) if down else False
