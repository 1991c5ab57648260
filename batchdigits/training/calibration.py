"""Honest confidence: fitted on digits that no fit has seen."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar

from batchdigits.classifiers.card import Calibration, Thresholds
from batchdigits.classifiers.runner import energy, softmax

_STRANGE = 0.001  # share of real digits that may lie where P(a digit) is below one half
_USUAL = 0.02  # and share above whose energy P(a digit) is at least 0.98


def fit_temperature(scores: NDArray[np.float32], labels: NDArray[np.int64]) -> float:
    """Return the temperature that makes the probabilities of held-out digits likeliest (Guo et al., 2017)."""
    rows = np.arange(len(labels))

    def loss(log_temperature: float) -> float:
        probability = softmax(scores, float(np.exp(log_temperature)))[rows, labels]
        return float(-np.log(np.maximum(probability, 1e-12)).mean())

    return float(np.exp(minimize_scalar(loss, bounds=(-4.0, 4.0), method="bounded").x))


def fit_calibration(scores: NDArray[np.float32], labels: NDArray[np.int64]) -> Calibration:
    """Fit all of a model's calibration.

    Parameters
    ----------
    scores : (N, 10) ndarray of float32
        Of held-out digits, simulated photos among them.
    labels : (N,) ndarray of int64
        Their digits.

    Returns
    -------
    Calibration
        What a digit is like is known from digits alone: the lowest energies of the held-out ones.
    """
    strange, usual = np.quantile(energy(scores), [_STRANGE, _USUAL])
    scale = max(float(usual - strange), 1e-6) / np.log(0.98 / 0.02)
    return Calibration(fit_temperature(scores, labels), float(strange), float(scale))


def choose_thresholds(
    confidence: NDArray[np.float64], correct: NDArray[np.bool_], *, risk: float = 1 / 200
) -> Thresholds:
    """Choose from which confidence on a reading is ``ok``.

    Parameters
    ----------
    confidence : (N,) ndarray of float64
        Of simulated photos that no fit has seen.
    correct : (N,) ndarray of bool
        Whether each was read right.
    risk : float
        Share of the accepted that may be wrong.

    Returns
    -------
    Thresholds
        The lowest threshold at and above which the accepted keep the risk.
    """
    order = np.argsort(-confidence, kind="stable")
    wrong = np.cumsum(~correct[order]) / np.arange(1, len(order) + 1)
    kept = np.flatnonzero(wrong <= risk)
    lowest = float(confidence[order][kept[-1]]) if kept.size else 1.0
    # an even chance is never ok, however easy the photos were
    return Thresholds(review_below=max(0.5, round(lowest, 4)))
