"""Numbers and pages: how many are read without a mistake, how many of their digits, and what is marked ok.

python benchmarks/texts.py FOLDER --layout number|page [--model cnn] [--models-dir DIR]

The FOLDER has a labels.csv (columns file,label), a label being digits with a space between lines.
"""

from __future__ import annotations

import argparse
import csv
from pathlib import Path

from batchdigits import Classifier, Status, classify, load_model
from batchdigits.evaluation import edit_distance


def measure(folder: Path, layout: str, classifier: Classifier) -> None:
    """Read a folder and print what is right of it."""
    with (folder / "labels.csv").open(newline="", encoding="utf-8") as file:
        labels = {row["file"]: row["label"] for row in csv.DictReader(file)}
    rows = [row for row in classify(folder, model=classifier, layout=layout) if row.page.file in labels]
    right = [row.prediction == labels[row.page.file] for row in rows]
    wrong = sum(edit_distance(row.prediction.replace(" ", ""), labels[row.page.file].replace(" ", "")) for row in rows)
    digits = sum(len(label.replace(" ", "")) for label in labels.values())
    ok = [good for row, good in zip(rows, right, strict=True) if row.status is Status.OK]
    print(
        f"{folder.name}: {sum(right)} of {len(labels)} exact, {1 - wrong / digits:.1%} of {digits} digits; "
        f"{len(ok)} marked ok, {sum(ok)} of these right"
    )
    for row, good in zip(rows, right, strict=True):
        if not good:
            print(
                f"  {row.page.file}: {labels[row.page.file]} read {row.prediction}, {row.confidence:.3f} {row.reason}"
            )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--layout", required=True, choices=("number", "page"))
    parser.add_argument("--model", default="cnn")
    parser.add_argument("--models-dir", type=Path)
    arguments = parser.parse_args()
    measure(arguments.folder, arguments.layout, load_model(arguments.model, arguments.models_dir))
