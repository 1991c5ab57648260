"""Rulings and printed borders, once they are found: removed without the strokes that cross them."""

from __future__ import annotations

import cv2
import numpy as np

from batchdigits.imaging.lines import Line, Mask, margin_of
from batchdigits.imaging.ranks import median
from batchdigits.imaging.segment import boxes_of
from batchdigits.imaging.straight import runs_down


def remove_lines(mask: Mask, lines: tuple[Line, ...]) -> Mask:
    """Remove lines, keeping each stroke that crosses one.

    Where a run of ink across the line is hardly longer than the line is thick, it is line and nothing else; where it
    is half as long again, a stroke passes there and the whole run stays. The mask may show the lines thicker than the
    one they were found in, as a lower threshold does.

    Returns
    -------
    (H, W) ndarray of uint8
        0 paper, 255 marks; a subset of `mask`.
    """
    cleaned = mask.copy()
    for vertical in (False, True):
        view = cleaned.T if vertical else cleaned
        source = mask.T if vertical else mask
        chosen = [line for line in lines if line.vertical is vertical]
        if not chosen:
            continue
        runs = runs_down(source)
        number = runs.numbers()
        removed = np.zeros(len(runs.top), np.bool_)
        for line in chosen:
            crossed = number[line.centre, np.arange(line.start, line.stop)]
            length = runs.length[crossed]
            thickness = median(length[line.hit])
            removed[crossed[line.hit & (length <= 1.5 * thickness + 1)]] = True
        view[removed[number]] = 0
    return cleaned


def drop_remains(ink: Mask, lines: tuple[Line, ...]) -> Mask:
    """Remove the little that is left of lines, as where two cross and each hides the other's thickness.

    Parameters
    ----------
    ink : (H, W) ndarray of uint8
        0 paper, 255 ink, without the lines.
    lines : tuple of Line
        The lines.

    Returns
    -------
    (H, W) ndarray of uint8
        A subset of `ink`: without the connected parts that lie along the lines, or where one runs out of view, with all
        that they have, and either touch the picture's edge or are hardly longer than a line is thick; and without the
        slivers along the edge.
    """
    if not lines:
        return ink
    bands = np.zeros_like(ink)
    for line in lines:
        extent = ink.shape[0] if line.vertical else ink.shape[1]
        margin = round(margin_of(extent, line.thickness))
        start = 0 if line.start <= margin else line.start - margin
        stop = extent if line.stop >= extent - margin else line.stop + margin
        along = np.concatenate([[start], np.arange(line.start, line.stop), [stop - 1]])
        first = line.centre[0] - line.slope * (line.start - start)
        across = np.concatenate([[first], line.centre, [line.centre[-1] + line.slope * (stop - line.stop)]])
        points = np.rint(np.stack((across, along) if line.vertical else (along, across), axis=1)).astype(np.int32)
        cv2.polylines(bands, [points], isClosed=False, color=255, thickness=2 * round(line.thickness) + 3)
    count, labels = cv2.connectedComponents(ink, connectivity=8)
    places = np.flatnonzero(ink > 0)
    owner = np.asarray(labels.ravel()[places], dtype=np.int32)
    outside = np.bincount(owner[bands.ravel()[places] == 0], minlength=count) > 0
    left, top, right, bottom = boxes_of(owner, places, ink.shape[1], count).T
    inside = (left > 1) & (top > 1) & (right < ink.shape[1] - 1) & (bottom < ink.shape[0] - 1)
    long = np.maximum(right - left, bottom - top) > 4 * max(line.thickness for line in lines) + 6
    sliver = ~inside & (np.minimum(right - left, bottom - top) <= 2)
    kept = np.zeros_like(ink)
    kept.ravel()[places[((outside & ~sliver) | (inside & long))[owner]]] = 255
    return kept


def mend_strokes(ink: Mask, removed: Mask, lines: tuple[Line, ...]) -> Mask:
    """Give back what was taken of strokes that ran along a line for a while or crossed it at a flat angle.

    Parameters
    ----------
    ink : (H, W) ndarray of uint8
        0 paper, 255 ink, without the lines.
    removed : (H, W) ndarray of uint8
        0 paper, else ink that went with the lines.
    lines : tuple of Line
        The lines.

    Returns
    -------
    (H, W) ndarray of uint8
        0 paper, 255 ink: removed ink is back where there is ink on both sides of it, no further apart than a line is
        thick.
    """
    if not lines:
        return ink
    side = round(max(line.thickness for line in lines)) + 3
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side))
    padded = np.pad(ink, side)
    closed = cv2.morphologyEx(padded, cv2.MORPH_CLOSE, disc)[side:-side, side:-side]
    return np.where((closed > 0) & (removed > 0), np.uint8(255), ink)
