"""Pieces of a line: which runs of them may be one digit, and how likely that is before anyone reads them."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import reduce
from itertools import groupby
from types import MappingProxyType
from typing import NamedTuple

from batchdigits.imaging.segment import Part
from batchdigits.types import Box, Stain

_MOST = 6  # pieces in a candidate
_GAP, _WIDEST, _TALLEST = 0.25, 1.6, 2.0  # of a digit's size, within a candidate
_SMALL, _SMALL_STAIN, _LARGE_STAIN = 0.45, 0.3, 0.05  # a mark smaller than that share of a digit is often a stain
_COMMA, _COMMA_ALIKE = 0.8, 0.5  # what hangs low is more often one, and half of them are as straight as a 1
_SLIM = 0.7  # of its height: a comma's width
_CUT = 0.1  # the share of valleys in a mark where one digit ends and another begins
_SIDE_BY_SIDE = 0.1  # the share of marks beside each other that are one digit
_FRAGMENT, _FRAGMENTS = 0.7, 0.4  # the same, if one is lower than that share of a digit
_STACKED = 0.7  # the share of marks one above the other that are one digit
_SPREAD = 0.35  # of the logarithm of a digit's size


_NONE: Mapping[int, float] = MappingProxyType({})


class Piece(NamedTuple):
    """A connected part of the ink, or what two cuts leave of one."""

    mark: int  #: parts so close that one stroke may have drawn them are one mark
    label: int  #: of the part
    box: Box


class Candidate(NamedTuple):
    """Neighbouring pieces that may be one digit."""

    start: int  #: the first piece
    stop: int  #: one past the last
    box: Box
    prior: float  #: how likely pieces that lie like these are one digit, 0-1


def box_around(pieces: Iterable[Piece | Part]) -> Box:
    """Return the box around pieces, or around parts."""
    return reduce(Box.union, (piece.box for piece in pieces))


def find_candidates(pieces: Sequence[Piece], size: float) -> Iterator[Candidate]:
    """Find every run of pieces that may be one digit.

    Parameters
    ----------
    pieces : sequence of Piece
        Of a line, left to right.
    size : float
        Of a digit: the longer side of its box, in pixels.

    Yields
    ------
    Candidate
        Every single piece, and neighbours that are near each other and together not too large.
    """
    for start, first in enumerate(pieces):
        box = first.box
        prior = _CUT if start and pieces[start - 1].mark == first.mark else 1.0
        yield Candidate(start, start + 1, box, prior * _size_prior(box, size))
        for stop in range(start + 2, min(len(pieces), start + _MOST) + 1):
            before, piece = pieces[stop - 2 : stop]
            if piece.box.left - box.right > _GAP * size:
                break
            if before.mark != piece.mark:
                prior *= _join_prior(box, piece.box, size)
            box = box.union(piece.box)
            if box.width <= _WIDEST * size and box.height <= _TALLEST * size:
                yield Candidate(start, stop, box, prior * _size_prior(box, size))


def find_stains(pieces: Sequence[Piece], size: float, slashes: Mapping[int, float] = _NONE) -> Iterator[Stain]:
    """Find what may be no part of the text: marks as a whole, for a digit is seldom joined to a stain, and slashes.

    Parameters
    ----------
    pieces : sequence of Piece
        Of a line, left to right.
    size : float
        Of a digit: the longer side of its box, in pixels.
    slashes : mapping of int to float
        Labels of pieces that may be a slash as well as a 1, and how likely that is, beside a 1.
    """
    units = Counter(piece.label for piece in pieces)
    for number, piece in enumerate(pieces):
        if piece.label in slashes and units[piece.label] == 1:  # what was cut is no slash
            yield Stain(number, number + 1, slashes[piece.label], 1.0)
    marks = [list(mark) for _, mark in groupby(pieces, key=lambda piece: piece.mark)]
    boxes = [box_around(mark) for mark in marks]
    tall = [box for box in boxes if box.longer >= _SMALL * size]
    start = 0
    for mark, box in zip(marks, boxes, strict=True):
        stop = start + len(mark)
        if box.longer >= _SMALL * size:
            yield Stain(start, stop, _LARGE_STAIN)
        elif _is_comma(box, tall):
            yield Stain(start, stop, _COMMA, _COMMA_ALIKE)
        else:
            yield Stain(start, stop, _SMALL_STAIN)
        start = stop


def _is_comma(box: Box, tall: Sequence[Box]) -> bool:
    """Tell whether a small mark is upright and hangs from the lower half of the digit next to it."""
    if not tall or box.width > _SLIM * box.height:
        return False
    beside = min(tall, key=lambda other: abs(other.left + other.right - box.left - box.right))
    return 2 * box.top > beside.top + beside.bottom


def _join_prior(box: Box, other: Box, size: float) -> float:
    """Return how likely two marks are one digit."""
    shared = min(box.right, other.right) - max(box.left, other.left)
    if shared >= 0.5 * min(box.width, other.width):
        return _STACKED
    return _FRAGMENTS if min(box.height, other.height) < _FRAGMENT * size else _SIDE_BY_SIDE


def _size_prior(box: Box, size: float) -> float:
    """Return how likely a digit is to be so large, beside one of the usual size."""
    ratio = math.log(box.longer / size) / _SPREAD
    return max(1e-3, math.exp(-ratio * ratio / 2))
