"""Candidates and probabilities to the row of a page."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from batchdigits.classifiers.card import Thresholds
from batchdigits.classifiers.runner import Scores
from batchdigits.errors import PageError
from batchdigits.types import Arrangement, Digit, Layout, PageId, Row, Span, Status, TextLine, Tiles, Variant

_UPRIGHT = 0.7  # the share of pages that are held upright, as far as one can know before reading them
_TEXT_BELOW = 0.9  # a text has many more doubtful places than a digit: chosen so that one `ok` in 200 is wrong
_SHARPNESS = 2.0  # of the share of the likeliest way: calibrated on simulated numbers
_SELDOM = 0.1  # a mark that is so seldom a stain is worth a look if it was taken for one
_STROKES = (1, 7, 9)  # what a comma or a slash may look like
_NEVER = 1e-6  # no candidate is quite impossible
_SUREST = 0.98  # that one looks even more like a digit than this says nothing against another


def read_digit(tiles: Tiles, scores: Scores, thresholds: Thresholds, model: str) -> Row:
    """Decide what the one digit of a page is, and whether to trust it.

    Parameters
    ----------
    tiles : Tiles
        The page's candidates. Where strokes lie apart, the digits that it is with them and without are weighed by how
        much either looks like a digit: if both do and differ, neither is sure. The one with the lines that were taken
        for rulings is read where the others are in doubt and it looks more like a digit.
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
    at = {} if len(tiles.variants) == 1 else {variant: number for number, variant in enumerate(tiles.variants)}
    chosen = 0
    probabilities, known = scores.probabilities[0], float(scores.known[0])
    if Variant.CORE in at:
        both = [0, at[Variant.CORE]]
        chosen = max(both, key=lambda one: float(scores.known[one]))
        probabilities, known = _weigh(scores.probabilities[both], scores.known[both])
    if Variant.WITH_LINES in at and probabilities.max() * known < thresholds.review_below:
        lined = at[Variant.WITH_LINES]
        if scores.probabilities[lined].max() * scores.known[lined] > probabilities.max() * known:
            chosen, probabilities, known = lined, scores.probabilities[lined], float(scores.known[lined])
    notes = (tiles.notes, *tiles.other_notes)[chosen]
    if tiles.unless_blank:
        if probabilities.max() * known < thresholds.review_below:
            return Row(tiles.page, "", 0.0, Status.BLANK, "no_ink", model=model)
        notes = (tiles.unless_blank,)
    ten: list[float] = probabilities.tolist()
    second, first = sorted(range(len(ten)), key=ten.__getitem__)[-2:]
    confidence = ten[first] * known
    reason = _doubt(notes, tiles.faults, known, confidence, thresholds.review_below, thresholds)
    return Row(
        tiles.page,
        str(first),
        confidence,
        Status.REVIEW if reason else Status.OK,
        reason,
        str(second),
        ten[second] * known,
        (Digit(tiles.boxes[chosen], first, confidence, tuple(ten)),),
        model,
    )


def _weigh(probabilities: NDArray[np.float64], known: NDArray[np.float64]) -> tuple[NDArray[np.float64], float]:
    """Mix what two candidates are, of which one is the digit: the likelier, the more it looks like one."""
    sure = np.clip(known, _NEVER, _SUREST)
    odds = sure / (1 - sure)
    share = odds / odds.sum()
    total = float(share @ known)
    weights = share * known / total if total else share
    return weights @ probabilities, total


def _doubt(
    notes: Sequence[str],
    faults: Sequence[str],
    known: float,
    confidence: float,
    least: float,
    thresholds: Thresholds,
) -> str:
    """Return why a reading wants a second look, empty if it does not.

    What imaging noted comes first. A fault of the picture is no reason by itself, but the better one for low figures:
    it says what to do about them.
    """
    if notes:
        return notes[0]
    unlike = known < thresholds.not_a_digit_below
    if unlike or confidence < least:
        return [*faults, "not_a_digit" if unlike else "low_confidence"][0]
    return ""


def failed(page: PageId, error: PageError, model: str) -> Row:
    """Return the row of a page that could not be read."""
    return Row(page, "", 0.0, Status.ERROR, error.reason, model=model, detail=error.detail)


class _Path(NamedTuple):
    """The likeliest way to read a line."""

    spans: tuple[Span, ...]  # one for each digit, left to right; what lies between them is no digit
    score: float  # log likelihood
    share: float  # of the likelihood of all ways to read it, that of those with the same digits, 0 to 1
    doubtful: bool  # a mark as large as a digit was left out


def read_text(tiles: Tiles, scores: Scores, thresholds: Thresholds, model: str) -> Row:
    """Decide what is written on a page of one or more lines, and whether to trust it.

    Parameters
    ----------
    tiles : Tiles
        The page's candidates, and how they lie beside each other.
    scores : Scores
        What the classifier says of them, in the same order.
    thresholds : Thresholds
        Of the same model.
    model : str
        Name and digest, for the row.

    Returns
    -------
    Row
        Lines are separated by a space; of a number, only the line with most digits is read. `confidence` is that of
        all digits together, times the share of this way to cut the lines among all ways. Without ink the row is
        ``blank``; without digits it asks for ``review``.

    Notes
    -----
    A way to read a line makes digits and stains of its pieces. It is as likely as its digits are sure, times what is
    known beforehand of pieces that lie like these: few marks are cut, and few of those side by side are one digit.
    """
    if not tiles.arrangements:
        return Row(tiles.page, "", 0.0, Status.BLANK, "no_ink", model=model)
    best = scores.probabilities.max(axis=1, initial=0)
    sure, shown = np.clip(best * scores.known, _NEVER, 1), scores.probabilities.argmax(axis=1)
    read = [(held, [_read_line(line, sure, shown) for line in held.lines]) for held in tiles.arrangements]
    _, paths = max(read, key=lambda one: _likelihood(*one))
    written = [path for path in paths if path.spans]
    notes = tiles.notes
    if tiles.layout is Layout.NUMBER and written:
        main = max(written, key=lambda path: (len(path.spans), path.score))
        others = [span for path in written if path is not main for span in path.spans]
        notes += ("several_lines",) * any(sure[span.tile] > 0.5 for span in others)
        written = [main]
    lines = [[_digit(tiles, scores, span.tile) for span in path.spans] for path in written]
    digits = tuple(digit for line in lines for digit in line)
    if not digits:
        return Row(tiles.page, "", 0.0, Status.REVIEW, [*notes, *tiles.faults, "not_a_digit"][0], model=model)
    confidence = math.prod(digit.confidence for digit in digits) * math.prod(path.share for path in written)
    known = min(float(scores.known[span.tile]) for path in written for span in path.spans)
    if any(path.doubtful for path in written):
        known = 0.0
    reason = _doubt(notes, tiles.faults, known, confidence, max(_TEXT_BELOW, thresholds.review_below), thresholds)
    text = " ".join("".join(str(digit.digit) for digit in line) for line in lines)
    second, ratio = _second(text, digits)
    status = Status.REVIEW if reason else Status.OK
    return Row(tiles.page, text, confidence, status, reason, second, confidence * ratio, digits, model)


def _digit(tiles: Tiles, scores: Scores, tile: int) -> Digit:
    probabilities = scores.probabilities[tile]
    first = int(probabilities.argmax())
    confidence = float(probabilities[first] * scores.known[tile])
    return Digit(tiles.boxes[tile], first, confidence, tuple(float(p) for p in probabilities))


def _second(text: str, digits: tuple[Digit, ...]) -> tuple[str, float]:
    """Return the text with its most doubtful digit read otherwise, and how likely that is beside the text."""
    others = [max((p, d) for d, p in enumerate(digit.probabilities) if d != digit.digit) for digit in digits]
    ratios = [other / digit.probabilities[digit.digit] for (other, _), digit in zip(others, digits, strict=True)]
    doubtful = int(np.argmax(ratios))
    places = [place for place, character in enumerate(text) if character != " "]
    place = places[doubtful]
    return f"{text[:place]}{others[doubtful][1]}{text[place + 1 :]}", float(ratios[doubtful])


def _likelihood(held: Arrangement, paths: list[_Path]) -> float:
    """Return how likely a page is to be held, and to read, like this: a logarithm."""
    return sum(path.score for path in paths) + math.log((1 - _UPRIGHT) / 3 if held.turns else _UPRIGHT)


def _read_line(line: TextLine, sure: NDArray[np.float64], shown: NDArray[np.int64]) -> _Path:
    """Find the likeliest way to read a line: Viterbi's algorithm, and the forward sum over all ways."""
    ending: list[list[tuple[int, float, Span | None]]] = [[] for _ in range(line.pieces + 1)]
    for span in line.spans:
        ending[span.stop].append((span.start, math.log(span.prior * sure[span.tile]), span))
    for start, stop, prior, alike in line.stains:
        best_inside = max((s.tile for s in line.spans if start <= s.start and s.stop <= stop), key=lambda t: sure[t])
        same = alike if shown[best_inside] in _STROKES else 0.0
        ending[stop].append((start, math.log(prior * max(1 - sure[best_inside], same, _NEVER)), None))
    best, total = [0.0], [0.0]
    back: list[tuple[int, Span | None]] = [(0, None)]
    large = {stain.stop for stain in line.stains if stain.prior < _SELDOM}
    for ways in ending[1:]:
        likeliest = max(ways, key=lambda way: best[way[0]] + way[1])
        best.append(best[likeliest[0]] + likeliest[1])
        back.append((likeliest[0], likeliest[2]))
        total.append(float(np.logaddexp.reduce([total[start] + _SHARPNESS * score for start, score, _ in ways])))
    spans: list[Span] = []
    at, doubtful = line.pieces, False
    while at:
        start, chosen = back[at]
        if chosen is not None:
            spans.insert(0, chosen)
        else:
            doubtful |= at in large
        at = start
    same = _sum_alike(ending, [int(shown[span.tile]) for span in spans], shown)
    return _Path(tuple(spans), best[-1], math.exp(same - total[-1]), doubtful)


def _sum_alike(
    ending: Sequence[Sequence[tuple[int, float, Span | None]]], digits: Sequence[int], shown: NDArray[np.int64]
) -> float:
    """Return the log likelihood of all ways that read these digits, however they cut and whatever they leave out."""
    wanted = np.array(digits, np.int64)
    reached = np.full((len(ending), len(digits) + 1), -np.inf)  # so many pieces used, so many digits read
    reached[0, 0] = 0.0
    for stop, ways in enumerate(ending):
        for start, score, span in ways:
            before = reached[start] + _SHARPNESS * score
            if span is not None:
                before = np.concatenate([[-np.inf], np.where(wanted == shown[span.tile], before[:-1], -np.inf)])
            reached[stop] = np.logaddexp(reached[stop], before)
    return float(reached[-1, -1])


#: What turns the candidates of a page into its row.
READERS: Mapping[Layout, Callable[[Tiles, Scores, Thresholds, str], Row]] = MappingProxyType(
    {Layout.DIGIT: read_digit, Layout.NUMBER: read_text, Layout.PAGE: read_text}
)
