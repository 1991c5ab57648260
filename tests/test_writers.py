"""Rows to files: what a reader gets back, and that no half of a file is ever seen."""

import contextlib
import csv
import io
import json
import os
import stat
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import openpyxl
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from batchdigits.errors import ExitCode, OutputError, UsageError
from batchdigits.types import Box, Digit, PageId, Row, Status
from batchdigits.writers import (
    COLUMNS,
    PROBABILITY_COLUMNS,
    atomic_file,
    guard,
    make_table,
    make_writer,
    read_csv,
    unguard,
    write_rows,
)

IS_ROOT = getattr(os, "geteuid", lambda: 0)() == 0
HEADER = "file,page,region,prediction,confidence,status,reason,second,second_confidence,x,y,width,height,model"
SEVEN = (0.0, 0.01, 0, 0, 0, 0, 0, 0.9612345678, 0, 0.0287654322)


def row(file="a.png", *, region="", prediction="7", page=1, **others):
    found = {
        "confidence": 0.9612345678,
        "status": Status.OK,
        "second": "9",
        "second_confidence": 0.0287654322,
        "digits": (Digit(Box(10, 20, 40, 80), 7, 0.9612345678, SEVEN),),
        "model": "knn@0123456789ab",
    }
    return Row(PageId(file, page, region), prediction, **(found | others))


BLANK = row(
    "b.png",
    prediction="",
    confidence=0.0,
    status=Status.BLANK,
    reason="no_ink",
    second="",
    second_confidence=0.0,
    digits=(),
)


def written(rows, form, **options):
    file = io.BytesIO()
    write_rows(rows, make_writer(file, form, make_table(**options)))
    return file.getvalue()


def csv_text(rows, **options):
    return written(rows, "csv", **options).decode("utf-8")


def back(rows, **options):
    return list(read_csv(io.StringIO(csv_text(rows, **options), newline="")))


# CSV


def test_the_header_is_the_contract():
    assert csv_text([]) == HEADER + "\n"
    assert ",".join(COLUMNS) == HEADER
    assert csv_text([], probabilities=True) == HEADER + ",p0,p1,p2,p3,p4,p5,p6,p7,p8,p9\n"


def test_a_row():
    assert csv_text([row("scans/a.png", page=3, region="total")]).splitlines()[1] == (
        "scans/a.png,3,total,7,0.961235,ok,,9,0.028765,10,20,30,60,knn@0123456789ab"
    )


def test_a_row_without_a_digit_has_empty_cells_not_zeros():
    assert csv_text([BLANK]).splitlines()[1] == "b.png,1,,,0.000000,blank,no_ink,,0.000000,,,,,knn@0123456789ab"


def test_the_box_is_around_all_digits():
    digits = tuple(Digit(box, 1, 0.5, SEVEN) for box in (Box(5, 9, 8, 20), Box(1, 10, 3, 40)))
    (cells,) = back([row(digits=digits)])
    assert [cells[name] for name in ("x", "y", "width", "height")] == ["1", "9", "7", "31"]


def test_probabilities_have_six_decimals_or_none():
    first, second = back([row(), BLANK], probabilities=True)
    assert [first[name] for name in PROBABILITY_COLUMNS][:2] == ["0.000000", "0.010000"]
    assert first["p7"] == "0.961235"
    assert {second[name] for name in PROBABILITY_COLUMNS} == {""}


@pytest.mark.parametrize(
    ("confidence", "cell"), [(1.0, "1.000000"), (0.0, "0.000000"), (1e-9, "0.000000"), (1 / 3, "0.333333")]
)
def test_confidence_has_six_decimals(confidence, cell):
    assert back([row(confidence=confidence)])[0]["confidence"] == cell


def test_lines_end_in_lf_only():
    content = written([row(), BLANK], "csv")
    assert b"\r" not in content
    assert content.endswith(b"\n")
    assert not content.startswith(b"\xef\xbb\xbf")


def test_leading_zeros_stay():
    assert csv_text([row(prediction="007")]).splitlines()[1].split(",")[3] == "007"
    assert back([row(prediction="007 010")])[0]["prediction"] == "007 010"


file_names = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))


@given(file_names, file_names)
@example("=1+1", "+1")
@example("-1", "@SUM(A1)")
@example("'", "''")
@example("'=1", "a'b")
@example("\t=1", "\r=1")
@example("line\nbreak", "a\rb")
@example("\r", "\n")
@example('say "hi", you', '"')
@example("été 数 \U0001f600", "\u2028\x85\x1c")
@example("\ufeff", " ")
def test_any_text_comes_back(file, region):
    (cells,) = back([row(file, region=region)])
    assert cells["file"] == file
    assert cells["region"] == region
    assert (cells["page"], cells["prediction"], cells["model"]) == ("1", "7", "knn@0123456789ab")


@given(st.lists(file_names, max_size=5))
def test_any_reader_of_csv_sees_as_many_rows(files):
    lines = list(csv.reader(io.StringIO(csv_text([row(file) for file in files]), newline="")))
    assert len(lines) == len(files) + 1
    assert {len(cells) for cells in lines} == {len(COLUMNS)}


@given(file_names)
def test_no_cell_is_a_formula(file):
    (_, cells) = csv.reader(io.StringIO(csv_text([row(file, region=file)]), newline=""))
    for cell in (cells[0], cells[2]):
        assert not cell.startswith(("=", "+", "-", "@", "\t", "\r"))


@given(st.text())
def test_unguard_undoes_guard(text):
    assert unguard(guard(text)) == text


def test_a_file_on_disk_comes_back(tmp_path):
    path = tmp_path / "predictions.csv"
    names = ["a.png", "line\nbreak.png", "'quoted'.png", "=1.png"]
    with atomic_file(path) as file:
        write_rows([row(name) for name in names], make_writer(file, "csv"))
    with path.open(encoding="utf-8", newline="") as text:
        assert [cells["file"] for cells in read_csv(text)] == names


# JSON Lines


def test_jsonl_is_raw():
    (line,) = written([row("'=1+1\n.png", prediction="007")], "jsonl").decode("utf-8").splitlines()
    values = json.loads(line)
    assert list(values) == list(COLUMNS)
    assert values["file"] == "'=1+1\n.png"
    assert values["prediction"] == "007"
    assert values["page"] == 1
    assert values["confidence"] == 0.961235
    assert [values[name] for name in ("x", "y", "width", "height")] == [10, 20, 30, 60]


def test_jsonl_of_a_blank_page():
    values = json.loads(written([BLANK], "jsonl", probabilities=True))
    assert values["prediction"] == ""
    assert values["x"] is None
    assert values["p0"] is None


def test_jsonl_keeps_letters_readable():
    assert "été".encode() in written([row("été.png")], "jsonl")


@given(st.lists(file_names, max_size=4))
def test_jsonl_has_a_line_for_each_row(files):
    lines = written([row(file) for file in files], "jsonl").split(b"\n")
    assert lines.pop() == b""
    assert [json.loads(line)["file"] for line in lines] == files


# XLSX


def sheet(content):
    return openpyxl.load_workbook(io.BytesIO(content)).worksheets[0]


def test_xlsx_keeps_text_as_text():
    names = ["007.png", "=1+1", "http://example.org/a.png", "+1", "'quoted'", "1e5", "a\nb", "été"]
    found = sheet(written([row(name, prediction="007") for name in names], "xlsx"))
    assert [cell.value for cell in found[1]] == list(COLUMNS)
    for number, name in enumerate(names, 2):
        cells = dict(zip(COLUMNS, found[number], strict=True))
        assert (cells["file"].value, cells["file"].data_type) == (name, "s")
        assert cells["file"].hyperlink is None
        assert (cells["prediction"].value, cells["prediction"].data_type) == ("007", "s")
        assert cells["confidence"].data_type == "n"
        assert cells["confidence"].value == pytest.approx(0.961235)
        assert cells["x"].value == 10


def test_xlsx_of_no_rows_and_of_a_blank_page():
    assert sheet(written([], "xlsx")).max_row == 1
    cells = dict(zip(COLUMNS, sheet(written([BLANK], "xlsx", probabilities=True))[2], strict=False))
    assert cells["x"].value is None
    assert not cells["prediction"].value


@pytest.mark.parametrize("form", ["csv", "jsonl", "xlsx"])
def test_the_same_rows_give_the_same_bytes(form):
    """At any time: a file that differs was made of other rows."""
    first = written([row(), BLANK], form)
    if form == "xlsx":
        time.sleep(1.1)  # a workbook may hold the second it was made in
    assert written([row(), BLANK], form) == first


def test_an_unknown_format_is_refused():
    with pytest.raises(UsageError, match="no format 'ods'"):
        make_writer(io.BytesIO(), "ods")


# Whole files only


def files(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_file_appears_whole(tmp_path):
    path = tmp_path / "out.csv"
    with atomic_file(path) as file:
        file.write(b"half")
        file.flush()
        assert not path.exists()
    assert path.read_bytes() == b"half"
    assert files(tmp_path) == ["out.csv"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, OSError, MemoryError])
def test_after_an_error_nothing_is_left_and_the_old_file_stays(tmp_path, error):
    path = tmp_path / "out.csv"
    for before in ([], ["out.csv"]):
        with pytest.raises((error, OutputError)), atomic_file(path) as file:
            file.write(b"half")
            raise error
        assert files(tmp_path) == before
        path.write_bytes(b"old")
    assert path.read_bytes() == b"old"


@pytest.mark.parametrize("form", ["csv", "jsonl", "xlsx"])
def test_rows_that_break_off_leave_nothing(tmp_path, form):
    def rows():
        yield row()
        raise ValueError("no more")

    path = tmp_path / f"out.{form}"
    path.write_bytes(b"old")
    with pytest.raises(ValueError, match="no more"), atomic_file(path) as file:
        write_rows(rows(), make_writer(file, form))
    assert files(tmp_path) == [path.name]
    assert path.read_bytes() == b"old"


@pytest.mark.parametrize("form", ["csv", "jsonl", "xlsx"])
def test_rows_that_break_off_leave_the_stream_open(form):
    """Standard output must still take a last word; nor may a writer, thrown away, write more into it."""

    def rows():
        yield row()
        raise ValueError("no more")

    file = io.BytesIO()
    with contextlib.suppress(ValueError):
        write_rows(rows(), make_writer(file, form))
    assert not file.closed


def test_an_old_file_is_replaced(tmp_path):
    path = tmp_path / "out.csv"
    path.write_bytes(b"something longer")
    with atomic_file(path) as file:
        file.write(b"new")
    assert path.read_bytes() == b"new"


def test_a_new_file_has_the_usual_permissions(tmp_path):
    (tmp_path / "usual").touch()
    with atomic_file(tmp_path / "out.csv"):
        pass
    assert (tmp_path / "out.csv").stat().st_mode == (tmp_path / "usual").stat().st_mode


def refused(path, match):
    before = files(path.parent) if path.parent.is_dir() else None
    with pytest.raises(OutputError, match=match) as caught, atomic_file(path) as file:
        file.write(b"x")
    assert caught.value.exit_code == ExitCode.OUTPUT
    if before is not None:
        assert files(path.parent) == before


def test_a_missing_folder(tmp_path):
    refused(tmp_path / "nowhere" / "out.csv", "does not exist")


def test_a_file_where_a_folder_should_be(tmp_path):
    (tmp_path / "file").touch()
    refused(tmp_path / "file" / "out.csv", "cannot be written")


def test_a_folder_where_the_file_should_be(tmp_path):
    (tmp_path / "out.csv").mkdir()
    refused(tmp_path / "out.csv", "is a folder")


def test_a_link_to_itself(tmp_path):
    (tmp_path / "out.csv").symlink_to(tmp_path / "out.csv")
    refused(tmp_path / "out.csv", "cannot be written")


def test_a_name_too_long_for_the_disk(tmp_path):
    refused(tmp_path / ("x" * 300 + ".csv"), "cannot be written")


def test_the_longest_name_the_disk_takes(tmp_path):
    path = tmp_path / ("x" * 251 + ".csv")
    path.touch()  # it can be
    with atomic_file(path) as file:
        file.write(b"new")
    assert path.read_bytes() == b"new"


@pytest.mark.skipif(IS_ROOT, reason="root may write everywhere")
def test_a_folder_that_may_not_be_written(tmp_path):
    folder = tmp_path / "closed"
    folder.mkdir()
    folder.chmod(0o500)
    try:
        refused(folder / "out.csv", "Permission denied")
    finally:
        folder.chmod(0o700)


def test_a_link_stays_a_link(tmp_path):
    target = tmp_path / "elsewhere" / "real.csv"
    target.parent.mkdir()
    target.write_bytes(b"old")
    link = tmp_path / "out.csv"
    link.symlink_to(target)
    with atomic_file(link) as file:
        file.write(b"new")
    assert link.is_symlink()
    assert target.read_bytes() == b"new"
    assert files(target.parent) == ["real.csv"]


def test_a_link_to_a_file_yet_to_be_made(tmp_path):
    link = tmp_path / "out.csv"
    link.symlink_to(tmp_path / "real.csv")
    with atomic_file(link) as file:
        file.write(b"new")
    assert link.is_symlink()
    assert (tmp_path / "real.csv").read_bytes() == b"new"


def test_two_runs_at_once_do_not_mix(tmp_path):
    path = tmp_path / "out.csv"
    with atomic_file(path) as first, atomic_file(path) as second:
        first.write(b"first " * 100)
        second.write(b"second")
    assert path.read_bytes() == b"first " * 100  # the last to end
    assert files(tmp_path) == ["out.csv"]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
@pytest.mark.parametrize("form", ["csv", "jsonl", "xlsx"])
def test_a_pipe_is_written_to_and_stays_a_pipe(tmp_path, form):
    """/dev/null is such a file; a rename would replace it for everyone."""
    path = tmp_path / "pipe"
    os.mkfifo(path)
    received = []
    reader = threading.Thread(target=lambda: received.append(path.read_bytes()), daemon=True)
    reader.start()
    with atomic_file(path) as file:
        write_rows([row()], make_writer(file, form))
    reader.join(10)
    assert stat.S_ISFIFO(path.stat().st_mode)
    assert files(tmp_path) == ["pipe"]
    if form == "xlsx":
        assert sheet(received[0]).max_row == 2
    else:
        assert received == [written([row()], form)]


@pytest.mark.skipif(not Path("/dev/fd").exists(), reason="no /dev/fd here")
def test_a_pipe_by_its_number(tmp_path):
    """`--output /dev/stdout` in a pipe line, and `--output >(gzip > out.csv.gz)`."""
    script = (
        "from pathlib import Path; from batchdigits.writers import atomic_file\n"
        "with atomic_file(Path('/dev/fd/1')) as file: file.write(b'rows')"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, check=False)
    assert (done.stdout, done.returncode) == (b"rows", 0), done.stderr.decode()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
@pytest.mark.parametrize("form", ["csv", "jsonl", "xlsx"])
@pytest.mark.parametrize("count", [1, 2000])
def test_a_full_disk_is_told(form, count):
    with pytest.raises(OutputError, match="[Nn]o space left"), atomic_file(Path("/dev/full")) as file:
        write_rows([row()] * count, make_writer(file, form))
    assert Path("/dev/full").is_char_device()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
@pytest.mark.parametrize("form", ["csv", "jsonl", "xlsx"])
def test_a_disk_that_fills_up_on_the_way_is_told(form):
    file = Path("/dev/full").open("wb")  # noqa: SIM115 (to close it fails once more)
    with pytest.raises(OutputError, match="[Nn]o space left"):
        write_rows([row(f"{number}.png") for number in range(2000)], make_writer(file, form))
    with contextlib.suppress(OSError):
        file.close()


def test_writers_leave_no_temporary_files(tmp_path, monkeypatch):
    """A workbook is put together in files beside; they go, also after an error."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))

    def rows():
        yield row()
        raise ValueError

    written([row()], "xlsx")
    with contextlib.suppress(ValueError):
        write_rows(rows(), make_writer(io.BytesIO(), "xlsx"))
    assert files(tmp_path) == []
