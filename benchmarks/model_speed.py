"""Tiles per second of every recipe: its graph in onnxruntime beside the original's own predict, one core, one run.

python benchmarks/model_speed.py [--tiles 6000] [--model knn ...]

The models are trained here on simulated photos, since shipped ones keep no original; size and speed are measured of the
shipped ones as well.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable

if hasattr(os, "sched_setaffinity"):
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})  # one core for all, whatever threads a library starts
for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"):
    os.environ[name] = "1"  # before the libraries are loaded
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np  # noqa: E402
from numpy.typing import NDArray  # noqa: E402

from batchdigits.classifiers.runner import Session, load_model  # noqa: E402
from batchdigits.imaging.pipeline import trace  # noqa: E402
from batchdigits.imaging.settings import ImagingSettings  # noqa: E402
from batchdigits.training.non_digit_tiles import simulate_non_digit_tiles  # noqa: E402
from batchdigits.training.progress import silent  # noqa: E402
from batchdigits.training.recipes import find_recipe  # noqa: E402
from batchdigits.training.simulator import simulate_photo  # noqa: E402
from batchdigits.training.tiles import NOT_A_DIGIT, LabelledTiles, join, simulate_tiles  # noqa: E402


def rate(work: Callable[[NDArray[np.float32]], object], tiles: NDArray[np.float32], repeats: int = 3) -> float:
    """Return tiles per second, the best of some repeats."""
    work(tiles[:512])
    best = 0.0
    for _ in range(repeats):
        started = time.perf_counter()
        work(tiles)
        best = max(best, len(tiles) / (time.perf_counter() - started))
    return best


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tiles", type=int, default=6000)
    parser.add_argument("--model", action="append")
    arguments = parser.parse_args()
    settings = ImagingSettings()
    rng = np.random.default_rng(0)
    labels = np.arange(200) % 10
    clean = [trace(simulate_photo(int(label), rng, difficulty=0), settings).tile for label in labels]
    handwriting = np.rint(np.stack(clean) * 255).astype(np.uint8), labels
    digits = simulate_tiles(
        arguments.tiles, handwriting, settings, seed=0, difficulty=(0.0, 0.9), only_found=True, jobs=1
    )
    others, _ = simulate_non_digit_tiles(
        arguments.tiles // 4, handwriting, settings, seed=0, difficulty=(0.0, 0.9), jobs=1
    )
    fit = join(digits, LabelledTiles(others, np.full(len(others), NOT_A_DIGIT)))
    tiles = np.concatenate([fit.pixels] * 2)[:8192]
    print("| recipe | original, tiles/s | same graph | ratio | shipped model |\n| --- | --- | --- | --- | --- |")
    for name in arguments.model or ("knn", "rf", "logreg", "svm", "ann", "cnn"):
        trained = find_recipe(name)(fit, seed=0, epochs=1, progress=silent)
        session = Session(trained.graph.SerializeToString())
        original = rate(trained.predict, tiles[:2048])
        graph = rate(session.scores, tiles)
        shipped = rate(load_model(name), tiles)
        print(f"| {name} | {original:,.0f} | {graph:,.0f} | {graph / original:.1f} | {shipped:,.0f} |", flush=True)


if __name__ == "__main__":
    main()
