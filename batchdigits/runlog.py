"""The log of a run: one JSON object a line, for programs that watch it."""

from __future__ import annotations

import contextlib
import json
import logging
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from batchdigits.errors import OutputError

_FIELDS = ("stage", "file", "page", "milliseconds")

log = logging.getLogger("batchdigits")
log.addHandler(logging.NullHandler())  # nothing is printed unless somebody asks for it


@contextlib.contextmanager
def timed(stage: str, message: str) -> Iterator[None]:
    """Log how long a step took."""
    start = time.perf_counter()
    yield
    log.info(message, extra={"stage": stage, "milliseconds": round(1000 * (time.perf_counter() - start), 1)})


class JsonLines(logging.Formatter):
    """Writes a record as a JSON object: ``time``, ``level``, ``message``, and what is known of the page."""

    def format(self, record: logging.LogRecord) -> str:
        """Return one line."""
        cells = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "message": record.getMessage(),
        }
        cells |= {name: getattr(record, name) for name in _FIELDS if hasattr(record, name)}
        return json.dumps(cells, ensure_ascii=False)


@contextlib.contextmanager
def log_to(path: Path | None) -> Iterator[None]:
    """Append what is logged to a file, if one is given.

    Raises
    ------
    OutputError
        If it cannot be opened.
    """
    if path is None:
        yield
        return
    try:
        handler = logging.FileHandler(path, encoding="utf-8", errors="backslashreplace")
    except OSError as error:
        raise OutputError(f"The log {path} cannot be written: {error.strerror}.") from error
    handler.setFormatter(JsonLines())
    before = log.level, log.propagate
    log.setLevel(logging.INFO)
    log.propagate = False  # a line for a program, not for who set up logging above
    log.addHandler(handler)
    try:
        yield
    finally:
        log.removeHandler(handler)
        log.level, log.propagate = before
        handler.close()
