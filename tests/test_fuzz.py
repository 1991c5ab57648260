"""The fuzzer of `benchmarks/fuzz.py`, over few files: each has its row, and what is wrong would be seen."""

import random
import sys
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
sys.path.append(str(ROOT / "benchmarks"))

import fuzz  # noqa: E402
from memory import Watched  # noqa: E402

from batchdigits.sources.documents import read_pages  # noqa: E402
from batchdigits.types import Page  # noqa: E402

HEADER = "file,page,region,prediction,confidence,status,reason\n"


@pytest.fixture(scope="session")
def valid():
    return fuzz.valid_files()


def names_read(tmp_path, files):
    """Return how many pages of each file can be read."""
    found = Counter()
    for name, content in files.items():
        path = tmp_path / name
        path.write_bytes(content)
        found[name] += sum(isinstance(page, Page) for page in read_pages(path, name))
    return found


def test_what_is_damaged_was_whole(tmp_path, valid):
    pytest.importorskip("pi_heif")
    pages = names_read(tmp_path, valid)
    several = {"frames.tif": 3, "big-frames.tif": 3, "pages.pdf": 3, "drawn.pdf": 2}
    assert pages == Counter(dict.fromkeys(valid, 1) | several)
    formats = {Path(name).suffix for name in valid}
    assert formats >= {".jpg", ".png", ".webp", ".bmp", ".gif", ".tif", ".pdf", ".heic"}


def test_the_same_seed_gives_the_same_files(valid):
    again = fuzz.valid_files()
    assert again == valid
    first = [fuzz.make_file(0, number, valid) for number in range(200)]
    assert [fuzz.make_file(0, number, again) for number in range(200)] == first
    assert [fuzz.make_file(1, number, valid) for number in range(200)] != first


@pytest.mark.parametrize("way", [*fuzz.ANYWHERE, fuzz.shuffle_parts, fuzz.change_number], ids=lambda way: way.__name__)
def test_every_kind_of_damage_does_some(valid, way):
    rng = random.Random(0)
    for name, content in valid.items():
        if way is not fuzz.change_number or name.endswith(".pdf"):
            assert any(way(rng, content) != content for _ in range(20)), name


@pytest.mark.parametrize("split", [split for _, split in fuzz.SPLITS], ids=lambda split: split.__name__)
def test_parts_make_up_the_file(valid, split):
    applies = next(applies for applies, found in fuzz.SPLITS if found is split)
    own = [content for content in valid.values() if applies(content)]
    assert own
    for content in own:
        parts = split(content)
        assert b"".join(parts) == content
        assert len(parts) >= 2


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="no /proc here")
def test_damaged_files_cost_their_own_rows(tmp_path):
    expected = fuzz.make_folder(tmp_path / "damaged", 150, 0)
    assert len(expected) > 140
    output = tmp_path / "rows.csv"
    found = fuzz.run(tmp_path / "damaged", output, "--jobs", "2", limit=300)
    assert fuzz.complaints(found, output, expected) == []
    assert found.code == 4
    statuses = Counter(row["status"] for row in fuzz.read_rows(output))
    assert statuses["error"] > 50
    assert statuses["ok"] > 10
    assert found.main > 20
    assert found.worker > 20


@pytest.mark.parametrize(
    ("found", "rows", "complaint"),
    [
        (Watched(code=4), "a.png,1,,,,error,unreadable\nb.tif,1,,7,,ok,\nb.tif,2,,7,,ok,\n", ""),
        (Watched(code=1), "a.png,1,,7,,ok,\nb.tif,1,,7,,ok,\n", "exit code 1"),
        (Watched(late=True), "", "it hangs"),
        (Watched(errors="Traceback (most recent call last)"), "a.png,1,,7,,ok,\nb.tif,1,,7,,ok,\n", "a traceback"),
        (Watched(), "a.png,1,,7,,ok,\n", "1 files have no row: b.tif"),
        (Watched(), "a.png,1,,7,,ok,\nb.tif,1,,7,,ok,\nb.tif,3,,7,,ok,\n", "without a row, or with two: b.tif"),
        (Watched(), "a.png,1,,7,,ok,\nb.tif,1,,7,,ok,\nb.tif,1,,7,,ok,\n", "without a row, or with two: b.tif"),
        (Watched(code=4), "a.png,1,,,,error,worker_died\nb.tif,1,,7,,ok,\n", "1 pages killed a worker: a.png"),
    ],
    ids=["nothing", "code", "late", "traceback", "missing", "gap", "twice", "killed"],
)
def test_what_is_wrong_is_seen(tmp_path, found, rows, complaint):
    output = tmp_path / "rows.csv"
    output.write_text(HEADER + rows)
    complaints = fuzz.complaints(found, output, ["a.png", "b.tif"])
    assert [complaint in one for one in complaints] == [True] * bool(complaint), complaints


def test_growth_is_seen():
    found = Watched(seconds=9, samples=[(0, 100), (2, 300), (4, 900), (7, 380), (8, 350)])
    assert found.peak_between(0, 1 / 3) == 300
    assert found.peak_between(2 / 3, 1) == 380
