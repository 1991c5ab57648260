"""At what strength of each nuisance a model breaks: simulated photos, clean but for one thing that grows.

python benchmarks/robustness.py [--model NAME ...] [--models-dir DIR] [--count 50] [--output benchmarks/robustness]

The same digits, hands and pens at every strength. OUTPUT.csv takes the figures, OUTPUT.png the plot; both are kept in
the repository, so that a change shows what it won and lost.
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import cv2
import matplotlib.pyplot as plt
import numpy as np

from batchdigits import Classifier, Status, load_model
from batchdigits.batch import rows_of
from batchdigits.classifiers.store import DEFAULT_MODEL, MODEL_NAMES
from batchdigits.looking import look
from batchdigits.training.scenes import RulingKind
from batchdigits.training.simulator import (
    Pen,
    PrintedBox,
    Ruling,
    Scene,
    draw_ink,
    draw_skeleton,
    photograph,
    random_pen,
)
from batchdigits.types import Layout, Page, PageId

SEED = 11
COLUMNS = ("nuisance", "strength", "model", "photos", "right", "ok", "ok_right")
_PLOTS = 5  # beside each other

Change = Callable[[Scene, Pen, float], tuple[Scene, Pen]]


def _scene(field: str) -> Change:
    """Return what sets one field of the scene."""
    return lambda scene, pen, value: (replace(scene, **{field: value}), pen)


def _pen(field: str) -> Change:
    """Return what sets one field of the pen."""
    return lambda scene, pen, value: (scene, replace(pen, **{field: value}))


def _ruling(kind: RulingKind) -> Change:
    """Return what rules the paper, the lines as dark as asked for."""
    return lambda scene, pen, value: (replace(scene, ruling=Ruling(kind, colour=(round(255 * (1 - value)),) * 3)), pen)


class Nuisance(NamedTuple):
    """One thing that makes photos hard."""

    unit: str
    strengths: Sequence[float]  #: from none to severe
    change: Change


NUISANCES: Mapping[str, Nuisance] = {
    "small digit": Nuisance(
        "height in pixels",
        (120, 60, 30, 20, 15, 12, 10, 8, 6),
        lambda s, p, v: (replace(s, digit_height=v / s.size[0]), p),
    ),
    "small picture": Nuisance(
        "its side in pixels",
        (240, 120, 60, 40, 28, 20, 16, 12),
        lambda s, p, v: (replace(s, size=(int(v), int(v)), digit_height=0.7), p),
    ),
    "faint ink": Nuisance("strength", (1, 0.6, 0.4, 0.3, 0.22, 0.16, 0.12, 0.08), _scene("strength")),
    "thin pen": Nuisance(
        "of the digit's height",
        (0.06, 0.03, 0.02, 0.014, 0.01, 0.007),
        _pen("width"),
    ),
    "thick pen": Nuisance(
        "of the digit's height",
        (0.06, 0.1, 0.14, 0.18, 0.22, 0.26),
        _pen("width"),
    ),
    "broken strokes": Nuisance(
        "grain of the pen",
        (0, 0.3, 0.6, 0.8, 1.0, 1.2),
        _pen("grain"),
    ),
    "blur": Nuisance("of the picture's side", (0, 0.005, 0.01, 0.015, 0.02, 0.03, 0.04), _scene("blur")),
    "noise": Nuisance("standard deviation", (0, 0.03, 0.06, 0.1, 0.15, 0.2, 0.3), _scene("noise")),
    "JPEG": Nuisance("quality", (90, 40, 20, 10, 6, 3, 1), lambda s, p, v: (replace(s, jpeg_quality=int(v)), p)),
    "hard shadow": Nuisance(
        "light lost",
        (0, 0.2, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9),
        lambda s, p, v: (replace(s, shadow=v, shadow_softness=0.01), p),
    ),
    "soft shadow": Nuisance(
        "light lost",
        (0, 0.2, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9),
        lambda s, p, v: (replace(s, shadow=v, shadow_softness=0.3), p),
    ),
    "falling light": Nuisance("light lost", (0, 0.3, 0.5, 0.7, 0.8, 0.9), _scene("falloff")),
    "dark picture": Nuisance("exposure", (1, 0.5, 0.3, 0.2, 0.12, 0.08, 0.05), _scene("exposure")),
    "rotation": Nuisance("degrees", (0, 5, 10, 15, 20, 25, 30, 40), _scene("rotation")),
    "rough paper": Nuisance("standard deviation", (0, 0.02, 0.04, 0.06, 0.09, 0.12, 0.16), _scene("texture")),
    "specks": Nuisance("number", (0, 5, 10, 20, 40, 80), lambda s, p, v: (replace(s, specks=int(v)), p)),
    "ruled paper": Nuisance(
        "darkness",
        (0, 0.1, 0.2, 0.35, 0.5, 0.7, 0.9),
        _ruling("ruled"),
    ),
    "squared paper": Nuisance(
        "darkness",
        (0, 0.1, 0.2, 0.35, 0.5, 0.7, 0.9),
        _ruling("squared"),
    ),
    "thick box": Nuisance(
        "thickness, of the side",
        (0, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1),
        lambda s, p, v: (replace(s, box=PrintedBox("full" if v else "none", thickness=v)), p),
    ),
    "narrow box": Nuisance(
        "free to the digit, of the side",
        (0.15, 0.1, 0.05, 0.02, 0, -0.02, -0.05, -0.1),
        lambda s, p, v: (replace(s, box=PrintedBox("full", margins=(0.225 - v,) * 4, thickness=0.012)), p),
    ),
}


def photo(number: int, nuisance: Nuisance, strength: float) -> Page:
    """Take the photo of one digit, the nuisance as strong as that."""
    rng = np.random.default_rng((SEED, number))
    pen = replace(random_pen(rng, "ballpoint"), blotches=0)
    strokes = draw_skeleton(number % 10, rng, wobble=0.8)
    scene = Scene(size=(240, 240), texture=0.004, noise=0.004, offset=(float(rng.uniform(-0.05, 0.05)), 0.0))
    scene, pen = nuisance.change(scene, pen, strength)
    ink = draw_ink(strokes, height=max(8, round(scene.digit_height * scene.size[0])), pen=pen, rng=rng)
    return Page(PageId(f"{number}"), photograph(ink, scene, np.random.default_rng((SEED, number, 1))))


def measure(classifiers: Sequence[Classifier], count: int) -> list[tuple[str, float, str, int, int, int, int]]:
    """Take all photos and count; rows as `COLUMNS` says."""
    figures = []
    for name, nuisance in NUISANCES.items():
        for strength in nuisance.strengths:
            found = [
                [look(photo(number, nuisance, strength), classifiers[0].card.imaging, Layout.DIGIT).tiles]
                for number in range(count)
            ]
            for classifier in classifiers:
                rows = [row for (row,) in rows_of(found, classifier)]
                right = [row.prediction == str(number % 10) for number, row in enumerate(rows)]
                ok = [row.status is Status.OK for row in rows]
                both = sum(good and sure for good, sure in zip(right, ok, strict=True))
                figures.append((name, strength, classifier.card.name, count, sum(right), sum(ok), both))
        print(name, [(row[1], row[4], row[5], row[6]) for row in figures if row[0] == name], flush=True)
    return figures


def draw(figures: Sequence[tuple[str, float, str, int, int, int, int]], path: Path) -> None:
    """Plot for each nuisance the share that is right and, dashed, the share that the first model marks ok."""
    down = -(-len(NUISANCES) // _PLOTS)
    figure, axes = plt.subplots(down, _PLOTS, figsize=(3.2 * _PLOTS, 2.7 * down), sharey=True, layout="constrained")
    models = list(dict.fromkeys(row[2] for row in figures))
    for axis, (name, nuisance) in zip(axes.flat, NUISANCES.items(), strict=False):
        for number, model in enumerate(models):
            rows = [row for row in figures if row[0] == name and row[2] == model]
            place = range(len(rows))  # strengths are set apart evenly: what counts is where a model breaks
            shares = [100 * row[4] / row[3] for row in rows]
            axis.plot(place, shares, color=f"C{number}", marker="o", ms=3, lw=2 if number == 0 else 1, label=model)
            if number == 0:
                axis.plot(place, [100 * row[5] / row[3] for row in rows], color="black", ls="--", lw=0.9)
        axis.set_title(name, fontsize=10)
        axis.set_xlabel(nuisance.unit, fontsize=8)
        axis.set_xticks(range(len(nuisance.strengths)), [f"{value:g}" for value in nuisance.strengths], fontsize=7)
        axis.set_ylim(0, 102)
    for axis in axes.flat[len(NUISANCES) :]:
        axis.axis("off")
    for axis in axes[:, 0]:
        axis.set_ylabel("%: right, dashed: ok", fontsize=8)
    axes[0, 0].legend(fontsize=7, loc="lower left")
    figure.savefig(path, dpi=80)


def main() -> None:
    """Measure, write the figures, draw them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", action="append")
    parser.add_argument("--models-dir", type=Path)
    parser.add_argument("--count", type=int, default=50)
    parser.add_argument("--output", type=Path, default=Path(__file__).with_suffix(""))
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    names = arguments.model or sorted(MODEL_NAMES, key=lambda name: name != DEFAULT_MODEL)
    models = [load_model(name, arguments.models_dir) for name in names]
    figures = measure(models, arguments.count)
    with arguments.output.with_suffix(".csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        writer.writerows(figures)
    draw(figures, arguments.output.with_suffix(".png"))


if __name__ == "__main__":
    main()
