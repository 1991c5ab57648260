"""A folder per digit: what is read, what is left out and said, what is refused."""

from __future__ import annotations

import os
import shutil

import numpy as np
import pytest
from PIL import ExifTags, Image

from batchdigits.errors import DataError
from batchdigits.imaging.pipeline import find_digit
from batchdigits.imaging.settings import ImagingSettings
from batchdigits.sources.walk import find_sources
from batchdigits.training.datasets import load_folder
from batchdigits.training.simulator import Scene, simulate_photo
from batchdigits.types import Page, PageId
from batchdigits.worker import read_source

SETTINGS = ImagingSettings()
EACH = 24


@pytest.fixture(scope="module")
def photos():
    """Photos of every digit, to be saved in any way; photos[7][0] is of a 7."""
    rng = np.random.default_rng(5)
    return [[plain_photo(digit, rng) for _ in range(EACH)] for digit in range(10)]


def plain_photo(digit, rng):
    """A small one, for speed, and nothing else on the paper."""
    while True:
        photo = simulate_photo(digit, rng, scene=Scene(size=(120, 110)))
        if not find_digit(Page(PageId("x"), photo), SETTINGS).notes:
            return Image.fromarray(photo[..., ::-1])


@pytest.fixture(scope="module")
def full(photos, tmp_path_factory):
    """As many of every digit as are needed."""
    return save(tmp_path_factory.mktemp("own") / "mine", photos, EACH)


@pytest.fixture
def few(photos, tmp_path):
    """Two of every digit, for tests to spoil."""
    return save(tmp_path / "mine", photos, 2)


def save(folder, photos, each):
    for digit, pictures in enumerate(photos):
        (folder / str(digit)).mkdir(parents=True)
        for number, picture in enumerate(pictures[:each]):
            picture.save(folder / str(digit) / f"{number:02}.png")
    return folder


def load(folder, *, fewest=2, jobs=1, seed=0):
    said = []
    return load_folder(folder, SETTINGS, jobs=jobs, seed=seed, fewest=fewest, say=said.append), said


@pytest.fixture(scope="module")
def loaded(full):
    return load_folder(full, SETTINGS, jobs=1)


def test_every_picture_is_there_once_and_a_sixth_of_each_digit_tests(loaded):
    assert np.bincount(loaded.y_train).tolist() == [20] * 10
    assert np.bincount(loaded.y_test).tolist() == [4] * 10
    everything = np.concatenate([loaded.tiles_train, loaded.tiles_test])
    assert len({tile.tobytes() for tile in everything}) == 240


def test_tiles_are_those_that_classify_makes(full, loaded):
    made = {
        read_source(source, SETTINGS)[0].pixels[0].tobytes(): int(source.name[0])
        for source in find_sources([full]).sources
    }
    tiles = np.concatenate([loaded.tiles_train, loaded.tiles_test])
    labels = np.concatenate([loaded.y_train, loaded.y_test])
    assert {tile.tobytes(): int(label) for tile, label in zip(tiles, labels, strict=True)} == made


def test_a_large_photo_too_is_decoded_as_classify_does(photos, tmp_path):
    (tmp_path / "8").mkdir()
    photos[8][0].resize((2600, 2800)).save(tmp_path / "8" / "large.jpg")
    dataset, _ = load(tmp_path, fewest=0)
    (source,) = find_sources([tmp_path]).sources
    assert (dataset.tiles_train == read_source(source, SETTINGS)[0].pixels).all()


def test_a_sixth_is_rounded_down(photos, tmp_path):
    for digit, count in ((0, 5), (3, 11), (4, 12)):
        (tmp_path / str(digit)).mkdir()
        for number, photo in enumerate(photos[digit][:count]):
            photo.save(tmp_path / str(digit) / f"{number}.png")
    dataset, _ = load(tmp_path, fewest=0)
    assert np.bincount(dataset.y_test).tolist() == [0, 0, 0, 1, 2]


def test_the_same_for_any_number_of_jobs_and_another_seed_tests_on_others(full, loaded, monkeypatch):
    from joblib import Parallel, delayed

    Parallel(n_jobs=2)(delayed(os.getpid)() for _ in range(2))  # processes that know another working folder
    monkeypatch.chdir(full.parent)
    again, _ = load(type(full)("mine"), fewest=EACH, jobs=2)
    for field in ("x_train", "y_train", "x_test", "y_test", "tiles_train", "tiles_test"):
        assert (getattr(again, field) == getattr(loaded, field)).all()
    other, _ = load(full, fewest=EACH, seed=1)
    assert {tile.tobytes() for tile in other.tiles_test} != {tile.tobytes() for tile in loaded.tiles_test}


def test_pictures_are_as_mnist_has_them_but_lean_as_written(loaded):
    assert loaded.x_train.dtype == np.uint8
    assert loaded.x_train.shape == (200, 28, 28)
    for picture in loaded.x_train:
        rows, columns = np.flatnonzero(picture.max(axis=1) > 40), np.flatnonzero(picture.max(axis=0) > 40)
        assert 19 <= max(np.ptp(rows), np.ptp(columns)) + 1 <= 22  # 20, and a soft rim
        assert picture.max() > 200
    upright = np.rint(loaded.tiles_train * 255)
    leaning = np.abs(loaded.x_train - upright).mean(axis=(1, 2))
    assert (leaning > 5).any()


def test_thin_strokes_are_not_lost_in_the_small_picture(tmp_path):
    page = np.full((600, 600), 255, np.uint8)
    page[100:500, 299:302] = 0
    (tmp_path / "1").mkdir()
    Image.fromarray(page).save(tmp_path / "1" / "thin.png")
    dataset, _ = load(tmp_path, fewest=0)
    assert (dataset.x_train[0][6:22].max(axis=1) > 200).all()


def test_every_way_a_photo_can_be_saved(photos, tmp_path):
    """Turned by EXIF, several frames in one TIFF, deep folders, a name without ending, a name in capitals."""
    folder = tmp_path / "mine"
    deep = folder / "4" / "monday" / "blue pen"
    deep.mkdir(parents=True)
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    photos[4][0].save(deep / "upright.png")
    photos[4][0].transpose(Image.Transpose.ROTATE_90).save(deep / "turned.png", exif=exif)
    first, *others = (photo.copy() for photo in photos[4][1:5])  # Pillow stumbles over pictures once saved as PNG
    first.save(folder / "4" / "frames.TIFF", save_all=True, append_images=others)
    photos[4][5].save(folder / "4" / "no ending", format="PNG")
    dataset, said = load(folder, fewest=0)
    tiles = np.concatenate([dataset.tiles_train, dataset.tiles_test])
    assert len(tiles) == 7
    assert set(dataset.y_train) | set(dataset.y_test) == {4}
    assert len({tile.tobytes() for tile in tiles}) == 6  # the turned one is the upright one again
    assert not any("left out" in line for line in said)


def test_what_cannot_serve_is_left_out_counted_and_named(few, photos):
    (few / "3" / "broken.jpg").write_bytes(b"\xff\xd8\xff nothing more")
    (few / "3" / "empty.png").write_bytes(b"")
    Image.new("RGB", (200, 200), "white").save(few / "5" / "blank.png")
    wide = np.concatenate([np.asarray(photo.resize((200, 200))) for photo in photos[6][:2]], axis=1)
    Image.fromarray(wide).save(few / "6" / "pair.png")
    dataset, said = load(few)
    assert len(dataset.y_train) + len(dataset.y_test) == 20
    text = "\n".join(said)
    assert "4 of 24 pictures are left out" in text
    assert "3/broken.jpg: " in text
    assert "3/empty.png: The file is empty" in text
    assert "5/blank.png: No ink" in text
    assert "6/pair.png: It seems to show several digits" in text


def test_of_many_left_out_the_first_are_named_and_all_counted(few):
    for number in range(9):
        (few / "0" / f"bad{number}.png").write_bytes(b"no picture")
    _, said = load(few)
    assert any("9 of 29 pictures are left out" in line for line in said)
    assert sum("bad" in line for line in said) == 5
    assert any("and 4 more" in line for line in said)


def test_a_picture_that_defeats_imaging_is_left_out(few, monkeypatch):
    def fail(pixels, settings):
        raise MemoryError("too much")

    monkeypatch.setattr("batchdigits.looking.trace", fail)
    with pytest.raises(DataError, match=r"none of its 20 pictures.*Imaging failed: MemoryError: too much"):
        load(few)


def test_files_outside_the_digits_folders_are_ignored_and_said(few, photos):
    photos[1][5].save(few / "stray.png")
    (few / "labels.csv").write_text("file,label\n")
    (few / "2" / "notes.txt").write_text("mine")
    (few / "2" / ".DS_Store").write_bytes(b"hidden")
    (few / "empty folder").mkdir()
    dataset, said = load(few)
    assert len(dataset.y_train) + len(dataset.y_test) == 20
    (line,) = [line for line in said if "ignored" in line]
    assert "ignored 3" in line
    assert all(name in line for name in ("stray.png", "labels.csv", "2/notes.txt"))


def test_folders_named_for_no_digit_are_refused(few):
    for name in ("10", "seven", "\u0663"):  # int() takes the last one, an Arabic-Indic digit, for 3
        shutil.copytree(few / "7", few / name)
    with pytest.raises(DataError, match=r"outside 0-9: 10, seven, \u0663"):
        load(few)


def test_missing_digits_are_named_before_anything_is_read(few):
    shutil.rmtree(few / "4")
    shutil.rmtree(few / "9")
    said = []
    with pytest.raises(DataError, match=r"none of 4, none of 9\. At least 24 of each digit"):
        load_folder(few, SETTINGS, jobs=1, say=said.append)
    assert said == []


def test_too_few_examples_are_counted_without_those_left_out(few):
    Image.new("RGB", (200, 200), "white").save(few / "5" / "01.png")
    with pytest.raises(DataError, match=r"too few examples: 1 of 5\. At least 2 of each"):
        load(few)


def test_by_default_every_digit_needs_as_many_as_leave_twenty_to_learn_from(few):
    with pytest.raises(DataError, match=r"2 of 0, 2 of 1.*At least 24 of each digit are needed"):
        load_folder(few, SETTINGS, jobs=1)


def test_a_folder_of_unreadable_pictures_says_so(few):
    for file in few.rglob("*.png"):
        file.write_bytes(b"no picture")
    with pytest.raises(DataError, match=r"none of its 20 pictures shows one digit.*0/00\.png: .*no readable image"):
        load(few)


def test_an_empty_folder_says_what_was_expected(tmp_path):
    for name in range(10):
        (tmp_path / str(name)).mkdir()
    with pytest.raises(DataError, match=r"no pictures in folders named 0 to 9.*/0/\*\.jpg"):
        load(tmp_path)


def test_a_file_or_nothing_is_no_folder(few):
    for path in (few / "0" / "00.png", few / "gone"):
        with pytest.raises(DataError, match="is no folder"):
            load(path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_a_named_pipe_is_left_out_and_not_waited_for(few):
    os.mkfifo(few / "0" / "pipe.png")
    _, said = load(few)
    assert any("0/pipe.png: Cannot be opened (not a file)" in line for line in said)
