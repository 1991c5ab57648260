"""Where the time goes: cProfile over the three main workloads, in this process, one file after the other."""

from __future__ import annotations

import cProfile
import pstats
from pathlib import Path

import cv2
from speed_inputs import Pictures

import batchdigits
from batchdigits import Classifier, load_model
from batchdigits.batch import rows_of, teller_of_ways_up
from batchdigits.sources.walk import find_sources
from batchdigits.types import Layout
from batchdigits.worker import Part, Reading, read_part

LARGEST = 15  # items of each list
OWN = Path(batchdigits.__file__).parent
TOGETHER = 32  # files whose tiles are classified in one go, about as in a run


def read_all(folder: Path, classifier: Classifier, layout: Layout) -> None:
    """Do what a run does with the files of a folder, but for its workers and its state."""
    sources, reading = find_sources([folder]).sources, Reading(classifier.card.imaging, layout=layout)
    classify = teller_of_ways_up(classifier, layout)
    for start in range(0, len(sources), TOGETHER):
        tiles = [read_part(Part(source), reading, classify).items for source in sources[start : start + TOGETHER]]
        for _ in rows_of(tiles, classifier):
            pass


def print_profiles(photos: Pictures, small: Pictures, pages: Pictures) -> None:
    """Profile each workload over its distinct pictures."""
    cv2.setNumThreads(1)  # as in the workers of a batch
    for title, pictures, model, layout in (
        ("12 MP photos", photos, "knn", Layout.DIGIT),
        ("28 x 28 PNGs", small, "knn", Layout.DIGIT),
        ("A4 pages of 100 digits", pages, "cnn", Layout.PAGE),
    ):
        classifier = load_model(model)
        count = len(pictures.originals)
        folder = pictures.folder(count)
        read_all(folder, classifier, layout)  # what is loaded and built once is no part of it
        profiler = cProfile.Profile()
        profiler.runcall(read_all, folder, classifier, layout)
        print(f"{title}, {model}: {count} files\n\n{largest(profiler)}\n", flush=True)


def largest(profiler: cProfile.Profile) -> str:
    """Return the largest items by their own time, and the largest functions of ours with all that they call."""
    stats = pstats.Stats(profiler)
    # pstats has no types for what it holds: (file, line, function) to calls (two ways), own and cumulative seconds
    found = {key: value[1:4] for key, value in stats.stats.items()}  # type: ignore[attr-defined]
    total = sum(own for _, own, _ in found.values())
    ours = {key: value for key, value in found.items() if Path(key[0]).is_relative_to(OWN)}
    lines = []
    for title, items, column in (("by own time", found, 1), ("ours, with all they call", ours, 2)):
        lines.append(f"  {title:60} {'calls':>8} {'seconds':>8} {'share':>6}")
        for key in sorted(items, key=lambda key: -items[key][column])[:LARGEST]:
            seconds = items[key][column]
            lines.append(f"  {named(*key):60} {items[key][0]:8,} {seconds:8.3f} {seconds / total:6.1%}")
    return "\n".join(lines)


def named(file: str, line: int, function: str) -> str:
    """Return a short name of a function."""
    if file == "~":
        return function.strip("<>").replace("built-in method ", "").replace("method ", "")[:60]
    path = Path(file)
    place = path.relative_to(OWN).as_posix() if path.is_relative_to(OWN) else path.name
    return f"{place}:{line} {function}"[:60]
