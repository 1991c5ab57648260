"""What a run has finished, in one SQLite file beside the output: on disk at once, and there for the next run."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from batchdigits.errors import OutputError
from batchdigits.sources.stamps import Stamp
from batchdigits.types import Box, Digit, PageId, Row, Status
from batchdigits.worker import Part, Read

_APPLICATION = 0x62646967  # "bdig": tells our files from other people's
_FORMAT = 1
_PAGE = 4096  # bytes of the smallest database: one without tables
_WAIT = 0.0  # seconds for another run to end: a scheduled run should rather say that it is late
_MILLIONTHS = 1_000_000  # confidences have six decimals in every output

_TABLES = (
    "CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value TEXT) WITHOUT ROWID",
    """
    CREATE TABLE IF NOT EXISTS parts (
        name TEXT, nth INTEGER, first INTEGER,  -- file, which of those of that name, page
        count INTEGER, pages INTEGER,  -- how many pages, of how many in the file
        size INTEGER, modified INTEGER, inode INTEGER, digest BLOB,  -- of the file; NULL: read it anew
        rows TEXT,
        PRIMARY KEY (name, nth, first)
    ) WITHOUT ROWID
    """,
)

_STATUSES = (Status.OK, Status.REVIEW, Status.BLANK, Status.ERROR)  # by their numbers in the file


class Key(NamedTuple):
    """What tells two files apart: the name in the rows, and a number for files of equal names."""

    name: str
    nth: int


class Known(NamedTuple):
    """What is known of a file from an earlier run."""

    stamp: Stamp
    digest: bytes
    done: int  #: pages read, from the first on
    pages: int  #: pages of the file


class RunState:
    """The state of one output, locked for one run.

    Parameters
    ----------
    path : Path
        Made if it is not there.

    Raises
    ------
    OutputError
        If another run holds it, it is somebody else's file, or it cannot be written. Methods raise it, too.
    """

    def __init__(self, path: Path) -> None:
        self.broke_off = False  #: whether the run before was killed, or died of a picture; known once begun
        self._path = path
        with self._told():
            _check_owner(path)
            self._base = sqlite3.connect(path, timeout=_WAIT, isolation_level=None)
            try:
                self._open()
            except sqlite3.DatabaseError as error:
                self._base.close()
                if isinstance(error, sqlite3.OperationalError):
                    raise
                for torn in (path, path.with_name(path.name + "-wal")):  # ours: what it held can be read again
                    torn.unlink(missing_ok=True)
                self._base = sqlite3.connect(path, timeout=_WAIT, isolation_level=None)
                self._open()

    def _open(self) -> None:
        run = self._base.execute
        run("PRAGMA locking_mode = EXCLUSIVE")
        run("PRAGMA journal_mode = WAL")
        run("PRAGMA synchronous = FULL")  # a power cut costs what came after the last `record`
        run("BEGIN IMMEDIATE")
        run(f"PRAGMA application_id = {_APPLICATION}")
        for statement in _TABLES:
            run(statement)
        run("COMMIT")

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        """Turn SQLite's complaints into ours."""
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            text = str(error)
            if "locked" in text:
                message = f"Another run is writing {self._path}. Wait for it to end, or give another --output."
            elif "full" in text:
                message = f"The disk is full: {self._path} cannot grow. Make room, then go on with --resume."
            elif "unable to open" in text and not self._path.parent.is_dir():
                message = f"The folder {self._path.parent} does not exist. Make it first."
            else:
                message = f"The state {self._path} cannot be written: {text}."
            raise OutputError(message) from error

    def close(self) -> None:
        """Give the lock back."""
        with self._told():
            try:
                self._set("running", False)
            finally:
                self._base.close()

    def begin(self, settings: Mapping[str, Any], *, resume: bool) -> list[str] | None:
        """Start a run.

        Parameters
        ----------
        settings : mapping
            All that rows depend on beside the files; must survive JSON.
        resume : bool
            Keep what an earlier run with the same settings has finished.

        Returns
        -------
        list of str or None
            What has changed, each as a phrase, where everything must be read anew for it; None if nothing has, or if
            nothing is there to keep.
        """
        with self._told():
            before = self._meta()
            settings = json.loads(json.dumps(settings))
            changed = _differences(before["settings"], settings) if resume and "settings" in before else None
            damaged = resume and bool(before) and before.get("format") != _FORMAT
            if not resume or changed or damaged:
                self._base.execute("BEGIN IMMEDIATE")
                self._base.execute("DELETE FROM parts")
                self._base.execute("COMMIT")
            self.broke_off = bool(before.get("running"))
            self._base.execute("BEGIN IMMEDIATE")
            for key, value in (("format", _FORMAT), ("settings", settings), ("running", True)):
                self._set(key, value)
            self._base.execute("COMMIT")
        return changed or (["the format of the state"] if damaged else None)

    def _set(self, key: str, value: Any) -> None:
        self._base.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (key, json.dumps(value)))

    def _meta(self) -> dict[str, Any]:
        return {key: json.loads(value) for key, value in self._base.execute("SELECT key, value FROM meta")}

    @property
    def is_empty(self) -> bool:
        """Whether nothing is known of any file."""
        with self._told():
            return self._base.execute("SELECT 1 FROM parts LIMIT 1").fetchone() is None

    def known(self, key: Key) -> Known | None:
        """Return what an earlier run has finished of a file; None if nothing, or nothing that may be kept."""
        query = "SELECT first, count, pages, size, modified, inode, digest FROM parts WHERE name = ? AND nth = ?"
        with self._told():
            found = self._base.execute(query + " ORDER BY first", key).fetchall()
        if not found or any(digest is None for *_, digest in found):
            return None
        first, count, pages = found[-1][:3]
        _, _, _, size, modified, inode, digest = found[0]
        return Known(Stamp(size, modified, inode), digest, first + count - 1, max(pages, found[0][2]))

    def record(self, done: Iterable[tuple[Part, Read, Sequence[Row]]]) -> None:
        """Keep parts of files that have become rows: all of them, or none if the power fails."""
        with self._told():
            self._base.execute("BEGIN IMMEDIATE")
            try:
                self._keep(list(done))
            except BaseException:
                self._base.execute("ROLLBACK")
                raise
            self._base.execute("COMMIT")

    def _keep(self, done: Sequence[tuple[Part, Read, Sequence[Row]]]) -> None:
        begun = ((part.source.name, part.nth) for part, _, _ in done if part.first == 1)
        self._base.executemany("DELETE FROM parts WHERE name = ? AND nth = ?", begun)
        values = (_values(part, read, rows) for part, read, rows in done)
        self._base.executemany(f"INSERT OR REPLACE INTO parts VALUES ({', '.join('?' * 10)})", values)

    def restamp(self, key: Key, stamp: Stamp) -> None:
        """Note that a file has another time, but the same content."""
        with self._told():
            self._base.execute(
                "UPDATE parts SET size = ?, modified = ?, inode = ? WHERE name = ? AND nth = ? AND first = 1",
                (*stamp, *key),
            )

    def drop_all_but(self, keys: Iterable[Key]) -> int:
        """Forget files that are gone; return how many.

        Parameters
        ----------
        keys : iterable of Key
            What is still there, sorted.
        """
        with self._told():
            present, gone = iter(keys), []
            wanted = next(present, None)
            for name, nth in self._base.execute("SELECT DISTINCT name, nth FROM parts ORDER BY name, nth"):
                while wanted is not None and wanted < (name, nth):
                    wanted = next(present, None)
                if wanted != (name, nth):
                    gone.append((name, nth))
            self._base.execute("BEGIN IMMEDIATE")
            self._base.executemany("DELETE FROM parts WHERE name = ? AND nth = ?", gone)
            self._base.execute("COMMIT")
        return len(gone)

    def rows(self, model: str) -> Iterator[Row]:
        """Yield all rows, ordered by file, page and region.

        Parameters
        ----------
        model : str
            Name and digest of the model that they are of.
        """
        with self._told():
            for name, packed in self._base.execute("SELECT name, rows FROM parts ORDER BY name, nth, first"):
                yield from _unpack(packed, name, model)


def _values(part: Part, read: Read, rows: Sequence[Row]) -> tuple[Any, ...]:
    """Return the values of a part, by column."""
    stamp = read.stamp or Stamp(0, 0, 0)
    digest = None if read.stamp is None else read.digest
    return part.source.name, part.nth, part.first, read.count, read.pages, *stamp, digest, _pack(rows)


def state_path(output: Path) -> Path:
    """Return where the state of an output lies."""
    return output.with_name(output.name + ".state")


@contextlib.contextmanager
def open_state(path: Path) -> Iterator[RunState]:
    """Open a state, and give its lock back in the end; see `RunState`."""
    state = RunState(path)
    try:
        yield state
    finally:
        state.close()


def _check_owner(path: Path) -> None:
    """Refuse a file that was not made by us: it may be somebody's only copy of something."""
    try:
        with path.open("rb") as file:
            head = file.read(_PAGE + 1)
    except FileNotFoundError:
        return
    database = head.startswith(b"SQLite format 3\0")
    ours = int.from_bytes(head[68:72]) == _APPLICATION
    # made a moment before a power cut, a database of ours holds nothing, not even our mark
    if head and not (database and (ours or len(head) <= _PAGE)):
        raise OutputError(f"{path} is no state of batchdigits. Move it away, or give another --output.")


def _differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    return [
        f"{key} was {before.get(key)}, is {now.get(key)}"
        for key in sorted({*before, *now})
        if before.get(key) != now.get(key)
    ]


def _pack(rows: Sequence[Row]) -> str:
    """Write rows as JSON, without what all of them share."""
    return json.dumps([_pack_row(row) for row in rows], ensure_ascii=False, separators=(",", ":"))


def _pack_row(row: Row) -> list[Any]:
    digits = [
        [
            *(digit.box.left, digit.box.top, digit.box.width, digit.box.height, digit.digit),
            -1 if digit.confidence == row.confidence else _whole(digit.confidence),  # a lone digit shares the row's
            *map(_whole, digit.probabilities),
        ]
        for digit in row.digits
    ]
    status = _STATUSES.index(row.status)
    first = row.page.number, row.page.region, row.prediction, _whole(row.confidence), status, row.reason
    return [*first, row.second, _whole(row.second_confidence), digits, *([row.detail] if row.detail else [])]


def _unpack(packed: str, file: str, model: str) -> Iterator[Row]:
    for cells in json.loads(packed):
        number, region, prediction, confidence, status, reason, second, second_confidence, digits, *detail = cells
        yield Row(
            PageId(file, number, region),
            prediction,
            confidence / _MILLIONTHS,
            _STATUSES[status],
            reason,
            second,
            second_confidence / _MILLIONTHS,
            tuple(_unpack_digit(confidence, *digit) for digit in digits),
            model,
            *detail,
        )


def _unpack_digit(
    of_row: int, left: int, top: int, width: int, height: int, digit: int, confidence: int, *ten: int
) -> Digit:
    probabilities = tuple(value / _MILLIONTHS for value in ten)
    box = Box(left, top, left + width, top + height)
    return Digit(box, digit, (of_row if confidence < 0 else confidence) / _MILLIONTHS, probabilities)


def _whole(share: float) -> int:
    return round(share * _MILLIONTHS)
