"""Contours to digits: which marks belong to the digit, and which are dirt, edges or neighbours."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from batchdigits.imaging.settings import ImagingSettings
from batchdigits.types import Box

_FLAT = 0.25  # height of a flat mark, of its width
_SPECK = 0.03  # of the picture's longer side
_BREAK = 0.05  # of a digit: as far as a stroke that the pen or the threshold has broken jumps
_DOT = 4.0  # pixels: anything smaller is no part,
_PALEST = 0.25  # or anything with less ink than that share of them
_MAIN = 0.5  # of the ink: with less, a fragment is no digit of its own


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """One connected mark."""

    label: int  #: its value in the label image
    box: Box
    mass: float  #: sum of its contrast
    level: float  #: mean of its contrast
    thickness: float  #: widest place of its stroke, pixels
    edges: tuple[bool, bool, bool, bool]  #: which of the picture's edges it touches: left, top, right, bottom


@dataclass(frozen=True, slots=True, eq=False)
class Group:
    """The parts of one digit candidate."""

    labels: tuple[int, ...]
    box: Box
    mass: float
    written: bool  #: with a stroke in it; else it is of solid spots alone

    def mask(self, labels: NDArray[np.int32]) -> NDArray[np.uint8]:
        """Return the group alone: (H, W) uint8, 0 paper, 255 ink."""
        alone = len(self.labels) == 1
        own = labels == self.labels[0] if alone else np.isin(labels, self.labels)
        return np.asarray(own * np.uint8(255), dtype=np.uint8)


def find_parts(ink: NDArray[np.uint8], contrast: NDArray[np.float32]) -> tuple[NDArray[np.int32], list[Part]]:
    """Measure the connected marks of an ink map.

    Parameters
    ----------
    ink : (H, W) ndarray of uint8
        0 paper, 255 ink.
    contrast : (H, W) ndarray of float32
        Ink contrast of the same picture.

    Returns
    -------
    labels : (H, W) ndarray of int32
        0 paper, else the number of the part.
    parts : list of Part
        Heaviest first; specks far smaller than the heaviest are left out. Empty for a blank page.
    """
    count, labels = cv2.connectedComponents(ink, connectivity=8)
    if count == 2:  # what all marks are measured by takes several times as long
        lone = _measure_lone(ink, contrast)
        return labels.astype(np.int32, copy=False), [lone] if lone else []
    inside = np.flatnonzero(ink > 0)  # paper is most of a page: only the ink is worth a look
    owner = np.asarray(labels.ravel()[inside], dtype=np.int32)
    area = np.bincount(owner, minlength=count)
    mass = np.bincount(owner, weights=contrast.ravel()[inside], minlength=count)
    # a speck cannot be a part of a digit: less ink than a dot of the pen that drew the heaviest mark
    smallest = max(_DOT, 0.004 * float(mass.max()))
    chosen = 1 + np.flatnonzero((mass[1:] >= smallest * _PALEST) & (area[1:] >= smallest))
    chosen = chosen[np.argsort(-mass[chosen], kind="stable")]
    boxes = boxes_of(owner, inside, ink.shape[1], count).tolist()
    widest = np.zeros(count, np.float32)
    np.maximum.at(widest, owner, cv2.distanceTransform(ink, cv2.DIST_L2, 3).ravel()[inside])
    parts = [
        _part(label, Box(*boxes[label]), float(mass[label]), int(area[label]), 2 * float(widest[label]), ink.shape)
        for label in chosen.tolist()
    ]
    return labels.astype(np.int32, copy=False), parts


def boxes_of(owner: NDArray[np.int32], places: NDArray[np.int64], width: int, count: int) -> NDArray[np.int64]:
    """Return the boxes of marks from their pixels alone: OpenCV looks at all of the paper, and takes far longer.

    Parameters
    ----------
    owner : (N,) ndarray of int32
        For each pixel of ink, the number of its mark.
    places : (N,) ndarray of int64
        Where it is, counted along the rows.
    width, count : int
        Of the picture; and one more than the highest number.

    Returns
    -------
    (count, 4) ndarray of int64
        Left, top, right, bottom. Of a number without pixels, no box.
    """
    edges = np.zeros((count, 4), np.int64)
    edges[:, :2] = np.iinfo(np.int64).max
    row, column = np.divmod(places, width)
    for edge, positions in enumerate((column, row)):
        np.minimum.at(edges[:, edge], owner, positions)
        np.maximum.at(edges[:, edge + 2], owner, positions + 1)
    return edges


def _measure_lone(ink: NDArray[np.uint8], contrast: NDArray[np.float32]) -> Part | None:
    """Measure the only mark of an ink map, as `find_parts` does several; None for a speck."""
    left, top, across, down = cv2.boundingRect(ink)
    box = Box(left, top, left + across, top + down)
    around = np.s_[max(0, top - 1) : box.bottom + 1, max(0, left - 1) : box.right + 1]
    own = ink[around]
    area = cv2.countNonZero(own)
    mass = float(contrast[around].sum(where=own > 0, dtype=np.float64))
    if area < _DOT or mass < _DOT * _PALEST:
        return None
    _, thickest, _, _ = cv2.minMaxLoc(cv2.distanceTransform(own, cv2.DIST_L2, 3))
    return _part(1, box, mass, area, 2 * thickest, ink.shape)


def _part(label: int, box: Box, mass: float, area: int, thickness: float, shape: tuple[int, ...]) -> Part:
    height, width = shape
    edges = (box.left <= 1, box.top <= 1, box.right >= width - 1, box.bottom >= height - 1)
    return Part(label, box, mass, mass / area, thickness, edges)


def is_rim(part: Part, height: int, width: int) -> bool:
    """Tell a sliver along the picture's edge, or what reaches in from outside, from a digit."""
    box = part.box
    left, top, right, bottom = part.edges
    at_side, at_end = left or right, top or bottom
    sliver = (at_side and box.width < 0.12 * width) or (at_end and box.height < 0.12 * height)
    filled_corner = at_side and at_end and part.thickness > 0.4 * min(box.width, box.height)
    return sliver or filled_corner or sum(part.edges) >= 3


def _without_rim(parts: list[Part], height: int, width: int) -> list[Part]:
    """Leave out what lies along the picture's edge, unless it is the digit itself, cut out too tightly."""
    inner = [part for part in parts if not is_rim(part, height, width)]
    largest = max((part.box.longer for part in inner), default=0)
    cut_off = [part for part in parts if part not in inner and is_stroke(part) and 0.2 * part.box.longer > largest]
    return parts if cut_off or not inner else inner


def is_stroke(part: Part) -> bool:
    """Tell pen strokes from blobs: a stroke is long for its thickness."""
    return part.thickness <= 0.6 * part.box.longer


def is_tiny(box: Box, shape: tuple[int, ...]) -> bool:
    """Tell whether something is so small in its picture that, unless it is a stroke of a pen, it is dust."""
    return box.longer <= _SPECK * max(shape)


def _centrality(box: Box, height: int, width: int) -> float:
    """Return 1 in the middle of the picture, falling to 0.4 in its corners."""
    dx = abs((box.left + box.right) / 2 - width / 2) / (width / 2)
    dy = abs((box.top + box.bottom) / 2 - height / 2) / (height / 2)
    return 1.0 - 0.6 * max(dx, dy) ** 2


def _gap(a: Box, b: Box) -> float:
    """Return the distance between two boxes, 0 where they overlap."""
    dx = max(a.left - b.right, b.left - a.right, 0)
    dy = max(a.top - b.bottom, b.top - a.bottom, 0)
    return float(np.hypot(dx, dy))


def _side_by_side(a: Box, b: Box) -> bool:
    """Tell two neighbours of one line from two parts of one digit: similar height, no shared column."""
    overlap = min(a.right, b.right) - max(a.left, b.left)
    similar = min(a.height, b.height) >= 0.6 * max(a.height, b.height)
    level = min(a.bottom, b.bottom) - max(a.top, b.top) >= 0.5 * min(a.height, b.height)
    return similar and level and overlap < 0.2 * min(a.width, b.width)


def _true_gap(part: Part, members: list[Part], labels: NDArray[np.int32]) -> float:
    """Return the pixels of paper between a small part and the nearest member, at most a few stroke widths away."""
    reach = int(3 * members[0].thickness) + 3
    box = part.box
    window = labels[
        max(0, box.top - reach) : box.bottom + reach,
        max(0, box.left - reach) : box.right + reach,
    ]
    far = cv2.distanceTransform(
        np.isin(window, [m.label for m in members], invert=True).astype(np.uint8), cv2.DIST_L2, 3
    )
    return float(far[window == part.label].min())


def _is_flat(box: Box) -> bool:
    """Tell a dash or an underline from a digit."""
    return box.height <= _FLAT * box.width


def _is_upon(box: Box, other: Box) -> bool:
    """Tell whether most of a box lies above, below or inside another."""
    return 2 * (min(box.right, other.right) - max(box.left, other.left)) >= box.width


def _continues(part: Part, members: list[Part], box: Box, labels: NDArray[np.int32]) -> bool:
    """Tell whether a part lies so near to the members, whose box is given, that it may be the same broken stroke."""
    break_ = max(2.0, 1.2 * members[0].thickness, _BREAK * box.longer)
    return _gap(box, part.box) <= break_ and _true_gap(part, members, labels) <= break_


def _belongs(part: Part, members: list[Part], box: Box, labels: NDArray[np.int32], settings: ImagingSettings) -> bool:
    """Tell whether a part is of the same digit as the members, whose box is given."""
    seed, size = members[0], box.longer
    part_size = part.box.longer
    gap = _gap(box, part.box)
    if gap > settings.join_gap * size or part_size > 1.5 * size:
        return False
    if part.level < 0.35 * seed.level or part.thickness > 3 * seed.thickness:
        return False
    if part_size < 0.2 * size:  # a crumb of a stroke lies by the stroke; a dot of the paper lies anywhere
        return _true_gap(part, members, labels) <= max(2.0, 1.2 * seed.thickness)
    return not (_side_by_side(box, part.box) and gap > 0.05 * size)


def _grow(seed: Part, parts: list[Part], belongs: Callable[[Part, list[Part], Box], bool]) -> Group:
    """Add to a seed the parts that belong to the same digit."""
    members, box = [seed], seed.box
    waiting = [part for part in parts if part is not seed]
    grown = True
    while grown:
        grown = False
        for part in list(waiting):
            if belongs(part, members, box):
                members.append(part)
                box = box.union(part.box)
                waiting.remove(part)
                grown = True
    return Group(tuple(p.label for p in members), box, sum(p.mass for p in members), any(map(is_stroke, members)))


def leave_out_loose(group: Group, parts: list[Part], labels: NDArray[np.int32]) -> Group | None:
    """Return the group without the strokes that lie apart from the rest, or None if there are none.

    Strokes above or below the rest are its own, as the bar of a 5, unless they come from beyond the picture's edge.
    What sticks out may be its own, too, or a tick or a neighbour's tail, and a flat stroke below may be the foot of a
    3 or an underline: what the digits look like decides.
    """
    members = [part for part in parts if part.label in group.labels]
    if len(members) < 2:
        return None
    (seed,) = (part for part in members if part.label == group.labels[0])

    def belongs(part: Part, near: list[Part], box: Box) -> bool:
        reaches_in = any(part.edges) and not any(seed.edges)
        underlines = _is_flat(part.box) and part.box.top >= box.bottom and part.box.width >= 0.8 * box.width
        upon = _is_upon(part.box, box) and not reaches_in
        return not underlines and (upon or _continues(part, near, box, labels))

    core = _grow(seed, members, belongs)
    return core if len(core.labels) < len(members) and core.mass >= _MAIN * group.mass else None


def group_parts(parts: list[Part], labels: NDArray[np.int32], settings: ImagingSettings) -> list[Group]:
    """Group parts into digit candidates.

    Parameters
    ----------
    parts : list of Part
        As returned by `find_parts`.
    labels : (H, W) ndarray of int32
        Likewise.
    settings : ImagingSettings
        Gives the gap that a digit's parts may leave.

    Returns
    -------
    list of Group
        Best candidate first: much ink, near the middle, drawn by a pen. Empty for a blank page.
    """
    height, width = labels.shape
    inner = _without_rim(parts, height, width)
    free = [p for p in inner if is_stroke(p)] or inner
    groups: list[tuple[float, Group]] = []

    def belongs(part: Part, members: list[Part], box: Box) -> bool:
        return _belongs(part, members, box, labels, settings)

    while free:
        seed = max(free, key=lambda p: p.mass * _centrality(p.box, height, width))
        group = _grow(seed, [p for p in inner if p in free or not is_stroke(p)], belongs)
        groups.append((group.mass * _centrality(group.box, height, width), group))
        free = [p for p in free if p.label not in group.labels]
    groups.sort(key=lambda scored: -scored[0])
    return [group for _, group in groups]


def has_comparable(groups: Sequence[Group]) -> bool:
    """Tell whether a second candidate is as much a digit as the first: of like ink, or paler but of like size."""
    if len(groups) < 2:
        return False
    first, second = groups[0], groups[1]
    size, mass = second.box.longer / first.box.longer, second.mass / first.mass
    return not _is_flat(second.box) and ((size >= 0.55 and mass >= 0.4) or (size >= 0.75 and mass >= 0.15))
