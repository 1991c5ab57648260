"""Rows to CSV, JSON Lines and XLSX, and the reader of our own CSV. Whole files only: written beside, then renamed."""

from __future__ import annotations

import contextlib
import csv
import glob
import json
import os
import re
import secrets
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from pathlib import Path
from typing import IO, Any, NamedTuple, Protocol

from batchdigits.errors import OutputError, UsageError
from batchdigits.types import Box, Digit, Row

COLUMNS = (
    "file",
    "page",
    "region",
    "prediction",
    "confidence",
    "status",
    "reason",
    "second",
    "second_confidence",
    "x",
    "y",
    "width",
    "height",
    "model",
)
DIGIT_COLUMNS = (
    "file",
    "page",
    "region",
    "position",
    "prediction",
    "confidence",
    "x",
    "y",
    "width",
    "height",
    "model",
)
PROBABILITY_COLUMNS = tuple(f"p{digit}" for digit in range(10))

_TEXT_COLUMNS = frozenset(("file", "region", "prediction", "status", "reason", "second", "model"))
_SPECIAL = re.compile('[,"\r\n]').search
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "'")


Cell = str | int | float | None


def values(row: Row, *, probabilities: bool = False) -> dict[str, Cell]:
    """Return the cells of a row by column; None where there is no digit to have a box."""
    cells = {
        "file": row.page.file,
        "page": row.page.number,
        "region": row.page.region,
        "prediction": row.prediction,
        "confidence": round(row.confidence, 6),
        "status": row.status.value,
        "reason": row.reason,
        "second": row.second,
        "second_confidence": round(row.second_confidence, 6),
        **_place(row.box),
        "model": row.model,
    }
    return cells | (_probabilities(row.digits[0] if row.digits else None) if probabilities else {})


def digit_values(row: Row, *, probabilities: bool = False) -> Iterator[dict[str, Cell]]:
    """Return the cells of each digit of a row by column, in reading order."""
    for position, digit in enumerate(row.digits, start=1):
        cells = {
            "file": row.page.file,
            "page": row.page.number,
            "region": row.page.region,
            "position": position,
            "prediction": str(digit.digit),
            "confidence": round(digit.confidence, 6),
            **_place(digit.box),
            "model": row.model,
        }
        yield cells | (_probabilities(digit) if probabilities else {})


def _place(box: Box | None) -> dict[str, Cell]:
    x, y, width, height = (box.left, box.top, box.width, box.height) if box else (None,) * 4
    return {"x": x, "y": y, "width": width, "height": height}


def _probabilities(digit: Digit | None) -> dict[str, Cell]:
    known = [round(p, 6) for p in digit.probabilities] if digit else [None] * 10
    return dict(zip(PROBABILITY_COLUMNS, known, strict=True))


class Table(NamedTuple):
    """What is written of rows."""

    columns: tuple[str, ...]
    records: Callable[[Row], Iterable[dict[str, Cell]]]  #: cells by column, of each record that a row gives


def make_table(*, digits: bool = False, probabilities: bool = False) -> Table:
    """Return the table of rows, or of their digits, with or without the ten probabilities."""
    more = PROBABILITY_COLUMNS if probabilities else ()
    if digits:
        return Table(DIGIT_COLUMNS + more, lambda row: digit_values(row, probabilities=probabilities))
    return Table(COLUMNS + more, lambda row: [values(row, probabilities=probabilities)])


def guard(text: str) -> str:
    """Keep a spreadsheet from taking a text for a formula; `unguard` undoes it."""
    return "'" + text if text.startswith(_FORMULA_STARTS) else text


def unguard(text: str) -> str:
    """Undo `guard`."""
    return text[1:] if text.startswith("'") else text


def _csv_cell(name: str, value: Cell) -> str:
    if isinstance(value, str):
        return _quote(guard(value) if name in _TEXT_COLUMNS else value)
    if isinstance(value, float):
        return f"{value:.6f}"
    return "" if value is None else str(value)


def _quote(cell: str) -> str:
    """Quote a cell as RFC 4180 has it; Python's own writer leaves a lone CR bare before 3.13."""
    return '"' + cell.replace('"', '""') + '"' if _SPECIAL(cell) else cell


def read_csv(file: IO[str]) -> Iterator[dict[str, str]]:
    """Read a CSV of ours (opened with ``newline=""``): the cells of each row by column, guards removed."""
    for cells in csv.DictReader(file):
        yield {name: unguard(value) if name in _TEXT_COLUMNS else value for name, value in cells.items()}


class RowWriter(Protocol):
    """Takes rows, one by one."""

    def write(self, row: Row) -> None:
        """Write one row."""

    def finish(self) -> None:
        """Write what comes after the last row."""

    def abandon(self) -> None:
        """Let go of everything, without a further byte: there will be no last row."""


class CsvWriter:
    """RFC 4180, UTF-8, LF."""

    def __init__(self, file: IO[bytes], table: Table) -> None:
        self._file, self._table = file, table
        self._write(map(_quote, table.columns))

    def _write(self, cells: Iterable[str]) -> None:
        self._file.write((",".join(cells) + "\n").encode("utf-8", "backslashreplace"))

    def write(self, row: Row) -> None:
        """Write one row."""
        for cells in self._table.records(row):
            self._write([_csv_cell(name, value) for name, value in cells.items()])

    def finish(self) -> None:
        """Nothing comes after the last row."""

    def abandon(self) -> None:
        """Nothing is held that would have to go."""


class JsonlWriter:
    """One JSON object a line, raw values."""

    def __init__(self, file: IO[bytes], table: Table) -> None:
        self._file, self._table = file, table

    def write(self, row: Row) -> None:
        """Write one row."""
        for cells in self._table.records(row):
            text = json.dumps(cells, ensure_ascii=False)
            self._file.write(text.encode("utf-8", "backslashreplace") + b"\n")

    def finish(self) -> None:
        """Nothing comes after the last row."""

    def abandon(self) -> None:
        """Nothing is held that would have to go."""


class XlsxWriter:
    """A workbook of one sheet; text stays text, so leading zeros stay."""

    def __init__(self, file: IO[bytes], table: Table) -> None:
        import xlsxwriter  # only those who ask for a workbook pay for its import

        self._error: type[Exception] = xlsxwriter.exceptions.XlsxWriterException
        self._file = file
        self._workplace = tempfile.TemporaryDirectory(prefix="batchdigits.")
        self._beside = Path(self._workplace.name, "book.xlsx")
        options = {"constant_memory": True, "strings_to_formulas": False, "tmpdir": self._workplace.name}
        self._book = xlsxwriter.Workbook(self._beside, options)
        self._book.set_properties({"created": datetime(2000, 1, 1)})  # the same rows give the same bytes
        self._sheet = self._book.add_worksheet("predictions")
        self._table = table
        self._number = self._book.add_format({"num_format": "0.000000"})
        self._sheet.freeze_panes(1, 0)
        self._sheet.set_column(0, 0, 40)
        bold = self._book.add_format({"bold": True})
        for column, name in enumerate(table.columns):
            self._sheet.write_string(0, column, name, bold)
        self._next = 1

    def write(self, row: Row) -> None:
        """Write one row."""
        for cells in self._table.records(row):
            if self._next >= 1_048_576:
                raise OutputError("An XLSX sheet ends at 1,048,576 rows. Use --format csv.")
            for column, value in enumerate(cells.values()):
                if isinstance(value, str):
                    self._sheet.write_string(self._next, column, value)
                elif isinstance(value, float):
                    self._sheet.write_number(self._next, column, value, self._number)
                elif value is not None:
                    self._sheet.write_number(self._next, column, value)
            self._next += 1

    def finish(self) -> None:
        """Write the workbook: put together beside, since xlsxwriter seeks, and hides what a full disk says."""
        try:
            self._book.close()
            with self._beside.open("rb") as book:
                shutil.copyfileobj(book, self._file)
        except self._error as error:
            raise OutputError(f"The workbook cannot be written: {error}.") from error
        finally:
            self._workplace.cleanup()

    def abandon(self) -> None:
        """Close and remove the files it was being put together in."""
        with contextlib.suppress(Exception):
            self._book.close()
        self._workplace.cleanup()


_WRITERS: dict[str, Any] = {"csv": CsvWriter, "jsonl": JsonlWriter, "xlsx": XlsxWriter}


def make_writer(file: IO[bytes], form: str, table: Table | None = None) -> RowWriter:
    """Return the writer of a format, of the plain table of rows if no other is given.

    Raises
    ------
    UsageError
        If there is no such format.
    """
    if form not in _WRITERS:
        raise UsageError(f"There is no format {form!r}. Formats: {', '.join(_WRITERS)}.")
    writer: RowWriter = _WRITERS[form](file, table or make_table())
    return writer


@contextlib.contextmanager
def atomic_file(path: Path) -> Iterator[IO[bytes]]:
    """Open a file that appears under its name whole, or not at all.

    What was there before stays until the block ends without an error. A device or pipe is written to directly.

    Raises
    ------
    OutputError
        If the file cannot be made, written or renamed.
    """
    try:
        target = path.resolve()  # a link keeps pointing where it did
    except RuntimeError as error:  # Python before 3.13
        raise OutputError(f"{path} cannot be written: it is a link that leads in a circle.") from error
    beside = target.with_name(_beside(target, secrets.token_hex(4)))
    try:
        if path.is_dir():
            raise OutputError(f"{path} is a folder. Give --output the path of a file.")
        if path.exists() and not path.is_file():  # /dev/stdout resolves to a name that nobody can open
            with path.open("wb") as device:
                yield device
            return
        with beside.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        beside.replace(target)
    except FileNotFoundError as error:
        raise OutputError(f"The folder {target.parent} does not exist. Make it first.") from error
    except OSError as error:
        raise OutputError(f"{path} cannot be written: {error.strerror}.") from error
    finally:
        with contextlib.suppress(OSError):
            beside.unlink(missing_ok=True)


def _beside(target: Path, mark: str) -> str:
    """Return a name for a file beside another; that is cut, for it must not become too long."""
    return f".{target.name[:40]}.{mark}.tmp"


def remove_leftovers(path: Path) -> None:
    """Remove what killed runs have left of a file that they were writing. Only for who knows that no other run is."""
    with contextlib.suppress(OSError, RuntimeError):
        target = path.resolve()
        start = glob.escape(_beside(target, "")).removesuffix(".tmp")
        for left in target.parent.glob(f"{start}{'[0-9a-f]' * 8}.tmp"):
            left.unlink(missing_ok=True)


def write_rows(rows: Iterable[Row], *writers: RowWriter) -> None:
    """Write all rows, each with every writer.

    Raises
    ------
    OutputError
        If the disk is full, say.
    """
    try:
        for row in rows:
            for writer in writers:
                writer.write(row)
        for writer in writers:
            writer.finish()
    except BaseException as error:
        for writer in writers:
            writer.abandon()
        if isinstance(error, OSError) and not isinstance(error, BrokenPipeError):
            raise OutputError(f"The output cannot be written: {error.strerror or error}.") from error
        raise
