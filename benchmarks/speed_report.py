"""What the speed suite has found: bars and tables, as text for the screen and as Markdown for `RESULTS.md`."""

from __future__ import annotations

import math
import os
import platform
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import batchdigits
from batchdigits.cli.common import available_cores
from batchdigits.versions import installed_versions

LIBRARIES = (
    "numpy",
    "opencv-python-headless",
    "opencv-python",
    "onnxruntime",
    "pillow",
    "loky",
    "joblib",
    "tensorflow",
    "tensorflow-cpu",
    "keras",
)
PREFACE = """\
# How fast batchdigits is

Written by `python benchmarks/speed.py`, never by hand; everything below was measured in that one run.

Ratios count. Seconds are those of one machine, on which other work may be going on, and differ from run to run. What
is compared runs in turn, again and again, and of each the shortest time is taken. Times of folders are slopes: that of
many files less that of few, divided by the files that there are more, so that a start is counted once and apart, in
its own section. All files have been read once before, and come from the memory, not from the disk."""


@dataclass(frozen=True)
class Bar:
    """A figure, and what it must reach."""

    what: str
    value: float  #: nan, which meets nothing, where the noise was larger than the figure
    limit: float
    unit: str  #: with a space before it, if there is to be one
    at_most: bool = True

    @property
    def met(self) -> bool:
        """Whether it is reached."""
        return self.value <= self.limit if self.at_most else self.value >= self.limit

    def cells(self) -> list[str]:
        """Return a row of the table of bars."""
        sign = "≤" if self.at_most else "≥"
        limit = f"{sign} {self.limit:,g}{self.unit}"
        found = "lost in noise" if math.isnan(self.value) else f"{shown(self.value)}{self.unit}"
        return [self.what, found, limit, "met" if self.met else "**missed**"]


@dataclass
class Section:
    """What one part of the suite has found."""

    title: str
    notes: list[str] = field(default_factory=list)  #: paragraphs
    header: Sequence[str] = ()
    rows: list[Sequence[str]] = field(default_factory=list)
    bars: list[Bar] = field(default_factory=list)

    def markdown(self) -> str:
        """Return it with a heading."""
        parts = [f"## {self.title}", *self.notes]
        parts += [table(self.header, self.rows)] if self.rows else []
        parts += [table_of_bars(self.bars)] if self.bars else []
        return "\n\n".join(parts)


def shown(value: float) -> str:
    """Return a figure with some three digits that count."""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table, its first column text and the others figures."""
    lines = [header, ["---"] + ["---:"] * (len(header) - 1), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def table_of_bars(bars: Sequence[Bar]) -> str:
    """Return what was found, what it must reach, and whether it does."""
    return table(("what", "found", "bar", ""), [bar.cells() for bar in bars])


def machine() -> list[tuple[str, str]]:
    """Return what all figures depend on."""
    versions = installed_versions(LIBRARIES)
    found = [
        ("date", f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC"),
        ("batchdigits", f"{batchdigits.__version__}{commit()}"),
        ("processor", processor()),
        ("cores", f"{available_cores()}"),
        ("memory", f"{memory():.0f} GB" if hasattr(os, "sysconf") else "unknown"),
        ("system", f"{platform.system()} {platform.release()} {platform.machine()}"),
        ("Python", platform.python_version()),
        ("libraries", ", ".join(f"{name} {version}" for name, version in versions.items())),
    ]
    if hasattr(os, "getloadavg"):
        found.append(("load before the run", f"{os.getloadavg()[0]:.1f} (processes that ran or wanted to)"))
    return found


def processor() -> str:
    """Return the processor's name."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or "unknown"
    names = (line.partition(":")[2].strip() for line in lines if line.startswith(("model name", "Model")))
    return next(names, platform.processor() or "unknown")


def memory() -> float:
    """Return how much memory the machine has, in GB."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9


def commit() -> str:
    """Return which commit is measured; empty outside a checkout."""
    git = ["git", "-C", str(Path(batchdigits.__file__).parent)]
    head = subprocess.run([*git, "rev-parse", "--short=12", "HEAD"], capture_output=True, text=True, check=False)
    if head.returncode:
        return ""
    changed = [*git, "status", "--porcelain", "--untracked-files=no", "--", ":/", ":(top,exclude)benchmarks/RESULTS.md"]
    changes = subprocess.run(changed, capture_output=True, text=True, check=False).stdout.strip()
    return f", commit {head.stdout.strip()}{' with changes that are in no commit' if changes else ''}"


def results(about: Sequence[tuple[str, str]], sections: Sequence[Section]) -> str:
    """Return the whole report."""
    bars = [bar for section in sections for bar in section.bars]
    met = sum(bar.met for bar in bars)
    parts = [PREFACE, "\n".join(f"- {name}: {value}" for name, value in about)]
    if bars:
        parts.append(f"## All bars\n\n{met} of {len(bars)} are met.\n\n{table_of_bars(bars)}")
    return "\n\n".join([*parts, *(section.markdown() for section in sections)]) + "\n"
