"""What a card says of a model: measured on tiles that neither its fit nor its calibration has seen."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
from numpy.typing import NDArray

from batchdigits.classifiers.card import Calibration, Thresholds
from batchdigits.classifiers.runner import BATCH, Scorer, calibrate
from batchdigits.evaluation import expected_calibration_error, reliability, risk_coverage
from batchdigits.training.calibration import choose_thresholds, fit_calibration
from batchdigits.training.tile_sets import TileSets
from batchdigits.training.tiles import LabelledTiles


def judge(scorer: Scorer, sets: TileSets) -> tuple[Calibration, Thresholds, dict[str, float], dict[str, Any]]:
    """Calibrate and measure.

    Returns
    -------
    calibration : Calibration
    thresholds : Thresholds
    scores : dict
        For each set `test`, `simulated` (photos), and `mnist` where the user's own digits were joined with it:
        `_count`, `_accuracy`, `_ece`, `_ok_share` (coverage) and `_ok_accuracy`; `others_flagged`, the share of
        pictures without a digit that is not marked ok; `tiles_per_second` on this machine, one thread.
    curves : dict
        For each set, `reliability`: rows of mean confidence, share right, count; `risk_coverage`: rows of confidence
        threshold, coverage, risk.
    """
    held = sets.held
    calibration = fit_calibration(scorer.scores(held.pixels), held.labels, scorer.scores(sets.held_others.pixels))

    def read(tiles: LabelledTiles) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        found = calibrate(scorer.scores(tiles.pixels), calibration)
        right = found.probabilities.argmax(axis=1) == tiles.labels
        return found.probabilities.max(axis=1) * found.known, right

    thresholds = choose_thresholds(*read(sets.held_photos), read(sets.held_others)[0])
    scores: dict[str, float] = {"tiles_per_second": _speed(scorer)}
    curves: dict[str, Any] = {}
    for title, tiles in {**sets.test, "simulated": sets.measured_photos}.items():
        if len(tiles):  # an empty set has no scores
            confidence, right = read(tiles)
            scores |= _measure(title, confidence, right, thresholds)
            curves[title] = {
                "reliability": reliability(confidence, right),
                "risk_coverage": risk_coverage(confidence, right),
            }
    strange = read(sets.measured_others)[0]
    if len(strange):
        scores["others_count"] = len(strange)
        scores["others_flagged"] = round(float((strange < thresholds.review_below).mean()), 5)
    return calibration, thresholds, scores, curves


def _measure(
    title: str, confidence: NDArray[np.float64], right: NDArray[np.bool_], thresholds: Thresholds
) -> dict[str, float]:
    accepted = confidence >= thresholds.review_below
    scores: dict[str, float] = {
        f"{title}_count": len(right),
        f"{title}_accuracy": round(float(right.mean()), 5),
        f"{title}_ece": round(expected_calibration_error(confidence, right), 5),
        f"{title}_ok_share": round(float(accepted.mean()), 5),
    }
    if accepted.any():
        scores[f"{title}_ok_accuracy"] = round(float(right[accepted].mean()), 5)
    return scores


def _speed(scorer: Scorer, batches: int = 20) -> int:
    """Return tiles per second on this machine, one thread."""
    tiles = np.random.default_rng(0).random((BATCH * batches, 28, 28), np.float32)
    scorer.scores(tiles[:BATCH])
    started = time.perf_counter()
    scorer.scores(tiles)
    return round(len(tiles) / (time.perf_counter() - started))
