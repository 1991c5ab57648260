"""Tables of labels, good and bad, and how they find their pages."""

from __future__ import annotations

import pytest

from batchdigits.errors import NoInputError
from batchdigits.sources.labels import labels_of_folders, match_labels, read_labels
from batchdigits.types import PageId

A, B, C = PageId("one/a.jpg"), PageId("two/b.jpg"), PageId("c.tif", 2)


def table(tmp_path, text, encoding="utf-8", **columns):
    path = tmp_path / "labels.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode(encoding))
    return read_labels(path, **columns)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r\n\r\n"])
def test_what_spreadsheets_write_is_read(tmp_path, encoding, delimiter, end):
    lines = (("file", "label"), ("one/a.jpg", "7"), ("two/b.jpg", "0042"))
    found = table(tmp_path, end.join(delimiter.join(cells) for cells in lines), encoding)
    assert found.labels == {A: "7", B: "0042"}


@pytest.mark.parametrize(
    ("text", "labels"),
    [
        ("FileName,Digit\none/a.jpg,7", {A: "7"}),
        ('path,writer,label\n"one\\a.jpg",Eve,7', {A: "7"}),
        ("label,file\n7, ./one/a.jpg ", {A: "7"}),
        ("file,label\none/a.jpg,7\none/a.jpg,7", {A: "7"}),  # twice, but agreed
        ("file,label\none/a.jpg,7.0", {A: "7"}),
        ("file,label\none/a.jpg,  12   34 ", {A: "12 34"}),
        ("file,page,label\nc.tif,2,5\nc.tif,1,4", {C: "5", PageId("c.tif"): "4"}),
        ("file,region,label\none/a.jpg,zip,94110", {PageId("one/a.jpg", 1, "zip"): "94110"}),
        ('file,label\n"x, ""y"".png",3', {PageId('x, "y".png'): "3"}),
    ],
)
def test_columns_may_have_other_names_and_an_order(tmp_path, text, labels):
    assert table(tmp_path, text).labels == labels


def test_columns_may_be_named(tmp_path):
    found = table(tmp_path, "scan,wanted,file\none/a.jpg,7,x", file_column="Scan", label_column="WANTED")
    assert found.labels == {A: "7"}


def test_a_file_without_its_label_yet_is_told(tmp_path):
    found = table(tmp_path, "file,label\none/a.jpg,7\nlater.jpg,\nshort.jpg\n,5\n")
    assert (found.labels, found.unlabelled) == ({A: "7"}, ("later.jpg", "short.jpg"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty"),
        ("\n \n,,\n", "is empty"),
        ("file,label\n", "holds no label"),
        ("file,label\na.jpg,\n", "holds no label"),
        ("photo,label\na.jpg,7", "no column 'file', but photo, label.*--file-column"),
        ("file,writer\na.jpg,Eve", "no column 'label'.*--label-column"),
        ("file,label\na.jpg,seven\nb.jpg,1.5", "line 2: 'seven'; line 3: '1.5'"),
        ("file,label\n" + "a.jpg,x\n" * 9, "and 6 more"),
        ("file,label\na.jpg,-7", "labels are digits"),
        ("file,label\na.jpg,\N{ARABIC-INDIC DIGIT SEVEN}", "labels are digits"),
        ("file,page,label\na.jpg,first,7", "on page 'first'"),
        ("file,label\na.jpg,7\na.jpg,1", "two labels for one page.*line 3: a.jpg is 7 and 1"),
        (b"file,label\na.jpg\xe9,7", "no UTF-8 text"),
        (b"\xff\xfea", "no UTF-8 text"),
        (b"file,label\na\0,7", "is no text"),
        (b"\x89PNG\r\n\x1a\n\0\0\0\r", "no UTF-8 text"),
        ('file,label\n"' + "x" * 200_000 + '",7', "is no CSV"),
    ],
)
def test_a_bad_table_says_what_to_do(tmp_path, text, message):
    with pytest.raises(NoInputError, match=message):
        table(tmp_path, text)


def test_a_table_that_is_not_there(tmp_path):
    with pytest.raises(NoInputError, match="cannot be read"):
        read_labels(tmp_path / "none.csv")
    with pytest.raises(NoInputError, match="cannot be read"):
        read_labels(tmp_path)


def matched(tmp_path, text, *pages):
    return match_labels(table(tmp_path, "file,label\n" + text), pages)


def test_a_path_comes_first_then_its_case_then_a_unique_name(tmp_path):
    exact, other = PageId("x/1.jpg"), PageId("X/1.JPG")
    found = matched(tmp_path, "x/1.jpg,1\nX/1.JPG,2", exact, other)
    assert found.truth == {exact: "1", other: "2"}
    assert matched(tmp_path, "ONE/A.JPG,7", A).truth == {A: "7"}
    assert matched(tmp_path, "photos/2024/a.jpg,7\nphotos/b.jpg,3", A, B).truth == {A: "7", B: "3"}


def test_a_name_that_two_files_have_matches_neither(tmp_path):
    first, second = PageId("one/a.jpg"), PageId("two/a.jpg")
    found = matched(tmp_path, "a.jpg,7", first, second)
    assert (found.truth, found.unlabelled, found.unused) == ({}, (first, second), ("a.jpg",))
    found = matched(tmp_path, "x/a.jpg,7\ny/a.jpg,3", first)
    assert (found.truth, found.unused) == ({}, ("x/a.jpg", "y/a.jpg"))
    # one of them is found by its path: the other's name is unique then
    assert matched(tmp_path, "one/a.jpg,7\nz/a.jpg,3", first, second).truth == {first: "7", second: "3"}


def test_pages_of_a_file_have_labels_of_their_own(tmp_path):
    found = match_labels(table(tmp_path, "file,page,label\nC.tif,1,4\nC.tif,2,5"), [PageId("c.tif"), C])
    assert found.truth == {PageId("c.tif"): "4", C: "5"}


def test_what_is_left_over_on_either_side_is_told(tmp_path):
    found = matched(tmp_path, "one/a.jpg,7\ngone.jpg,1", A, B)
    assert (found.truth, found.unlabelled, found.unused) == ({A: "7"}, (B,), ("gone.jpg",))


def test_a_folder_says_what_its_files_show():
    pages = [PageId("7/a.jpg"), PageId("set/3/b.jpg"), PageId("0042/c.jpg"), PageId("7"), PageId("seven/d.jpg")]
    found = labels_of_folders(pages)
    assert found.truth == dict(zip(pages[:3], ("7", "3", "0042"), strict=True))
    assert found.unlabelled == tuple(pages[3:])
