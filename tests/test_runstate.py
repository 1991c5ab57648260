"""What a run keeps: rows survive to the last digit, nobody else's file is touched, one run at a time."""

import sqlite3
import subprocess
import sys
from contextlib import closing

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batchdigits.errors import ExitCode, OutputError
from batchdigits.runstate import Key, open_state, state_path
from batchdigits.sources.stamps import Stamp
from batchdigits.sources.walk import Source
from batchdigits.types import Box, Digit, PageId, Row, Status
from batchdigits.worker import Part, Read

STAMP = Stamp(1234, 1_700_000_000_000_000_000, 77)
SETTINGS = {"model": "cnn@1", "layout": "digit"}

texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))
shares = st.integers(0, 1_000_000).map(lambda whole: whole / 1_000_000)
digits = st.builds(
    Digit,
    st.builds(Box, *[st.integers(-5, 50_000)] * 4),
    st.integers(0, 9),
    shares,
    st.tuples(*[shares] * 10),
)
rows = st.builds(
    Row,
    st.builds(PageId, st.just("x.png"), st.integers(1, 10_000), texts),
    texts,
    shares,
    st.sampled_from(Status),
    texts,
    texts,
    shares,
    st.lists(digits, max_size=3).map(tuple),
    st.just("cnn@1"),
    texts,
)


def done(name, *rows, nth=0, first=1, count=1, pages=1, stamp=STAMP, digest=b"content"):
    return Part(Source("", name), nth, first), Read((), count, pages, stamp, digest), list(rows)


def row(name, number=1):
    return Row(PageId(name, number), "7", 0.5, Status.OK, model="m")


@given(st.lists(rows, max_size=4))
@settings(max_examples=40)
def test_rows_come_back_as_they_were(tmp_path_factory, found):
    with open_state(tmp_path_factory.mktemp("state") / "p.csv.state") as state:
        state.begin(SETTINGS, resume=False)
        state.record([done("x.png", *found)])
        assert list(state.rows("cnn@1")) == found


def test_rows_are_ordered_by_file_and_page_whatever_order_they_came_in(tmp_path):
    with open_state(tmp_path / "s") as state:
        state.begin(SETTINGS, resume=False)
        names = ["é.png", "a/b.png", "Z.png", "a.png", "10.png", "9.png", "\U0001f600.png", "\uffee.png"]
        state.record([done(name, row(name)) for name in names])
        state.record([done("a.png", row("a.png", 9), first=9)])
        expected = sorted([PageId(name) for name in names] + [PageId("a.png", 9)])
        assert [found.page for found in state.rows("m")] == expected


def test_what_is_recorded_survives_a_process_that_is_killed(tmp_path):
    program = f"""
import os, signal
from batchdigits.runstate import open_state
from tests.test_runstate import SETTINGS, done, row
with open_state({str(tmp_path / "s")!r}.__class__ and __import__("pathlib").Path({str(tmp_path / "s")!r})) as state:
    state.begin(SETTINGS, resume=False)
    state.record([done("a.png", row("a.png"))])
    state._base.execute("BEGIN IMMEDIATE")
    state._keep([done("b.png", row("b.png"))])  # not recorded to the end
    os.kill(os.getpid(), signal.SIGKILL)
"""
    assert subprocess.run([sys.executable, "-c", program]).returncode == -9
    with open_state(tmp_path / "s") as state:
        assert state.begin(SETTINGS, resume=True) is None
        assert [found.page.file for found in state.rows("m")] == ["a.png"]


def test_changed_settings_forget_everything_and_say_what_changed(tmp_path):
    with open_state(tmp_path / "s") as state:
        state.begin(SETTINGS, resume=False)
        state.record([done("a.png", row("a.png"))])
        assert state.begin(SETTINGS, resume=True) is None
        assert state.known(Key("a.png", 0)) is not None
        assert state.begin(SETTINGS | {"model": "knn@2"}, resume=True) == ["model was cnn@1, is knn@2"]
        assert state.known(Key("a.png", 0)) is None
        assert list(state.rows("m")) == []


def test_a_run_without_resume_starts_afresh(tmp_path):
    with open_state(tmp_path / "s") as state:
        state.begin(SETTINGS, resume=False)
        state.record([done("a.png", row("a.png"))])
        state.begin(SETTINGS, resume=False)
        assert list(state.rows("m")) == []


def test_pages_of_a_document_are_known_up_to_the_last_that_was_recorded(tmp_path):
    with open_state(tmp_path / "s") as state:
        state.begin(SETTINGS, resume=False)
        state.record([done("d.pdf", row("d.pdf"), count=8, pages=20)])
        assert state.known(Key("d.pdf", 0))[2:] == (8, 20)
        state.record([done("d.pdf", row("d.pdf", 9), first=9, count=12, pages=20, digest=b"")])
        assert state.known(Key("d.pdf", 0)) == (STAMP, b"content", 20, 20)


def test_what_may_be_read_better_another_time_is_not_kept(tmp_path):
    with open_state(tmp_path / "s") as state:
        state.begin(SETTINGS, resume=False)
        state.record([done("a.png", row("a.png"), stamp=None), done("b.png", row("b.png"))])
        assert state.known(Key("a.png", 0)) is None
        assert state.known(Key("b.png", 0)) is not None
        assert len(list(state.rows("m"))) == 2


def test_a_file_that_is_read_again_leaves_no_page_of_before(tmp_path):
    with open_state(tmp_path / "s") as state:
        state.begin(SETTINGS, resume=False)
        state.record([done("d.tif", row("d.tif"), row("d.tif", 2)), done("d.tif", row("d.tif", 9), first=9)])
        state.record([done("d.tif", row("d.tif"))])
        assert [found.page.number for found in state.rows("m")] == [1]


def test_files_that_are_gone_are_dropped(tmp_path):
    with open_state(tmp_path / "s") as state:
        state.begin(SETTINGS, resume=False)
        state.record([done(name, row(name)) for name in "abcdef"] + [done("c", row("c"), nth=1)])
        keys = [Key("a", 0), Key("aa", 0), Key("c", 0), Key("f", 0), Key("z", 0)]
        assert state.drop_all_but(iter(keys)) == 4
        assert [found.page.file for found in state.rows("m")] == ["a", "c", "f"]


def test_the_second_run_is_refused_until_the_first_has_ended(tmp_path):
    with open_state(tmp_path / "s"):
        with pytest.raises(OutputError, match="Another run is writing") as refused, open_state(tmp_path / "s"):
            pass
        assert refused.value.exit_code == ExitCode.OUTPUT
    with open_state(tmp_path / "s"):
        pass


@pytest.mark.parametrize("content", [b"my notes", b"SQLite format 3\0" + bytes(9000)])
def test_a_file_of_somebody_else_is_left_alone(tmp_path, content):
    path = tmp_path / "p.csv.state"
    path.write_bytes(content)
    with pytest.raises(OutputError, match="no state of batchdigits"), open_state(path):
        pass
    assert path.read_bytes() == content


def test_a_database_of_somebody_else_is_left_alone(tmp_path):
    path = tmp_path / "p.csv.state"
    with closing(sqlite3.connect(path)) as base:
        base.execute("CREATE TABLE mine (value)")
        base.commit()
    before = path.read_bytes()
    with pytest.raises(OutputError, match="no state of batchdigits"), open_state(path):
        pass
    assert path.read_bytes() == before


@pytest.mark.parametrize("damage", ["empty", "cut", "torn"])
def test_a_damaged_state_of_ours_is_begun_anew(tmp_path, damage):
    path = state_path(tmp_path / "p.csv")
    with open_state(path) as state:
        state.begin(SETTINGS, resume=False)
        state.record([done(f"{number}.png", row(f"{number}.png")) for number in range(2000)])
    data = path.read_bytes()
    broken = {"empty": b"", "cut": data[: len(data) // 3], "torn": data[:100] + bytes(len(data) - 100)}[damage]
    path.write_bytes(broken)
    with open_state(path) as state:
        state.begin(SETTINGS, resume=True)
        state.record([done("new.png", row("new.png"))])
        assert "new.png" in [found.page.file for found in state.rows("m")]


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(OutputError, match="does not exist"), open_state(tmp_path / "gone" / "p.csv.state"):
        pass


def test_a_row_costs_little(tmp_path):
    """Under 100 bytes beside what the row itself holds."""
    count = 5000
    ten = (0.000012, 0.0, 0.00012, 0.0, 0.0, 0.000001, 0.0, 0.998765, 0.0, 0.001102)
    with open_state(tmp_path / "s") as state:
        state.begin(SETTINGS, resume=False)
        for number in range(count):
            name = f"scans/batch-07/{number:06}.png"
            digit = Digit(Box(812, 604, 1410, 1520), 7, 0.998765, ten)
            found = Row(PageId(name), "7", 0.998765, Status.OK, "", "9", 0.001102, (digit,), "cnn@0123456789ab")
            state.record([done(name, found, digest=bytes(range(12)))])
    line = "scans/batch-07/000001.png,1,,7,0.998765,ok,,9,0.001102,812,604,598,916,cnn@0123456789ab\n"
    assert (tmp_path / "s").stat().st_size / count < 100 + len(line)
