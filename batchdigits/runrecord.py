"""What a run was and what it came to, as JSON beside its output: for programs that watch scheduled runs."""

from __future__ import annotations

import contextlib
import hashlib
import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from batchdigits import __version__
from batchdigits.errors import BatchdigitsError, ExitCode, Terminated
from batchdigits.run import DECIDING, Counts, Job
from batchdigits.summary import Tally
from batchdigits.versions import installed_versions
from batchdigits.writers import atomic_file

_SCHEMA = 1


def record_path(output: Path) -> Path:
    """Return where the record of a run lies."""
    return output.with_name(output.name + ".run.json")


@dataclass(slots=True)
class RunRecord:
    """Filled in as the run goes."""

    command: str  #: as typed
    settings: dict[str, Any]  #: every flag as it was in force
    job: Job
    outputs: Sequence[Path]
    counts: Counts = field(default_factory=Counts)
    tally: Tally = field(default_factory=Tally)
    skipped: int = 0  #: files that are no pages
    exit_code: ExitCode = ExitCode.OK
    outcome: str = "complete"  #: or ``interrupted``, ``failed``
    message: str = ""
    anew: Sequence[str] = ()  #: what has changed since the last run, where everything had to be read anew for it
    started: datetime = field(default_factory=lambda: datetime.now(UTC))
    _clock: float = field(default_factory=time.monotonic)

    def to_dict(self) -> dict[str, Any]:
        """Return it, ready for JSON."""
        card = self.job.classifier.card
        seconds = time.monotonic() - self._clock
        return {
            "schema": _SCHEMA,
            "batchdigits": __version__,
            "command": self.command,
            "started": self.started.isoformat(timespec="seconds"),
            "seconds": round(seconds, 3),
            "outcome": self.outcome,
            "exit_code": int(self.exit_code),
            "message": self.message,
            "rows": self.tally.counts,
            "files": {**asdict(self.counts), "skipped": self.skipped},
            "files_read_per_second": round(self.counts.read / seconds, 2),
            "read_anew_because": list(self.anew),
            "model": {"name": card.name, "label": card.label, "weights_sha256": card.weights_sha256},
            "outputs": {str(path): _digest(path) for path in self.outputs} if self.outcome == "complete" else {},
            "settings": self.settings,
            "libraries": installed_versions(DECIDING),
        }


@contextlib.contextmanager
def recording(path: Path, record: RunRecord) -> Iterator[RunRecord]:
    """Write a record when a run ends, however it ends."""
    try:
        yield record
    except BaseException as error:
        record.exit_code = _exit_code(error)
        stopped = (ExitCode.INTERRUPTED, ExitCode.TERMINATED)
        record.outcome = "interrupted" if record.exit_code in stopped else "failed"
        record.message = str(error) or type(error).__name__
        with contextlib.suppress(BatchdigitsError):  # what fills the disk takes the record as well
            _write(path, record)
        raise
    _write(path, record)


def _exit_code(error: BaseException) -> ExitCode:
    if isinstance(error, BatchdigitsError):
        return error.exit_code
    codes = {KeyboardInterrupt: ExitCode.INTERRUPTED, Terminated: ExitCode.TERMINATED}
    return codes.get(type(error), ExitCode.UNEXPECTED)


def _write(path: Path, record: RunRecord) -> None:
    text = json.dumps(record.to_dict(), indent=2, ensure_ascii=False)
    with atomic_file(path) as file:
        file.write(text.encode("utf-8", "backslashreplace") + b"\n")


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
