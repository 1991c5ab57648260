"""Pictures of single rows for the report: the photo around the digit, and its tile."""

from __future__ import annotations

import base64
from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial

import cv2
import numpy as np
from numpy.typing import NDArray

from batchdigits.errors import PageError
from batchdigits.imaging.settings import ImagingSettings
from batchdigits.looking import first_size, look
from batchdigits.sources.documents import read_page
from batchdigits.sources.walk import Source
from batchdigits.types import Box, Layout, Page, PageId, Tiles

_SIDE, _WIDE = 160, 320  # pixels of a thumbnail's longer side: of a digit, of a text
_MARGIN = 0.5  # of a digit's size, around it


@dataclass(frozen=True, slots=True)
class Shot:
    """What to show of a page, as data addresses."""

    photo: str
    tile: str = ""  #: empty for texts and blank pages


def take_shots(
    pages: Iterable[PageId], *, sources: Iterable[Source], settings: ImagingSettings, layout: Layout
) -> dict[PageId, Shot]:
    """Take pictures of some pages; those that cannot be read have none.

    Parameters
    ----------
    pages : iterable of PageId
        What to show.
    sources : iterable of Source
        The files that they are of.
    settings : ImagingSettings
        Of the model.
    layout : Layout
        What was looked for.
    """
    named = {source.name: source for source in sources}
    shots = {}
    for id in dict.fromkeys(pages):
        source = named.get(id.file)
        if source is None or source.problem:
            continue
        try:
            page = read_page(source.path, id, first_size(settings, layout))
            tiles, *_ = look(page, settings, layout, partial(read_page, source.path, id))
        except PageError:
            continue
        shots[id] = _shoot(page, tiles)
    return shots


def show_picture(pixels: NDArray[np.uint8], tile: NDArray[np.float32]) -> Shot:
    """Show a picture, dark on light, that holds nothing but a digit, and its tile."""
    return Shot(_as_jpeg(pixels, _SIDE), _as_png(tile))


def _shoot(page: Page, tiles: Tiles) -> Shot:
    if tiles.layout is not Layout.DIGIT or not tiles.boxes:
        return Shot(_as_jpeg(page.pixels, _WIDE if tiles.layout is not Layout.DIGIT else _SIDE))
    return Shot(_as_jpeg(_crop(page, tiles.boxes[0]), _SIDE), _as_png(tiles.pixels[0]))


def _crop(page: Page, box: Box) -> NDArray[np.uint8]:
    """Cut out a box, given in the original's pixels, with paper around it."""
    margin = _MARGIN * box.longer
    height, width = page.pixels.shape[:2]
    left, right = ((x - page.origin[0]) / page.scale[0] for x in (box.left - margin, box.right + margin))
    top, bottom = ((y - page.origin[1]) / page.scale[1] for y in (box.top - margin, box.bottom + margin))
    rows = slice(max(0, round(top)), max(1, min(height, round(bottom))))
    return page.pixels[rows, max(0, round(left)) : max(1, min(width, round(right)))]


def _as_jpeg(pixels: NDArray[np.uint8], side: int) -> str:
    factor = side / max(pixels.shape[:2])
    size = (max(1, round(pixels.shape[1] * factor)), max(1, round(pixels.shape[0] * factor)))
    small = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA if factor < 1 else cv2.INTER_LINEAR)
    _, data = cv2.imencode(".jpg", small, [cv2.IMWRITE_JPEG_QUALITY, 75])
    return "data:image/jpeg;base64," + base64.b64encode(data.tobytes()).decode()


def _as_png(tile: NDArray[np.float32]) -> str:
    _, data = cv2.imencode(".png", np.rint(255 * (1 - tile)).astype(np.uint8))
    return "data:image/png;base64," + base64.b64encode(data.tobytes()).decode()
