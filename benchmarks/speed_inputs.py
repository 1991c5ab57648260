"""What the speed suite measures on: pictures by the project's own simulator, the same ones on every machine.

Only some are distinct. A folder of hundreds is made of links to them, each under a name of its own: nothing that is
measured looks at a name's content twice, and the disk and the wait stay small.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
from joblib import Parallel, delayed
from numpy.typing import NDArray

from batchdigits.imaging.normalise import make_tile
from batchdigits.imaging.settings import ImagingSettings
from batchdigits.training.pens import draw_ink, random_pen
from batchdigits.training.simulator import for_pencil, photograph, random_scene, simulate_ink, simulate_photo
from batchdigits.training.skeletons import draw_skeleton

SEED = 70
PHOTO = (4000, 3000)  # long and short side, pixels: 12 MP
SCAN = (1600, 1250)  # 2 MP
A4 = (2339, 1654)  # height and width at 200 dpi
LINES, PER_LINE = 10, 10  # of digits on a page
DIGIT = 66  # height of a digit on a page, pixels: 8 mm, as in the boxes of a form
QUALITY = 90  # of all JPEGs

Picture = NDArray[np.uint8]


@dataclass(frozen=True)
class Kind:
    """A kind of picture."""

    name: str
    draw: Callable[[np.random.Generator, int], tuple[Picture, str]]  #: the picture of a number, and what it shows
    suffix: Callable[[int], str]


@dataclass(frozen=True)
class Pictures:
    """Distinct pictures of one kind, and the folders made of them."""

    originals: tuple[Path, ...]
    labels: tuple[str, ...]  #: what they show; a space between lines
    place: Path  #: where folders of them are made

    def folder(self, count: int) -> Path:
        """Return a folder of so many pictures: the distinct ones, over and over."""
        folder = self.place / f"{count} of {len(self.originals)}"
        folder.mkdir(exist_ok=True)
        for number in range(count):
            source = self.originals[number % len(self.originals)]
            path = folder / f"{number:05}{source.suffix}"
            if not path.exists():
                try:
                    os.link(source, path)
                except OSError:  # not every file system has links, nor any number of them
                    shutil.copy(source, path)
        return folder

    def label(self, file: str) -> str:
        """Return what a file in one of these folders shows."""
        return self.labels[int(Path(file).stem) % len(self.labels)]

    @property
    def megabytes(self) -> float:
        """Mean size of a file."""
        return sum(path.stat().st_size for path in self.originals) / len(self.originals) / 1e6


def draw_photo(rng: np.random.Generator, number: int, difficulty: float = 0.5) -> tuple[Picture, str]:
    """Take an ordinary phone photo of 12 MP, every other one upright: (H, W, 3) BGR."""
    return _draw_single(rng, number, PHOTO, difficulty)


def draw_scan(rng: np.random.Generator, number: int) -> tuple[Picture, str]:
    """Scan a digit at 2 MP: (H, W, 3) BGR."""
    return _draw_single(rng, number, SCAN, rng.uniform(0, 0.2))


def _draw_single(
    rng: np.random.Generator, number: int, sides: tuple[int, int], difficulty: float
) -> tuple[Picture, str]:
    scene = random_scene(rng, difficulty=difficulty)
    scene = replace(
        scene,
        size=sides if number % 2 else sides[::-1],
        digit_height=rng.uniform(0.3, 0.7),
        offset=(scene.offset[0] / 2, scene.offset[1] / 2),  # it was drawn for a digit of another height
        jpeg_quality=None,
    )
    return simulate_photo(number % 10, rng, difficulty=difficulty, scene=scene), str(number % 10)


def draw_small(rng: np.random.Generator, number: int) -> tuple[Picture, str]:
    """Draw a digit as MNIST has them, white on black: (28, 28)."""
    ink, _ = simulate_ink(number % 10, replace(random_scene(rng), size=(112, 112), digit_height=0.75), rng)
    return np.rint(make_tile(ink, ImagingSettings()) * 255).astype(np.uint8), str(number % 10)


def draw_page(rng: np.random.Generator, number: int) -> tuple[Picture, str]:
    """Scan an A4 page of a hundred digits by one hand: (2339, 1654, 3) BGR."""
    scene = random_scene(rng, difficulty=0.2)
    while scene.white_on_black or scene.box.kind != "none" or scene.ruling.kind != "none":
        scene = random_scene(rng, difficulty=0.2)
    pen = replace(random_pen(rng), blotches=0)
    if pen.kind == "pencil":
        scene = for_pencil(scene, rng)
    labels = rng.integers(0, 10, (LINES, PER_LINE))
    ink = np.zeros(A4, np.float32)
    pitch = A4[0] / (LINES + 1), A4[1] / (PER_LINE + 1)
    for (line, place), label in np.ndenumerate(labels):
        height = round(DIGIT * float(np.clip(rng.normal(1, 0.07), 0.8, 1.2)))
        digit = draw_ink(draw_skeleton(int(label), rng, wobble=0.7), height=height, pen=pen, rng=rng)
        middle = (line + 1) * pitch[0] + rng.normal(0, 4), (place + 1) * pitch[1] + rng.normal(0, 8)
        top, left = (round(at - side / 2) for at, side in zip(middle, digit.shape, strict=True))
        ink[top : top + digit.shape[0], left : left + digit.shape[1]] = digit
    scene = replace(scene, size=A4, digit_height=1.0, offset=(0.0, 0.0), specks=0, edge=0.0, jpeg_quality=None)
    # nothing in a scanner throws a shadow, and its glass holds the page flat
    scene = replace(scene, shadow=0.0, perspective=0.0, blur=min(scene.blur, 0.001))
    text = " ".join("".join(map(str, line)) for line in labels)
    return photograph(ink, scene, rng), text


KINDS: Mapping[str, Kind] = {
    kind.name: kind
    for kind in (
        Kind("photo", draw_photo, lambda _: ".jpg"),
        Kind("scan", draw_scan, lambda number: ".jpg" if number % 4 < 2 else ".png"),
        Kind("small", draw_small, lambda _: ".png"),
        Kind("page", draw_page, lambda _: ".jpg"),
    )
}


def draw(kind: str, number: int) -> tuple[Picture, str]:
    """Draw one picture of a kind; the same number gives the same pixels."""
    rng = np.random.default_rng((SEED, tuple(KINDS).index(kind), number))
    return KINDS[kind].draw(rng, number)


def make_pictures(kind: str, count: int, inputs: Path) -> Pictures:
    """Make so many distinct pictures of a kind, but for those that an earlier run has left there."""
    place = inputs / kind
    originals = place / "distinct"
    originals.mkdir(parents=True, exist_ok=True)
    paths = [originals / f"{number:05}{KINDS[kind].suffix(number)}" for number in range(count)]
    # the label is written last: where it is, the picture is whole
    missing = [number for number, path in enumerate(paths) if not path.with_suffix(".txt").exists()]
    Parallel(n_jobs=os.cpu_count())(delayed(_make)(kind, number, paths[number]) for number in missing)
    labels = tuple(path.with_suffix(".txt").read_text(encoding="utf-8") for path in paths)
    return Pictures(tuple(paths), labels, place)


def _make(kind: str, number: int, path: Path) -> None:
    cv2.setNumThreads(1)
    pixels, label = draw(kind, number)
    _, data = cv2.imencode(path.suffix, pixels, [cv2.IMWRITE_JPEG_QUALITY, QUALITY] if path.suffix == ".jpg" else [])
    with contextlib.suppress(FileNotFoundError):
        path.unlink()  # folders may hold links to the old one
    path.write_bytes(data.tobytes())
    path.with_suffix(".txt").write_text(label, encoding="utf-8")
