"""Honest confidence: fitted on digits, and on other things, that no fit has seen."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize, minimize_scalar

from batchdigits.classifiers.card import Calibration, Thresholds
from batchdigits.classifiers.runner import energy, softmax

_OTHERS = 0.03  # share of pictures that show no digit, as supposed of what people point the program at
_SHARPEST = 20  # P(a digit) may rise from 0.27 to 0.73 within this part of the energies' spread, never faster


def fit_temperature(scores: NDArray[np.float32], labels: NDArray[np.int64]) -> float:
    """Return the temperature that brings the probabilities of held-out digits closest to the truth (Guo et al., 2017).

    Closest by Brier's score: likelihood, which is usual, has no bound, and the few photos of which imaging cut out
    something else would make the model doubt all others.
    """
    truth = np.eye(10)[labels]

    def loss(log_temperature: float) -> float:
        return float(((softmax(scores, float(np.exp(log_temperature))) - truth) ** 2).sum(axis=1).mean())

    return float(np.exp(minimize_scalar(loss, bounds=(-4.0, 4.0), method="bounded").x))


def fit_known(digits: NDArray[np.floating], others: NDArray[np.floating]) -> tuple[float, float]:
    """Fit P(a digit) to the energies of digits (N,) and of other things (M,): a logistic curve.

    Returns
    -------
    middle : float
        The energy at which P is one half.
    scale : float
        The energy over which its log odds rise by one.
    """
    both = np.concatenate([digits, others]).astype(np.float64)
    mean, spread = float(both.mean()), max(float(both.std()), 1e-6)
    near, far = (digits - mean) / spread, (others - mean) / spread

    def loss(curve: NDArray[np.float64]) -> float:
        middle, steepness = curve[0], np.exp(curve[1])
        missed = np.logaddexp(0, -(near - middle) * steepness).mean()
        fooled = np.logaddexp(0, (far - middle) * steepness).mean()
        return float((1 - _OTHERS) * missed + _OTHERS * fooled)

    bounds = [(-10, 10), (-3, np.log(_SHARPEST))]
    middle, steepness = minimize(loss, [(near.mean() + far.mean()) / 2, 0.0], bounds=bounds, method="L-BFGS-B").x
    return mean + float(middle) * spread, spread / float(np.exp(steepness))


def fit_calibration(scores: NDArray[np.float32], labels: NDArray[np.int64], others: NDArray[np.float32]) -> Calibration:
    """Fit all of a model's calibration.

    Parameters
    ----------
    scores : (N, 10) ndarray of float32
        Of held-out digits, simulated photos among them.
    labels : (N,) ndarray of int64
        Their digits.
    others : (M, 10) ndarray of float32
        Scores of what shows no digit.
    """
    middle, scale = fit_known(energy(scores), energy(others))
    return Calibration(fit_temperature(scores, labels), middle, scale)


def choose_thresholds(
    confidence: NDArray[np.float64],
    correct: NDArray[np.bool_],
    others: NDArray[np.float64],
    *,
    risk: float = 1 / 200,
    fooled: float = 0.015,
    spare: float = 0.01,
) -> Thresholds:
    """Choose from which confidence on a reading is ``ok``.

    Parameters
    ----------
    confidence : (N,) ndarray of float64
        Of simulated photos that no fit has seen.
    correct : (N,) ndarray of bool
        Whether each was read right.
    others : (M,) ndarray of float64
        Confidences in what shows no digit.
    risk : float
        Share of the accepted digits that may be wrong.
    fooled : float
        Share of the others that may be accepted.
    spare : float
        Share of the digits that are looked at again in any case, the least sure ones: what is no digit comes in more
        kinds than any training has seen, and a good model can afford it.

    Returns
    -------
    Thresholds
        The lowest threshold at and above which the accepted keep the risk, and the others are kept out.
    """
    order = np.argsort(-confidence, kind="stable")
    wrong = np.cumsum(~correct[order]) / np.arange(1, len(order) + 1)
    kept = np.flatnonzero(wrong <= risk)
    if not kept.size:
        lowest = 1.0
    elif kept[-1] == len(order) - 1:
        lowest = 0.0  # nothing says from where on it would be risky
    else:
        lowest = float(confidence[order][kept[-1]])
    keeps_out = float(np.quantile(others, 1 - fooled)) if len(others) else 0.0
    looked_at = float(np.quantile(confidence, spare)) if len(confidence) else 0.0
    # an even chance is never ok, however easy the photos were
    return Thresholds(review_below=max(0.5, round(max(lowest, keeps_out, looked_at), 4)))
