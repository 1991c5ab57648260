"""How long the command line takes to answer, as ratios to importing Typer in the same run.

python benchmarks/startup.py
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path

SAMPLE = Path(__file__).resolve().parents[1] / "samples" / "images" / "scans" / "page-001.png"
REPEATS = 7


def best(*command: str) -> float:
    """Return the shortest of several runs in seconds: the least disturbed one."""
    times = []
    for _ in range(REPEATS):
        started = time.perf_counter()
        subprocess.run([sys.executable, *command], check=True, capture_output=True)
        times.append(time.perf_counter() - started)
    return min(times)


def main() -> None:
    """Print seconds and ratios."""
    typer = best("-c", "import typer")
    with tempfile.TemporaryDirectory() as folder:
        commands = {
            'python -c "import typer"': ["-c", "import typer"],
            "batchdigits --help": ["-m", "batchdigits", "--help"],
            "batchdigits classify ONE": ["-m", "batchdigits", "classify", str(SAMPLE), "-o", f"{folder}/rows.csv"],
        }
        for name, command in commands.items():
            seconds = best(*command)
            print(f"{name:28} {seconds:.3f} s   {seconds / typer:.2f} x")


if __name__ == "__main__":
    main()
