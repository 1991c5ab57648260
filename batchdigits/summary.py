"""What a run has come to: counts, the next command, the exit code."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from batchdigits.errors import ExitCode
from batchdigits.types import Layout, Row, Status


class Tally:
    """Counts rows as they pass, and remembers the first of each status."""

    def __init__(self) -> None:
        self._counts: Counter[Status] = Counter()
        self._first: dict[Status, Row] = {}

    def watch(self, rows: Iterable[Row]) -> Iterator[Row]:
        """Pass rows on, counting them."""
        for row in rows:
            self._counts[row.status] += 1
            self._first.setdefault(row.status, row)
            yield row

    @property
    def counts(self) -> dict[str, int]:
        """How many rows there are of each status."""
        return {status.value: self._counts[status] for status in Status}

    def summary(self, skipped: int, target: Path | None) -> str:
        """Return one line of counts; `skipped` files were no images."""
        parts = ", ".join(f"{self._counts[status]:,} {status}" for status in Status)
        others = f"; {skipped:,} other files skipped (-v names them)" if skipped else ""
        where = f" -> {target}" if target is not None else ""
        return f"{self._counts.total():,} rows: {parts}{others}{where}"

    def next_step(self, inputs: Sequence[Path], regions: Sequence[str], layout: Layout, model: str) -> str:
        """Return the command that a user would want next, empty if there is none."""
        row = next((self._first[s] for s in (Status.REVIEW, Status.OK, Status.BLANK) if s in self._first), None)
        if row is None:
            return ""
        places = (given / row.page.file if given.is_dir() else given for given in inputs)
        found = next((path for path in places if path.name == Path(row.page.file).name and path.exists()), None)
        command = ["batchdigits", "inspect", str(found or row.page.file)]
        command += ["--page", str(row.page.number)] if row.page.number > 1 else []
        command += [f"--region={text}" for text in regions if row.page.region in (text, text.split("=")[0])][:1]
        command += ["--layout", layout] if layout is not Layout.DIGIT else []
        why = "see why it is in doubt" if row.status is Status.REVIEW else "see how a picture is read"
        return f"next: {shlex.join([*command, '--model', model])}   # {why}"

    def exit_code(self, *, strict: bool) -> ExitCode:
        """Return what the rows amount to; with `strict`, ``blank`` and ``review`` count like ``error``."""
        bad = self._counts[Status.ERROR]
        if strict:
            bad += self._counts[Status.REVIEW] + self._counts[Status.BLANK]
        if not bad:
            return ExitCode.OK
        return ExitCode.ALL_ERRORS if bad == self._counts.total() else ExitCode.SOME_ERRORS
