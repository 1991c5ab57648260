"""Scenes: everything about a simulated photograph but the digit."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

Colour = tuple[int, int, int]  #: blue, green, red, 0-255

RulingKind = Literal["none", "ruled", "squared", "dotted"]
BoxKind = Literal["none", "full", "partial"]
Side = Literal["left", "top", "right", "bottom"]
SIDES: tuple[Side, ...] = ("left", "top", "right", "bottom")


@dataclass(frozen=True, slots=True)
class Ruling:
    """Lines printed on the sheet. Lengths are fractions of the picture's shorter side."""

    kind: RulingKind = "none"
    pitch: float = 0.2
    thickness: float = 0.006
    colour: Colour = (200, 170, 150)
    phase: tuple[float, float] = (0.5, 0.5)  #: where in a pitch the picture's corner lies, x and y, 0-1


@dataclass(frozen=True, slots=True)
class PrintedBox:
    """Border of a form's field. Lengths are fractions of the picture's shorter side."""

    kind: BoxKind = "none"
    margins: tuple[float, float, float, float] = (0.1, 0.1, 0.1, 0.1)
    """From the picture's left, top, right and bottom edge; negative is out of view."""
    sides: tuple[Side, ...] = SIDES  #: those drawn by a partial box; a full one has all
    thickness: float = 0.02
    colour: Colour = (40, 40, 40)


@dataclass(frozen=True, slots=True)
class Scene:
    """A photograph to be. Lengths are fractions of the picture's shorter side unless they say otherwise."""

    size: tuple[int, int] = (320, 320)  #: height and width of the picture, pixels
    digit_height: float = 0.55  #: of the picture's height
    offset: tuple[float, float] = (0.0, 0.0)  #: of the digit's centre, right and down
    rotation: float = 0.0  #: of the camera, degrees clockwise
    paper: Colour = (235, 240, 242)
    ink: Colour = (45, 35, 35)
    strength: float = 1.0  #: of the ink, 0-1; a pencil is faint
    texture: float = 0.01  #: standard deviation of the paper's brightness, 0-1
    specks: int = 0  #: dust and stray dots
    ruling: Ruling = Ruling()
    box: PrintedBox = PrintedBox()
    edge: float = 0.0  #: how far the table shows at one side; 0 is not at all
    table: Colour = (50, 60, 75)
    falloff: float = 0.0  #: light lost from the bright side to the dark one, 0-1
    shadow: float = 0.0  #: light lost inside a shadow, 0-1
    shadow_softness: float = 0.1  #: width of the shadow's edge
    perspective: float = 0.0  #: how far a corner may move, up to 0.08
    exposure: float = 1.0  #: brightness of the whole picture
    blur: float = 0.0  #: standard deviation of the camera's blur
    noise: float = 0.0  #: standard deviation of the sensor's noise, 0-1
    jpeg_quality: int | None = 90  #: None leaves the pixels as they are
    white_on_black: bool = False  #: chalk on a board: `ink` covers a dark `paper` instead of colouring it

    def __post_init__(self) -> None:
        """Refuse what no picture can have."""
        if min(self.size) < 8:
            raise ValueError(f"a picture of {self.size[0]}x{self.size[1]} pixels is too small")
        if not 0 <= self.perspective <= 0.08:
            raise ValueError(f"perspective is a fraction of the shorter side, at most 0.08, not {self.perspective}")


_INKS: tuple[Colour, ...] = (
    (35, 30, 30),  # black
    (60, 55, 55),  # worn black
    (140, 55, 30),  # blue
    (110, 40, 25),  # dark blue
    (45, 40, 175),  # red
    (60, 110, 35),  # green
    (120, 40, 95),  # violet
)
_INK_SHARES = (0.38, 0.12, 0.22, 0.1, 0.08, 0.06, 0.04)
_RULINGS: tuple[Colour, ...] = ((215, 190, 165), (190, 190, 190), (200, 160, 130), (170, 165, 215), (185, 205, 175))


def random_scene(rng: np.random.Generator, *, difficulty: float = 0.5) -> Scene:
    """Draw a scene.

    Parameters
    ----------
    rng : numpy.random.Generator
    difficulty : float
        0 is a clean scan, 0.5 an ordinary phone photo, 1 as bad as a person still reads.
    """
    hard = float(np.clip(difficulty, 0, 1))
    short = int(rng.integers(160, 340))
    height, width = short, int(short * rng.uniform(0.85, 1.35))
    if rng.random() < 0.5:
        height, width = width, height
    digit_height = float(rng.uniform(0.75 - 0.4 * hard, 0.8)) * min(1.0, 1.15 * width / height)
    room = np.array([0.5 * width - 0.4 * digit_height * height, 0.5 * (1 - digit_height) * height]) / min(height, width)
    offset = rng.uniform(-1, 1, 2) * np.maximum(room, 0) * (0.3 + 0.4 * hard)
    chalk = rng.random() < 0.08
    box = _random_box(rng) if not chalk and rng.random() < 0.25 else PrintedBox()
    lined = not chalk and box.kind == "none" and rng.random() < 0.15 + 0.25 * hard
    faint = not chalk and rng.random() < 0.2
    shade = rng.random() < 0.5 * hard
    return Scene(
        size=(height, width),
        digit_height=digit_height,
        offset=(float(offset[0]), float(offset[1])),
        rotation=float(rng.normal(0, 0.5 + 3 * hard)),
        paper=_random_board(rng) if chalk else _random_paper(rng, hard),
        ink=_random_chalk(rng) if chalk else _random_ink(rng),
        strength=float(rng.uniform(0.85 - 0.35 * hard, 0.9) if faint else rng.uniform(0.88, 1)),
        texture=float(rng.uniform(0, 0.006 + 0.022 * hard)),
        specks=int(rng.poisson(3 * hard)) if rng.random() < 0.3 else 0,
        ruling=_random_ruling(rng) if lined else Ruling(),
        box=box,
        edge=float(rng.uniform(0.03, 0.1)) if not chalk and rng.random() < 0.15 * hard else 0.0,
        table=_tint(rng, rng.uniform(30, 110), 18),
        falloff=float(rng.uniform(0, 0.04 + 0.5 * hard)),
        shadow=float(rng.uniform(0.1, 0.2 + 0.4 * hard)) if shade else 0.0,
        shadow_softness=float(np.exp(rng.uniform(np.log(0.01), np.log(0.5)))),
        perspective=float(rng.uniform(0, 0.06 * hard)),
        exposure=float(rng.uniform(1 - 0.4 * hard, 1.03)),
        blur=float(rng.uniform(0, 0.001 + 0.0065 * hard)),
        noise=float(rng.uniform(0, 0.004 + 0.03 * hard)),
        jpeg_quality=int(rng.integers(round(92 - 50 * hard), 97)),
        white_on_black=chalk,
    )


def random_small_scene(rng: np.random.Generator, *, difficulty: float = 0.5) -> Scene:
    """Draw a scene as `random_scene` does, its picture half to fully as large.

    Training sees thousands: imaging takes half the time for them, and tiles show little difference.
    """
    scene = random_scene(rng, difficulty=difficulty)
    factor = rng.uniform(0.5, 1)
    return replace(scene, size=(max(72, round(scene.size[0] * factor)), max(72, round(scene.size[1] * factor))))


def _tint(rng: np.random.Generator, grey: float, spread: float) -> Colour:
    """Pick a colour near a grey."""
    blue, green, red = np.clip(grey + rng.normal(0, spread, 3), 0, 255).astype(int).tolist()
    return blue, green, red


def _random_paper(rng: np.random.Generator, hard: float) -> Colour:
    """Pick white paper, at times with a warm or a pastel tint."""
    if rng.random() < 0.3 * hard:
        return _tint(rng, 215, 17)
    grey = rng.uniform(245 - 40 * hard, 255)
    warm = rng.normal(0, 5)
    return _tint(rng, grey, 1.5) if rng.random() < 0.4 else (int(grey - abs(warm)), int(grey), min(255, int(grey + 2)))


def _random_board(rng: np.random.Generator) -> Colour:
    """Pick a blackboard, a green board, or the black of an inverted drawing."""
    boards: tuple[Colour, ...] = ((45, 45, 45), (60, 70, 45), (0, 0, 0), (55, 40, 35))
    return boards[int(rng.integers(len(boards)))]


def _random_chalk(rng: np.random.Generator) -> Colour:
    """Pick white or yellow chalk."""
    return (250, 250, 250) if rng.random() < 0.7 else (170, 235, 245)


def _random_ink(rng: np.random.Generator) -> Colour:
    """Pick an ink: mostly black or blue."""
    blue, green, red = _INKS[int(rng.choice(len(_INKS), p=_INK_SHARES))]
    shift = rng.integers(-12, 13, 3)
    return max(0, blue + int(shift[0])), max(0, green + int(shift[1])), max(0, red + int(shift[2]))


def _random_ruling(rng: np.random.Generator) -> Ruling:
    """Pick ruled, squared or dotted paper."""
    kinds: tuple[RulingKind, ...] = ("ruled", "squared", "dotted")
    return Ruling(
        kind=kinds[int(rng.integers(3))],
        pitch=float(rng.uniform(0.12, 0.45)),
        thickness=float(rng.uniform(0.004, 0.011)),
        colour=_RULINGS[int(rng.integers(len(_RULINGS)))],
        phase=(float(rng.random()), float(rng.random())),
    )


def _random_box(rng: np.random.Generator) -> PrintedBox:
    """Pick a form's field: whole, or cut so that only some of its sides are in view."""
    left, top, right, bottom = rng.uniform(-0.02, 0.09, 4).tolist()
    grey = rng.uniform(10, 140)
    sides = tuple(side for side in SIDES if rng.random() < 0.6)
    return PrintedBox(
        kind="full" if rng.random() < 0.5 else "partial",
        margins=(left, top, right, bottom),
        sides=sides or ("left",),
        thickness=float(rng.uniform(0.006, 0.03)),
        colour=(40, 50, 200) if rng.random() < 0.1 else _tint(rng, grey, 4),
    )
