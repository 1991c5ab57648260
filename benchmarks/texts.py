"""Numbers and pages: how many are read without a mistake, how many of their digits, and what is marked ok.

python benchmarks/texts.py FOLDER --layout number|page [--model cnn] [--models-dir DIR]
python benchmarks/texts.py --simulate 400 --layout number|page|amount|sheet

The FOLDER has a labels.csv (columns file,label), a label being digits with a space between lines. Instead of one, texts
can be simulated: on these the threshold of `ok` and the sharpness of a text's confidence were chosen. An amount is a
number with commas, cents or signs at its end, of which only the digits count. A sheet is an A4 page of 100 digits, as
`speed.py` takes them.
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from speed_inputs import draw

from batchdigits import Classifier, Row, Status, classify, classify_array, load_model
from batchdigits.evaluation import edit_distance
from batchdigits.training.texts import random_amount, random_text, simulate_text

SEED = 21
HARDEST = 0.6  # of the simulated pictures: an ordinary phone photo has 0.5
BARS = (0.0, 0.5, 0.8, 0.9, 0.97, 1.0)  # of confidence, to see whether it is one


def read_folder(folder: Path, layout: str, classifier: Classifier) -> tuple[list[Row], list[str]]:
    """Read the labelled files of a folder; return the rows and their labels."""
    with (folder / "labels.csv").open(newline="", encoding="utf-8") as file:
        labels = {row["file"]: row["label"] for row in csv.DictReader(file)}
    rows = [row for row in classify(folder, model=classifier, layout=layout) if row.page.file in labels]
    if missing := labels.keys() - {row.page.file for row in rows}:
        raise SystemExit(f"{folder} lacks {', '.join(sorted(missing))}")
    return rows, [labels[row.page.file] for row in rows]


def read_simulated(count: int, layout: str, classifier: Classifier) -> tuple[list[Row], list[str]]:
    """Take pictures of texts, pages any way up, and read them."""
    rows, texts = [], []
    for number in range(count):
        if layout == "sheet":
            picture, text = draw("page", number)
            rows.append(classify_array(picture, model=classifier, layout="page", name=f"{number}"))
            texts.append(text)
            continue
        rng = np.random.default_rng((SEED, number))
        page = layout == "page"
        text = random_amount(rng) if layout == "amount" else random_text(rng, int(rng.integers(2, 6)) if page else 1)
        turns = int(rng.integers(1, 4)) if page and rng.random() < 0.3 else 0
        picture = simulate_text(text, rng, difficulty=rng.uniform(0, HARDEST), turns=turns)
        rows.append(classify_array(picture, model=classifier, layout="page" if page else "number", name=f"{number}"))
        texts.append("".join(character for character in text if character.isdigit() or character == " "))
    return rows, texts


def report(title: str, rows: Sequence[Row], texts: Sequence[str]) -> None:
    """Print what is right."""
    right = np.array([row.prediction == text for row, text in zip(rows, texts, strict=True)])
    pairs = [(row.prediction.replace(" ", ""), text.replace(" ", "")) for row, text in zip(rows, texts, strict=True)]
    digits = sum(len(text) for _, text in pairs)
    wrong = sum(edit_distance(*pair) for pair in pairs)
    ok = np.array([row.status is Status.OK for row in rows])
    print(
        f"{title}: {right.sum()} of {len(texts)} exact, {1 - wrong / digits:.1%} of {digits} digits; "
        f"{ok.sum()} marked ok, {right[ok].sum()} of these right"
    )
    for row, text, good in zip(rows, texts, right, strict=True):
        if not good:
            print(f"  {row.page.file}: {text} read {row.prediction}, {row.confidence:.3f} {row.status} {row.reason}")
    confidence = np.array([row.confidence for row in rows])
    for low, high in zip(BARS, BARS[1:], strict=False):
        inside = (confidence >= low) & (confidence < high if high < 1 else confidence <= high)
        if inside.any():
            said, held = confidence[inside].mean(), right[inside].mean()
            print(f"  confidence {low:.2f} to {high:.2f}: {inside.sum()}, mean {said:.3f}, right {held:.3f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, nargs="?")
    parser.add_argument("--simulate", type=int, metavar="COUNT")
    parser.add_argument("--layout", required=True, choices=("number", "page", "amount", "sheet"))
    parser.add_argument("--model", default="cnn")
    parser.add_argument("--models-dir", type=Path)
    arguments = parser.parse_args()
    if (arguments.folder is None) == (arguments.simulate is None):
        parser.error("give either a folder or --simulate")
    chosen = load_model(arguments.model, arguments.models_dir)
    if arguments.folder:
        report(arguments.folder.name, *read_folder(arguments.folder, arguments.layout, chosen))
    else:
        report(f"simulated {arguments.layout}", *read_simulated(arguments.simulate, arguments.layout, chosen))
