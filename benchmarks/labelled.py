"""How well a model reads folders with a labels.csv (columns file,label): accuracy, and what its statuses are worth.

python benchmarks/labelled.py FOLDER... [--model NAME]
"""

from __future__ import annotations

import argparse
import csv
import time
from pathlib import Path

from batchdigits import Row, Status, classify, load_model
from batchdigits.classifiers.store import DEFAULT_MODEL


def measure(folder: Path, model: str) -> None:
    """Print one line of figures, and one for each wrong reading."""
    with (folder / "labels.csv").open(newline="", encoding="utf-8") as file:
        labels = {row["file"]: row["label"] for row in csv.DictReader(file)}
    classifier = load_model(model)
    started = time.perf_counter()
    rows: list[Row] = [row for row in classify(folder, model=classifier) if row.page.file in labels]
    rate = len(rows) / (time.perf_counter() - started)
    right = [row for row in rows if row.prediction == labels[row.page.file]]
    ok = [row for row in rows if row.status is Status.OK]
    ok_right = sum(row.prediction == labels[row.page.file] for row in ok)
    print(
        f"{folder.name:20} {classifier.card.label:18} {len(right)}/{len(rows)} = {len(right) / len(rows):.3f}   "
        f"ok {len(ok)}, of these right {ok_right}   {rate:.1f} img/s"
    )
    for row in rows:
        if row.prediction != labels[row.page.file]:
            print(
                f"    {row.page.file}: {labels[row.page.file]} read as {row.prediction or 'nothing'} "
                f"({row.confidence:.3f}, {row.status.value} {row.reason})"
            )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--model", default=DEFAULT_MODEL)
    arguments = parser.parse_args()
    for one in arguments.folders:
        measure(one, arguments.model)
