"""Candidates and probabilities to the row of a page."""

from __future__ import annotations

import numpy as np

from batchdigits.classifiers.card import Thresholds
from batchdigits.classifiers.runner import Scores
from batchdigits.errors import PageError
from batchdigits.types import Digit, PageId, Row, Status, Tiles


def read_digit(tiles: Tiles, scores: Scores, thresholds: Thresholds, model: str) -> Row:
    """Decide what the one digit of a page is, and whether to trust it.

    Parameters
    ----------
    tiles : Tiles
        The page's candidates, best first; the first is read.
    scores : Scores
        What the classifier says of them, in the same order.
    thresholds : Thresholds
        Of the same model.
    model : str
        Name and digest, for the row.

    Returns
    -------
    Row
        `confidence` is P(the digit | a digit) times P(a digit). Without tiles the row is ``blank``.
    """
    if not tiles.boxes:
        return Row(tiles.page, "", 0.0, Status.BLANK, "no_ink", model=model)
    probabilities, known = scores.probabilities[0], float(scores.known[0])
    second, first = (int(c) for c in np.argsort(probabilities, kind="stable")[-2:])
    confidence = float(probabilities[first]) * known
    if tiles.notes:
        reason = tiles.notes[0]
    elif known < thresholds.not_a_digit_below:
        reason = "not_a_digit"
    elif confidence < thresholds.review_below:
        reason = "low_confidence"
    else:
        reason = ""
    return Row(
        tiles.page,
        str(first),
        confidence,
        Status.REVIEW if reason else Status.OK,
        reason,
        str(second),
        float(probabilities[second]) * known,
        (Digit(tiles.boxes[0], first, confidence, tuple(float(p) for p in probabilities)),),
        model,
    )


def failed(page: PageId, error: PageError, model: str) -> Row:
    """Return the row of a page that could not be read."""
    return Row(page, "", 0.0, Status.ERROR, error.reason, model=model, detail=error.detail)
