"""All models side by side: labelled folders and arrays of digits, each read right, marked ok, and right of these.

python benchmarks/compare.py SET... [--model knn --model cnn] [--models-dir DIR]

A SET is a folder with a labels.csv (columns file,label), or an .npz of pictures and labels: x and y, or x_test and
y_test. Pictures are uint8, ink 255 on 0.
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from batchdigits.batch import rows_of
from batchdigits.classifiers.runner import Classifier, load_model
from batchdigits.classifiers.store import MODEL_NAMES
from batchdigits.looking import look
from batchdigits.sources.walk import find_sources
from batchdigits.types import Layout, Page, PageId, Status, Tiles
from batchdigits.worker import read_source


def read_folder(folder: Path, classifier: Classifier) -> Iterator[tuple[Tiles, str]]:
    """Yield the tiles and the label of every labelled picture."""
    settings = classifier.card.imaging
    with (folder / "labels.csv").open(newline="", encoding="utf-8") as file:
        labels = {row["file"]: row["label"] for row in csv.DictReader(file)}
    for source in find_sources([folder]).sources:
        if source.name in labels:
            for tiles in read_source(source, settings):
                if isinstance(tiles, Tiles):
                    yield tiles, labels[source.name]


def read_arrays(path: Path, classifier: Classifier) -> Iterator[tuple[Tiles, str]]:
    """Yield the tiles and the label of every picture in an archive."""
    with np.load(path, allow_pickle=False) as archive:
        part = "_test" if "x_test" in archive else ""
        pictures, labels = archive[f"x{part}"], archive[f"y{part}"]
    for number, (picture, label) in enumerate(zip(pictures, labels, strict=True)):
        pixels = np.asarray(cv2.cvtColor(picture, cv2.COLOR_GRAY2BGR), dtype=np.uint8)
        yield look(Page(PageId(f"{number}"), pixels), classifier.card.imaging, Layout.DIGIT).tiles, str(label)


def main() -> None:
    """Print a table for every set."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sets", nargs="+", type=Path)
    parser.add_argument("--model", action="append")
    parser.add_argument("--models-dir", type=Path)
    arguments = parser.parse_args()
    classifiers = [load_model(name, arguments.models_dir) for name in arguments.model or MODEL_NAMES]
    print(
        "| set | model | right | share | flagged | ok, right | ok, wrong |\n| --- | --- | --- | --- | --- | --- | --- |"
    )
    for path in arguments.sets:
        reader = read_folder if path.is_dir() else read_arrays
        found = list(reader(path, classifiers[0]))  # all models share the imaging
        for classifier in classifiers:
            assert classifier.card.imaging == classifiers[0].card.imaging
            rows = rows_of([[tiles] for tiles, _ in found], classifier)
            read = [(row, row.prediction == label) for (row,), (_, label) in zip(rows, found, strict=True)]
            right = sum(good for _, good in read)
            ok = [good for row, good in read if row.status is Status.OK]
            print(
                f"| {path.name} | {classifier.card.label} | {right}/{len(found)} | {right / len(found):.2%} "
                f"| {1 - len(ok) / len(found):.2%} | {sum(ok)} | {len(ok) - sum(ok)} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
