"""Regions: the parts of a page to read, as a user writes them."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass

from batchdigits.errors import UsageError
from batchdigits.types import Box

_NUMBER = re.compile(r"\s*(\d+(?:\.\d+)?)\s*(%?)\s*")


@dataclass(frozen=True, slots=True)
class Region:
    """A rectangle of the upright page, in pixels or percent of its size."""

    name: str
    values: tuple[float, float, float, float]  #: x, y, width, height
    percent: tuple[bool, bool, bool, bool]

    def on_page(self, width: int, height: int) -> Box:
        """Return the part of a page of this size, in its pixels; empty (right <= left) if it lies outside."""
        full = (width, height, width, height)
        x, y, w, h = (
            value * side / 100 if percent else value
            for value, percent, side in zip(self.values, self.percent, full, strict=True)
        )
        return Box(round(min(x, width)), round(min(y, height)), round(min(x + w, width)), round(min(y + h, height)))


def parse_region(text: str) -> Region:
    """Read ``x,y,w,h`` or ``NAME=x,y,w,h``; every number may end in ``%``.

    Raises
    ------
    UsageError
        If the text is not of that form, or the region is empty.
    """
    text = os.fsencode(text).decode("utf-8", "backslashreplace")  # as names of files that are not UTF-8
    name, equals, numbers = text.rpartition("=")
    parts = [_NUMBER.fullmatch(part) for part in numbers.split(",")]
    if len(parts) != 4 or None in parts or (equals and not name.strip()):
        raise UsageError(
            f"--region {text!r} is not of the form x,y,w,h or NAME=x,y,w,h (pixels, or percent as in 10%,20%,30%,5%)."
        )
    found = [part for part in parts if part is not None]
    values = tuple(float(part[1]) for part in found)
    percent = tuple(part[2] == "%" for part in found)
    if values[2] <= 0 or values[3] <= 0:
        raise UsageError(f"--region {text!r} has no width or no height.")
    return Region(
        name.strip() if equals else numbers.replace(" ", ""),
        (values[0], values[1], values[2], values[3]),
        (percent[0], percent[1], percent[2], percent[3]),
    )


def parse_regions(texts: list[str]) -> tuple[Region, ...]:
    """Read several regions; return them sorted by name, the order of their rows.

    Raises
    ------
    UsageError
        If one is malformed, or two have the same name.
    """
    regions = sorted((parse_region(text) for text in texts), key=lambda region: region.name)
    for first, second in zip(regions, regions[1:], strict=False):
        if first.name == second.name:
            raise UsageError(
                f"Two regions are called {first.name!r}. Give each its own name, as in --region NAME=x,y,w,h."
            )
    return tuple(regions)
