"""Make the sample images again, the same bytes with the same library versions: ``python samples/make_samples.py``."""

from __future__ import annotations

import csv
import io
import zlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from batchdigits.training.pens import Pen, draw_ink
from batchdigits.training.scenes import PrintedBox, Ruling, Scene
from batchdigits.training.simulator import photograph, simulate_photo
from batchdigits.training.skeletons import draw_skeleton

Picture = NDArray[np.uint8]
Encoder = Callable[[Picture], bytes]
Maker = Callable[[np.random.Generator], bytes]

SEED = 20
HERE = Path(__file__).resolve().parent

INTRODUCTION = """# Sample images

All of these pictures are made by this project's own simulator (`batchdigits/training/simulator.py`): no photograph,
no handwriting and no data set of anyone else is in them. Like the project they are under the MIT licence. This command
makes them, `labels.csv` and this page again:

    python samples/make_samples.py

`labels.csv` says what a person reads on each page; the label of a blank or damaged file is empty.

| file | shows | why it is here |
|---|---|---|
"""


@dataclass(frozen=True, slots=True)
class Sample:
    """One file: its path below ``images``, the label of each of its pages, and how to make it."""

    file: str
    labels: tuple[str, ...]
    shows: str
    why: str
    make: Maker


def jpeg(quality: int) -> Encoder:
    """Encode as JPEG."""

    def encode(picture: Picture) -> bytes:
        return cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, quality])[1].tobytes()

    return encode


def grey_png(picture: Picture) -> bytes:
    """Encode as an 8-bit greyscale PNG, as scanners write it."""
    return saved(Image.fromarray(cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY)), "PNG", optimize=True)


def deep_png(picture: Picture) -> bytes:
    """Encode as a 16-bit greyscale PNG that uses the whole range."""
    grey = cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY).astype(np.uint16) * 257
    return cv2.imencode(".png", grey, [cv2.IMWRITE_PNG_COMPRESSION, 9])[1].tobytes()


def saved(image: Image.Image, kind: str, **options: object) -> bytes:
    """Encode with Pillow."""
    data = io.BytesIO()
    image.save(data, kind, **options)
    return data.getvalue()


def to_pillow(picture: Picture) -> Image.Image:
    """Turn BGR pixels into a Pillow image."""
    return Image.fromarray(np.ascontiguousarray(picture[:, :, ::-1]))


def exif_rotated(picture: Picture) -> bytes:
    """Store a picture lying on its side, with the EXIF orientation that sets it upright again."""
    exif = Image.Exif()
    exif[0x0112] = 6
    return saved(to_pillow(np.rot90(picture)), "JPEG", quality=80, exif=exif)


def photo(digit: int, style: str, pen: Pen, scene: Scene, encode: Encoder) -> Maker:
    """Write a digit, photograph it, encode it."""
    return lambda rng: encode(simulate_photo(digit, rng, scene=scene, style=style, pen=pen))


def blank(scene: Scene, encode: Encoder) -> Maker:
    """Photograph paper that nobody wrote on."""
    return lambda rng: encode(photograph(np.zeros((9, 9), np.float32), scene, rng))


def truncated(make: Maker) -> Maker:
    """Keep the first half of a file."""

    def half(rng: np.random.Generator) -> bytes:
        data = make(rng)
        return data[: len(data) // 2]

    return half


def mnist_like(rng: np.random.Generator) -> bytes:
    """Draw a 3 as MNIST has it: white on black, fitted into 20x20, centred by mass in 28x28."""
    ink = draw_ink(draw_skeleton(3, rng, "round"), height=20, pen=Pen("felt", 0.11), rng=rng)
    ys, xs = np.indices(ink.shape)
    top, left = (round(14 - float((ink * axis).sum() / ink.sum())) for axis in (ys, xs))
    tile = np.zeros((28, 28), np.uint8)
    tile[top : top + ink.shape[0], left : left + ink.shape[1]] = np.round(255 * ink)
    return saved(Image.fromarray(tile), "PNG")


def transparent(rng: np.random.Generator) -> bytes:
    """Draw a 6 in dark blue on nothing: every pixel is dark, only alpha tells ink from paper."""
    ink = draw_ink(draw_skeleton(6, rng, "curled"), height=220, pen=Pen("felt", 0.07), rng=rng)
    alpha = np.pad(np.round(255 * ink).astype(np.uint8), 40)
    pixels = np.dstack([np.where(alpha > 0, value, 0).astype(np.uint8) for value in (20, 20, 90)] + [alpha])
    return saved(Image.fromarray(pixels), "PNG", optimize=True)


def two_frames(rng: np.random.Generator) -> bytes:
    """Put a 2 and a 5 into the two frames of a TIFF."""
    first, second = (
        to_pillow(simulate_photo(digit, rng, scene=SCAN, style="plain" if digit == 2 else "joined", pen=BLACK))
        for digit in (2, 5)
    )
    return saved(first.convert("L"), "TIFF", save_all=True, append_images=[second.convert("L")], compression="tiff_lzw")


BLACK = Pen("ballpoint", 0.045)
FELT = Pen("felt", 0.075)

PHONE = Scene(
    size=(1600, 1200), digit_height=0.42, offset=(0.04, -0.05), rotation=1.5, paper=(224, 232, 235), texture=0.006,
    falloff=0.18, perspective=0.02, exposure=0.9, blur=0.0012, noise=0.006, jpeg_quality=None,
)  # fmt: skip
PHOTO = replace(PHONE, size=(480, 360), digit_height=0.5, blur=0.002, noise=0.01)
WIDE = replace(PHOTO, size=(360, 480), digit_height=0.6, rotation=-2.0)
SCAN = Scene(size=(300, 240), digit_height=0.6, paper=(252, 252, 252), texture=0, blur=0.002, jpeg_quality=None)
FIELD = replace(SCAN, size=(220, 200), digit_height=0.55)
BOX = PrintedBox("full", margins=(0.08, 0.08, 0.08, 0.08), thickness=0.018)
BOARD = replace(WIDE, white_on_black=True, paper=(48, 48, 46), ink=(235, 240, 240), falloff=0.25)

SAMPLES = (
    Sample("IMG_2041.jpg", ("0",), "a 0 in ballpoint, an ordinary phone photo", "size and light of a real photo",
           photo(0, "oval", BLACK, PHONE, jpeg(50))),
    Sample("IMG_2042.jpg", ("7",), "a crossed 7, phone photo, sheet a little turned", "the European 7",
           photo(7, "crossed", BLACK, replace(PHONE, rotation=-4.0, offset=(-0.08, 0.1)), jpeg(50))),
    Sample("desk-lamp.jpg", ("3",), "light from one side, dark at the other", "a global threshold fails",
           photo(3, "flat_top", FELT, replace(PHOTO, falloff=0.65), jpeg(70))),
    Sample("hard-shadow.jpg", ("5",), "a hard shadow across the sheet", "the shadow's edge is no ink",
           photo(5, "detached", FELT, replace(PHOTO, shadow=0.4, shadow_softness=0.015), jpeg(75))),
    Sample("slight-blur.jpg", ("2",), "a little out of focus", "soft edges",
           photo(2, "swan", FELT, replace(WIDE, blur=0.009), jpeg(75))),
    Sample("tilted.jpg", ("4",), "seen at an angle, the table beside the sheet", "a dark border is no ink",
           photo(4, "open_wide", FELT,
                 replace(WIDE, perspective=0.05, rotation=-6.0, edge=0.06, digit_height=0.5), jpeg(75))),
    Sample("pencil.jpg", ("6",), "soft pencil, grey and grainy", "faint ink",
           photo(6, "closed", Pen("pencil", 0.045, grain=0.4),
                 replace(PHOTO, ink=(90, 88, 88), strength=0.85), jpeg(80))),
    Sample("marker.jpg", ("8",), "thick marker", "the widest line",
           photo(8, "one_stroke", Pen("marker", 0.13), PHOTO, jpeg(75))),
    Sample("blue-ink.jpg", ("9",), "blue ballpoint", "ink that is not black",
           photo(9, "straight", BLACK, replace(PHOTO, ink=(150, 60, 25)), jpeg(75))),
    Sample("red-ink.jpg", ("1",), "red felt pen, a 1 with an upstroke", "red is as light as paper in the red channel",
           photo(1, "short_upstroke", FELT, replace(PHOTO, ink=(50, 45, 190)), jpeg(75))),
    Sample("green-ink.jpg", ("3",), "green felt pen", "ink that is not black",
           photo(3, "smooth", FELT, replace(WIDE, ink=(70, 120, 30)), jpeg(75))),
    Sample("tinted-paper.jpg", ("2",), "yellow paper, a 2 with a loop", "paper that is not white",
           photo(2, "loop", FELT, replace(PHOTO, paper=(140, 215, 235)), jpeg(75))),
    Sample("two words, a comma.jpg", ("1",), "a 1 that is a bare bar", "the name needs quotes in a CSV",
           photo(1, "bar", FELT, WIDE, jpeg(75))),
    Sample("chiffre-été.jpg", ("7",), "a 7 with a serif", "a name outside ASCII",
           photo(7, "serif", FELT, PHOTO, jpeg(75))),
    Sample("blank.jpg", ("",), "paper without a digit", "the answer is `blank`, not a digit", blank(PHOTO, jpeg(75))),
    Sample("truncated.jpg", ("",), "the first half of a JPEG", "damaged: an `error` row, and the run goes on",
           truncated(photo(8, "narrow", FELT, PHOTO, jpeg(75)))),
    Sample("empty.png", ("",), "a file of no bytes", "damaged: an `error` row, and the run goes on", lambda rng: b""),
    Sample("paper/ruled.jpg", ("5",), "ruled paper", "lines to drop",
           photo(5, "joined", FELT, replace(PHOTO, ruling=Ruling("ruled", 0.16)), jpeg(75))),
    Sample("paper/squared.jpg", ("1",), "squared paper, a 1 with a foot", "lines both ways, parallel to the digit's",
           photo(1, "foot", FELT, replace(PHOTO, ruling=Ruling("squared", 0.13)), jpeg(75))),
    Sample("paper/dotted.jpg", ("0",), "dotted paper, a slashed 0", "dots are no digits",
           photo(0, "slashed", BLACK, replace(PHOTO, ruling=Ruling("dotted", 0.12, colour=(150, 150, 150))), jpeg(75))),
    Sample("scans/page-001.png", ("6",), "clean greyscale scan", "the easy case",
           photo(6, "straight", BLACK, SCAN, grey_png)),
    Sample("scans/page-002.png", ("4",), "clean greyscale scan, an open 4", "the easy case",
           photo(4, "open", BLACK, SCAN, grey_png)),
    Sample("scans/page-003.jpg", ("9",), "scan saved as a coarse JPEG, a 9 with a curl", "JPEG's fringes around ink",
           photo(9, "curled", BLACK, SCAN, jpeg(30))),
    Sample("forms/box-whole.png", ("8",), "a printed box around the digit", "the box is no 0",
           photo(8, "two_circles", BLACK, replace(FIELD, box=BOX), grey_png)),
    Sample("forms/box-partial.png", ("2",), "two sides of a box, cut off", "a border's rest is no 1",
           photo(2, "plain", BLACK, replace(FIELD, box=replace(BOX, kind="partial", sides=("left", "bottom"),
                                                               margins=(0.03, -0.1, -0.1, 0.04))), grey_png)),
    Sample("forms/box-touching.png", ("7",), "the digit runs into its box", "ink and border are one blob",
           photo(7, "plain", BLACK, replace(FIELD, digit_height=0.72, offset=(0.0, 0.08),
                                            box=replace(BOX, thickness=0.014)), grey_png)),
    Sample("forms/photographed.jpg", ("4",), "a form's field, photographed askew", "the box is not upright",
           photo(4, "closed", BLACK, replace(PHOTO, size=(320, 320), rotation=4.0,
                                             box=replace(BOX, colour=(90, 80, 70))), jpeg(75))),
    Sample("board/chalk.jpg", ("9",), "white chalk on a blackboard", "light on dark",
           photo(9, "leaning", Pen("felt", 0.08, grain=0.5), BOARD, jpeg(75))),
    Sample("board/green.jpg", ("3",), "yellow chalk on a green board", "light on dark, in colour",
           photo(3, "round", Pen("felt", 0.08, grain=0.4),
                 replace(BOARD, paper=(62, 78, 42), ink=(160, 232, 240)), jpeg(75))),
    Sample("board/inverted.png", ("5",), "white on pure black, as drawing programs save", "light on dark, no noise",
           photo(5, "angled", FELT, replace(SCAN, white_on_black=True, paper=(0, 0, 0), ink=(255, 255, 255)),
                 grey_png)),
    Sample("formats/mnist-28x28.png", ("3",), "28x28, white on black, centred by mass", "already what models see",
           mnist_like),
    Sample("formats/transparent.png", ("6",), "ink on a transparent background", "without alpha it is all dark",
           transparent),
    Sample("formats/16-bit.png", ("0",), "16 bits per pixel", "read as 8 bits it clips to white",
           photo(0, "round", BLACK, replace(SCAN, size=(200, 200)), deep_png)),
    Sample("formats/palette.png", ("1",), "a palette of 16 colours, a 1 with a long upstroke", "pixels are indices",
           photo(1, "long_upstroke", FELT, replace(SCAN, ink=(140, 60, 30)),
                 lambda picture: saved(to_pillow(picture).quantize(16), "PNG"))),
    Sample("formats/cmyk.jpg", ("8",), "a CMYK JPEG, as printers make", "four channels, often inverted",
           photo(8, "open_top", FELT, SCAN, lambda picture: saved(to_pillow(picture).convert("CMYK"), "JPEG"))),
    Sample("formats/photo.webp", ("7",), "WebP, a crossed 7 with a serif", "a newer format",
           photo(7, "serif_crossed", FELT, PHOTO, lambda picture: saved(to_pillow(picture), "WEBP", quality=60))),
    Sample("formats/small.bmp", ("4",), "60x48 pixels, BMP", "an old format, a small picture",
           photo(4, "closed_short", FELT, replace(SCAN, size=(60, 48)),
                 lambda picture: saved(to_pillow(picture).convert("L"), "BMP"))),
    Sample("formats/two-frames.tif", ("2", "5"), "a TIFF of two frames: 2, then 5", "two pages, two rows", two_frames),
    Sample("formats/exif-rotated.jpg", ("6",), "stored on its side, EXIF orientation 6", "phones do this",
           photo(6, "loose", FELT, PHOTO, exif_rotated)),
)  # fmt: skip


def make_samples(folder: Path) -> None:
    """Write ``images``, ``labels.csv`` and ``README.md`` into a folder."""
    samples = sorted(SAMPLES, key=lambda sample: sample.file)
    for sample in samples:
        path = folder / "images" / sample.file
        path.parent.mkdir(parents=True, exist_ok=True)
        # Seeded by name, so that a new sample leaves the others as they are.
        path.write_bytes(sample.make(np.random.default_rng([SEED, zlib.crc32(sample.file.encode())])))
    with (folder / "labels.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["file", "page", "label"])
        for sample in samples:
            writer.writerows([sample.file, page, label] for page, label in enumerate(sample.labels, start=1))
    table = "".join(f"| `{sample.file}` | {sample.shows} | {sample.why} |\n" for sample in samples)
    (folder / "README.md").write_text(INTRODUCTION + table, encoding="utf-8")


if __name__ == "__main__":
    make_samples(HERE)
