"""The values that flow through the pipeline. No logic beyond checks of their own shape."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

from batchdigits.pickling import by_fields

if TYPE_CHECKING:  # annotations only: naming a type must not cost the command line an import of numpy
    import numpy as np
    from numpy.typing import NDArray


class Box(NamedTuple):
    """Rectangle in page pixels, origin top-left, right and bottom exclusive."""

    left: int
    top: int
    right: int
    bottom: int

    @property
    def width(self) -> int:
        """Pixels from left to right."""
        return self.right - self.left

    @property
    def height(self) -> int:
        """Pixels from top to bottom."""
        return self.bottom - self.top

    @property
    def longer(self) -> int:
        """Pixels of the longer side."""
        return max(self.width, self.height)

    @property
    def shorter(self) -> int:
        """Pixels of the shorter side."""
        return min(self.width, self.height)

    def union(self, other: Box) -> Box:
        """Return the smallest box that holds both."""
        return Box(
            min(self.left, other.left),
            min(self.top, other.top),
            max(self.right, other.right),
            max(self.bottom, other.bottom),
        )


class PageId(NamedTuple):
    """What one row is about, and the order of rows."""

    file: str  #: path relative to its input folder, `/` as separator
    number: int = 1  #: 1-based TIFF frame, 1 for a photo  (`index` would shadow tuple.index)
    region: str = ""  #: name of the region, empty for the whole page

    @property
    def title(self) -> str:
        """What people call it: the file, its page if it is not the first, the region."""
        page = f"page {self.number}" if self.number > 1 else ""
        return " ".join(part for part in (self.file, page, self.region) if part)


@dataclass(frozen=True, slots=True, eq=False)  # eq=False: == on arrays raises
class Page:
    """One upright picture, ready for imaging."""

    id: PageId
    pixels: NDArray[np.uint8]  #: (H, W, 3) BGR, upright, transparent parts white
    scale: tuple[float, float] = (1.0, 1.0)  #: upright original's pixels per pixel here, (x, y)
    origin: tuple[float, float] = (0.0, 0.0)  #: of this picture in the upright original, (x, y) in its pixels


class Layout(StrEnum):
    """What to look for in a picture."""

    DIGIT = "digit"  #: its one digit
    NUMBER = "number"  #: the digits of its one line
    PAGE = "page"  #: lines of digits, whichever way up


class Span(NamedTuple):
    """Neighbouring pieces of a line of writing, taken together for one digit."""

    start: int  #: the first piece, counted along the line
    stop: int  #: one past the last
    tile: int  #: which of the page's candidates that is
    prior: float  #: how likely pieces that lie like these are one digit, whatever they show, 0-1


class Stain(NamedTuple):
    """Neighbouring pieces that may be no part of the text at all."""

    start: int  #: the first piece, counted along the line
    stop: int  #: one past the last
    prior: float  #: how likely a mark of that size is none, whatever it shows, 0-1
    alike: float = 0.0  #: the share of such marks that look just like a digit all the same, 0-1


class TextLine(NamedTuple):
    """A line of writing: pieces of ink from left to right, and what they may be."""

    pieces: int  #: how many; every one belongs to a digit or to a stain
    spans: tuple[Span, ...]  #: all that might be a digit
    stains: tuple[Stain, ...]


class Arrangement(NamedTuple):
    """The lines that a page has if it is held one way up."""

    turns: int  #: quarter turns counter-clockwise that bring the picture there
    lines: tuple[TextLine, ...]  #: top to bottom


class Variant(StrEnum):
    """What a candidate for the one digit of a picture is made of."""

    WHOLE = "whole"  #: all strokes that may be its own
    CORE = "core"  #: without those that lie apart, such as the bar of a 5, or a tick
    WITH_LINES = "with_lines"  #: and with lines that were taken for rulings


@by_fields
@dataclass(frozen=True, slots=True, eq=False)
class Tiles:
    """The N digit candidates of one page, ready for a classifier."""

    page: PageId
    boxes: tuple[Box, ...]  #: in the upright original's pixels
    pixels: NDArray[np.float32]  #: (N, 28, 28), 0 = paper, 1 = ink
    notes: tuple[str, ...] = ()  #: stable codes of what imaging doubts, such as ``several_digits``
    layout: Layout = Layout.DIGIT  #: what was looked for
    arrangements: tuple[Arrangement, ...] = ()  #: of numbers and pages; empty without ink
    faults: tuple[str, ...] = ()  #: stable codes of what makes the picture hard to read, such as ``blurred``
    variants: tuple[Variant, ...] = (Variant.WHOLE,)  #: of one digit: what each candidate is; the whole comes first
    other_notes: tuple[tuple[str, ...], ...] = ()  #: instead of `notes`, for each variant after the first
    unless_blank: str = ""  #: this is ink only if it looks like a digit, and then in doubt for this reason

    def __post_init__(self) -> None:
        """Stop a wrong shape where it is made."""
        if self.pixels.shape != (len(self.boxes), 28, 28):
            raise ValueError(f"tiles are {self.pixels.shape}, expected ({len(self.boxes)}, 28, 28)")
        if len(self.other_notes) != len(self.variants) - 1:
            raise ValueError(f"{len(self.variants)} variants need notes for all but the first")


class Status(StrEnum):
    """What a user may do with a row."""

    OK = "ok"
    REVIEW = "review"
    BLANK = "blank"
    ERROR = "error"


class Digit(NamedTuple):
    """One digit read."""

    box: Box  #: in the upright original's pixels
    digit: int
    confidence: float  #: calibrated probability of `digit`, 0-1
    probabilities: tuple[float, ...]  #: ten, calibrated


@dataclass(frozen=True, slots=True)
class Row:
    """One page (or region) of the output, good or bad."""

    page: PageId
    prediction: str  #: digits as text, empty when there is none
    confidence: float  #: calibrated probability that the whole `prediction` is right, 0 without one
    status: Status
    reason: str = ""  #: short stable code, empty for ok
    second: str = ""  #: the next best prediction
    second_confidence: float = 0.0
    digits: tuple[Digit, ...] = ()
    model: str = ""  #: name and digest
    detail: str = ""  #: for people: what went wrong with this page, never part of the CSV

    @property
    def box(self) -> Box | None:
        """The box around all digits read, or None."""
        if not self.digits:
            return None
        box = self.digits[0].box
        for digit in self.digits[1:]:
            box = box.union(digit.box)
        return box
