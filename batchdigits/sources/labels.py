"""Labels: what is really written on each page, from a table or from the names of folders."""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from batchdigits.errors import NoInputError
from batchdigits.types import PageId

# what people call the columns; the first one that is there counts
_FILE_NAMES = ("file", "filename", "file_name", "path", "image", "name")
_LABEL_NAMES = ("label", "labels", "digit", "digits", "number", "truth", "text", "class", "value")
_DELIMITERS = ",;\t"
_SHOWN = 3  # of many bad lines, so many are named


@dataclass(frozen=True, slots=True)
class LabelTable:
    """Labels as they stand in a file."""

    labels: Mapping[PageId, str]  #: pages as the table names them, folders separated by `/`
    unlabelled: tuple[str, ...]  #: files whose label is empty


@dataclass(frozen=True, slots=True)
class Matched:
    """Pages and labels that belong together, and those that do not."""

    truth: Mapping[PageId, str]
    unlabelled: tuple[PageId, ...]  #: pages without a label
    unused: tuple[str, ...]  #: files with a label that are no page


def read_labels(path: Path, *, file_column: str | None = None, label_column: str | None = None) -> LabelTable:
    """Read a table of labels.

    Parameters
    ----------
    path : Path
        Text with a header and values separated by comma, semicolon or tab; UTF-8, or UTF-16 with a byte-order mark.
        Columns ``page`` and ``region`` tell the pages of a file apart, where there are any.
    file_column, label_column : str, optional
        Names in the header; None looks for the usual ones. Upper and lower case are the same.

    Returns
    -------
    LabelTable
        A label is digits, with one space between lines.

    Raises
    ------
    NoInputError
        If the file is missing or empty, a column is, a label is no digits, or two labels of one page differ.
    """
    header, lines = _read_table(path)
    file_at = _column(path, header, file_column, _FILE_NAMES, "--file-column")
    label_at = _column(path, header, label_column, _LABEL_NAMES, "--label-column")
    lowered = [name.casefold() for name in header]
    page_at, region_at = (lowered.index(name) if name in lowered else None for name in ("page", "region"))
    labels: dict[PageId, str] = {}
    unlabelled, wrong, differing = [], [], []
    for number, cells in lines:
        file = _as_path(cells[file_at])
        text = " ".join(cells[label_at].split())
        if not file or not text:
            unlabelled += [file] * bool(file)
            continue
        page = cells[page_at].strip() if page_at is not None else ""
        label = re.sub(r"\.0+(?= |$)", "", text)  # 7.0: what some spreadsheets make of a 7
        if not re.fullmatch(r"[0-9]+( [0-9]+)*", label) or not re.fullmatch(r"[0-9]{0,9}", page):
            wrong.append(f"line {number}: {text!r}" + (f" on page {page!r}" if page else ""))
            continue
        id = PageId(file, int(page or 1), cells[region_at].strip() if region_at is not None else "")
        if labels.setdefault(id, label) != label:
            differing.append(f"line {number}: {file} is {labels[id]} and {label}")
    if wrong:
        raise NoInputError(f"{path}: labels are digits, with a space between lines. Not so: {_some(wrong)}.")
    if differing:
        raise NoInputError(f"{path}: two labels for one page. Remove the wrong ones: {_some(differing)}.")
    if not labels:
        raise NoInputError(f"{path} holds no label. A line under its header looks like: photos/a.jpg,7")
    return LabelTable(labels, tuple(dict.fromkeys(unlabelled)))


def _read_table(path: Path) -> tuple[list[str], list[tuple[int, list[str]]]]:
    """Return the cells of the header, and of every line that has any, as wide as the header, with its number."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise NoInputError(f"The labels {path} cannot be read: {error.strerror}.") from error
    try:
        text = data.decode("utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig")
    except UnicodeDecodeError as error:
        raise NoInputError(f"{path} is no UTF-8 text. Save the labels as CSV in UTF-8.") from error
    first = text.lstrip("\r\n").partition("\n")[0]
    delimiter = max(_DELIMITERS, key=first.count)
    try:
        found = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
        rows = [(found.line_num, [cell.strip() for cell in cells]) for cells in found]
    except csv.Error as error:
        raise NoInputError(f"{path} is no CSV: {error}.") from error
    written = [(number, cells) for number, cells in rows if any(cells)]
    if not written or "\0" in text:
        what = "is empty" if not written else "is no text"
        raise NoInputError(f"{path} {what}. It must be a CSV with the columns file and label.")
    (_, header), *lines = written
    return header, [(number, cells + [""] * (len(header) - len(cells))) for number, cells in lines]


def _column(path: Path, header: Sequence[str], wanted: str | None, usual: Sequence[str], option: str) -> int:
    lowered = [name.casefold() for name in header]
    for name in [wanted] if wanted else usual:
        if name.casefold() in lowered:
            return lowered.index(name.casefold())
    raise NoInputError(
        f"{path} has no column {wanted or usual[0]!r}, but {', '.join(header)}. Name the right one with {option}."
    )


def _as_path(text: str) -> str:
    """Return a path as rows name files: `/` between folders, nothing before the first one."""
    path = str(PurePosixPath(text.strip().replace("\\", "/")))
    return "" if path == "." else path


def _some(problems: Sequence[str]) -> str:
    rest = len(problems) - _SHOWN
    return "; ".join(problems[:_SHOWN]) + (f"; and {rest} more" if rest > 0 else "")


def labels_of_folders(pages: Iterable[PageId]) -> Matched:
    """Take for a page's label the name of the folder that its file lies in."""
    truth, unlabelled = {}, []
    for page in pages:
        folder = PurePosixPath(page.file).parent.name
        if re.fullmatch(r"[0-9]+", folder):
            truth[page] = folder
        else:
            unlabelled.append(page)
    return Matched(truth, tuple(unlabelled), ())


def match_labels(table: LabelTable, pages: Iterable[PageId]) -> Matched:
    """Find the label of each page: by its path, then by its path in any case, then by a file name that is unique.

    Parameters
    ----------
    table : LabelTable
        See `read_labels`.
    pages : iterable of PageId
        Files relative to their input folder.

    Returns
    -------
    Matched
        A file's name is unique if no other label and no other page has it, its folder apart.
    """
    truth: dict[PageId, str] = {}
    left, labels = list(dict.fromkeys(pages)), dict(table.labels)
    for simplify in (_exact, _caseless, _file_name):
        keys = Counter(map(simplify, labels))
        candidates = {simplify(id): id for id in labels if keys[simplify(id)] == 1}
        wanted = Counter(map(simplify, left))
        for page in left:
            key = simplify(page)
            if wanted[key] == 1 and key in candidates:
                truth[page] = labels.pop(candidates[key])
        left = [page for page in left if page not in truth]
    return Matched(truth, tuple(left), tuple(dict.fromkeys(id.file for id in labels)))


def _exact(page: PageId) -> PageId:
    return page


def _caseless(page: PageId) -> PageId:
    return page._replace(file=page.file.casefold())


def _file_name(page: PageId) -> PageId:
    return page._replace(file=PurePosixPath(page.file).name.casefold())
