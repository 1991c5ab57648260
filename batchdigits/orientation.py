"""Which way up a page lies: weighed by some of its marks, before all of it is looked at in every way."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from batchdigits.imaging.lattice import Piece
from batchdigits.imaging.normalise import TILE
from batchdigits.imaging.text import EVERY_WAY_UP, TileMaker, tiles_held
from batchdigits.imaging.writing import Writing

if TYPE_CHECKING:  # whoever has a classifier has loaded what runs it: what only makes tiles does without
    from batchdigits.classifiers.runner import Scores

Classify = Callable[[NDArray[np.float32]], "Scores"]
"""(N, 28, 28) tiles to what a classifier says of them."""

_FEWEST = 32  # marks: a shorter text may look more sure upside down, and is read all four ways soon enough
_SMALLEST, _LARGEST = 0.7, 1.3  # of a digit's size
_SLIM = 0.85  # width by height: of 356 simulated pages, the usual one of so many digits was never wider than 0.73
_TOGETHER = 64  # tiles: as many as the graph of a model takes
_ROUNDS = 3
_UNLIKE = 0.03  # no mark tells more than that against a way up: some are no digits whichever way they are held
_DECISIVE = 10.0  # log likelihood: what is behind by that in a sample of any page simulated never is the right way


def likely_ways_up(writing: Writing, make_tiles: TileMaker, classify: Classify) -> tuple[int, ...]:
    """Tell how a page may lie, as far as a sample of its marks leaves that open.

    Digits are higher than wide, which leaves two ways up. Marks that stand alone are shown to the classifier as they
    are with the page held each way. Upside down many look like digits, and 0, 1, 6, 8 and 9 always, so more of them are
    looked at until one way is ahead of all others, or enough have been seen.

    Parameters
    ----------
    writing : Writing
        Of the page.
    make_tiles : TileMaker
        Keeps those that it makes, for later.
    classify : callable
        The model.

    Returns
    -------
    tuple of int
        Of `EVERY_WAY_UP`, in that order; all of them for a page of few such marks.
    """
    alone = _alone(writing)
    if len(alone) < _FEWEST:
        return EVERY_WAY_UP
    ways = _ways_up_by_shape(alone)
    left = _spread(alone)
    evidence = np.zeros(len(EVERY_WAY_UP))
    for _ in range(_ROUNDS):
        count = _TOGETHER // len(ways)
        some, left = left[:count], left[count:]
        scores = classify(tiles_held(writing, some, ways, make_tiles).reshape(-1, TILE, TILE))
        sure = np.maximum(scores.probabilities.max(axis=1) * scores.known, _UNLIKE)
        evidence[list(ways)] += np.log(sure).reshape(len(ways), -1).sum(axis=1)
        best = max(evidence[way] for way in ways)
        ways = tuple(way for way in ways if evidence[way] > best - _DECISIVE)
        if len(ways) == 1 or not left:
            break
    return ways


def _ways_up_by_shape(pieces: list[Piece]) -> tuple[int, ...]:
    """Return the ways up in which the usual one of some marks is clearly higher than wide; all if it is in none."""
    shape = float(np.median([piece.box.width / piece.box.height for piece in pieces]))
    if shape < _SLIM:
        return EVERY_WAY_UP[::2]
    return EVERY_WAY_UP[1::2] if shape * _SLIM > 1 else EVERY_WAY_UP


def _alone(writing: Writing) -> list[Piece]:
    """Return the marks of a digit's size that are not in pieces."""
    pieces = Counter(piece.mark for piece in writing.pieces)
    least, most = _SMALLEST * writing.size, _LARGEST * writing.size
    return [piece for piece in writing.pieces if pieces[piece.mark] == 1 and least <= piece.box.longer <= most]


def _spread(pieces: list[Piece]) -> list[Piece]:
    """Sort pieces so that the first few already come from all over the page."""
    down = sorted(pieces, key=lambda piece: (piece.box.top, piece.box.left))
    step = max(1, len(down) * len(EVERY_WAY_UP) // _TOGETHER)
    return [piece for first in range(step) for piece in down[first::step]]
