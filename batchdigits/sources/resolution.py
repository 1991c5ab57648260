"""At how many pixels a PDF page is drawn: those of the picture that was scanned into it, where there is one."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

_POINTS = 72  # to the inch
_VECTOR = 300  # dpi, of a page that no picture decides
_FINEST = 600  # dpi, that a picture asks for which is only a part of its page
_COARSEST = 150  # dpi, at which lines and letters drawn over a picture are still seen
_LONG = 3508  # pixels of an A4 page at 300 dpi: more than those are not added to a picture for what is drawn over it
_PAGE = 0.5  # share of the page that pictures cover together if it is a scan
_PART = 0.1  # and if they have a say at all: a logo or a stamp has none
_SAME = 1.02  # ratio of the two sides' resolutions that only rounding tells apart; a fax has 2


class Placed(NamedTuple):
    """A picture as it lies on an upright page."""

    across: float  #: pixels per point, horizontally
    down: float  #: and vertically
    cover: float  #: share of the page, 0-1

    @property
    def finest(self) -> float:
        """Pixels per point, of the side that has more."""
        return max(self.across, self.down)


def page_size(
    width: float, height: float, pictures: Sequence[Placed], *, drawn: bool = False, max_pixels: int
) -> tuple[int, int]:
    """Find how large to draw a page.

    Parameters
    ----------
    width, height : float
        Of the upright page, in points.
    pictures : sequence of Placed
        On that page, in any order. Strips of one scan count together.
    drawn : bool
        Whether there is more to see than pictures.
    max_pixels : int
        What the page may have at most. It is drawn coarser for that.

    Returns
    -------
    tuple of int
        Width and height in pixels. If a single picture fills the page, they are its own.
    """
    scan, part = _deciding(pictures, _PAGE), _deciding(pictures, _PART)
    own = scan.finest if scan else _VECTOR / _POINTS
    wanted = max(own, min(part.finest, _FINEST / _POINTS) if part else 0.0)
    if scan and wanted == own and max(scan.across, scan.down) <= _SAME * min(scan.across, scan.down):
        across, down = scan.across, scan.down
    else:
        across = down = wanted
    if scan and drawn:
        long = max(width, height)
        factor = max(1, math.ceil(min(long * _COARSEST / _POINTS, _LONG) / (long * wanted) - 0.01))
        across, down = across * factor, down * factor
    fit = min(1.0, math.sqrt(max_pixels / (width * across * height * down)))
    whole = round if fit == 1.0 else math.floor
    return (
        min(max(1, whole(width * across * fit)), max_pixels),
        min(max(1, whole(height * down * fit)), max_pixels),
    )


def _deciding(pictures: Sequence[Placed], share: float) -> Placed | None:
    """Return the picture that, with all finer ones, covers that share of the page."""
    cover = 0.0
    for picture in sorted(pictures, key=lambda picture: -picture.finest):
        cover += picture.cover
        if cover >= share:
            return picture
    return None


def reduced(size: tuple[int, int], reduce_to: int | None) -> tuple[int, int]:
    """Return 1/2, 1/4 or 1/8 of a size, the smallest whose long side is at least so many pixels; or the size."""
    for factor in (8, 4, 2):
        if reduce_to is not None and max(size) >= factor * reduce_to:
            return -(-size[0] // factor), -(-size[1] // factor)
    return size
