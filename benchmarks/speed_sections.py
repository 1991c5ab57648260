"""What the speed suite measures, a function for each section of its report."""

from __future__ import annotations

import csv
import importlib.util
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from memory import run_watched
from speed_inputs import DIGIT, LINES, PER_LINE, QUALITY, Pictures, make_pictures
from speed_report import Bar, Section, shown
from speed_timing import (
    PROGRAM,
    WAYS,
    Command,
    Slope,
    bare_decode,
    best_of,
    classify,
    first_line,
    run,
    seconds_of,
    slopes,
    tell,
)

from batchdigits.evaluation import edit_distance

FEWEST = 32  # files: below 24 no workers are started, and a slope from there would mix two ways of working
MODELS = ("knn", "cnn")
HOUR = 3600.0
PAGE = ("--layout", "page")


@dataclass(frozen=True)
class Sizes:
    """How much is measured."""

    distinct: Mapping[str, int]  #: pictures of each kind
    photos: int  #: files in the larger folder of each kind
    scans: int
    small: int
    pages: int
    peers: int  #: photos for each peer
    webapp: int  #: small pictures for the web app
    repeats: int  #: rounds
    starts: int  #: the same for starts, which take little time


FULL = Sizes({"photo": 24, "scan": 24, "small": 500, "page": 12}, 480, 480, 5000, 96, 12, 200, 3, 9)
QUICK = Sizes({"photo": 4, "scan": 4, "small": 100, "page": 3}, 96, 96, 1500, 64, 2, 20, 1, 3)


@dataclass(frozen=True)
class Setup:
    """What every section is given."""

    inputs: Path
    sizes: Sizes
    peers_python: str  #: an interpreter that may have RapidOCR
    _made: dict[str, Pictures] = field(default_factory=dict)

    def pictures(self, kind: str) -> Pictures:
        """Return the distinct pictures of a kind, made when they are first asked for."""
        if kind not in self._made:
            tell(f"pictures: {self.sizes.distinct[kind]} of kind {kind}")
            self._made[kind] = make_pictures(kind, self.sizes.distinct[kind], self.inputs)
        return self._made[kind]


def few_and_many(count: int) -> tuple[int, int]:
    """Return how many files the smaller and the larger folder have."""
    return max(FEWEST, count // 10), count


def photos(setup: Setup) -> Section:
    """Time 12 MP photos against their bare decode, and two jobs against one."""
    pictures, sizes = setup.pictures("photo"), few_and_many(setup.sizes.photos)
    decodes = {f"bare decode, {how}, 2 threads": bare_decode(how, 2) for how in ("colour/4", "colour")}
    others = {f"bare decode, {how}, 2 threads": bare_decode(how, 2) for how in ("colour/2", "colour/8", "grey/4")}
    others["bare decode, colour/4, 1 thread"] = bare_decode("colour/4", 1)
    two = {f"{model}, 2 jobs": classify(model, 2) for model in MODELS}
    one = {f"{model}, 1 job": classify(model, 1) for model in MODELS}
    found = slopes(decodes | two | one | others, pictures, sizes, setup.sizes.repeats)
    reduced, full = (found[f"bare decode, {how}, 2 threads"].each for how in ("colour/4", "colour"))
    section = Section(
        "12 MP photos, one digit each",
        [
            f"Folders of {sizes[0]} and {sizes[1]} JPEG files of 4000 x 3000 and 3000 x 4000 pixels, links to "
            f"{len(pictures.originals)} distinct simulated photos (difficulty 0.5, quality {QUALITY}, "
            f"{pictures.megabytes:.1f} MB on average). A bare decode reads the bytes of the same files and calls "
            "`cv2.imdecode`, at full size or at 1/2, 1/4, 1/8 of it, in threads, and does no more.",
            read_right(pictures, MODELS),
        ],
        *table_of_slopes(found, "photo", reduced, "colour/4 decode"),
    )
    for model in MODELS:
        each, alone = found[f"{model}, 2 jobs"].each, found[f"{model}, 1 job"].each
        section.bars += [
            Bar(f"12 MP photo, {model}, to its bare decode at 1/4 in colour", each / reduced, 1.25, " x"),
            Bar(f"12 MP photo, {model}, to its bare decode in full colour", each / full, 0.5, " x"),
            Bar(f"12 MP photos, {model}, two jobs to one", alone / each, 1.8, " x", at_most=False),
        ]
    return section


def memory(setup: Setup) -> Section:
    """Find the peak memory of all processes."""
    pictures = setup.pictures("photo")
    section = Section(
        "Memory on 12 MP photos, two jobs",
        [
            "The most that all processes together had in memory at one time, looked at fifty times a second: the sum "
            "of their resident sets, in which libraries that they share count once for each. Measured in runs of their "
            "own."
        ],
        ("model, files", "all together, MB", "first process, MB", "largest other, MB"),
    )
    for model in MODELS:
        for count in few_and_many(setup.sizes.photos):
            with tempfile.TemporaryDirectory() as results:
                command = classify(model, 2)(pictures.folder(count), Path(results))
                found = run_watched(command, limit=HOUR, program=())
            if found.code:
                raise SystemExit(f"exit code {found.code}: {found.errors[-2000:]}")
            peak = found.peak_between(0, 1)
            tell(f"{model}, {count}: {peak:.0f} MB")
            section.rows.append((f"{model}, {count}", *(f"{value:.0f}" for value in (peak, found.main, found.worker))))
            section.bars.append(Bar(f"Memory, {model}, {count} photos of 12 MP, two jobs", peak, 500, " MB"))
    return section


def small(setup: Setup) -> Section:
    """Time 28 x 28 PNGs, against the web app's way."""
    pictures, sizes = setup.pictures("small"), few_and_many(setup.sizes.small)
    ways = {f"{model}, 2 jobs": classify(model, 2) for model in MODELS}
    ways |= {"knn, 1 job": classify("knn", 1), "bare decode, colour, 2 threads": bare_decode("colour", 2)}
    webapp = Peer([sys.executable, str(WAYS), "webapp", str(pictures.folder(setup.sizes.webapp))])
    there = importlib.util.find_spec("tensorflow") is not None
    found = slopes(ways, pictures, sizes, setup.sizes.repeats, webapp.measure if there else lambda: None)
    knn = found["knn, 2 jobs"]
    section = Section(
        "28 x 28 PNGs",
        [
            f"Folders of {sizes[0]:,} and {sizes[1]:,} grey PNG files, white on black, links to "
            f"{len(pictures.originals)} distinct digits of the simulator, made into tiles as MNIST's are.",
            read_right(pictures, MODELS),
        ],
        *table_of_slopes(found, "image", found["bare decode, colour, 2 threads"].each, "bare decode"),
        [Bar("28 x 28 PNGs, knn, two jobs", knn.per_second, 4000, " images/s", at_most=False)],
    )
    if there:
        section.notes.append(
            f"The usual digit web app's way ({webapp.version}): Pillow opens the file, makes it grey and 28 x 28, and "
            "`model.predict` of a small convolutional network is asked for each alone. The network is made on the "
            f"spot, untrained; loading it and the first few files are not counted. {webapp.files} files: "
            f"{shown(webapp.per_second)} images/s."
        )
        ratio = knn.per_second / webapp.per_second
        section.bars.append(Bar("28 x 28 PNGs, knn, to the web app's one by one", ratio, 10, " x", at_most=False))
    else:
        section.notes.append("The web app's way: not measured, TensorFlow is not installed.")
    return section


def start(setup: Setup) -> Section:
    """Time starts, from the command to its first row."""
    picture = setup.pictures("small").originals[0]
    ways: dict[str, Callable[[], float]] = {
        f"classify ONE -m {model}, to its first row": partial(
            first_line, [*PROGRAM, "classify", str(picture), "-m", model, "-o", "-", "-q"]
        )
        for model in MODELS
    }
    imports = ["import cv2, onnxruntime", "pass"]
    tensorflow = importlib.util.find_spec("tensorflow") is not None
    imports += ["import tensorflow"] if tensorflow else []
    ways |= {f'python -c "{code}"': partial(seconds_of, [sys.executable, "-c", code]) for code in imports}
    found = best_of(ways, setup.sizes.starts)
    section = Section(
        "Start",
        [
            f"One 28 x 28 PNG, from starting the process to the first row on its stdout; the shortest of "
            f"{setup.sizes.starts} starts each, in turn."
        ],
        ("command", "seconds"),
        [(name, f"{seconds:.3f}") for name, seconds in found.items()],
    )
    for model in MODELS:
        seconds = found[f"classify ONE -m {model}, to its first row"]
        section.bars.append(Bar(f"First row, {model}", seconds, 0.6, " s"))
        if tensorflow:
            ratio = seconds / found['python -c "import tensorflow"']
            section.bars.append(Bar(f'First row, {model}, to `python -c "import tensorflow"`', ratio, 0.25, " x"))
    if not tensorflow:
        section.notes.append("TensorFlow is not installed: nothing to compare with.")
    return section


def pages(setup: Setup) -> Section:
    """Time A4 pages of a hundred digits."""
    pictures, sizes = setup.pictures("page"), few_and_many(setup.sizes.pages)
    ways = {"cnn, 2 jobs": classify("cnn", 2, *PAGE), "bare decode, colour, 2 threads": bare_decode("colour", 2)}
    found = slopes(ways, pictures, sizes, setup.sizes.repeats)
    cnn = found["cnn, 2 jobs"].per_second
    return Section(
        f"A4 pages of {LINES * PER_LINE} digits, `{' '.join(PAGE)}`",
        [
            f"Folders of {sizes[0]} and {sizes[1]} JPEG files of 1654 x 2339 pixels (200 dpi), links to "
            f"{len(pictures.originals)} distinct simulated scans: {LINES} lines of {PER_LINE} digits, {DIGIT} pixels "
            "high, each page by one hand.",
            read_right(pictures, ("cnn",), *PAGE),
        ],
        *table_of_slopes(found, "page", found["bare decode, colour, 2 threads"].each, "bare decode"),
        [Bar(f"A4 pages of {LINES * PER_LINE} digits, cnn, two jobs", cnn, 8, " pages/s", at_most=False)],
    )


def scans(setup: Setup) -> Section:
    """Time 2 MP scans of one digit, for information."""
    pictures, sizes = setup.pictures("scan"), few_and_many(setup.sizes.scans)
    ways = {f"{model}, 2 jobs": classify(model, 2) for model in MODELS}
    ways |= {f"bare decode, {how}, 2 threads": bare_decode(how, 2) for how in ("colour", "colour/2")}
    found = slopes(ways, pictures, sizes, setup.sizes.repeats)
    return Section(
        "2 MP scans, one digit each",
        [
            f"For information. Folders of {sizes[0]} and {sizes[1]} files of 1600 x 1250 and 1250 x 1600 pixels, half "
            f"of them PNG, half JPEG, links to {len(pictures.originals)} distinct simulated scans (difficulty 0 to "
            "0.2). A PNG cannot be decoded at reduced size: what OpenCV calls so is a full decode and a resize.",
            read_right(pictures, MODELS),
        ],
        *table_of_slopes(found, "scan", found["bare decode, colour, 2 threads"].each, "colour decode"),
    )


@dataclass
class Peer:
    """Another way to read digits, timed by a program of its own (`speed_ways.py`) once everything is loaded."""

    command: Sequence[str]
    version: str = ""
    files: int = 0
    seconds: list[float] = field(default_factory=list)

    @property
    def per_second(self) -> float:
        """Files, in the least disturbed run."""
        return self.files / min(self.seconds)

    def measure(self) -> None:
        """Run it once more."""
        found: dict[str, Any] = json.loads(run(self.command).splitlines()[-1])
        self.version, self.files = found["version"], found["files"]
        self.seconds.append(found["seconds"])
        tell(f"{self.version}: {self.files} in {self.seconds[-1]:.2f} s")


def peers(setup: Setup) -> Section:
    """Time 12 MP photos by other tools."""
    pictures, sizes = setup.pictures("photo"), few_and_many(setup.sizes.photos)
    folder = str(pictures.folder(setup.sizes.peers))
    found: dict[str, tuple[Peer, float]] = {}  # and how many times as fast batchdigits must be
    missing = []
    if succeeds([setup.peers_python, "-c", "import rapidocr_onnxruntime"]):
        for title, how, limit in (("recognition alone", "recognise", 4.0), ("with detection", "detect", 40.0)):
            found[f"RapidOCR, {title}"] = Peer([setup.peers_python, str(WAYS), "rapidocr", how, folder]), limit
    else:
        missing.append("RapidOCR")
    if shutil.which("tesseract"):
        found["Tesseract"] = Peer([sys.executable, str(WAYS), "tesseract", folder]), 20.0
    else:
        missing.append("Tesseract")

    def measure() -> None:
        for peer, _ in found.values():
            peer.measure()

    own = slopes({"knn, 2 jobs": classify("knn", 2)}, pictures, sizes, setup.sizes.repeats, measure)["knn, 2 jobs"]
    section = Section(
        "12 MP photos, other tools",
        [
            f"Each is given {setup.sizes.peers} of the photos as whole files, one after the other, and left to use the "
            "cores as it likes; RapidOCR is loaded, and all have read a few, before time is taken. Recognition alone "
            "takes the photo for one line of text (`use_det=False, use_cls=False`); Tesseract, a process for each "
            "file, takes it for one character (`--psm 10`, digits only). batchdigits' figure is a slope, measured "
            "again in turn with them.",
            *([f"Not measured, since not installed: {' and '.join(missing)}."] if missing else []),
        ],
        ("", "photos/s", "times as long as batchdigits"),
        [("batchdigits, knn, 2 jobs", shown(own.per_second), "")],
    )
    for name, (peer, limit) in found.items():
        ratio = own.per_second / peer.per_second
        section.rows.append((f"{name} ({peer.version})", shown(peer.per_second), shown(ratio)))
        section.bars.append(Bar(f"12 MP photos per second, knn, to {name}", ratio, limit, " x", at_most=False))
    return section


def kernels(_: Setup) -> Section:
    """Time the steps that a page passes through."""
    section = Section("Kernels", header=("kernel", "median, ms", "shortest, ms"))
    if importlib.util.find_spec("pytest_benchmark") is None:
        section.notes.append("Not measured: pytest-benchmark is not installed.")
        return section
    script = Path(__file__).with_name("test_kernels.py")
    with tempfile.TemporaryDirectory() as folder:
        found = Path(folder, "kernels.json")
        run([sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(script), f"--benchmark-json={found}"])
        benchmarks = json.loads(found.read_text(encoding="utf-8"))["benchmarks"]
    section.notes.append("In one process and one thread, by pytest-benchmark (`benchmarks/test_kernels.py`).")
    for one in benchmarks:
        name = one["name"].removeprefix("test_").replace("_", " ")
        section.rows.append((name, *(f"{1000 * one['stats'][key]:.3f}" for key in ("median", "min"))))
    return section


SECTIONS: Mapping[str, Callable[[Setup], Section]] = {
    section.__name__: section for section in (photos, memory, small, start, pages, scans, peers, kernels)
}


def table_of_slopes(
    found: Mapping[str, Slope], item: str, unit: float, unit_name: str
) -> tuple[Sequence[str], list[Sequence[str]]]:
    """Return the header and the rows of a table of ways over folders.

    Parameters
    ----------
    found : mapping of str to Slope
        What was measured.
    item : str
        What a file is called.
    unit : float
        Seconds for each file that ratios are taken to.
    unit_name : str
        What takes so long.
    """
    header = ("way", f"ms/{item}", f"{item}s/s", f"x {unit_name}", "start, s")
    rows: list[Sequence[str]] = [
        (name, shown(1000 * one.each), shown(one.per_second), shown(one.each / unit), shown(max(0.0, one.fixed)))
        for name, one in found.items()
    ]
    return header, rows


def read_right(pictures: Pictures, models: Sequence[str], *options: str) -> str:
    """Say how much of the distinct pictures is read right: nothing is won by reading nonsense fast."""
    folder = pictures.folder(len(pictures.originals))
    total = sum(len(label.replace(" ", "")) for label in pictures.labels)
    said = []
    for model in models:
        with tempfile.TemporaryDirectory() as results:
            command: Command = classify(model, 2, *options)
            run(command(folder, Path(results)))
            with Path(results, "rows.csv").open(newline="", encoding="utf-8") as file:
                read = {row["file"]: row["prediction"] for row in csv.DictReader(file)}
        wrong = sum(
            edit_distance(text.replace(" ", ""), pictures.label(name).replace(" ", "")) for name, text in read.items()
        )
        said.append(f"{total - wrong:,} by {model}")
    return f"Of the {total:,} digits in the distinct files, {' and '.join(said)} are read right."


def succeeds(command: Sequence[str]) -> bool:
    """Tell whether a program ends well."""
    try:
        return subprocess.run(command, capture_output=True, check=False).returncode == 0
    except OSError:
        return False
