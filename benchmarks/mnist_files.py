"""MNIST's test part as 10,000 PNG files through the whole file pipeline.

python benchmarks/mnist_files.py mnist.npz [--model NAME] [--jobs 2]
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import cv2

from batchdigits import Status, classify
from batchdigits.classifiers.store import DEFAULT_MODEL
from batchdigits.training.datasets import load_npz


def main() -> None:
    """Write the files, classify them, print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--model", default=DEFAULT_MODEL)
    parser.add_argument("--jobs", type=int, default=2)
    arguments = parser.parse_args()
    dataset = load_npz(arguments.data)
    with tempfile.TemporaryDirectory() as name:
        for number, (picture, label) in enumerate(zip(dataset.x_test, dataset.y_test, strict=True)):
            cv2.imwrite(str(Path(name, f"{number:05d}_{label}.png")), picture)
        started = time.perf_counter()
        rows = list(classify(name, model=arguments.model, jobs=arguments.jobs))
        seconds = time.perf_counter() - started
    right = [row.prediction == row.page.file[-5] for row in rows]
    ok = [good for good, row in zip(right, rows, strict=True) if row.status is Status.OK]
    print(f"{rows[0].model}: {sum(right)}/{len(rows)} = {sum(right) / len(rows):.4f}")
    print(f"marked ok: {len(ok) / len(rows):.4f}, of these right: {sum(ok) / len(ok):.4f}")
    print(f"{len(rows) / seconds:.0f} files/s with {arguments.jobs} jobs")


if __name__ == "__main__":
    main()
