"""What a run of the program costs: seconds, and the memory of all its processes. Linux only: it asks /proc."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

PROGRAM = (sys.executable, "-m", "batchdigits")


@dataclass
class Watched:
    """A run that has ended."""

    code: int = 0  #: exit code; that of SIGKILL if it was late
    late: bool = False  #: it took longer than it was given, and was killed
    seconds: float = 0.0
    errors: str = ""  #: what it wrote to stderr
    samples: list[tuple[float, float]] = field(default_factory=list)  #: seconds, and MB of all processes together then
    main: float = 0.0  #: peak of the first process, in MB
    others: dict[int, float] = field(default_factory=dict)  #: peak of each other process, in MB

    @property
    def worker(self) -> float:
        """Peak of the largest other process, in MB."""
        return max(self.others.values(), default=0.0)

    @property
    def peak(self) -> float:
        """Peak of the largest process, in MB."""
        return max(self.main, self.worker)

    def peak_between(self, start: float, end: float) -> float:
        """Return the peak of all processes together between two shares of the run's time, in MB."""
        chosen = [used for at, used in self.samples if start * self.seconds <= at <= end * self.seconds]
        return max(chosen, default=0.0)


def run_watched(
    arguments: Sequence[str | Path], *, limit: float, every: float = 0.02, program: Sequence[str] = PROGRAM
) -> Watched:
    """Run the program and look at its memory all the while.

    Parameters
    ----------
    arguments : sequence of str or Path
        Of the command line.
    limit : float
        Seconds after which it is taken to hang.
    every : float
        Seconds between two looks. Peaks of single processes are the kernel's: only a process that lives shorter than
        this is missed.
    program : sequence of str
        What to run.
    """
    found = Watched()
    with tempfile.TemporaryFile() as errors:
        start = time.monotonic()
        process = subprocess.Popen(
            [*program, *map(str, arguments)], stdout=subprocess.DEVNULL, stderr=errors, start_new_session=True
        )
        try:
            while process.poll() is None:
                _look(process.pid, found, time.monotonic() - start)
                if time.monotonic() - start > limit:
                    found.late = True
                    break
                time.sleep(every)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
        found.code = process.wait()
        found.seconds = time.monotonic() - start
        errors.seek(0)
        found.errors = errors.read().decode("utf-8", "backslashreplace")
    return found


def _look(leader: int, found: Watched, at: float) -> None:
    total = 0.0
    command = _command(leader)
    for process in _members(leader):
        if process != leader and _command(process) == command:
            continue  # a moment after its birth a process still is a picture of its parent, with all that one's memory
        now, peak = _memory(process)
        total += now
        if process == leader:
            found.main = max(found.main, peak)
        else:
            found.others[process] = max(found.others.get(process, 0.0), peak)
    found.samples.append((at, total))


def _members(leader: int) -> Iterator[int]:
    """Yield the processes of a session, those included whose parent has died."""
    for entry in os.scandir("/proc"):
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                # the name of a process may hold anything, but no field behind it has a bracket
                fields = Path(entry.path, "stat").read_bytes().rpartition(b")")[2].split()
                if int(fields[3]) == leader:
                    yield int(entry.name)


def _command(process: int) -> bytes:
    try:
        return Path(f"/proc/{process}/cmdline").read_bytes()
    except OSError:
        return b""


def _memory(process: int) -> tuple[float, float]:
    """Return what a process has in memory, and the most it had, in MB."""
    try:
        lines = Path(f"/proc/{process}/status").read_text().splitlines()
    except OSError:
        return 0.0, 0.0
    values = {name: value for name, _, value in (line.partition(":") for line in lines)}
    now, peak = (float(values.get(name, "0 kB").split()[0]) / 1024 for name in ("VmRSS", "VmHWM"))
    return now, peak
