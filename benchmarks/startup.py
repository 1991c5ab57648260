"""How long the command line takes to answer, as ratios to importing Typer in the same run.

python benchmarks/startup.py
"""

from __future__ import annotations

import sys
import tempfile
from functools import partial
from pathlib import Path

from speed_timing import best_of, seconds_of

SAMPLE = Path(__file__).resolve().parents[1] / "samples" / "images" / "scans" / "page-001.png"
REPEATS = 7
TYPER = 'python -c "import typer"'


def main() -> None:
    """Print seconds and ratios."""
    with tempfile.TemporaryDirectory() as folder:
        commands = {
            TYPER: ["-c", "import typer"],
            "batchdigits --help": ["-m", "batchdigits", "--help"],
            "batchdigits classify ONE": ["-m", "batchdigits", "classify", str(SAMPLE), "-o", f"{folder}/rows.csv"],
        }
        ways = {name: partial(seconds_of, [sys.executable, *command]) for name, command in commands.items()}
        found = best_of(ways, REPEATS)
    for name, seconds in found.items():
        print(f"{name:28} {seconds:.3f} s   {seconds / found[TYPER]:.2f} x")


if __name__ == "__main__":
    main()
