"""How many pictures that are no digit the models flag (review or blank): of kinds that training draws, and of others.

python benchmarks/non_digits.py [--count 2000] [--model NAME ...] [--models-dir DIR] [--data mnist.npz]
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from batchdigits import Classifier, Status, load_model
from batchdigits.batch import rows_of
from batchdigits.classifiers.store import MODEL_NAMES
from batchdigits.imaging.pipeline import find_digit
from batchdigits.training.datasets import load_npz
from batchdigits.training.fields import Float, smooth_field
from batchdigits.training.nondigits import KINDS, simulate_non_digit
from batchdigits.training.scenes import random_scene
from batchdigits.training.simulator import photograph
from batchdigits.types import Page, PageId

SEED = 777_777  # training counts its seeds from 0
DIFFICULTY = (0.0, 0.8)  # as the photos that models are calibrated on

# Faces differ from the strokes that training draws; what may be taken for a digit is left out here too.
LETTERS = "AEFHKMNPRTWXadefhkmnprtwx"
SIGNS = "#%+=*@?<~^"
# OpenCV 5 draws the first three as a bold and the script ones as a slanted face; OpenCV 4 drew thin lines.
PLAIN_FACES = (cv2.FONT_HERSHEY_SIMPLEX, cv2.FONT_HERSHEY_COMPLEX, cv2.FONT_HERSHEY_PLAIN)
SCRIPT_FACES = (cv2.FONT_HERSHEY_SCRIPT_SIMPLEX, cv2.FONT_HERSHEY_SCRIPT_COMPLEX)
SCRIPT_LETTERS = "AEFHKMNPRTWXhkmnpwxd"


def opencv_text(rng: np.random.Generator, faces: tuple[int, ...], letters: str) -> Float:
    """Render one letter with one of OpenCV's faces."""
    face = int(faces[int(rng.integers(len(faces)))])
    letter = letters[int(rng.integers(len(letters)))]
    canvas = np.zeros((400, 400), np.uint8)
    scale = 9.0 if face == cv2.FONT_HERSHEY_PLAIN else 5.0
    cv2.putText(canvas, letter, (120, 260), face, scale, 255, int(rng.integers(5, 16)), cv2.LINE_AA)
    return cropped(canvas)


def pillow_text(rng: np.random.Generator, characters: str) -> Float:
    """Render one character with Pillow's own face."""
    picture = Image.new("L", (300, 300))
    character = characters[int(rng.integers(len(characters)))]
    ImageDraw.Draw(picture).text((80, 80), character, fill=255, font=ImageFont.load_default(size=120))
    return cropped(np.asarray(picture, dtype=np.uint8))


def polygon(rng: np.random.Generator) -> Float:
    """Draw a random outline of five to nine corners that crosses itself as it likes."""
    canvas = np.zeros((160, 160), np.uint8)
    corners = rng.integers(15, 145, (int(rng.integers(5, 10)), 2)).astype(np.int32)
    cv2.polylines(canvas, [corners], True, 255, int(rng.integers(3, 10)), cv2.LINE_AA)
    return cropped(canvas)


def blobs(rng: np.random.Generator) -> Float:
    """Cut a smooth random field at a level: clouds of ink, round at the rim."""
    y, x = np.mgrid[-1:1:140j, -1:1:140j].astype(np.float32)
    field = smooth_field(rng, (140, 140), 45) + 0.6 * smooth_field(rng, (140, 140), 16)
    return cropped(np.where(field - 1.5 * (x * x + y * y) > -0.5, 255, 0).astype(np.uint8))


def signature(rng: np.random.Generator) -> Float:
    """Draw the flourish of a signature: three waves of different lengths added up."""
    t = np.linspace(0, 1, 500)
    waves = [rng.uniform(0.3, 1) * np.sin(2 * np.pi * (rng.uniform(2, 9) * t + rng.random())) for _ in range(6)]
    x, y = 60 + 200 * t + 18 * sum(waves[:3]), 80 + 22 * sum(waves[3:])
    canvas = np.zeros((180, 330), np.uint8)
    points = np.round(np.stack([x, y], axis=1)).astype(np.int32)
    cv2.polylines(canvas, [points], False, 255, int(rng.integers(3, 7)), cv2.LINE_AA)
    return cropped(canvas)


def cropped(canvas: NDArray[np.uint8]) -> Float:
    """Cut to the ink: (H, W) float32, 0 paper, 1 ink."""
    rows, columns = np.flatnonzero(canvas.max(axis=1) > 0), np.flatnonzero(canvas.max(axis=0) > 0)
    if not len(rows):
        return np.zeros((10, 10), np.float32)
    ink = canvas[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    return np.pad(ink.astype(np.float32) / np.float32(255), 1)


UNSEEN: dict[str, Callable[[np.random.Generator], Float]] = {
    "unseen:plain_letter": lambda rng: opencv_text(rng, PLAIN_FACES, LETTERS),
    "unseen:script_letter": lambda rng: opencv_text(rng, SCRIPT_FACES, SCRIPT_LETTERS),
    "unseen:printed_letter": lambda rng: pillow_text(rng, LETTERS),
    "unseen:printed_sign": lambda rng: pillow_text(rng, SIGNS),
    "unseen:polygon": polygon,
    "unseen:blobs": blobs,
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
        found.append([find_digit(Page(PageId(f"{number}"), picture), settings)])
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
