"""Folders and files to what is read: order, what is skipped, what must not hang."""

import os
import threading

import pytest
from PIL import Image

from batchdigits.errors import ExitCode, NoInputError
from batchdigits.sources.walk import Source, display_name, find_sources, looks_like_image

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
    assert source == Source(tmp_path / "a" / "b.png", "a/b.png")


@pytest.mark.parametrize("name", ["A.JPG", "b.Jpeg", "c.PNG", "d.tif", "e.TIFF", "f.webp", "g.bmp", "h.gif", "i.heic"])
def test_an_image_by_its_extension(tmp_path, name):
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


def test_what_runs_leave_behind_is_skipped(tmp_path):
    for name in ("1.jpg.inspect.png", "predictions.csv.state", ".predictions.csv.0a1b.tmp", "1.png"):
        put(tmp_path / name)
    listing = find_sources([tmp_path])
    assert [source.name for source in listing.sources] == ["1.png"]
    assert listing.others == ()


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
        b"%PDF-1.7",
    ],
)
def test_what_is_no_image(head):
    assert not looks_like_image(head[:16])


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
    for given in (".", "./", "a/.."):
        assert names(type(tmp_path)(given)) == ["a/1.png"]


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


@pytest.mark.parametrize("name", ["two words.png", "a,b.png", 'say "hi".png', "line\nbreak.png", "'=1+1.png", "数.png"])
def test_names_stay_as_they_are(tmp_path, name):
    put(tmp_path / name)
    assert names(tmp_path) == [name]
    assert display_name(name) == name
