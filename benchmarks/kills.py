"""Kill a run again and again, at random moments; show that its rows come out as if nothing had happened.

    python benchmarks/kills.py --kills 100 --images 500

Every kill is a SIGKILL to the whole program, which has no chance to tidy up; each is followed by `--resume`. At the end
the CSV must be, byte for byte, that of a run nobody disturbed, and the log must not name a picture twice: what has been
recorded is not read again.
"""

from __future__ import annotations

import argparse
import collections
import json
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

SAMPLES = Path(__file__).parents[1] / "samples" / "images"


def make_folder(folder: Path, count: int) -> None:
    """Fill a folder with copies of the samples, documents and broken files among them."""
    files = sorted(path for path in SAMPLES.rglob("*") if path.suffix in (".jpg", ".png", ".tif"))
    for number in range(count):
        source = files[number % len(files)]
        place = folder / f"form-{number % 7}"
        place.mkdir(parents=True, exist_ok=True)
        if number % 50 == 49:
            data = source.read_bytes()
            (place / f"{number:05}{source.suffix}").write_bytes(data[: len(data) // 2])
        else:
            shutil.copy(source, place / f"{number:05}{source.suffix}")


def command(folder: Path, output: Path, *more: str) -> list[str]:
    """Return the command of a run."""
    log = output.with_suffix(".log")
    return [
        sys.executable,
        "-m",
        "batchdigits",
        "classify",
        str(folder),
        "-o",
        str(output),
        "-q",
        "--log-file",
        str(log),
    ] + [*more]


def read_twice(log: Path) -> tuple[int, list[str]]:
    """Return how many pages the log says were read, and the files that were read more than once."""
    counts: collections.Counter[tuple[str, int]] = collections.Counter()
    for line in log.read_bytes().split(b"\n"):
        try:
            cells = json.loads(line)
        except ValueError:  # the last line before a kill may be half a line
            continue
        if cells.get("stage") == "read":
            counts[cells["file"], cells["page"]] += 1
    return len(counts), sorted(file for (file, _), times in counts.items() if times > 1)


def main() -> None:
    """Run, kill, resume, compare."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--images", type=int, default=500)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", default="2")
    options = parser.parse_args()
    rng = random.Random(options.seed)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name, "photos")
        make_folder(folder, options.images)
        whole, killed = Path(name, "whole.csv"), Path(name, "killed.csv")
        start = time.monotonic()
        subprocess.run(command(folder, whole, "--jobs", options.jobs))
        seconds = time.monotonic() - start
        # most kills should fall while pictures are read, not before and not after
        kills = finished = 0
        killed.write_text("the last complete run\n")
        while kills < options.kills:
            run = subprocess.Popen(command(folder, killed, "--jobs", options.jobs, "--resume"))
            try:
                run.wait(rng.uniform(0.2, 1.5 + 2 * seconds / options.kills))
                finished += 1
                if finished > 3 * options.kills:
                    sys.exit("the run ends before it can be killed: give more --images")
                killed.with_name("killed.csv.state").unlink()  # done too early: once more from the start
                killed.with_suffix(".log").unlink()
                killed.write_text("the last complete run\n")
            except subprocess.TimeoutExpired:
                run.send_signal(signal.SIGKILL)
                run.wait()
                kills += 1
                assert killed.read_text() == "the last complete run\n", "an unfinished run has touched the output"
        code = subprocess.run(command(folder, killed, "--jobs", options.jobs, "--resume")).returncode
        pages, twice = read_twice(killed.with_suffix(".log"))
        same = whole.read_bytes() == killed.read_bytes()
        left = sorted(path.name for path in Path(name).iterdir())
        print(f"{options.images} images, undisturbed in {seconds:.1f} s; {kills} kills; exit code {code}")
        print(f"the same bytes: {same}; {pages} pages logged, read again after they were recorded: {len(twice)}")
        print(f"files beside the output: {', '.join(left)}")
        sys.exit(not same or bool(twice))


if __name__ == "__main__":
    main()
