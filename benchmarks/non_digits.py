"""How many pictures that are no digit the models flag (review or blank): of kinds that training draws, and of others.

python benchmarks/non_digits.py [--count 2000] [--model NAME ...] [--models-dir DIR] [--data mnist.npz]
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import cv2
import matplotlib
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from batchdigits import Classifier, Status, load_model
from batchdigits.batch import rows_of
from batchdigits.classifiers.store import MODEL_NAMES
from batchdigits.looking import look
from batchdigits.training.datasets import load_npz
from batchdigits.training.fields import Float
from batchdigits.training.nondigits import KINDS, simulate_non_digit
from batchdigits.training.scenes import random_scene
from batchdigits.training.simulator import photograph
from batchdigits.types import Layout, Page, PageId

SEED = 777_777  # training counts its seeds from 0
DIFFICULTY = (0.0, 0.8)  # as the photos that models are calibrated on

# Training prints with Pillow's face and OpenCV's; what may be taken for a digit is left out here too.
LETTERS = "AEFHKMNPRTWXadefhkmnprtwx"
SIGNS = "♠♥♦♣★☂☎✂✈♫⚑☀☁☃☠☢☯♻⚓✿"
FONTS = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
UPRIGHT = ("DejaVuSans-Bold.ttf", "DejaVuSansMono.ttf", "DejaVuSerif.ttf", "DejaVuSerif-Bold.ttf", "cmr10.ttf")
SLANTED = ("DejaVuSans-Oblique.ttf", "DejaVuSerif-Italic.ttf", "STIXGeneralItalic.ttf", "cmmi10.ttf")


def text(rng: np.random.Generator, fonts: tuple[str, ...], characters: str) -> Float:
    """Render one character with one of the fonts that Matplotlib brings."""
    font = ImageFont.truetype(FONTS / fonts[int(rng.integers(len(fonts)))], 120)
    picture = Image.new("L", (300, 300))
    ImageDraw.Draw(picture).text((80, 80), characters[int(rng.integers(len(characters)))], fill=255, font=font)
    return cropped(np.asarray(picture, dtype=np.uint8))


def rosette(rng: np.random.Generator) -> Float:
    """Draw a closed curve of two turning circles, of three to eight leaves."""
    t = np.linspace(0, 2 * np.pi, 600)
    leaves, depth = int(rng.integers(3, 9)), rng.uniform(0.4, 1.2)
    radius = 1 + depth * np.cos(leaves * t)
    return curve(np.stack([np.cos(t), np.sin(t)], axis=1) * radius[:, None] * 35 + 90, rng)


def hatching(rng: np.random.Generator) -> Float:
    """Draw four to eight parallel strokes of about one length."""
    canvas = np.zeros((220, 220), np.uint8)
    count, angle, thick = int(rng.integers(4, 9)), rng.uniform(0, np.pi), int(rng.integers(3, 9))
    along, across = np.array([np.cos(angle), np.sin(angle)]), np.array([-np.sin(angle), np.cos(angle)])
    for place in np.linspace(-60, 60, count):
        middle = 110 + place * across + rng.normal(0, 4) * along
        reach = rng.uniform(35, 60) * along
        cv2.line(canvas, as_pixel(middle - reach), as_pixel(middle + reach), 255, thick, cv2.LINE_AA)
    return cropped(canvas)


def signature(rng: np.random.Generator) -> Float:
    """Draw the flourish of a signature: three waves of different lengths added up."""
    t = np.linspace(0, 1, 500)
    waves = [rng.uniform(0.3, 1) * np.sin(2 * np.pi * (rng.uniform(2, 9) * t + rng.random())) for _ in range(6)]
    return curve(np.stack([60 + 200 * t + 18 * sum(waves[:3]), 80 + 22 * sum(waves[3:])], axis=1), rng)


def curve(points: NDArray[np.float64], rng: np.random.Generator) -> Float:
    """Draw a line through points (x, y), in pixels of a canvas 330 wide and 180 high."""
    canvas = np.zeros((180, 330), np.uint8)
    cv2.polylines(canvas, [np.round(points).astype(np.int32)], False, 255, int(rng.integers(3, 7)), cv2.LINE_AA)
    return cropped(canvas)


def as_pixel(point: NDArray[np.float64]) -> tuple[int, int]:
    """Round a point (x, y)."""
    return round(float(point[0])), round(float(point[1]))


def cropped(canvas: NDArray[np.uint8]) -> Float:
    """Cut to the ink: (H, W) float32, 0 paper, 1 ink."""
    rows, columns = np.flatnonzero(canvas.max(axis=1) > 0), np.flatnonzero(canvas.max(axis=0) > 0)
    if not len(rows):
        return np.zeros((10, 10), np.float32)
    ink = canvas[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    return np.pad(ink.astype(np.float32) / np.float32(255), 1)


UNSEEN: dict[str, Callable[[np.random.Generator], Float]] = {
    "unseen:upright_letter": lambda rng: text(rng, UPRIGHT, LETTERS),
    "unseen:slanted_letter": lambda rng: text(rng, SLANTED, LETTERS),
    "unseen:pictograph": lambda rng: text(rng, ("DejaVuSans.ttf",), SIGNS),
    "unseen:rosette": rosette,
    "unseen:hatching": hatching,
    "unseen:signature": signature,
}


def photo(
    kind: str, rng: np.random.Generator, handwriting: tuple[NDArray[np.uint8], NDArray[np.int64]] | None
) -> NDArray[np.uint8]:
    """Take one picture of a kind."""
    difficulty = rng.uniform(*DIFFICULTY)
    if kind in KINDS:
        return simulate_non_digit(kind, rng, difficulty=difficulty, handwriting=handwriting)
    scene = random_scene(rng, difficulty=difficulty)
    ink = UNSEEN[kind](rng)
    # wide shapes must not run out of the picture
    ratio = scene.digit_height * scene.size[0] * ink.shape[1] / ink.shape[0] / (0.85 * scene.size[1])
    if ratio > 1:
        ink = np.pad(ink, ((round(ink.shape[0] * (ratio - 1) / 2),) * 2, (0, 0)))
    return photograph(ink, scene, rng)


def measure(classifiers: list[Classifier], count: int, data: Path | None) -> None:
    """Take the pictures, classify them, print a table: kinds down, models across."""
    kinds = (*KINDS, *UNSEEN)
    dataset = load_npz(data) if data else None
    # the test part: training spoils digits of the training part
    handwriting = (dataset.x_test, dataset.y_test) if dataset else None
    shown = np.array([kinds[number % len(kinds)] for number in range(count)])
    settings = classifiers[0].card.imaging
    found = []
    for number, kind in enumerate(shown):
        picture = photo(str(kind), np.random.default_rng((SEED, number)), handwriting)
        found.append([look(Page(PageId(f"{number}"), picture), settings, Layout.DIGIT).tiles])
    columns = [
        np.array([row.status is not Status.OK for (row,) in rows_of(found, classifier)]) for classifier in classifiers
    ]
    print("| kind | pictures | " + " | ".join(classifier.card.name for classifier in classifiers) + " |")
    print("| --- | --- |" + " --- |" * len(classifiers))
    drawn = np.isin(shown, KINDS)
    groups = {kind: shown == kind for kind in kinds}
    groups |= {"all that training draws": drawn, "all unseen": ~drawn, "all": np.ones(count, np.bool_)}
    for title, chosen in groups.items():
        shares = " | ".join(f"{column[chosen].mean():.1%}" for column in columns)
        print(f"| {title} | {chosen.sum()} | {shares} |")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=2000)
    parser.add_argument("--model", action="append")
    parser.add_argument("--models-dir", type=Path)
    parser.add_argument("--data", type=Path, help="MNIST, to spoil real handwriting too")
    arguments = parser.parse_args()
    models = [load_model(name, arguments.models_dir) for name in arguments.model or MODEL_NAMES]
    measure(models, arguments.count, arguments.data)
