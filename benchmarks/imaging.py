"""How long imaging takes, in milliseconds for each picture: small grey ones, photos as training simulates, larger ones.

python benchmarks/imaging.py [--count 60]
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

from batchdigits.imaging.pipeline import trace
from batchdigits.imaging.settings import ImagingSettings
from batchdigits.training.simulator import Scene, simulate_ink, simulate_photo

REPEATS = 5
LONG_SIDE = 1000  # of the larger photos, pixels

Picture = NDArray[np.uint8]


def small_grey(digit: int, rng: np.random.Generator) -> Picture:
    """Draw a digit as MNIST has them: white on black, 20 rows high in 28 x 28."""
    ink, _ = simulate_ink(digit, Scene(size=(28, 28), digit_height=20 / 28), rng)
    ink = ink[:, :28]
    left = (28 - ink.shape[1]) // 2
    picture = np.zeros((28, 28), np.uint8)
    picture[4:24, left : left + ink.shape[1]] = np.rint(ink * 255)
    return np.asarray(cv2.cvtColor(picture, cv2.COLOR_GRAY2BGR), dtype=np.uint8)


def photo(digit: int, rng: np.random.Generator) -> Picture:
    """Take a photo as training does, of any difficulty."""
    return simulate_photo(digit, rng, difficulty=rng.uniform())


def larger_photo(digit: int, rng: np.random.Generator) -> Picture:
    """Take a photo of 1,000 pixels."""
    small = photo(digit, rng)
    factor = LONG_SIDE / max(small.shape)
    enlarged = cv2.resize(small, None, fx=factor, fy=factor, interpolation=cv2.INTER_CUBIC)
    return np.asarray(enlarged, dtype=np.uint8)


def best_ms(picture: Picture, settings: ImagingSettings) -> float:
    """Return the shortest of several runs: the least disturbed one."""
    times = []
    for _ in range(REPEATS):
        started = time.perf_counter()
        trace(picture, settings)
        times.append(time.perf_counter() - started)
    return 1000 * min(times)


def main() -> None:
    """Print the mean and the median over the pictures of each kind."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=60)
    count = parser.parse_args().count
    cv2.setNumThreads(1)  # as in the processes of a batch
    kinds: dict[str, Callable[[int, np.random.Generator], Picture]] = {
        "28 x 28, grey": small_grey,
        "simulated photo": photo,
        f"photo of {LONG_SIDE} px": larger_photo,
    }
    for name, make in kinds.items():
        rng = np.random.default_rng(0)
        times = [best_ms(make(number % 10, rng), ImagingSettings()) for number in range(count)]
        print(f"{name:18} mean {statistics.mean(times):6.2f} ms   median {statistics.median(times):6.2f} ms")


if __name__ == "__main__":
    main()
