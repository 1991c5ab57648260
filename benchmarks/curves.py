"""Reliability diagrams and risk-coverage curves of models, as their cards hold them.

python benchmarks/curves.py OUTPUT.png [--model knn ...] [--models-dir DIR]
"""

from __future__ import annotations

import argparse
from pathlib import Path

import matplotlib.pyplot as plt

from batchdigits.classifiers.card import read_card
from batchdigits.classifiers.store import MODEL_NAMES, find_model

SETS = {"test": "MNIST test", "simulated": "simulated photos"}


def main() -> None:
    """Draw one row per set: reliability on the left, risk against coverage on the right."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("output", type=Path)
    parser.add_argument("--model", action="append")
    parser.add_argument("--models-dir", type=Path)
    arguments = parser.parse_args()
    cards = [read_card(find_model(name, arguments.models_dir)) for name in arguments.model or MODEL_NAMES]
    figure, axes = plt.subplots(len(SETS), 2, figsize=(12, 5 * len(SETS)), layout="constrained")
    for (key, title), (left, right) in zip(SETS.items(), axes, strict=True):
        left.plot([0, 1], [0, 1], color="grey", linewidth=0.8)
        for card in cards:
            curves = card.curves[key]
            bars = [bar for bar in curves["reliability"] if bar[2] >= 10]  # fewer say nothing
            left.plot([bar[0] for bar in bars], [bar[1] for bar in bars], marker="o", markersize=4, label=card.name)
            right.plot(
                [point[1] for point in curves["risk_coverage"]],
                [100 * point[2] for point in curves["risk_coverage"]],
                label=card.name,
            )
        left.set(title=f"{title}: reliability", xlabel="mean confidence", ylabel="share right")
        right.set(title=f"{title}: risk against coverage", xlabel="share accepted", ylabel="of these wrong, %")
        right.set(xlim=(0.9, 1.0), ylim=(0, None))
        right.axhline(0.5, color="grey", linewidth=0.8)
        left.legend()
        right.legend()
    figure.savefig(arguments.output, dpi=90)


if __name__ == "__main__":
    main()
