"""Classify a hundred thousand pictures; show that it takes no more memory than a thousand do, and little disk.

    python benchmarks/many.py --images 100000

The peaks of the main process and of the largest worker must stay within 20 % of those of a run over 1,000 pictures; a
row may take 100 bytes more in the state than in the CSV. A resumed run, which finds all of them unchanged, is measured
as well.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import sys
import tempfile
from pathlib import Path

from memory import Watched, run_watched
from PIL import Image

ROOT = Path(__file__).parents[1]
PER_FOLDER = 1000
FEW = 1000  # images of the run to compare with
LINKS = 1000  # to one file: file systems allow some thousands
GROWTH, BYTES = 1.2, 100.0


def make_folder(folder: Path, count: int, originals: Path) -> None:
    """Fill a folder with links to small pictures, each under a name of its own."""
    pictures = []
    for path in sorted((ROOT / "samples" / "images" / "board").glob("*.*")):
        for side in (28, 27, 26):
            pictures.append(Image.open(path).convert("L").resize((side, 28)))
    pictures.append(Image.open(ROOT / "samples" / "images" / "formats" / "mnist-28x28.png"))
    for number in range(count):
        if number % LINKS == 0:
            originals.mkdir(exist_ok=True)
            for index, picture in enumerate(pictures):
                picture.save(originals / f"{number}-{index}.png")
        source = originals / f"{number - number % LINKS}-{number % len(pictures)}.png"
        path = folder / f"{number // PER_FOLDER:04}" / f"digit {number:06}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            os.link(source, path)
        except OSError:
            shutil.copy(source, path)


def run(folder: Path, output: Path, *options: str) -> Watched:
    """Run the program."""
    arguments = ["classify", folder, "-m", "knn", "--jobs", "2", "-o", output, "-q", *options]
    found = run_watched(arguments, limit=24 * 3600, every=0.1)
    if found.code:
        sys.exit(f"exit code {found.code}: {found.errors[-2000:]}")
    return found


def told(title: str, found: Watched, count: int) -> str:
    """Return a line of figures."""
    speed = count / found.seconds
    return (
        f"{title}: {found.seconds:.1f} s, {speed:,.0f} images a second; "
        f"main process {found.main:.0f} MB, workers {found.worker:.0f} MB"
    )


def main() -> None:
    """Run over few, over many, and once more over the same."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--images", type=int, default=100_000)
    count = parser.parse_args().images
    with tempfile.TemporaryDirectory() as name:
        make_folder(Path(name, "few"), FEW, Path(name, "few originals"))
        make_folder(Path(name, "many"), count, Path(name, "many originals"))
        few = run(Path(name, "few"), Path(name, "few.csv"))
        print(told(f"{FEW:,} images", few, FEW))
        output = Path(name, "many.csv")
        many = run(Path(name, "many"), output)
        print(told(f"{count:,} images", many, count))
        before = output.read_bytes()
        again = run(Path(name, "many"), output, "--resume")
        print(told("once more with --resume", again, count))
        rows = before.count(b"\n") - 1
        line = (len(before) - before.index(b"\n") - 1) / rows
        state = sum(path.stat().st_size for path in Path(name).glob("many.csv.state*")) / rows
        print(f"{rows:,} rows; of each {line:.0f} bytes in the CSV, {state:.0f} in the state")
        wrong = [] if rows == count else [f"{rows} rows of {count} images"]
        wrong += [] if before == output.read_bytes() else ["the resumed run has written other rows"]
        wrong += [f"{state - line:.0f} bytes more in the state"] if state - line >= BYTES else []
        for title, found in (("main process", many.main / few.main), ("workers", many.worker / few.worker)):
            print(f"memory, {title}: {found:.2f} of that for {FEW:,}")
            wrong += [f"memory grows: {title}"] if found > GROWTH else []
    for complaint in wrong:
        print(f"WRONG: {complaint}")
    sys.exit(bool(wrong))


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        main()
