"""Folders and files to what is read: order, what is skipped, what must not hang."""

import contextlib
import gc
import io
import os
import pickle
import socket
import subprocess
import sys
import threading
import tracemalloc
from fnmatch import fnmatchcase
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from batchdigits.errors import ExitCode, NoInputError
from batchdigits.sources.lists import read_file_list
from batchdigits.sources.walk import Source, display_name, find_sources, looks_like_page

IS_ROOT = getattr(os, "geteuid", lambda: 0)() == 0


def put(path, content=b"x"):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def picture(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L", (4, 4), 255).save(path, "PNG")
    return path


def names(*inputs, **options):
    return [source.name for source in find_sources(inputs, **options).sources]


def within(seconds, job):
    """Run a job that might wait for ever; fail instead."""
    found = []
    thread = threading.Thread(target=lambda: found.append(job()), daemon=True)
    thread.start()
    thread.join(seconds)
    assert found, "it hangs"
    return found[0]


# Order and depth


def test_order_is_by_code_points_of_the_whole_path(tmp_path):
    wanted = [
        "10.png",
        "2.png",
        "B.png",
        "a b.png",
        "a-b/1.png",
        "a.png",
        "a/b.png",
        "a/b/c/d/e.png",
        "b.png",
        "é.png",
        "\uff21.png",
        "\U0001f600.png",  # before U+FF21 by UTF-16, after it by code points
    ]
    for name in reversed(wanted):
        put(tmp_path / name)
    assert names(tmp_path) == wanted


def test_a_file_may_be_reached_by_its_path(tmp_path):
    put(tmp_path / "a" / "b.png")
    (source,) = find_sources([tmp_path]).sources
    assert (source.path, source.name, source.problem) == (tmp_path / "a" / "b.png", "a/b.png", "")


@pytest.mark.parametrize(
    "name", ["A.JPG", "b.Jpeg", "c.PNG", "d.tif", "e.TIFF", "f.webp", "g.bmp", "h.gif", "i.heic", "j.PDF"]
)
def test_a_page_by_its_extension(tmp_path, name):
    put(tmp_path / name, b"")
    assert names(tmp_path) == [name]


def test_an_empty_folder_has_nothing(tmp_path):
    listing = find_sources([tmp_path])
    assert listing.sources == ()
    assert listing.others == ()


# What is skipped


def test_hidden_files_and_folders_are_skipped(tmp_path):
    put(tmp_path / ".hidden.png")
    put(tmp_path / ".thumbnails" / "1.png")
    put(tmp_path / "seen" / "._1.png")  # macOS leaves them on foreign disks
    put(tmp_path / "seen" / "1.png")
    listing = find_sources([tmp_path])
    assert [source.name for source in listing.sources] == ["seen/1.png"]
    assert listing.others == ()


def test_hidden_ones_named_themselves_are_read(tmp_path):
    put(tmp_path / ".hidden.png")
    put(tmp_path / ".folder" / "1.png")
    assert names(tmp_path / ".hidden.png", tmp_path / ".folder") == [".hidden.png", "1.png"]


OWN = ["1.jpg.inspect.png", ".predictions.csv.0a1b.tmp", "predictions.csv.tmp", "out.jsonl.run.json", "a.xlsx.state"]
OWN += [f"predictions.csv.state{end}" for end in ("", "-wal", "-shm", "-journal")]


def test_what_runs_leave_behind_is_skipped(tmp_path, monkeypatch):
    for name in (*OWN, "1.png"):
        picture(tmp_path / name)
    picture(tmp_path / "old.state" / "2.png")  # a folder is nobody's state
    monkeypatch.chdir(tmp_path)
    for options in ({"inputs": [tmp_path]}, {"inputs": [], "listed": [*OWN, "1.png", "old.state", "gone.csv.tmp"]}):
        listing = find_sources(**options)
        assert [source.name for source in listing.sources] == ["1.png", "old.state/2.png"]
        assert listing.others == ()
    assert names(*(tmp_path / name for name in OWN)) == []


def test_own_files_are_not_even_opened(tmp_path, monkeypatch):
    """SQLite's locks are this process's own: they end when the process closes the file, whoever opened it."""
    fcntl = pytest.importorskip("fcntl")
    folder = tmp_path / "in"
    paths = [put(folder / name) for name in (*OWN, "predictions.csv", "data")]
    (folder / "link").symlink_to("data")
    (folder / "link.jpg").symlink_to("data")
    (folder / "linked.folder").symlink_to(".")
    monkeypatch.chdir(folder)
    files = [path.open("r+b") for path in paths]
    try:
        for file in files:
            fcntl.lockf(file, fcntl.LOCK_EX)
        skip = [folder / "predictions.csv", Path("data")]
        listing = find_sources([folder, folder / "data"], skip=skip, listed=[".", "data", "../in/link", *OWN])
        check = """
import fcntl, sys
for name in sys.argv[1:]:
    try:
        fcntl.lockf(open(name, "r+b"), fcntl.LOCK_EX | fcntl.LOCK_NB)
        print(name)
    except BlockingIOError:
        pass
"""
        done = subprocess.run([sys.executable, "-c", check, *paths], capture_output=True, text=True, check=True)
    finally:
        for file in files:
            file.close()
    assert done.stdout == ""  # no lock was lost
    assert (listing.sources, listing.others) == ((), ())


def test_a_users_state_of_another_kind_is_none_of_ours(tmp_path):
    put(tmp_path / "state")
    put(tmp_path / "solid.states")
    picture(tmp_path / "state.png")
    listing = find_sources([tmp_path])
    assert [source.name for source in listing.sources] == ["state.png"]
    assert listing.others == ("solid.states", "state")


def test_the_runs_own_output_is_skipped(tmp_path, monkeypatch):
    put(tmp_path / "predictions.csv")
    put(tmp_path / "1.png")
    out = put(tmp_path / "out.png")
    monkeypatch.chdir(tmp_path)
    for skip in (out, out.relative_to(tmp_path)):
        listing = find_sources([tmp_path], skip=[skip])
        assert [source.name for source in listing.sources] == ["1.png"]
        assert listing.others == ("predictions.csv",)
    assert names(tmp_path, skip=[tmp_path / "not there yet.csv"]) == ["1.png", "out.png"]


def test_the_output_reached_by_a_link_is_skipped(tmp_path):
    out = put(tmp_path / "elsewhere" / "out.png")
    folder = tmp_path / "in"
    put(folder / "1.png")
    (folder / "link.png").symlink_to(out)
    assert names(folder, skip=[out]) == ["1.png"]
    assert names(tmp_path, skip=[folder / "link.png"]) == ["in/1.png"]


# What is an image


def test_an_image_without_its_extension_is_found(tmp_path):
    picture(tmp_path / "IMG_0001")
    picture(tmp_path / "scan.dat")
    assert names(tmp_path) == ["IMG_0001", "scan.dat"]


@pytest.mark.parametrize("form", ["JPEG", "PNG", "GIF", "BMP", "TIFF", "WEBP"])
def test_every_format_is_told_by_its_first_bytes(tmp_path, form):
    Image.new("RGB", (20, 10)).save(tmp_path / "x", form)
    assert names(tmp_path) == ["x"]


@pytest.mark.parametrize(
    "head",
    [
        b"",
        b"B",
        b"BM",
        b"BMW is a brand of cars",
        b"GIF",
        b"RIFF\0\0\0\0WAVEfmt ",
        b"\0\0\0\x18ftypmp42",
        b"II",
        b"PDF-1.7",
    ],
)
def test_what_is_no_page(head):
    assert not looks_like_page(head[:16])


def test_a_pdf_without_its_extension_is_found(tmp_path):
    put(tmp_path / "scan", b"%PDF-1.7\n")
    put(tmp_path / "notes", b"PDF files begin with %PDF-")
    listing = find_sources([tmp_path])
    assert [source.name for source in listing.sources] == ["scan"]
    assert listing.others == ("notes",)


def test_other_files_are_counted_and_named(tmp_path):
    put(tmp_path / "readme.txt", b"Hello")
    put(tmp_path / "sub" / "labels.csv", b"file,label\n")
    put(tmp_path / "empty", b"")
    put(tmp_path / "1.png")
    listing = find_sources([tmp_path])
    assert listing.others == ("empty", "readme.txt", "sub/labels.csv")
    assert [source.name for source in listing.sources] == ["1.png"]


def test_an_empty_file_with_an_images_name_is_a_page(tmp_path):
    put(tmp_path / "1.jpg", b"")
    assert names(tmp_path) == ["1.jpg"]


def test_a_folder_with_an_images_name_is_a_folder(tmp_path):
    put(tmp_path / "x.jpg" / "1.png")
    assert names(tmp_path) == ["x.jpg/1.png"]
    assert names(tmp_path / "x.jpg") == ["1.png"]


# Odd files


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_a_named_pipe_does_not_hang(tmp_path):
    os.mkfifo(tmp_path / "x.jpg")
    os.mkfifo(tmp_path / "pipe")
    put(tmp_path / "y.png")
    listing = within(10, lambda: find_sources([tmp_path]))
    assert [(source.name, source.problem) for source in listing.sources] == [("x.jpg", "not_a_file"), ("y.png", "")]
    assert listing.others == ("pipe",)
    listing = within(10, lambda: find_sources([tmp_path / "x.jpg"]))
    assert [source.problem for source in listing.sources] == ["not_a_file"]


def test_a_broken_link_is_a_page_that_cannot_be_read(tmp_path):
    (tmp_path / "gone.jpg").symlink_to(tmp_path / "nowhere.jpg")
    (tmp_path / "gone").symlink_to(tmp_path / "nowhere")
    listing = find_sources([tmp_path])
    assert [(source.name, source.problem) for source in listing.sources] == [("gone.jpg", "unreadable")]
    assert listing.others == ("gone",)


def test_a_link_to_a_picture_is_a_picture(tmp_path):
    target = picture(tmp_path / "elsewhere" / "1.png")
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "link.png").symlink_to(target)
    (folder / "link").symlink_to(target)
    assert [(source.name, source.problem) for source in find_sources([folder]).sources] == [
        ("link", ""),
        ("link.png", ""),
    ]


def test_a_circle_of_folders_ends(tmp_path):
    put(tmp_path / "sub" / "1.png")
    (tmp_path / "sub" / "up").symlink_to(tmp_path, target_is_directory=True)
    (tmp_path / "x.jpg").symlink_to(tmp_path / "sub", target_is_directory=True)
    assert within(10, lambda: names(tmp_path)) == ["sub/1.png"]


@pytest.mark.parametrize("skip", [False, True])
def test_a_link_to_itself_costs_only_itself(tmp_path, skip):
    (tmp_path / "a.png").symlink_to(tmp_path / "b.png")
    (tmp_path / "b.png").symlink_to(tmp_path / "a.png")
    put(tmp_path / "c.png")
    listing = find_sources([tmp_path], skip=[tmp_path / "predictions.csv"] if skip else ())
    found = [(source.name, bool(source.problem)) for source in listing.sources]
    assert found == [("a.png", True), ("b.png", True), ("c.png", False)]


def test_a_chain_of_links_is_followed_as_far_as_the_system_does(tmp_path):
    picture(tmp_path / "0.png")
    for number in range(1, 60):
        (tmp_path / f"{number}.png").symlink_to(f"{number - 1}.png")
        (tmp_path / f"{number}").symlink_to(f"{number - 1}" if number > 1 else "0.png")
    listing = within(10, lambda: find_sources([tmp_path]))
    problems = {source.name: source.problem for source in listing.sources}
    assert (problems["20.png"], problems["59.png"]) == ("", "unreadable")
    assert problems["20"] == ""
    assert "59" in listing.others
    assert len(listing.sources) + len(listing.others) == 60 + 59


def test_a_chain_of_links_to_a_folder_is_not_followed(tmp_path):
    put(tmp_path / "real" / "1.png")
    (tmp_path / "one").symlink_to("real")
    (tmp_path / "two.png").symlink_to("one")
    (tmp_path / "real" / "back").symlink_to("../two.png")
    listing = within(10, lambda: find_sources([tmp_path]))
    assert [source.name for source in listing.sources] == ["real/1.png"]
    assert listing.others == ()
    assert names(tmp_path / "two.png") == ["1.png"]  # an input may be one


@pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="no sockets in folders here")
def test_sockets_and_devices_are_never_opened(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # the path of a socket may not be long
    for name in ("socket.jpg", "socket"):
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(name)
    for name in ("zero", "tty", "stdin"):
        (tmp_path / f"{name}.jpg").symlink_to(f"/dev/{name}")
        (tmp_path / name).symlink_to(f"/dev/{name}")
    (tmp_path / "loop.pdf").symlink_to("loop.pdf")
    if hasattr(os, "mkfifo"):
        os.mkfifo("pipe")
        (tmp_path / "piped.jpg").symlink_to("pipe")
    everything = [path.name for path in tmp_path.iterdir()]
    for options in ({"inputs": [tmp_path]}, {"inputs": [], "listed": everything}):
        listing = within(10, lambda options=options: find_sources(**options))
        problems = {source.name: source.problem for source in listing.sources}
        assert problems.pop("loop.pdf") == "unreadable"
        assert problems.pop("stdin.jpg") in ("", "not_a_file")  # whatever the tests were given
        assert set(problems) == {name for name in everything if name.endswith(".jpg")} - {"stdin.jpg"}
        assert set(problems.values()) == {"not_a_file"}
        assert {"socket", "tty", "zero"} <= set(listing.others)


@pytest.mark.skipif(IS_ROOT, reason="root may read everything")
def test_a_folder_without_permission_is_named(tmp_path):
    put(tmp_path / "closed" / "1.png")
    put(tmp_path / "open" / "1.png")
    (tmp_path / "closed").chmod(0)
    try:
        listing = find_sources([tmp_path])
    finally:
        (tmp_path / "closed").chmod(0o700)
    assert [(source.name, source.problem) for source in listing.sources] == [
        ("closed/", "unreadable_folder"),
        ("open/1.png", ""),
    ]


# Inputs


def test_several_inputs_each_with_its_own_names(tmp_path):
    put(tmp_path / "one" / "b.png")
    put(tmp_path / "two" / "a.png")
    single = put(tmp_path / "three" / "deep" / "c.png")
    listing = find_sources([tmp_path / "two", single, tmp_path / "one"])
    assert [(source.name, source.path) for source in listing.sources] == [
        ("a.png", tmp_path / "two" / "a.png"),
        ("b.png", tmp_path / "one" / "b.png"),
        ("c.png", single),
    ]


def test_equal_names_keep_the_order_of_the_inputs(tmp_path):
    for folder in ("one", "two"):
        put(tmp_path / folder / "a.png")
    for inputs in (["one", "two"], ["two", "one"]):
        listing = find_sources([tmp_path / folder for folder in inputs])
        assert [source.path.parent.name for source in listing.sources] == inputs


def test_a_file_named_itself_must_still_be_an_image(tmp_path):
    listing = find_sources([put(tmp_path / "notes.txt"), picture(tmp_path / "scan")])
    assert [source.name for source in listing.sources] == ["scan"]
    assert listing.others == ("notes.txt",)


def test_the_current_folder(tmp_path, monkeypatch):
    put(tmp_path / "a" / "1.png")
    monkeypatch.chdir(tmp_path)
    for folder in (".", "./", "a/.."):
        assert names(Path(folder)) == ["a/1.png"]


@pytest.mark.parametrize("name", ["nowhere", "1.png", "a/b/c", "x" * 300])
def test_a_missing_input_ends_the_run(tmp_path, name):
    put(tmp_path / "there.png")
    with pytest.raises(NoInputError, match="does not exist") as caught:
        find_sources([tmp_path, tmp_path / name])
    assert caught.value.exit_code == ExitCode.NO_INPUT
    assert name in str(caught.value)


def test_a_link_to_nowhere_as_input_ends_the_run(tmp_path):
    (tmp_path / "gone").symlink_to(tmp_path / "nowhere")
    with pytest.raises(NoInputError, match="does not exist"):
        find_sources([tmp_path / "gone"])


# Names


def test_names_that_are_not_utf_8(tmp_path):
    raw = os.fsdecode(b"caf\xe9")
    put(tmp_path / raw / f"{raw}.png")
    put(tmp_path / f"{raw}.txt")
    listing = find_sources([tmp_path])
    assert [source.name for source in listing.sources] == [r"caf\xe9/caf\xe9.png"]
    assert listing.others == (r"caf\xe9.txt",)
    assert listing.sources[0].path.exists()
    assert names(tmp_path / raw / f"{raw}.png") == [r"caf\xe9.png"]


def test_a_missing_input_that_is_not_utf_8_can_be_told(tmp_path):
    with pytest.raises(NoInputError, match=r"caf\\xe9") as caught:
        find_sources([tmp_path / os.fsdecode(b"caf\xe9")])
    str(caught.value).encode("utf-8")


ODD_NAMES = ["two words.png", "a,b.png", 'say "hi".png', "line\nbreak.png", "\r.png", "'=1+1.png", "=1+1.png", "数.png"]
ODD_NAMES += [
    "-rf.png",
    " .png",
    "back\\slash.png",
    "\u202egnp.exe.png",
    "שלום.png",
    "%s{}.png",
    "a\u0301.png",
    "á.png",
]
ODD_NAMES += ["x" * 251 + ".png", "é" * 125 + "x.png", "\U0001f600" * 62 + ".png", "\t\x1b[31m.png"]


@pytest.mark.parametrize("name", ODD_NAMES)
def test_names_stay_as_they_are(tmp_path, name):
    put(tmp_path / name)
    assert names(tmp_path) == [name]
    assert display_name(name) == name


def test_all_odd_names_together(tmp_path, monkeypatch):
    for name in ODD_NAMES:
        put(tmp_path / name)
        put(tmp_path / name.removesuffix(".png") / name)
    monkeypatch.chdir(tmp_path)
    wanted = sorted([*ODD_NAMES, *(f"{name.removesuffix('.png')}/{name}" for name in ODD_NAMES)])
    assert names(tmp_path) == names(Path()) == names(listed=["."]) == names(listed=wanted) == wanted
    assert names(tmp_path, exclude=["[!/]*/*"]) == sorted(ODD_NAMES)
    assert all(source.path.exists() for source in find_sources([tmp_path]).sources)


@pytest.mark.parametrize("backwards", [False, True])
def test_names_that_look_alike_have_one_order(tmp_path, monkeypatch, backwards):
    alike = [r"caf\xe9.png", os.fsdecode(b"caf\xe9.png")]
    for name in alike:
        put(tmp_path / name)
    scandir = os.scandir

    def in_an_order_of_its_own(path):
        with scandir(path) as entries:
            return contextlib.nullcontext(sorted(entries, key=lambda entry: entry.name, reverse=backwards))

    monkeypatch.setattr(os, "scandir", in_an_order_of_its_own)
    assert [source.path.name for source in find_sources([tmp_path]).sources] == alike


def test_order_is_that_of_the_names_shown(tmp_path):
    """A byte that is not UTF-8 is one surrogate to Python, beyond most letters; shown, it starts with a backslash."""
    raw = os.fsdecode(b"\xe9.png")
    for name in (raw, "a.png", "Z.png", "数.png"):
        put(tmp_path / name)
    assert names(tmp_path) == ["Z.png", r"\xe9.png", "a.png", "数.png"]


# Patterns of what to leave out


TREE = ["a.png", "b.png", "ab/a.png", "ab/b/a.png", "ba/ab/a.png", "ba/ab/b.png", "ba/b[a].png", "b?/a.txt", "b?/*/a.b"]


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tree")
    for name in TREE:
        put(folder / name)
    return folder


def kept(folder, *patterns, **options):
    listing = find_sources([folder], exclude=patterns, **options)
    return sorted([source.name for source in listing.sources] + list(listing.others))


@pytest.mark.parametrize(
    ("pattern", "gone"),
    [
        ("ab", ["ab/a.png", "ab/b/a.png", "ba/ab/a.png", "ba/ab/b.png"]),
        ("ab/", ["ab/a.png", "ab/b/a.png", "ba/ab/a.png", "ba/ab/b.png"]),
        ("/ab", ["ab/a.png", "ab/b/a.png"]),
        ("./ab", ["ab/a.png", "ab/b/a.png"]),
        ("/ab/", ["ab/a.png", "ab/b/a.png"]),
        ("ba/ab", ["ba/ab/a.png", "ba/ab/b.png"]),
        ("*/ab", ["ba/ab/a.png", "ba/ab/b.png"]),
        ("*/a.png", ["ab/a.png", "ab/b/a.png", "ba/ab/a.png"]),
        ("a*/a.png", ["ab/a.png", "ab/b/a.png"]),
        ("a.png", ["a.png", "ab/a.png", "ab/b/a.png", "ba/ab/a.png"]),
        ("/a.png", ["a.png"]),
        ("a.png/", []),
        ("A.PNG", []),
        ("png", []),
        ("b?", ["b?/*/a.b", "b?/a.txt", "ba/ab/a.png", "ba/ab/b.png", "ba/b[a].png"]),
        ("b[?]", ["b?/*/a.b", "b?/a.txt"]),
        ("b[a].png", []),
        ("*[[]*", ["ba/b[a].png"]),
        ("*.[!p]*", ["b?/*/a.b", "b?/a.txt"]),
        ("*", TREE),
        ("*/", [name for name in TREE if "/" in name]),
        ("", []),
        ("/", []),
        (".", []),
        ("..", []),
        ("[", []),
        ("**/ab", ["ba/ab/a.png", "ba/ab/b.png"]),
    ],
)
def test_what_a_pattern_leaves_out(tree, pattern, gone):
    assert kept(tree, pattern) == sorted(set(TREE) - set(gone))


def is_covered(name, pattern):
    """Say the rules again, as plainly as can be."""
    folders_only, pattern = pattern.endswith("/"), pattern.rstrip("/")
    whole = pattern.startswith("./") or "/" in pattern
    pattern = pattern.removeprefix("." if pattern.startswith("./") else "").lstrip("/")
    parts = name.split("/")
    for count in range(1, len(parts) + 1):
        is_folder = count < len(parts)
        text = "/".join(parts[:count]) if whole else parts[count - 1]
        if fnmatchcase(text, pattern) and (is_folder or not folders_only):
            return True
    return False


@settings(max_examples=300)
@given(patterns=st.lists(st.text("ab*?/[]!.png-", max_size=7), max_size=3))
def test_patterns_follow_their_rules(tree, patterns):
    wanted = sorted(name for name in TREE if not any(is_covered(name, pattern) for pattern in patterns))
    assert kept(tree, *patterns) == wanted
    with_folder = sorted(f"{tree}/{name}".lstrip("/") for name in TREE)
    listing = find_sources([], exclude=patterns, listed=[f"{tree}/{name}" for name in TREE])
    found = {name.lstrip("/") for name in [*(source.name for source in listing.sources), *listing.others]}
    assert found == {name for name in with_folder if not any(is_covered(name, pattern) for pattern in patterns)}


@pytest.mark.skipif(IS_ROOT, reason="root may read everything")
def test_an_excluded_folder_that_may_not_be_entered(tmp_path):
    put(tmp_path / "closed" / "1.png").parent.chmod(0)
    try:
        assert kept(tmp_path, "closed") == []
    finally:
        (tmp_path / "closed").chmod(0o700)


def test_an_excluded_folder_is_not_entered(tmp_path, monkeypatch):
    put(tmp_path / "thumbs" / "deep" / "1.png")
    put(tmp_path / "a" / "thumbs" / "1.png")
    entered = []
    scandir = os.scandir
    monkeypatch.setattr(os, "scandir", lambda path: entered.append(Path(path)) or scandir(path))
    assert kept(tmp_path, "thumbs") == []
    assert sorted(entered) == [tmp_path, tmp_path / "a"]


def test_what_inputs_name_themselves_is_never_excluded(tmp_path, monkeypatch):
    put(tmp_path / "thumbs" / "1.png")
    put(tmp_path / "thumbs" / "thumbs" / "2.png")
    monkeypatch.chdir(tmp_path)
    assert names(tmp_path / "thumbs", Path("thumbs"), exclude=["thumbs"]) == ["1.png", "1.png"]
    assert names(tmp_path / "thumbs" / "1.png", exclude=["*"]) == ["1.png"]


def test_a_name_that_is_not_utf_8_can_be_excluded(tmp_path):
    raw = os.fsdecode(b"caf\xe9")
    put(tmp_path / raw / "1.png")
    put(tmp_path / "café" / "2.png")
    assert kept(tmp_path, raw) == ["café/2.png"]
    assert kept(tmp_path, "caf?") == []


# Lists


def read_list(tmp_path, content):
    return read_file_list(put(tmp_path / "list.txt", content))


@pytest.mark.parametrize(
    ("content", "wanted"),
    [
        (b"", []),
        (b"\n\r\n\n", []),
        (b"a.png", ["a.png"]),
        (b"a.png\nb c.png\n", ["a.png", "b c.png"]),
        (b"a.png\r\n\r\nb.png\r\n", ["a.png", "b.png"]),
        (b" a.png \n\tb.png\nc\rd.png", [" a.png ", "\tb.png", "c\rd.png"]),
        (b"\xef\xbb\xbfa.png\nb.png", ["a.png", "b.png"]),
        (b"a.png\0line\nbreak.png\0ends\r\0\0", ["a.png", "line\nbreak.png", "ends\r"]),
        (b"a.png\n\0", ["a.png\n"]),
        (b"# a.png\n'b.png'\n\"c.png\"\n", ["# a.png", "'b.png'", '"c.png"']),
        ("\ufeffé 1.png\r\n数.png\r\n".encode("utf-16-le"), ["é 1.png", "数.png"]),
        ("\ufeffé 1.png\n".encode("utf-16-be"), ["é 1.png"]),
        (b"caf\xe9.png\ncaf\xc3\xa9.png", [os.fsdecode(b"caf\xe9.png"), "café.png"]),
        (b"\\xe9.png\na\\b.png\x0bc.png\xc2\x85d.png", [r"\xe9.png", "a\\b.png\x0bc.png\x85d.png"]),
    ],
)
def test_a_list(tmp_path, content, wanted):
    assert read_list(tmp_path, content) == wanted


@given(paths=st.lists(st.binary(min_size=1).map(lambda path: b"./" + path.replace(b"\0", b"")), min_size=1))
def test_any_name_survives_a_list_with_nul(tmp_path_factory, paths):
    found = read_list(tmp_path_factory.getbasetemp(), b"".join(path + b"\0" for path in paths))
    assert [os.fsencode(path) for path in found] == paths


def test_a_list_from_standard_input(monkeypatch):
    for source in (None, Path("-")):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"caf\xe9 1.png\r\nb.png\n"), "ascii"))
        assert read_file_list(source) == [os.fsdecode(b"caf\xe9 1.png"), "b.png"]


def test_a_list_from_a_standard_input_that_is_closed(monkeypatch):
    monkeypatch.setattr(sys, "stdin", None)
    with pytest.raises(NoInputError, match="standard input"):
        read_file_list(None)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("gone.txt", "gone.txt: No such file"),
        ("folder", "folder is a folder.*as INPUT"),
        ("x" * 300, "too long"),
        (os.fsdecode(b"caf\xe9"), r"caf\\xe9: No such file"),
    ],
)
def test_a_list_that_cannot_be_read(tmp_path, name, message):
    (tmp_path / "folder").mkdir()
    with pytest.raises(NoInputError, match=message) as caught:
        read_file_list(tmp_path / name)
    assert caught.value.exit_code == ExitCode.NO_INPUT
    str(caught.value).encode()


@pytest.fixture
def here(tmp_path, monkeypatch):
    """Work in a folder with some pictures, and one beside it."""
    folder = tmp_path / "here"
    for name in ("a/1.png", "b/1.png", "b/deep/2.png", "b/.hidden/3.png", "b/notes.txt", "notes.txt"):
        put(folder / name)
    put(tmp_path / "beside" / "1.png")
    monkeypatch.chdir(folder)
    return folder


def listing_of(*listed, **options):
    return find_sources([], listed=listed, **options)


def found(listing):
    return [(source.name, source.problem) for source in listing.sources]


@pytest.mark.parametrize(
    ("written", "name"),
    [
        ("a/1.png", "a/1.png"),
        ("./a/1.png", "a/1.png"),
        ("././/a///./1.png", "a/1.png"),
        ("../beside/1.png", "../beside/1.png"),
        ("a/../b/1.png", "a/../b/1.png"),
        (Path("b/1.png"), "b/1.png"),
    ],
)
def test_rows_are_named_by_the_path_as_written(here, written, name):
    (source,) = listing_of(written).sources
    assert (source.name, source.problem) == (name, "")
    assert source.path.samefile(written)


def test_an_absolute_path_is_its_own_name(here):
    for slashes in ("", "/", "//"):
        (source,) = listing_of(f"{slashes}{here}/a/1.png").sources
        assert source.name == f"{here.as_posix()}/a/1.png"
        assert source.path == here / "a" / "1.png"


def test_listed_files_with_one_name_stay_apart(here):
    assert found(listing_of("b/1.png", "a/1.png", "./b/1.png")) == [("a/1.png", ""), ("b/1.png", "")]


@pytest.mark.parametrize("written", ["b", "b/", "./b", ".//b/."])
def test_a_listed_folder_is_walked(here, written):
    listing = listing_of(written)
    assert found(listing) == [("b/1.png", ""), ("b/deep/2.png", "")]
    assert listing.others == ("b/notes.txt",)
    assert all(source.path.exists() for source in listing.sources)


@pytest.mark.parametrize("written", [".", "./"])
def test_the_current_folder_may_be_listed(here, written):
    assert names(listed=[written]) == ["a/1.png", "b/1.png", "b/deep/2.png"]


def test_a_folder_and_what_is_in_it_are_read_once(here):
    """What a plain `find` prints: each folder, then all that is in it."""
    everything = [".", "./a", "./a/1.png", "./b", "./b/1.png", "./b/deep", "./b/notes.txt", "./notes.txt"]
    listing = listing_of(*everything)
    assert found(listing) == [("a/1.png", ""), ("b/1.png", ""), ("b/deep/2.png", "")]
    assert listing.others == ("b/notes.txt", "notes.txt")


def test_a_missing_file_of_a_list_is_a_row(here):
    (here / "gone.jpg").symlink_to("nowhere.jpg")
    listing = listing_of("gone.jpg", "a/1.png", "no.png", "no", "a/1.png/x", "no/no.txt", "./no.png", "x" * 300)
    assert found(listing) == [
        ("a/1.png", ""),
        ("a/1.png/x", "missing"),
        ("gone.jpg", "missing"),
        ("no", "missing"),
        ("no.png", "missing"),
        ("no/no.txt", "missing"),
        ("x" * 300, "unreadable"),
    ]
    assert listing.others == ()


def test_listed_files_that_are_no_pages(here):
    listing = listing_of("notes.txt", "b/notes.txt")
    assert found(listing) == []
    assert listing.others == ("b/notes.txt", "notes.txt")


def test_hidden_ones_in_a_list_are_read(here):
    put(here / ".1.png")
    assert names(listed=[".1.png", "b/.hidden", "b/.hidden/3.png"]) == [".1.png", "b/.hidden/3.png"]


def test_patterns_are_for_the_listed_paths_too(here):
    listed = ["a/1.png", "b", "../beside/1.png", "gone/1.png", f"{here}/b/1.png", "."]
    assert names(listed=listed, exclude=["b", "gone", "here"]) == ["../beside/1.png", "a/1.png"]
    assert names(listed=listed[:4], exclude=["/b/deep", "1.png"]) == []
    assert names(listed=[str(here)], exclude=[f"{here}/b"]) == [f"{here}/a/1.png"]
    assert names(listed=["../beside/1.png", "."], exclude=[".*", "b", "", "/"]) == ["../beside/1.png", "a/1.png"]


def test_the_output_is_skipped_in_a_list(here):
    assert names(listed=["a/1.png", "b/1.png", "a"], skip=[here / "a" / "1.png"]) == ["b/1.png"]


def test_inputs_and_a_list_both_count(here):
    assert names(here / "a", here / "b" / "1.png", listed=["b/1.png"]) == ["1.png", "1.png", "b/1.png"]
    assert names(Path(), listed=["b/1.png"]) == ["a/1.png", "b/1.png", "b/deep/2.png"]
    with pytest.raises(NoInputError, match="gone does not exist"):
        find_sources([here / "gone"], listed=["a/1.png"])


def test_a_name_that_is_not_utf_8_in_a_list(here):
    raw = b"caf\xe9/\xe9.png"
    put(here / os.fsdecode(raw))
    (source,) = listing_of(*read_list(here, raw + b"\n./" + raw)).sources
    assert source.name == r"caf\xe9/\xe9.png"
    assert source.path.exists()


def test_an_input_named_twice_is_read_once(here):
    assert names(Path("a"), Path("./a/"), Path("a/1.png"), listed=["a"]) == ["1.png", "a/1.png"]
    assert names(here, here / ".", Path("../here").resolve()) == ["a/1.png", "b/1.png", "b/deep/2.png"]
    assert names(here / "a" / "1.png", here / "b" / "1.png", here / "a" / "1.png") == ["1.png", "1.png"]


# Sources


@pytest.mark.parametrize("listed", [False, True])
def test_an_absolute_source_survives_a_change_of_folder(here, monkeypatch, listed):
    raw = os.fsdecode(b"\xe9.png")
    put(here / "a" / raw)
    inputs = {"inputs": [], "listed": ["a", "b/1.png", "gone.png", f"{here}/a/1.png"]}
    listing = find_sources(**inputs if listed else {"inputs": [Path("a"), Path("b/1.png"), Path(), here / "b"]})
    absolute = [source.absolute() for source in listing.sources]
    monkeypatch.chdir("/")
    for before, after in zip(listing.sources, absolute, strict=True):
        assert (after.name, after.problem) == (before.name, before.problem)
        assert after.path == here / before.path
        assert after.path.exists() == (after.problem == "")
        assert after.absolute() == after
        assert pickle.loads(pickle.dumps(after)) == after
        assert hash(pickle.loads(pickle.dumps(before))) == hash(before)
    assert len(set(listing.sources)) == len(listing.sources) > 3


def test_a_source_of_a_path(tmp_path):
    for path in (tmp_path / "a" / "1.png", Path("1.png"), Path("a/../1.png"), Path("/1.png")):
        source = Source.of(path)
        assert (source.path, source.name, source.problem) == (path, "1.png", "")
        assert source.absolute().path == path.absolute()


def test_the_root_of_all_files(tmp_path):
    """`/` has a separator at its end already; two of them would mean something else."""
    source = Source("/", "1.png")
    assert str(source.path) == "/1.png"
    assert names(listed=["//" + str(put(tmp_path / "1.png")).lstrip("/")]) == [(tmp_path / "1.png").as_posix()]


@pytest.mark.parametrize("end", [".jpg", ".txt"])
@pytest.mark.parametrize("way", ["folder", "files", "list", "absolute"])
def test_many_files_take_little_memory(tmp_path, monkeypatch, way, end):
    count = 3000
    folder = tmp_path / ("long" * 50)
    folder.mkdir()
    for number in range(count):
        (folder / f"IMG_2024_{number:08}{end}").touch()
    monkeypatch.chdir(folder)
    files = sorted(folder.iterdir())
    inputs = {"folder": [folder], "files": files, "absolute": [Path()]}.get(way, [])
    listed = [path.name for path in files] if way == "list" else []
    find_sources(inputs, listed=listed)  # what is made once and kept is not counted
    measured = []
    for _ in range(3):  # threads that other tests have left behind take memory now and then
        gc.collect()
        tracemalloc.start()
        try:
            listing = find_sources(inputs, listed=listed)
            sources = [source.absolute() for source in listing.sources] if way == "absolute" else listing.sources
            total = len(sources) + len(listing.others)
            listing = listing.others
            gc.collect()
            measured.append(tracemalloc.get_traced_memory())
        finally:
            tracemalloc.stop()
    size, peak = min(measured)
    assert total == count
    assert size / count < 200
    assert peak / count < 400


def test_pictures_are_told_by_their_names_alone(tmp_path, monkeypatch):
    """On a network drive, each look at a file is a wait."""
    for number in range(20):
        put(tmp_path / f"{number}.jpg")
    looks = []
    real = os.stat
    monkeypatch.setattr(os, "stat", lambda path, *args, **options: looks.append(path) or real(path, *args, **options))
    assert len(names(tmp_path, skip=[put(tmp_path / "out.csv")])) == 20
    assert not [path for path in looks if str(path).endswith(".jpg")]
