"""Whole processes, timed side by side: by slope, so that what a start costs is counted once and apart."""

from __future__ import annotations

import math
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from speed_inputs import Pictures

# -P: neither the folder that the suite is started in nor this one may lend the program modules
PROGRAM = (sys.executable, "-P", "-m", "batchdigits")
WAYS = Path(__file__).with_name("speed_ways.py")

Command = Callable[[Path, Path], Sequence[str]]
"""From a folder of pictures, and an empty one for results, to a command line."""


@dataclass
class Slope:
    """Seconds of runs over few and over many files."""

    few: int
    many: int
    of_few: list[float] = field(default_factory=list)
    of_many: list[float] = field(default_factory=list)

    @property
    def each(self) -> float:
        """Seconds for one more file, of the least disturbed runs; nan if the noise was larger."""
        seconds = (min(self.of_many) - min(self.of_few)) / (self.many - self.few)
        return seconds if seconds > 0 else math.nan

    @property
    def fixed(self) -> float:
        """Seconds that remain for no file at all: the start."""
        return min(self.of_few) - self.few * self.each

    @property
    def per_second(self) -> float:
        """Files."""
        return 1 / self.each


def classify(model: str, jobs: int, *options: str) -> Command:
    """Return how the command line is asked to read a folder."""

    def command(pictures: Path, results: Path) -> Sequence[str]:
        jobs_and_output = ["--jobs", str(jobs), "-q", "-o", str(results / "rows.csv")]
        return [*PROGRAM, "classify", str(pictures), "-m", model, *jobs_and_output, *options]

    return command


def bare_decode(how: str, workers: int) -> Command:
    """Return how a folder is read and decoded by OpenCV, and no more."""
    return lambda pictures, _: [sys.executable, str(WAYS), "decode", how, str(workers), str(pictures)]


def run(command: Sequence[str]) -> str:
    """Run a program that must succeed; return what it printed."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"exit code {done.returncode} of {' '.join(command)}\n{done.stderr[-2000:]}")
    return done.stdout


def seconds_of(command: Sequence[str]) -> float:
    """Time a program from its start to its end."""
    started = time.perf_counter()
    run(command)
    return time.perf_counter() - started


def _seconds_over(folder: Path, command: Command) -> float:
    """Time a way over a folder; its results go where making and removing them is not timed."""
    with tempfile.TemporaryDirectory() as results:
        return seconds_of(command(folder, Path(results)))


def tell(what: str) -> None:
    """Say how far the suite is, beside its report."""
    print(f"  {what}", file=sys.stderr, flush=True)


def slopes(
    ways: Mapping[str, Command],
    pictures: Pictures,
    sizes: tuple[int, int],
    repeats: int,
    meanwhile: Callable[[], None] = lambda: None,
) -> dict[str, Slope]:
    """Time ways over few and over many files, all of them in turn, again and again: drift must hit all alike.

    Parameters
    ----------
    ways : mapping of str to Command
        What to time.
    pictures : Pictures
        What folders to time it over are made of.
    sizes : (int, int)
        How many files are few, and how many are many.
    repeats : int
        Rounds.
    meanwhile : callable, optional
        Measures, in each round, what is no way over a folder.
    """
    few, many = (pictures.folder(size) for size in sizes)
    for entry in os.scandir(many):
        Path(entry.path).read_bytes()  # no way must be the one that waits for the disk
    found = {name: Slope(*sizes) for name in ways}
    for _ in range(repeats):
        for name, command in ways.items():
            slope = found[name]
            slope.of_few.append(_seconds_over(few, command))
            slope.of_many.append(_seconds_over(many, command))
            tell(f"{name}: {sizes[0]} in {slope.of_few[-1]:.2f} s, {sizes[1]} in {slope.of_many[-1]:.2f} s")
        meanwhile()
    return found


def first_line(command: Sequence[str]) -> float:
    """Time a program from its start to its first row of data, that after the header."""
    started = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        assert process.stdout is not None
        process.stdout.readline()
        row = process.stdout.readline()
        seconds = time.perf_counter() - started
        process.stdout.read()
    if process.returncode or not row:
        raise SystemExit(f"exit code {process.returncode} of {' '.join(command)}")
    return seconds


def best_of(ways: Mapping[str, Callable[[], float]], repeats: int) -> dict[str, float]:
    """Return the shortest of some runs of each way, all of them in turn."""
    found: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(repeats):
        for name, measure in ways.items():
            found[name].append(measure())
            tell(f"{name}: {found[name][-1]:.3f} s")
    return {name: min(seconds) for name, seconds in found.items()}
