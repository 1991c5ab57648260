"""What printed boxes cost: MNIST's test digits on simulated paper, bare and in boxes of ten styles.

python benchmarks/boxes.py MNIST.npz [--model cnn] [--models-dir DIR] [--count 500]

The same digits, light and paper in every style. A digit is as wide and high as the box leaves room for; in the last two
styles it touches the border, or crosses it. In the end, of the same boxes that nobody wrote in, how many are blank.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np

from batchdigits import Classifier, Status, load_model
from batchdigits.batch import rows_of
from batchdigits.looking import look
from batchdigits.training.augment import enlarge
from batchdigits.training.datasets import load_npz
from batchdigits.training.scenes import PrintedBox, random_scene
from batchdigits.training.simulator import Ruling, photograph
from batchdigits.types import Layout, Page, PageId

SEED = 12
MARGIN = (0.08,) * 4
HEIGHT = 0.6  # of the digit, of the picture's
STYLES = {
    "none": PrintedBox(),
    "thin": PrintedBox("full", MARGIN, thickness=0.008),
    "thick": PrintedBox("full", MARGIN, thickness=0.04),
    "grey": PrintedBox("full", MARGIN, thickness=0.02, colour=(150, 150, 150)),
    "red": PrintedBox("full", MARGIN, thickness=0.02, colour=(60, 60, 210)),
    "at the picture's edge": PrintedBox("full", (0.0,) * 4, thickness=0.02),
    "half out of view": PrintedBox("full", (-0.1, -0.1, 0.08, 0.08), thickness=0.02),
    "comb": PrintedBox("partial", MARGIN, ("left", "bottom", "right"), 0.015),
    "base line": PrintedBox("partial", (-0.1, 0.1, -0.1, 0.1), ("bottom",), 0.015),
    "touched": PrintedBox("full", (0.08, 0.5 - HEIGHT / 2, 0.08, 0.5 - HEIGHT / 2), thickness=0.015),
    "crossed": PrintedBox("full", (0.08, 0.08, 0.08, 0.55 - HEIGHT / 2), thickness=0.015),
}


def measure(classifier: Classifier, data: Path, count: int) -> None:
    """Print a line for each style."""
    dataset = load_npz(data)
    chosen = np.random.default_rng(SEED).permutation(len(dataset.y_test))[:count]
    bare = 0
    for style, box in STYLES.items():
        found, empty = [], []
        for number in chosen:
            rng = np.random.default_rng((SEED, number))
            scene = replace(random_scene(rng, difficulty=0.3), size=(200, 200), rotation=float(rng.normal(0, 1)))
            scene = replace(scene, box=box, ruling=Ruling(), digit_height=HEIGHT, offset=(0.0, 0.0), edge=0.0)
            for ink, kept in ((enlarge(dataset.x_test[number]), found), (np.zeros((9, 9), np.float32), empty)):
                page = Page(PageId(str(number)), photograph(ink, scene, rng))
                kept.append([look(page, classifier.card.imaging, Layout.DIGIT).tiles])
        rows = [row for (row,) in rows_of(found, classifier)]
        right = [row.prediction == str(dataset.y_test[number]) for row, number in zip(rows, chosen, strict=True)]
        ok = [good for row, good in zip(rows, right, strict=True) if row.status is Status.OK]
        blank = sum(row.status is Status.BLANK for (row,) in rows_of(empty, classifier))
        bare = bare or sum(right)
        print(
            f"{style:22} {sum(right)} of {count} right = {sum(right) / bare:.1%} of those without a box; "
            f"{len(ok)} marked ok, {sum(ok)} of these right; "
            f"{blank} blank without a digit",
            flush=True,
        )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--model", default="cnn")
    parser.add_argument("--models-dir", type=Path)
    parser.add_argument("--count", type=int, default=500)
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    measure(load_model(arguments.model, arguments.models_dir), arguments.data, arguments.count)
